"""What is measured: a trial is one method under one setting over all people; an experiment is a table of trials."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from copersona.export.evaluation.bench.bench import Bench
from copersona.export.evaluation.bench.bits import BITS, PARTS
from copersona.export.evaluation.bench.cases import Case
from copersona.export.evaluation.bench.texts import TEXT_METRICS
from copersona.export.evaluation.methods.method import Method
from copersona.runtime.bundle.verify import open_manifest
from copersona.runtime.engine.engine import Sampling
from copersona.runtime.prompt.settings import changed, read_context

VERSION = 2  # raise it when a value changes for the same input
Plot = Literal["", "line", "bars"]


@dataclass(frozen=True, slots=True)
class Trial:
    """A row of a table. `bits`: the true text is scored; `samples`: how many texts are generated for some people;
    `least`: interactions that a person must have; `series`: the line it is on in a plot, at the place of `point`, by
    default its label. Without a method it is the unigram reference."""

    label: str
    method: Method | None
    context: Mapping[str, Any] = field(default_factory=dict)
    sampling: Sampling | None = None
    bits: bool = True
    samples: int = 0
    least: int = 0
    series: str = ""
    point: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        """Changes of the context settings, the method's own first."""
        return {**(self.method.context if self.method else {}), **self.context}

    @property
    def model(self) -> str:
        return self.method.model if self.method else "trained"

    def key(self, bench: Bench, *parts: Any) -> str:
        """Hash of everything that the values depend on; what is generated adds `parts`."""
        manifest = open_manifest(bench.bundles[self.model])
        context = changed(read_context(manifest.settings["context"]), self.settings)
        method = [self.method.name, self.method.version, self.method.writer] if self.method else ["unigram", 1]
        room = manifest.settings["context_length"]
        body = [VERSION, manifest.bundle_id, room, asdict(context), method, bench.seed, bench.basis, *parts]
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]

    def asks(self, case: Case) -> bool:
        """Whether the person has enough interactions."""
        return len(case.history) >= self.least


@dataclass(frozen=True, slots=True)
class Experiment:
    """A table: its trials, the row that the others are compared with, the columns, and what the report says of it."""

    name: str
    title: str
    trials: Sequence[Trial]
    against: str
    text: str
    metrics: Sequence[str] = (BITS, *PARTS)
    plot: Plot = ""
    sweep: bool = False
    """Asks the plan's people for sweeps, not everybody."""
    changes: bool = False
    """Shown as the paper's ablation table: each value with its change against the full model."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Metrics that may be there: those of the table, and of texts where it generates any."""
        texts = TEXT_METRICS if any(t.samples for t in self.trials) else ()
        return (*self.metrics, *(m for m in texts if m not in self.metrics))
