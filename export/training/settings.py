"""What a training is asked for and what it came to; reading it imports no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from copersona.export.training.examples import Dropout
from copersona.runtime.prompt.settings import ContextSettings


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """Training settings; the defaults suit small bases, `PAPER` is the paper's appendix C."""

    epochs: int = 3
    alone: int = 0
    """Epochs before them in which the personalizer learns by itself: the model frozen, no text of the person in the
    prompt, so that the soft prompt must carry something."""
    batch: int = 4
    accumulate: int = 2
    lr: float = 1e-3  # personalizer and graph
    lora_lr: float = 1e-3  # chosen on validation with the small base (docs/measured.md)
    lora_rank: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0  # masks on every projection are slow on a CPU; PAPER has 0.05
    weight_decay: float = 0.01
    warmup: float = 0.06
    clip: float = 1.0
    graph: int = 256
    hidden: int = 256
    soft_tokens: int = 20
    answer_tokens: int = 320
    targets: int | None = None
    """Most targets of an epoch, drawn from all of them by the seed; None takes all."""
    validation: int = 200
    """Targets of as many people that the best state is chosen on."""
    checkpoint_seconds: float = 180.0
    seed: int = 0
    dropout: Dropout = field(default_factory=Dropout)


ALONE = Dropout(context=1.0)
NOBODY = Dropout(persona=1.0, context=1.0, field=0.0)  # who is asked is all that is left out

PAPER = TrainSettings(
    epochs=10,
    batch=1,
    accumulate=4,
    lr=2e-5,
    lora_lr=2e-5,
    lora_dropout=0.05,
    graph=512,
    hidden=512,
    answer_tokens=2048,
)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What training came to; losses are nats a token over the validation targets. `shipped_loss` is the best state's
    in the float16 values that ship."""

    best_loss: float
    shipped_loss: float
    best_step: int
    first_loss: float
    nobody_loss: float
    stranger_loss: float
    steps: int
    seconds: float
    gates: tuple[float, ...]


def train_key(settings: TrainSettings, context: ContextSettings) -> dict[str, Any]:
    """The settings as a key of what is trained with them: without a rate that has no effect."""
    found = asdict(settings)
    if context.served == "facets":
        del found["dropout"]["texts"]
    return found
