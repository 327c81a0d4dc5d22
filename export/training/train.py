"""Joint training of LoRA and the soft-prompt personalizer (CoPersona, section 3.4 and appendix C).

* AdamW with two learning rates, cosine schedule with warm-up, gradient clipping; CPU and CUDA
* a checkpoint every few minutes, written whole; a rerun goes on from it and ends with the same weights
* the best state by validation loss is kept: LoRA adapter folder and `personalizer.safetensors`
"""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from copersona.export.common.files import replacing, replacing_folder, write_text
from copersona.export.training.examples import Dropout, Example, Situation, batches, make_example
from copersona.export.training.kept import Kept, kept_example
from copersona.export.training.personalized import PersonalizedModel, Switches
from copersona.export.training.personalizer import PersonalizerShape, TorchPersonalizer
from copersona.export.training.settings import ALONE, NOBODY, TrainResult, TrainSettings
from copersona.runtime.common.arrays import F32
from copersona.runtime.common.errors import ExportError
from copersona.runtime.common.progress import track
from copersona.runtime.profile.profiler import Encode
from copersona.runtime.prompt.layout import Layout


class Trainer:
    """One training run in one folder: `checkpoint.pt`, `best/adapter/`, `best/personalizer.safetensors`,
    `log.jsonl`."""

    def __init__(
        self,
        base: Any,
        layout: Layout,
        encode: Encode,
        shape: PersonalizerShape,
        layer_means: F32,
        settings: TrainSettings,
        folder: Path,
        device: torch.device,
        *,
        switches: Switches | None = None,
        make: Callable[[PersonalizerShape, F32, float], TorchPersonalizer] = TorchPersonalizer,
    ) -> None:
        torch.manual_seed(settings.seed)
        weight = base.get_input_embeddings().weight.detach()
        rms = float(weight.float().pow(2).mean().sqrt())
        personalizer = make(shape, layer_means, rms)
        self.model = PersonalizedModel(base, personalizer, settings, switches).to(device)
        self.layout, self.encode, self.settings, self.folder = layout, encode, settings, folder
        lora = [p for p in self.model.lm.parameters() if p.requires_grad]
        groups = [{"params": personalizer.parameters(), "lr": settings.lr}, {"params": lora, "lr": settings.lora_lr}]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=settings.weight_decay)
        self.peaks = [settings.lr, settings.lora_lr]
        self.parameters, self.lora = [*personalizer.parameters(), *lora], lora
        self.step, self.best, self.best_step, self.first, self.seconds = 0, math.inf, 0, math.nan, 0.0

    def run(
        self,
        training: Sequence[Situation],
        validation: Sequence[Situation],
        fingerprint: str,
        kept: Sequence[Kept] = (),
    ) -> TrainResult:
        """Train to the end, going on from a checkpoint of the same data and settings if there is one.

        What is to be `kept` is seen once an epoch, mixed among the training targets.

        Raises:
            ExportError: no training targets, or the loss is no longer finite.
        """
        if not training:
            raise ExportError("no training targets: nobody has three interactions before validation")
        per_epoch = math.ceil((len(training) + len(kept)) / (self.settings.batch * self.settings.accumulate))
        first = per_epoch * self.settings.alone
        total = first + per_epoch * self.settings.epochs
        self._resume(fingerprint)
        if self.step == 0:
            (self.folder / "log.jsonl").unlink(missing_ok=True)
        held = [self.example(s, None) for s in validation]
        if self.step == 0:
            self.first = self.evaluate(held)
        begun, saved = time.monotonic() - self.seconds, time.monotonic()
        groups = self._groups(training, kept, per_epoch)
        for step in track(range(self.step, total), "training", total=total - self.step):
            self._learn(lora=step >= first)
            part = (step, first) if step < first else (step - first, total - first)
            loss = self._update(next(groups), step, learning_rate(*part, self.settings.warmup))
            self.step = step + 1
            if self.step > first and (self.step % max(per_epoch // 2, 1) == 0 or self.step == total):
                self._judge(held, loss, time.monotonic() - begun)
            if time.monotonic() - saved > self.settings.checkpoint_seconds:
                self.seconds, saved = time.monotonic() - begun, time.monotonic()
                self._save(fingerprint)
        self.seconds = time.monotonic() - begun
        return self._finish(validation)

    def example(self, situation: Situation, drop: random.Random | None, rates: Dropout | None = None) -> Example:
        """A situation as an example of this training; see `make_example`."""
        settings = self.settings
        return make_example(
            situation,
            self.layout,
            self.encode,
            answer_tokens=settings.answer_tokens,
            drop=drop,
            rates=rates or settings.dropout,
        )

    def _groups(
        self, training: Sequence[Situation], kept: Sequence[Kept], per_epoch: int
    ) -> Iterator[list[list[Example]]]:
        """Batches of each step from the current one on. What is dropped depends on seed and epoch only."""
        size, accumulate = self.settings.batch, self.settings.accumulate
        facts = [kept_example(one, self.layout, self.settings.answer_tokens) for one in kept]
        for epoch in range(self.step // per_epoch, self.settings.alone + self.settings.epochs):
            draw = random.Random(f"{self.settings.seed}:{epoch}")
            rates = ALONE if epoch < self.settings.alone else None
            examples = [*(self.example(situation, draw, rates) for situation in training), *facts]
            order = batches([len(e.prompt) + len(e.answer) for e in examples], size, draw)
            steps = [order[i : i + accumulate] for i in range(0, len(order), accumulate)][:per_epoch]
            done = self.step - epoch * per_epoch if epoch == self.step // per_epoch else 0
            for group in steps[done:]:
                yield [[examples[i] for i in batch] for batch in group]

    def _learn(self, *, lora: bool) -> None:
        """Whether the LoRA learns, too, in the steps to come."""
        for parameter in self.lora:
            parameter.requires_grad_(lora)

    def _update(self, group: list[list[Example]], step: int, rate: float) -> float:
        """One optimizer step over several batches at a share of the learning rates; mean loss per answer token.
        Dropout is seeded by the step."""
        torch.manual_seed(self.settings.seed * 1_000_003 + step)
        self.model.train()
        for parameters, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            parameters["lr"] = peak * rate
        count = sum(len(e.answer) for batch in group for e in batch)
        value = 0.0
        for batch in group:
            loss, _ = self.model.answer_loss(batch)
            (loss / count).backward()
            value += float(loss.detach()) / count
        if not math.isfinite(value):
            raise ExportError(f"training step {step}: the loss is {value}; lower the learning rate and start again")
        nn.utils.clip_grad_norm_(self.parameters, self.settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return value

    @torch.no_grad()
    def evaluate(self, examples: Sequence[Example]) -> float:
        """Mean loss per answer token, nats, without dropout."""
        self.model.eval()
        loss, count = 0.0, 0
        order = batches([len(e.prompt) + len(e.answer) for e in examples], self.settings.batch * 2, random.Random(0))
        for batch in order:
            value, tokens = self.model.answer_loss([examples[i] for i in batch])
            loss, count = loss + float(value), count + tokens
        return loss / max(count, 1)

    def _judge(self, held: Sequence[Example], training_loss: float, seconds: float) -> None:
        loss = self.evaluate(held)
        row = {"step": self.step, "training": training_loss, "validation": loss, "seconds": round(seconds, 1)}
        row["gates"] = [round(g, 4) for g in self.model.personalizer.gates().tolist()]
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        if loss < self.best or not (self.folder / "best").exists():
            self.best, self.best_step = loss, self.step
            self._save_best()

    def _save_best(self) -> None:
        with replacing_folder(self.folder / "best") as best:
            self.model.lm.save_pretrained(str(best / "adapter"))
            _round(best / "adapter" / "adapter_model.safetensors")
            self.model.personalizer.save(best / "personalizer.safetensors")
            write_text(best / "step.json", json.dumps({"step": self.best_step, "validation": self.best}))

    def _state(self) -> dict[str, Tensor]:
        learnt = {id(p) for p in self.parameters}
        return {name: p for name, p in self.model.named_parameters() if id(p) in learnt}

    def _save(self, fingerprint: str) -> None:
        body = {
            "fingerprint": fingerprint,
            "step": self.step,
            "numbers": [self.best, float(self.best_step), self.first, self.seconds],
            "weights": self._state(),
            "optimizer": self.optimizer.state_dict(),
        }
        with replacing(self.folder / "checkpoint.pt") as part:
            torch.save(body, part)

    def _resume(self, fingerprint: str) -> None:
        """Take up the checkpoint if it is of this data, settings and model; start afresh otherwise."""
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        body = torch.load(path, map_location=self.model.device, weights_only=True)
        if body["fingerprint"] != fingerprint:
            return
        state = self._state()
        with torch.no_grad():
            for name, value in body["weights"].items():
                state[name].copy_(value)
        self.optimizer.load_state_dict(body["optimizer"])
        self.step = int(body["step"])
        self.best, best_step, self.first, self.seconds = body["numbers"]
        self.best_step = int(best_step)
        self._cut_log()

    def _cut_log(self) -> None:
        """Forget what was logged after the checkpoint: those steps are done again."""
        path = self.folder / "log.jsonl"
        lines = path.read_text(encoding="utf-8").split("\n") if path.exists() else []
        whole = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= self.step]
        write_text(path, "".join(f"{line}\n" for line in whole))

    def _finish(self, validation: Sequence[Situation]) -> TrainResult:
        """Load the best weights and compare, on validation, the person with nobody and with the next person."""
        from peft import set_peft_model_state_dict
        from safetensors.torch import load_file

        best = self.folder / "best"
        set_peft_model_state_dict(self.model.lm, load_file(best / "adapter" / "adapter_model.safetensors"))
        self.model.personalizer.load_state_dict(load_file(best / "personalizer.safetensors"))
        nobody = [self.example(s, random.Random(0), NOBODY) for s in validation]
        shifted = [*validation[1:], *validation[:1]]
        swapped = [
            self.example(Situation(s.state, s.target, o.history, o.persona), None)
            for s, o in zip(validation, shifted, strict=True)
        ]
        return TrainResult(
            best_loss=self.best,
            shipped_loss=self.evaluate([self.example(s, None) for s in validation]),
            best_step=self.best_step,
            first_loss=self.first,
            nobody_loss=self.evaluate(nobody),
            stranger_loss=self.evaluate(swapped),
            steps=self.step,
            seconds=self.seconds,
            gates=tuple(round(g, 4) for g in self.model.personalizer.gates().tolist()),
        )


def _round(path: Path) -> None:
    """Give the adapter the values that ship: float16's, in float32."""
    from safetensors.torch import load_file, save_file

    save_file({name: t.half().float() for name, t in load_file(path).items()}, path, {"format": "pt"})


def learning_rate(step: int, total: int, warmup: float) -> float:
    """Cosine schedule with linear warm-up, as a share of the peak."""
    rise = max(1, round(total * warmup))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))
