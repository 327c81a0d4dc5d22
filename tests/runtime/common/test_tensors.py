"""The writer of safetensors files against the library's reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, save

from copersona.runtime.common.tensors import as_float16, rows_of, safetensors_chunks

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8).filter(
    lambda name: name != "__metadata__"
)


@given(st.dictionaries(NAMES, st.lists(st.integers(0, 4), max_size=3), max_size=4), st.sampled_from(["F32", "F16"]))
def test_what_is_written_is_read(shapes: dict[str, list[int]], dtype: str) -> None:
    kind = np.float16 if dtype == "F16" else np.float32
    arrays = {name: np.random.default_rng(0).normal(size=shape).astype(kind) for name, shape in shapes.items()}
    found = load(b"".join(safetensors_chunks(rows_of(arrays, dtype))))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == kind
        np.testing.assert_array_equal(found[name], array)


def test_metadata_is_where_the_library_has_it(tmp_path: Path) -> None:
    from safetensors import safe_open

    path = tmp_path / "x.safetensors"
    path.write_bytes(b"".join(safetensors_chunks(rows_of({"a": np.ones(3, np.float32)}, "F32"), {"scale": "2.0"})))
    with safe_open(path, framework="np") as file:
        assert file.metadata() == {"scale": "2.0"}


def test_float16_values_survive_both_ways() -> None:
    values = np.random.default_rng(1).normal(size=1_000).astype(np.float32)
    rounded = as_float16(values)
    assert rounded.dtype == np.float32
    np.testing.assert_array_equal(rounded.astype(np.float16).astype(np.float32), rounded)
    assert float(np.abs(rounded - values).max()) < 2e-3
    assert load(save({"x": rounded}))["x"].dtype == np.float32
