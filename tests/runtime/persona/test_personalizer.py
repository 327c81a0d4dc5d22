"""The parametric branch: numpy equals torch, the formula by hand, rising gates, masks, and files that are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save_file

from copersona.runtime.common.arrays import F32
from copersona.runtime.common.errors import BundleError
from copersona.runtime.persona.personalizer import PersonaInputs, Personalizer, load_personalizer, tensor_shapes

FACETS, WIDTH, GRAPH, HIDDEN, SOFT, MODEL, NEIGHBORS = 3, 6, 8, 5, 2, 7, 4


def make_tensors(seed: int = 0, facets: int = FACETS, graph: int = GRAPH) -> dict[str, F32]:
    draw = np.random.default_rng(seed)
    shapes = tensor_shapes(facets, WIDTH, graph, HIDDEN, SOFT, MODEL)
    return {name: draw.normal(0, 0.7, shape).astype(np.float32) for name, shape in shapes.items()}


def make(seed: int = 0, **changes: Any) -> Personalizer:
    return replace(Personalizer(soft_tokens=SOFT, **make_tensors(seed)), **changes)


def make_inputs(seed: int, facets: int = FACETS, observed: bool = True) -> PersonaInputs:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 4, facets).astype(np.int32)
    labels[0] = draw.integers(2, 4) if observed else 0
    return PersonaInputs(
        draw.normal(size=(facets, WIDTH)).astype(np.float32),
        labels,
        draw.normal(size=(NEIGHBORS, facets, WIDTH)).astype(np.float32),
        draw.random((NEIGHBORS, facets)) < draw.random(),
    )


@pytest.mark.export
@pytest.mark.parametrize("seed", range(20))
def test_numpy_equals_its_torch_twin_on_random_weights_and_masks(seed: int) -> None:
    import torch

    from copersona.export.training.personalizer import PersonalizerShape, TorchPersonalizer, batch_personas

    tensors = make_tensors(seed)
    shape = PersonalizerShape(FACETS, WIDTH, GRAPH, HIDDEN, SOFT, MODEL)
    twin = TorchPersonalizer(shape, tensors["layer_means"], 1.0).eval()
    twin.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
    people = [*(make_inputs(100 * seed + i) for i in range(6)), None]
    with torch.no_grad():
        theirs = twin(batch_personas(people, shape, NEIGHBORS, torch.device("cpu"))).numpy()
        gates = twin.gates().numpy()
    ours = Personalizer(soft_tokens=SOFT, **tensors)
    assert np.abs(np.stack([ours.soft_prompt(one) for one in people]) - theirs).max() <= 1e-5
    np.testing.assert_allclose(ours.gates(), gates, atol=1e-6)


@pytest.mark.export
def test_what_torch_saves_the_runtime_loads_and_computes_alike(tmp_path: Path) -> None:
    import torch

    from copersona.export.training.personalizer import PersonalizerShape, TorchPersonalizer, batch_personas

    torch.manual_seed(5)
    shape = PersonalizerShape(FACETS, WIDTH, GRAPH, HIDDEN, SOFT, MODEL)
    twin = TorchPersonalizer(shape, np.random.default_rng(0).normal(size=(FACETS, WIDTH)).astype(np.float32), 0.02)
    twin.eval().save(tmp_path / "personalizer.safetensors")
    ours = load(tmp_path / "personalizer.safetensors")
    one = make_inputs(3)
    with torch.no_grad():
        theirs = twin(batch_personas([one], shape, NEIGHBORS, torch.device("cpu")))[0].numpy()
    assert np.abs(ours.soft_prompt(one) - theirs).max() <= 1e-5
    assert (np.diff(ours.gates()) > 0).all()


def test_the_formula_by_hand_with_one_facet_and_no_attention() -> None:
    """Equations 9 to 13: γ e + (1 - γ) mean, ReLU(W x + b), tanh projector, scale."""
    tensors = make_tensors(7, facets=1)
    tensors["attention"][3] = 0  # the attention's output: only the residual is left
    tensors["gate_start"][:], tensors["gate_steps"][:] = -1.0, 0.0
    personalizer = Personalizer(soft_tokens=SOFT, **tensors)
    own = np.arange(WIDTH, dtype=np.float32)[None] / 10
    others = np.stack([own + 1, own - 5, own + 3])
    present = np.array([[True], [False], [True]])
    gate = 1 / (1 + np.exp(1.0 - 2 * np.log(2.0)))  # moderate: sigmoid(z_0 + 2 softplus(0))
    wide: Callable[[str], Any] = lambda name: tensors[name].astype(np.float64)
    mixed = gate * own[0] + (1 - gate) * (own[0] + 2)  # the mean of +1 and +3; the absent one does not count
    state = np.maximum(mixed @ wide("graph_weight") + wide("graph_bias"), 0)
    hidden = np.tanh(state @ wide("hidden_weight") + wide("hidden_bias"))
    soft = wide("scale")[0] * (hidden @ wide("output_weight") + wide("output_bias"))
    found = personalizer.soft_prompt(PersonaInputs(own, np.array([2], np.int32), others, present))
    assert found.shape == (SOFT, MODEL)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, soft.reshape(SOFT, MODEL), atol=1e-5)


def test_attention_across_facets_by_hand() -> None:
    personalizer, inputs = make(1), make_inputs(1)
    mixed = personalizer._mix(inputs).astype(np.float64)
    state = np.maximum(mixed @ personalizer.graph_weight + personalizer.graph_bias, 0)
    query, key, value, output = personalizer.attention.astype(np.float64)
    heads = []
    for head in range(4):
        part = slice(head * GRAPH // 4, (head + 1) * GRAPH // 4)
        q, k, v = state @ query[:, part], state @ key[:, part], state @ value[:, part]
        rows = []
        for m in range(FACETS):
            raw = np.exp([q[m] @ k[n] / np.sqrt(GRAPH // 4) for n in range(FACETS)])
            rows.append(sum(raw[n] / raw.sum() * v[n] for n in range(FACETS)))
        heads.append(np.stack(rows))
    expected = (state + np.concatenate(heads, axis=1) @ output).reshape(-1)
    np.testing.assert_allclose(personalizer.persona_vector(inputs), expected, atol=1e-4)


PARAMETERS = st.floats(-50, 50, width=32)


@settings(deadline=None)
@given(hnp.arrays(np.float32, 1, elements=PARAMETERS), hnp.arrays(np.float32, 3, elements=PARAMETERS))
def test_gates_never_fall_whatever_the_parameters(start: F32, steps: F32) -> None:
    gates = make(gate_start=start, gate_steps=steps).gates()
    assert gates.shape == (4,)
    assert np.isfinite(gates).all()
    assert (np.diff(gates) >= 0).all()
    assert gates.min() >= 0
    assert gates.max() <= 1
    z = float(start[0]) + np.concatenate([[0.0], np.cumsum([np.log1p(np.exp(float(s))) for s in steps])])
    np.testing.assert_allclose(gates, 1 / (1 + np.exp(-z)), atol=1e-6)


def test_someone_with_nothing_observed_is_nobody() -> None:
    personalizer, inputs = make(2), make_inputs(2)
    for labels in ([0, 0, 0], [1, 0, 1]):
        silent = inputs._replace(labels=np.array(labels, np.int32))
        np.testing.assert_array_equal(personalizer.soft_prompt(silent), personalizer.soft_prompt(None))
    assert not np.array_equal(
        personalizer.soft_prompt(inputs._replace(labels=np.array([2, 0, 0], np.int32))), personalizer.soft_prompt(None)
    )


def test_a_facet_without_observed_neighbours_gets_the_layers_mean() -> None:
    personalizer, inputs = make(3), make_inputs(3)
    none = inputs._replace(present=np.zeros((NEIGHBORS, FACETS), bool))
    stand_in = inputs._replace(
        neighbors=np.broadcast_to(personalizer.layer_means, (NEIGHBORS, FACETS, WIDTH)).astype(np.float32),
        present=np.ones((NEIGHBORS, FACETS), bool),
    )
    np.testing.assert_allclose(personalizer.soft_prompt(none), personalizer.soft_prompt(stand_in), atol=1e-5)
    gate = personalizer.gates()[inputs.labels][:, None]
    expected = gate * inputs.own + (1 - gate) * personalizer.layer_means
    np.testing.assert_allclose(personalizer._mix(none), expected, atol=1e-6)


def test_absent_neighbours_change_nothing_whatever_their_vectors() -> None:
    personalizer, inputs = make(4), make_inputs(4)
    other = inputs.neighbors.copy()
    other[~inputs.present] = 1e6
    assert (~inputs.present).any()
    np.testing.assert_array_equal(
        personalizer.soft_prompt(inputs), personalizer.soft_prompt(inputs._replace(neighbors=other))
    )


def test_vectors_of_another_shape_or_dtype_are_refused() -> None:
    personalizer, inputs = make(), make_inputs(0)
    with pytest.raises(ValueError, match="own vectors: expected float32 of shape"):
        personalizer.soft_prompt(inputs._replace(own=inputs.own[:2]))
    with pytest.raises(ValueError, match="neighbour vectors"):
        personalizer.soft_prompt(inputs._replace(neighbors=inputs.neighbors.astype(np.float64)))


def load(path: Path) -> Personalizer:
    return load_personalizer(path, facets=FACETS, width=WIDTH, soft_tokens=SOFT, model_width=MODEL)


def test_good_weights_load_unchanged(tmp_path: Path) -> None:
    tensors = make_tensors()
    save_file(tensors, tmp_path / "p.safetensors")
    found = load(tmp_path / "p.safetensors")
    assert found.width == MODEL
    for name, array in tensors.items():
        np.testing.assert_array_equal(getattr(found, name), array)


def spoil(name: str, value: float) -> Callable[[dict[str, Any]], Any]:
    def change(tensors: dict[str, Any]) -> None:
        tensors[name] = tensors[name].copy()
        tensors[name].flat[0] = value

    return change


BAD: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "missing": (lambda t: t.pop("nobody"), "nobody"),
    "no graph bias": (lambda t: t.pop("graph_bias"), "graph_bias"),
    "one too many": (lambda t: t.update(extra=np.zeros(1, np.float32)), "extra"),
    "wrong shape": (lambda t: t.update(scale=np.zeros(2, np.float32)), "scale is float32 \\(2,\\)"),
    "a scalar bias": (lambda t: t.update(graph_bias=np.zeros((), np.float32)), "graph_weight is float32"),
    "more facets": (lambda t: t.update(layer_means=np.zeros((FACETS + 1, WIDTH), np.float32)), "layer_means"),
    "half precision": (lambda t: t.update(scale=np.zeros(1, np.float16)), "scale is float16"),
    "whole numbers": (lambda t: t.update(nobody=np.zeros(FACETS * GRAPH, np.int32)), "nobody is int32"),
    "NaN": (spoil("graph_weight", float("nan")), "graph_weight holds numbers that are not finite"),
    "infinite": (spoil("output_bias", float("inf")), "output_bias holds numbers that are not finite"),
}


@pytest.mark.parametrize("case", BAD)
def test_weights_that_do_not_fit_are_refused_by_name(case: str, tmp_path: Path) -> None:
    change, message = BAD[case]
    tensors = make_tensors()
    change(tensors)
    save_file(tensors, tmp_path / "p.safetensors")
    with pytest.raises(BundleError, match=message) as error:
        load(tmp_path / "p.safetensors")
    assert "p.safetensors" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("graph", [0, 6])
def test_a_graph_width_that_no_heads_divide_is_refused(graph: int, tmp_path: Path) -> None:
    save_file(make_tensors(graph=graph), tmp_path / "p.safetensors")
    with pytest.raises(BundleError, match=f"graph width {graph}"):
        load(tmp_path / "p.safetensors")


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"not weights", b"\xff" * 64):
        (tmp_path / "p.safetensors").write_bytes(content)
        with pytest.raises(BundleError, match="cannot be read"):
            load(tmp_path / "p.safetensors")
    with pytest.raises(BundleError, match="cannot be read"):
        load(tmp_path / "gone.safetensors")
