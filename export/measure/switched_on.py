"""Bits per byte with a setting of personas switched on, on the device, nothing retrained: against what `bits per byte`
kept of the same people.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from copersona.export.common.figures import Figures
from copersona.export.common.statistics import mean_interval
from copersona.export.run.run import Run
from copersona.runtime.common.arrays import F64
from copersona.runtime.common.errors import ExportError
from copersona.runtime.common.progress import track
from copersona.runtime.session.session import open_bundle

BRAKE, CONFIDENCE = 8.0, 0.61
"""What `lending` and `abstention` chose on Musical Instruments."""


def braked(run: Run, people: int | None) -> Figures:
    """With the near-twin brake."""
    return _with(run, people, {"brake": BRAKE})


def unsaid(run: Run, people: int | None) -> Figures:
    """With facets of little support unsaid."""
    return _with(run, people, {"confidence": CONFIDENCE})


def _with(run: Run, people: int | None, context: Mapping[str, float]) -> Figures:
    path = run.path("bits_per_byte.json")
    if not path.is_file():
        raise ExportError(f'{path}: is not there; run: copersona export measure {run.folder} --only "bits per byte"')
    kept = {name: np.array(values) for name, values in json.loads(path.read_text(encoding="utf-8")).items()}
    everyone = [person for person, split in run.splits.items() if split.held_out]
    known = everyone[:: max(len(everyone) // len(kept["own"]), 1)][: len(kept["own"])]  # as `bits per byte` took them
    asked = np.random.default_rng(run.settings.seed).permutation(len(known))[:people]
    with open_bundle(run.bundle, context=context) as session:
        bits = []
        for place in track(asked.tolist(), f"with {context}"):
            history, pseudonym = run.histories[known[place]], run.pseudonyms.get(known[place])
            person = session.know(history[:-1], pseudonym=pseudonym)
            bits.append(session.score(history[-1].request(), history[-1].output, person).bits_per_byte)
    return {**context, **_against(np.array(bits), {name: kept[name][asked] for name in ("own", "nobody")})}


def _against(bits: F64, kept: Mapping[str, F64]) -> Figures:
    gain = mean_interval(kept["nobody"] - kept["own"])
    return {
        "mean": round(float(bits.mean()), 5),
        "loss, minus off": mean_interval(bits - kept["own"]),
        "gain, nobody minus off": gain,
        "bar, 5 % of the gain": round(0.05 * gain["mean"], 5),
    }
