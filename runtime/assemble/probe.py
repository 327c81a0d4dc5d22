"""What an assembled model must answer, so that a wrong merge or another llama.cpp is found before it is used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from copersona.runtime.common.errors import BundleError, ModelError
from copersona.runtime.engine.engine import Engine

TOP = 16
TOLERANCE = 0.02  # of the spread of the logits; other processors sum in another order
MOST_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Probe:
    """Tokens, and of the position after them the tokens likeliest in the exporter's run with their logits; `spread` is
    the standard deviation of all logits there, `tolerance` a share of it."""

    tokens: tuple[int, ...]
    likeliest: tuple[int, ...]
    logits: tuple[float, ...]
    spread: float
    tolerance: float = TOLERANCE

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def read(cls, body: Mapping[str, Any]) -> Probe:
        """Raises BundleError."""
        try:
            rows = {name: tuple(body[name]) for name in ("tokens", "likeliest", "logits")}
            probe = cls(**rows, spread=float(body["spread"]), tolerance=float(body["tolerance"]))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise BundleError(f"manifest.json: its probe cannot be read ({error})") from None
        ids = (*probe.tokens, *probe.likeliest)
        whole = all(isinstance(i, int) and 0 <= i < 1 << 24 for i in ids)
        numbers = (*probe.logits, probe.spread, probe.tolerance)
        finite = all(isinstance(n, float) and math.isfinite(n) for n in numbers)
        right = 1 <= len(probe.tokens) <= MOST_TOKENS and 1 <= len(probe.logits) == len(probe.likeliest) <= 1024
        if not (whole and finite and right and probe.spread > 0 and 0 < probe.tolerance <= 0.1):
            raise BundleError("manifest.json: its probe holds what cannot be: ids, logits, spread or tolerance")
        return probe


def make_probe(model: Path, tokens: tuple[int, ...]) -> Probe:
    """The probe of a finished model."""
    found = _logits(model, tokens)
    best = np.argsort(-found, kind="stable")[:TOP]
    return Probe(tokens, tuple(map(int, best)), tuple(float(found[i]) for i in best), float(found.std()))


def check_probe(model: Path, probe: Probe) -> float:
    """The largest difference from the probe, as a share of the spread.

    Raises:
        ModelError: it is over the tolerance.
    """
    found = _logits(model, probe.tokens)
    if max(probe.likeliest) >= len(found):
        raise ModelError(f"{model}: has {len(found)} tokens, the probe asks for token {max(probe.likeliest)}")
    off = float(np.abs(found[list(probe.likeliest)] - np.array(probe.logits)).max()) / probe.spread
    if not off <= probe.tolerance:
        raise ModelError(
            f"{model}: answers otherwise than when the bundle was made: logits differ by {off:.3f} of their spread, "
            f"allowed is {probe.tolerance}; this llama.cpp may compute otherwise, or the base or LoRA is not the one"
        )
    return off


def _logits(model: Path, tokens: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Logits after the tokens, (V,) float64."""
    with Engine(model, n_ctx=max(64, 2 * len(tokens))) as engine:
        return np.asarray(engine.logits(None, list(tokens), last=1)[-1], np.float64)
