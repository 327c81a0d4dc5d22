"""The language model as it is trained: LoRA on a base, soft prompt in front, loss of the answer alone (equation 14)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from copersona.export.training.examples import Example
from copersona.export.training.personalizer import PersonaBatch, TorchPersonalizer, batch_personas
from copersona.export.training.settings import TrainSettings


@dataclass(frozen=True, slots=True)
class Switches:
    """Parts of the model that are trained without, for ablations: no soft prompt in front, no LoRA, parameters of the
    personalizer held at a value."""

    soft: bool = True
    lora: bool = True
    frozen: Mapping[str, float] = field(default_factory=dict)


class PersonalizedModel(nn.Module):
    """A causal language model with LoRA, conditioned on a soft prompt."""

    def __init__(
        self, base: Any, personalizer: TorchPersonalizer, settings: TrainSettings, switches: Switches | None = None
    ) -> None:
        super().__init__()
        switches = switches or Switches()
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(
            r=settings.lora_rank,
            lora_alpha=settings.lora_alpha,
            lora_dropout=settings.lora_dropout,
            target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
            task_type="CAUSAL_LM",
        )
        self.lm = get_peft_model(base, config)
        self.personalizer = personalizer
        self.soft = switches.soft
        if not switches.lora:
            self.lm.requires_grad_(False)
        with torch.no_grad():
            for name, value in switches.frozen.items():
                getattr(personalizer, name).requires_grad_(False).fill_(value)

    @property
    def device(self) -> torch.device:
        return next(self.personalizer.parameters()).device

    def answer_loss(self, examples: Sequence[Example]) -> tuple[Tensor, int]:
        """Summed negative log-likelihood of the answers in nats, and the number of their tokens."""
        inputs = [e.inputs for e in examples]
        batch = batch_personas(inputs, self.personalizer.shape, self.personalizer.neighbors, self.device)
        loss = self.token_losses(examples, batch).sum()
        count = sum(len(e.answer) for e in examples)
        if self.training:
            loss = loss + count * self.personalizer.penalty(batch)
        return loss, count

    def token_losses(self, examples: Sequence[Example], batch: PersonaBatch) -> Tensor:
        """Negative log-likelihood of every token of the answers, one answer after the other, in nats. (T,)"""
        base = self.lm.get_base_model()
        soft = self.personalizer(batch)  # (B, L, H)
        if not self.soft:
            soft = soft[:, :0]
        rows = [[*e.prompt, *e.answer] for e in examples]
        width = max(map(len, rows))
        tokens = torch.zeros(len(rows), width, dtype=torch.long)
        mask = torch.zeros(len(rows), soft.shape[1] + width, dtype=torch.long)
        picked: list[tuple[int, int]] = []
        targets: list[int] = []
        for i, (row, example) in enumerate(zip(rows, examples, strict=True)):
            tokens[i, : len(row)] = torch.tensor(row)
            mask[i, : soft.shape[1] + len(row)] = 1
            first = soft.shape[1] + len(example.prompt) - 1  # the position that predicts the answer's first token
            picked += [(i, first + j) for j in range(len(example.answer))]
            targets += example.answer
        embedded = base.get_input_embeddings()(tokens.to(self.device))
        inputs = torch.cat([soft.to(embedded.dtype), embedded], dim=1)
        hidden = base.model(inputs_embeds=inputs, attention_mask=mask.to(self.device)).last_hidden_state
        where = torch.tensor(picked, device=self.device)
        logits = base.lm_head(hidden[where[:, 0], where[:, 1]])
        goal = torch.tensor(targets, device=self.device)
        return functional.cross_entropy(logits.float(), goal, reduction="none")
