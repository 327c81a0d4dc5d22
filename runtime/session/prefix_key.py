"""The key of a kept state of the model: a hash of what was decoded, by which engine, and for whom it was made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from copersona.runtime.bundle.manifest import Manifest
from copersona.runtime.common.arrays import F32
from copersona.runtime.profile.profiler import VERSION as PROFILER_VERSION
from copersona.runtime.prompt.layout import Fixed
from copersona.runtime.prompt.settings import ContextSettings

VERSION = 1  # of how a beginning is decoded and kept


@dataclass(frozen=True, slots=True)
class Ready:
    """What the prompts of one person have in common, and the key of the state after it."""

    fixed: Fixed
    key: str


def prefix_key(
    manifest: Manifest, settings: ContextSettings, make: str, profiler: str, soft: F32, tokens: Sequence[int]
) -> str:
    """64 hexadecimal digits.

    `make` is the engine's: llama.cpp's build, cache types and attention. A state is the language model's, so the
    bundle's id is in the key, which is that of all its files, and not the population's alone: bundles of one population
    with other models have other states. `profiler` is the model that made the profile, empty for
    statistics; soft prompt (L, H) float32 and tokens are what is decoded.
    """
    body = {
        "version": VERSION,
        "make": make,
        "bundle": manifest.bundle_id,
        "files": {row.role: row.sha256 for row in manifest.files},
        "profiler": profiler or str(PROFILER_VERSION),
        "context": asdict(settings),
        "shape": soft.shape,
    }
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode("utf-8"))
    digest.update(np.ascontiguousarray(soft, "<f4").tobytes())
    digest.update(np.asarray(tokens, "<i4").tobytes())
    return digest.hexdigest()
