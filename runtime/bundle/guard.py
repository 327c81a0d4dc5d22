"""The factuality guard of a bundle: a probe of one layer's output, and the direction in which facts lie from there.

An optional part: `guard.safetensors` has the arrays, `guard` of the manifest's settings the numbers. It was calibrated
on one model; the population does not change by it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from copersona.runtime.bundle.manifest import AGAIN, MANIFEST, SIGNATURE, Manifest
from copersona.runtime.bundle.verify import verify, write_manifest
from copersona.runtime.common.arrays import F32
from copersona.runtime.common.errors import BundleError
from copersona.runtime.common.files import write_whole
from copersona.runtime.common.tensors import rows_of, safetensors_chunks
from copersona.runtime.engine.layers import CONVENTION
from copersona.runtime.filecheck.array_check import must_agree, read_tensor_shapes
from copersona.runtime.filecheck.values import bounded, line, mapped, number, shown, whole

FILE = "guard.safetensors"
ARRAYS = ("mean", "scale", "vector", "weights")
MOST_VALUE, LEAST_SCALE = 1e6, 1e-6
MOST_GAMMA, MOST_LAYERS, MOST_CASES = 10.0, 10_000, 1 << 31


@dataclass(frozen=True, slots=True)
class GuardFigures:
    """How a guard was calibrated, and how well its probe tells cases on test: areas under the curve, also of a probe
    with shuffled labels and of one that sees the request alone; cases in training that a persona made wrong (degraded)
    and right (beneficial)."""

    auc: float
    auc_shuffled: float
    auc_request: float
    degraded: int
    beneficial: int
    calibrated_on: str


@dataclass(frozen=True, slots=True)
class Guard:
    """A probe of width H for layer `layer` of the `layers` of `base`, which the bundle's settings name so too; layers
    count as in `engine/layers.py`. At and above `tau` a persona is removed; below it the layer's output moves by
    `gamma` (p - 0.5) `vector`."""

    base: str
    layers: int
    layer: int
    mean: F32  # (H,)
    scale: F32  # (H,) above 0
    weights: F32  # (H,)
    vector: F32  # (H,) facts minus persons, as it is added
    bias: float
    gamma: float
    tau: float
    figures: GuardFigures

    def probability(self, state: F32) -> float:
        """How probable it is that the persona makes this answer wrong, of the layer's output at the last token of the
        prompt, (H,) float32. Not finite where that is not."""
        z = float(((state.astype(np.float64) - self.mean) / self.scale) @ self.weights) + self.bias
        return 0.5 + 0.5 * math.tanh(z / 2)

    def __str__(self) -> str:
        said = self.figures
        return (
            f"guard: layer {self.layer} of {self.layers}, gamma {self.gamma:g}, tau {self.tau:g}; area under the curve "
            f"{said.auc:.3f}, of the request alone {said.auc_request:.3f}, of shuffled labels {said.auc_shuffled:.3f}; "
            f"{said.degraded} degraded and {said.beneficial} beneficial cases, {said.calibrated_on}"
        )


def add_guard(folder: Path | str, guard: Guard) -> Manifest:
    """Put a guard into a finished bundle, thin or whole, or another one in its place; returns the new manifest.

    Raises:
        BundleError: the bundle is not whole or is signed, or the guard does not fit it; then nothing is changed.
    """
    folder = Path(folder)
    manifest = verify(folder)
    if (folder / SIGNATURE).exists():
        raise BundleError(f"{folder}: is signed, which a guard would undo; remove {SIGNATURE} and sign it afterwards")
    numbers = {name: getattr(guard, name) for name in ("base", "layers", "layer", "bias", "gamma", "tau")}
    numbers |= {"convention": CONVENTION, "width": len(guard.vector), **asdict(guard.figures)}
    settings = {**manifest.settings, "guard": numbers}
    arrays = {name: getattr(guard, name) for name in ARRAYS}
    try:
        _checked(settings, arrays, manifest.shapes.hidden)
    except ValueError as error:
        raise BundleError(f"{folder}: the guard does not fit: {error}") from None
    write_whole(folder / FILE, safetensors_chunks(rows_of(arrays, "F32")))
    roles = {row.path: row.role for row in manifest.files if row.role != "guard"} | {FILE: "guard"}
    return write_manifest(folder, roles, manifest.shapes, settings)


def read_guard(folder: Path | str, manifest: Manifest, layers: int | None = None) -> Guard | None:
    """The guard of a verified bundle, whose model has so many layers where that is known; None where it has none.

    Raises:
        BundleError: file and manifest do not both have it, a name, shape, dtype or value is wrong, or it is another
            model's.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if manifest.file("guard") is None and "guard" not in manifest.settings:
        return None
    path, hidden = manifest.path(folder, "guard"), manifest.shapes.hidden
    must_agree(path, "tensors", dict(read_tensor_shapes(path)), dict.fromkeys(ARRAYS, (hidden,)))
    try:
        guard = _checked(manifest.settings, load_file(path), hidden)
    except (OSError, SafetensorError, ValueError) as error:
        raise BundleError(f"{path} and guard of {MANIFEST}: {error}; {AGAIN}") from None
    if layers is not None and guard.layers != layers:
        raise BundleError(
            f"{path}: made for a model of {guard.layers} layers, this one has {layers}; make the guard again"
        )
    return guard


def _checked(settings: Mapping[str, Any], arrays: Mapping[str, F32], hidden: int) -> Guard:
    """The guard of settings and arrays. Raises ValueError where they are none for a model of width `hidden`."""
    body = mapped("guard", settings.get("guard"))
    known = {"base", "layers", "layer", "bias", "gamma", "tau", "convention", "width"}
    known |= {field.name for field in fields(GuardFigures)}
    if odd := sorted(body.keys() ^ known):
        raise ValueError(f"guard: {', '.join(map(shown, odd))} missing or not known")
    base = line("guard's base", body["base"], 1_000)
    if base != settings.get("base"):
        raise ValueError(f"it was made for the base {shown(base)}, the bundle's is {shown(settings.get('base'))}")
    if body["convention"] != CONVENTION:
        raise ValueError(f"its layer counts as {shown(body['convention'])}, expected {CONVENTION!r}")
    if (width := body["width"]) != hidden:
        raise ValueError(f"it is of width {shown(width)}, the model of {hidden}")
    for name, array in arrays.items():
        if array.dtype != np.float32 or array.shape != (hidden,):
            raise ValueError(f"{name} is {array.dtype} {array.shape}, expected float32 {(hidden,)}")
        bounded(name, array, MOST_VALUE)
    if arrays["scale"].min() < LEAST_SCALE:
        raise ValueError(f"scale holds numbers below {LEAST_SCALE:g}")
    layers = whole("guard's layers", body["layers"], 1, MOST_LAYERS)
    return Guard(
        base=base,
        layers=layers,
        layer=whole("guard's layer", body["layer"], 0, layers - 1),
        bias=number("guard's bias", body["bias"], -MOST_VALUE, MOST_VALUE),
        gamma=number("guard's gamma", body["gamma"], 0, MOST_GAMMA),
        tau=number("guard's tau", body["tau"], 0, 1),
        figures=_figures(body),
        **arrays,
    )


def _figures(body: Mapping[str, object]) -> GuardFigures:
    def area(name: str) -> float:
        return number(f"guard's {name}", body[name], 0, 1)

    def count(name: str) -> int:
        return whole(f"guard's {name}", body[name], 0, MOST_CASES)

    on = line("guard's calibrated_on", body["calibrated_on"], 1_000)
    areas = area("auc"), area("auc_shuffled"), area("auc_request")
    return GuardFigures(*areas, count("degraded"), count("beneficial"), on)
