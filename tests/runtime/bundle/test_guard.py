"""The guard in a bundle: written and read the same, and refused by one line where it is not of this bundle."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from copersona.runtime.bundle.guard import FILE, Guard, add_guard, read_guard
from copersona.runtime.bundle.manifest import MANIFEST, SIGNATURE
from copersona.runtime.bundle.opened import Bundle
from copersona.runtime.bundle.verify import open_manifest, verify, write_manifest
from copersona.runtime.common.errors import BundleError

from ...conftest import DEMO
from ...random_models import qwen2
from ...small_bundle import random_guard, small_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return small_bundle(tmp_path / "bundle", qwen2(tmp_path / "model.gguf"), DEMO / "facets.json")


def write_again(folder: Path, **changed: object) -> None:
    """The manifest anew after a change of the guard's numbers or its file, as its maker could write it."""
    manifest = open_manifest(folder)
    settings = {**manifest.settings, "guard": {**manifest.settings["guard"], **changed}}
    write_manifest(folder, {row.path: row.role for row in manifest.files}, manifest.shapes, settings)


def same(one: Guard | None, other: Guard) -> bool:
    assert one is not None
    kinds = (asdict(one), asdict(other))
    return all(np.array_equal(kinds[0][name], kinds[1][name]) for name in kinds[1])


def test_a_guard_is_read_as_it_was_written_and_only_the_bundles_id_changes(bundle: Path) -> None:
    before = verify(bundle)
    guard = random_guard(bundle)
    made = add_guard(bundle, guard)
    assert made.bundle_id != before.bundle_id
    assert made.population_id == before.population_id
    with Bundle(bundle) as opened:
        assert same(opened.guard, guard)
    other = replace(guard, tau=0.25)
    add_guard(bundle, other)
    assert same(read_guard(bundle, verify(bundle)), other)


def test_a_bundle_without_a_guard_has_none(bundle: Path) -> None:
    with Bundle(bundle) as opened:
        assert opened.guard is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"base": "another"}, "made for the base 'another', the bundle's is 'random'"),
        ({"layers": 3}, "a model of 3 layers, this one has 2"),
        ({"layer": 2}, "guard's layer is 2, expected a whole number from 0 to 1"),
        ({"tau": 1.5}, "guard's tau is 1.5, expected a number from 0 to 1"),
        ({"tau": None}, "guard's tau is None"),
        ({"gamma": -0.1}, "guard's gamma is -0.1"),
        ({"auc": True}, "guard's auc is True"),
        ({"width": 128}, "it is of width 128, the model of 64"),
        ({"convention": "hidden_states"}, "counts as 'hidden_states', expected 'l_out'"),
        ({"more": 1}, "'more' missing or not known"),
        ({"calibrated_on": "two\nlines"}, "expected one line"),
        ({"degraded": -1}, "guard's degraded is -1"),
    ],
)
def test_a_number_that_cannot_be_is_one_line(bundle: Path, changed: dict[str, object], said: str) -> None:
    add_guard(bundle, random_guard(bundle))
    write_again(bundle, **changed)
    with pytest.raises(BundleError, match=said) as found:
        Bundle(bundle)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("how", ["nan", "zero scale", "shape", "half", "gone", "more"])
def test_arrays_that_cannot_be_are_one_line(bundle: Path, how: str) -> None:
    add_guard(bundle, random_guard(bundle))
    arrays = {name: array.copy() for name, array in load_file(bundle / FILE).items()}
    if how == "nan":
        arrays["weights"][3] = np.nan
    elif how == "zero scale":
        arrays["scale"][3] = 0
    elif how == "shape":
        arrays["mean"] = arrays["mean"][:-1]
    elif how == "half":
        arrays["vector"] = arrays["vector"].astype(np.float16)
    elif how == "gone":
        del arrays["vector"]
    else:
        arrays["other"] = arrays["mean"]
    save_file(arrays, bundle / FILE)
    write_again(bundle)
    with pytest.raises(BundleError, match=FILE):
        Bundle(bundle)


@pytest.mark.parametrize("lost", ["file", "numbers"])
def test_half_a_guard_is_refused(bundle: Path, lost: str) -> None:
    manifest = add_guard(bundle, random_guard(bundle))
    roles = {row.path: row.role for row in manifest.files}
    settings = dict(manifest.settings)
    if lost == "file":
        (bundle / FILE).unlink()
        del roles[FILE]
    else:
        del settings["guard"]
    write_manifest(bundle, roles, manifest.shapes, settings)
    with pytest.raises(BundleError, match="guard"):
        Bundle(bundle)


def test_a_guard_that_does_not_fit_or_would_undo_a_signature_changes_nothing(bundle: Path) -> None:
    before = (bundle / MANIFEST).read_bytes()
    with pytest.raises(BundleError, match="does not fit: guard's tau is 2"):
        add_guard(bundle, random_guard(bundle, tau=2.0))
    (bundle / SIGNATURE).write_text("a signature")
    with pytest.raises(BundleError, match="is signed"):
        add_guard(bundle, random_guard(bundle))
    assert (bundle / MANIFEST).read_bytes() == before
    assert not (bundle / FILE).exists()


@given(st.lists(st.floats(-50, 50, width=32), min_size=8, max_size=8), st.integers(0, 2**32 - 1))
def test_the_probability_is_the_logistic_function_of_the_standardised_state(values: list[float], seed: int) -> None:
    random = np.random.default_rng(seed)
    mean, weights, vector = random.normal(0, 1, (3, 8)).astype(np.float32)
    scale = random.uniform(0.5, 2, 8).astype(np.float32)
    guard = Guard("b", 2, 0, mean, scale, weights, vector, 0.5, 1.0, 0.5, None)  # type: ignore[arg-type]
    z = sum((v - float(m)) / float(s) * float(w) for v, m, s, w in zip(values, mean, scale, weights, strict=True)) + 0.5
    expected = 1 / (1 + math.exp(-z))
    assert guard.probability(np.array(values, np.float32)) == pytest.approx(expected, abs=1e-9)


def test_the_manifest_says_the_numbers_and_no_array(bundle: Path) -> None:
    add_guard(bundle, random_guard(bundle))
    said = json.loads((bundle / MANIFEST).read_text())["settings"]["guard"]
    assert said["layer"] == 0
    assert said["convention"] == "l_out"
    assert not any(isinstance(value, list) for value in said.values())
