"""Pre-training of a small causal model on one row of tokens: the loop, its schedule and its checkpoints.

* loss on every token, windows cut from the row without padding; the last tenth in windows twice as long
* Muon for matrices, AdamW for embeddings, norms and biases, one learning rate for both
* the rate warms up, stays, and falls linearly to zero over the last part, by a plan made before the first step
* CPU in float32; a GPU in bfloat16 autocast with compiled layers, both chosen by what is there
* a checkpoint every few minutes, written whole; a rerun goes on from it and ends with the same weights
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from copersona.export.base.muon import Muon
from copersona.export.base.stream import Stream
from copersona.export.common.files import replacing
from copersona.runtime.common.errors import ExportError
from copersona.runtime.common.progress import track

HEAD_ROWS = 2_048  # positions whose logits are in memory at once


@dataclass(frozen=True, slots=True)
class PretrainSettings:
    """How a row of tokens is trained on; lengths in tokens, shares of the steps."""

    batch: int = 8_192
    micro: int = 4_096
    window: int = 1_024
    last_window: int = 2_048
    last_share: float = 0.1
    lr: float = 4e-3
    warmup: float = 0.03
    decay: float = 0.35
    weight_decay: float = 0.1
    clip: float = 1.0
    seed: int = 0
    checkpoint_seconds: float = 200.0
    folders: int = 8  # how many times on the way the model is written as a folder

    def check(self) -> None:
        """Raises ExportError where lengths do not divide each other."""
        for window in (self.window, self.last_window):
            if self.micro % window or self.batch % self.micro:
                raise ExportError(
                    f"windows of {window} tokens, {self.micro} at once and {self.batch} a step: "
                    "each must be a multiple of the one before"
                )

    def steps(self, tokens: int) -> int:
        """How many whole steps `tokens` make."""
        return max(1, tokens // self.batch)

    def window_at(self, step: int, steps: int) -> int:
        return self.last_window if step >= steps - round(steps * self.last_share) else self.window


def learning_rate(step: int, steps: int, warmup: float, decay: float) -> float:
    """Share of the peak: a linear rise, a plateau, a linear fall that reaches zero after the last step."""
    rise, fall = max(1, round(steps * warmup)), max(1, round(steps * decay))
    return min((step + 1) / rise, 1.0, (steps - step) / fall)


def optimizers(model: Any, settings: PretrainSettings) -> tuple[Muon, torch.optim.AdamW]:
    """Muon for the layers' matrices, AdamW without decay for the rest."""
    named = list(model.named_parameters())
    matrices = [p for name, p in named if p.ndim == 2 and ".layers." in name]
    rest = [p for name, p in named if p.ndim != 2 or ".layers." not in name]
    adam = torch.optim.AdamW(rest, lr=settings.lr, betas=(0.9, 0.95), eps=1e-10, weight_decay=0.0)
    return Muon(matrices, lr=settings.lr, weight_decay=settings.weight_decay), adam


class Pretraining:
    """One training of `model` on `stream`; its state is the number of steps done and what the checkpoint holds."""

    def __init__(self, model: Any, stream: Stream, settings: PretrainSettings, folder: Path) -> None:
        settings.check()
        self.model, self.settings, self.folder = model, settings, folder
        self._cuda = torch.cuda.is_available()
        self.device = torch.device("cuda" if self._cuda else "cpu")
        torch.set_float32_matmul_precision("high" if self._cuda else "highest")
        model.to(self.device).train()
        self._body = torch.compile(model.model, dynamic=False) if self._cuda else model.model
        self._stream, self.steps = stream, settings.steps(len(stream) - 1)
        self.optimizers = optimizers(model, settings)
        self.step, self.skipped, self.seconds = 0, 0, 0.0
        self._saved = time.monotonic()

    @property
    def tokens(self) -> int:
        """How many tokens were trained on so far."""
        return (self.step - self.skipped) * self.settings.batch

    def run(self, write_folder: Callable[[], None], *, decay_now: bool = False, stop_after: int | None = None) -> None:
        """Train to the end, or until step `stop_after`; `write_folder` is called a few times on the way.

        With `decay_now` the rest of the plateau is left out, its text too: the end comes sooner, as planned otherwise.
        """
        fingerprint = self._fingerprint()
        self._resume(fingerprint)
        turning = self.steps - round(self.steps * self.settings.decay)
        if decay_now and self.step < turning:
            self.skipped, self.step = turning - self.step, turning
        last = self.steps if stop_after is None else min(stop_after, self.steps)
        every = max(1, self.steps // self.settings.folders)
        self._saved = time.monotonic()
        for step in track(range(self.step, last), "pre-training steps"):
            begun = time.monotonic()
            loss = self._update(step)
            self.seconds += time.monotonic() - begun
            self.step = step + 1
            self._log(loss, time.monotonic() - begun)
            due = time.monotonic() - self._saved > self.settings.checkpoint_seconds
            if due or self.step == last:
                self._save(fingerprint)
            if self.step % every == 0 and self.step < last:
                write_folder()

    def _update(self, step: int) -> float:
        """One optimizer step; the mean loss in nats per token."""
        rate = self.settings.lr * learning_rate(step, self.steps, self.settings.warmup, self.settings.decay)
        value = 0.0
        for inputs, targets in self.windows(step):
            value += self._backward(inputs, targets)
        if not math.isfinite(value):
            raise ExportError(f"pre-training step {step}: the loss is {value}; lower --lr and start in a new folder")
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return value

    def windows(self, step: int) -> list[tuple[Tensor, Tensor]]:
        """Inputs and targets of one step, each (windows at once, window)."""
        size, window = self.settings.batch, self.settings.window_at(step, self.steps)
        row = torch.from_numpy(self._stream[step * size : (step + 1) * size + 1].astype(np.int64)).to(self.device)
        inputs, targets = row[:-1].view(-1, window), row[1:].view(-1, window)
        count = self.settings.micro // window
        return list(zip(inputs.split(count), targets.split(count), strict=True))

    def _backward(self, inputs: Tensor, targets: Tensor) -> float:
        """Gradients of one part of a step; its share of the mean loss. Logits are made and dropped in pieces."""
        half = torch.autocast("cuda", torch.bfloat16) if self._cuda else contextlib.nullcontext()
        with half:
            hidden = self._body(input_ids=inputs, use_cache=False).last_hidden_state.flatten(0, 1)
            top = hidden.detach().requires_grad_()
            value = torch.zeros((), device=self.device)
            for rows, wanted in zip(top.split(HEAD_ROWS), targets.flatten().split(HEAD_ROWS), strict=True):
                logits = functional.linear(rows, self.model.lm_head.weight).float()
                loss = functional.cross_entropy(logits, wanted, reduction="sum") / self.settings.batch
                loss.backward()
                value += loss.detach()
        hidden.backward(top.grad)
        return float(value)

    def _log(self, loss: float, seconds: float) -> None:
        row = {"step": self.step, "of": self.steps, "tokens": self.tokens, "loss": round(loss, 4)}
        row["tokens_per_second"] = round(self.settings.batch / seconds)
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")

    def _fingerprint(self) -> str:
        """Hash of all that a checkpoint depends on."""
        settings = {k: v for k, v in asdict(self.settings).items() if k not in ("checkpoint_seconds", "folders")}
        body = json.dumps([settings, self.model.config.to_dict()["hidden_size"], self.steps], sort_keys=True)
        return hashlib.sha256(body.encode() + self._stream.tobytes()).hexdigest()

    def _save(self, fingerprint: str) -> None:
        self._saved = time.monotonic()
        body = {
            "fingerprint": fingerprint,
            "step": self.step,
            "skipped": self.skipped,
            "seconds": self.seconds,
            "weights": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
        }
        with replacing(self.folder / "checkpoint.pt") as part:
            torch.save(body, part)

    def _resume(self, fingerprint: str) -> None:
        """Take up the checkpoint where there is one.

        Raises:
            ExportError: it is of another text, plan or shape.
        """
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        body = torch.load(path, map_location=self.device, weights_only=True)
        if body["fingerprint"] != fingerprint:
            raise ExportError(
                f"{path}: is of another text, plan or shape; use a new folder, or remove it to start again"
            )
        self.model.load_state_dict(body["weights"])
        for optimizer, state in zip(self.optimizers, body["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.step, self.skipped, self.seconds = int(body["step"]), int(body["skipped"]), float(body["seconds"])


def tokens_per_second(model: Any, settings: PretrainSettings, steps: int = 2) -> float:
    """Speed of whole steps on random tokens with a copy's weights; `model` is left as it was."""
    import copy
    import tempfile

    draw = np.random.default_rng(0)
    stream = draw.integers(0, model.config.vocab_size, settings.batch * (steps + 1) + 1).astype(np.uint32)
    with tempfile.TemporaryDirectory() as folder:
        trial = Pretraining(copy.deepcopy(model), stream, settings, Path(folder))
        trial._update(0)
        begun = time.monotonic()
        for step in range(1, steps + 1):
            trial._update(step)
        return settings.batch * steps / (time.monotonic() - begun)
