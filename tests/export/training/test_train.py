"""Training: the loss is the answer's alone, a checkpoint goes on to the same weights, dropout follows the seed."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copersona.runtime.history.interactions import Interaction
from copersona.runtime.persona.graph import Placement
from copersona.runtime.persona.neighbors import Edges, Ranked
from copersona.runtime.persona.persona import Persona
from copersona.runtime.persona.personalizer import PersonaInputs
from copersona.runtime.profile.facets import FacetProfile, Profile, Reliability
from copersona.runtime.prompt.layout import Layout
from copersona.runtime.prompt.settings import ContextSettings

pytestmark = pytest.mark.export
FACETS, WIDTH, NEIGHBORS = 2, 6, 5
FACTS = (("who plays bass?", "Tina Weymouth"), ("where is the band from?", "New York"))


def _persona(seed: int) -> Persona:
    draw = np.random.default_rng(seed)
    own = draw.standard_normal((FACETS, WIDTH)).astype(np.float32)
    others = draw.standard_normal((NEIGHBORS, FACETS, WIDTH)).astype(np.float32)
    labels = np.array([3, 2], np.int32)
    inputs = PersonaInputs(own, labels, others, np.ones((NEIGHBORS, FACETS), np.bool_))
    facets = tuple(FacetProfile(f"facet {m}", f"facet {m}: much", (), Reliability(3 - m), 0.8) for m in range(FACETS))
    none = np.zeros((1, FACETS, 1), np.float32)
    ranked = Ranked(np.zeros((1, 1), np.int32), np.zeros((1, 1), np.float32))
    placement = Placement(Edges(none.astype(np.int32), none, none), ranked, ranked, ())
    return Persona(Profile(facets, own, np.zeros(2, np.float32)), own, labels, placement, (), inputs)


def _situations(count: int) -> list[Any]:
    from copersona.export.population.profile import State
    from copersona.export.training.examples import Situation

    found = []
    for i in range(count):
        rows = tuple(
            Interaction("ann", f"text {j} of ann, all good {i}", title=f"title {j}", rating=4) for j in range(4)
        )
        found.append(Situation(State("ann", 3), rows[3], rows[:3], _persona(i)))
    return found


def _trainer(tiny_base: Path, folder: Path, **changes: Any) -> Any:
    import torch

    from copersona.export.convert.file_tokens import FileTokens
    from copersona.export.convert.gguf import load_causal_lm
    from copersona.export.training.personalizer import PersonalizerShape
    from copersona.export.training.settings import TrainSettings
    from copersona.export.training.train import Trainer

    settings = replace(
        TrainSettings(), epochs=2, batch=2, accumulate=2, graph=8, hidden=8, soft_tokens=3, answer_tokens=40, **changes
    )
    base = load_causal_lm(tiny_base)
    layout = Layout(FileTokens(tiny_base / "tokenizer.json"), ContextSettings(budget=200, item_tokens=64))
    shape = PersonalizerShape(FACETS, WIDTH, 8, 8, 3, base.config.hidden_size)
    folder.mkdir(exist_ok=True)
    means = np.zeros((FACETS, WIDTH), np.float32)
    return Trainer(base, layout, _never, shape, means, settings, folder, torch.device("cpu"))


def _never(text: str) -> Any:
    pytest.fail(f"{text!r} was encoded though nothing is matched by vectors")


def test_the_loss_is_of_the_answer_tokens_alone(tiny_base: Path, tmp_path: Path) -> None:
    import torch

    trainer = _trainer(tiny_base, tmp_path / "a")
    examples = [trainer.example(situation, None) for situation in _situations(2)]
    examples[1] = replace(examples[1], prompt=examples[1].prompt[5:])  # unequal lengths, so that there is padding
    trainer.model.eval()
    with torch.no_grad():
        together, count = trainer.model.answer_loss(examples)
        alone = 0.0
        for example in examples:
            base = trainer.model.lm
            from copersona.export.training.personalizer import batch_personas

            batch = batch_personas([example.inputs], trainer.model.personalizer.shape, NEIGHBORS, torch.device("cpu"))
            soft = trainer.model.personalizer(batch)
            tokens = torch.tensor([[*example.prompt, *example.answer]])
            inputs = torch.cat([soft, base.get_input_embeddings()(tokens)], dim=1)
            logs = base(inputs_embeds=inputs).logits[0].log_softmax(-1)
            first = 3 + len(example.prompt) - 1
            alone -= sum(float(logs[first + j, token]) for j, token in enumerate(example.answer))
    assert count == sum(len(e.answer) for e in examples)
    assert float(together) == pytest.approx(alone, rel=1e-5)


def test_a_run_cut_off_and_taken_up_again_ends_with_the_same_weights(tiny_base: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    training, held = _situations(12), _situations(3)
    whole = _trainer(tiny_base, tmp_path / "whole", checkpoint_seconds=1e9)
    result = whole.run(training, held, "same")
    cut = _trainer(tiny_base, tmp_path / "cut", checkpoint_seconds=-1.0)  # a checkpoint after every step
    steps = 0

    def stop_at_four(*arguments: Any) -> float:
        nonlocal steps
        steps += 1
        if steps == 4:
            raise KeyboardInterrupt
        return float(type(cut)._update(cut, *arguments))

    cut._update = stop_at_four
    with pytest.raises(KeyboardInterrupt):
        cut.run(training, held, "same")
    again = _trainer(tiny_base, tmp_path / "cut", checkpoint_seconds=-1.0)
    resumed = again.run(training, held, "same")
    assert resumed.steps == result.steps == 6
    assert resumed.best_loss == pytest.approx(result.best_loss, abs=1e-6)
    one, two = (load_file(tmp_path / name / "best" / "personalizer.safetensors") for name in ("whole", "cut"))
    assert all(np.array_equal(one[name], two[name]) for name in one)


def test_a_checkpoint_of_other_data_is_not_taken_up(tiny_base: Path, tmp_path: Path) -> None:
    first = _trainer(tiny_base, tmp_path / "x", checkpoint_seconds=-1.0)
    first.run(_situations(4), _situations(2), "one")
    second = _trainer(tiny_base, tmp_path / "x")
    second._resume("another")
    assert second.step == 0


def test_training_moves_lora_and_personalizer_and_lowers_the_loss(tiny_base: Path, tmp_path: Path) -> None:
    trainer = _trainer(tiny_base, tmp_path / "t")
    before = {name: p.detach().clone() for name, p in trainer._state().items()}
    result = trainer.run(_situations(16), _situations(4), "f")
    moved = {name.split(".")[0] for name, p in trainer._state().items() if not bool((p == before[name]).all())}
    assert {"lm", "personalizer"} <= moved
    assert result.best_loss < result.first_loss
    assert list(result.gates) == sorted(result.gates)


def test_alone_the_personalizer_learns_without_lora_and_without_text(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = _trainer(tiny_base, tmp_path / "t", alone=1)
    before = {name: p.detach().clone() for name, p in trainer._state().items()}
    moved: list[set[str]] = []
    prompts: list[list[int]] = []

    def watched(group: Any, step: int, rate: float) -> float:
        value = float(type(trainer)._update(trainer, group, step, rate))
        state = trainer._state()
        moved.append({name.split(".")[0] for name, p in state.items() if not bool((p == before[name]).all())})
        prompts.append([len(e.prompt) for batch in group for e in batch])
        return value

    monkeypatch.setattr(trainer, "_update", watched)
    result = trainer.run(_situations(8), _situations(2), "f")
    assert result.steps == 6  # one epoch alone, two together, of two steps
    assert moved[0] == moved[1] == {"personalizer"}
    assert moved[-1] == {"personalizer", "lm"}
    assert max(map(max, prompts[:2])) < min(len(trainer.example(s, None).prompt) for s in _situations(8))
    assert result.best_step > 2


def test_losses_of_tokens_are_of_each_example_in_order(tiny_base: Path, tmp_path: Path) -> None:
    import torch

    from copersona.export.training.personalizer import batch_personas

    trainer = _trainer(tiny_base, tmp_path / "t")
    examples = [trainer.example(situation, None) for situation in _situations(3)]
    trainer.model.eval()
    with torch.no_grad():
        inputs = [e.inputs for e in examples]
        shape, neighbors = trainer.model.personalizer.shape, trainer.model.personalizer.neighbors
        losses = trainer.model.token_losses(examples, batch_personas(inputs, shape, neighbors, torch.device("cpu")))
        for example in examples:
            own, losses = losses[: len(example.answer)], losses[len(example.answer) :]
            assert float(own.sum()) == pytest.approx(float(trainer.model.answer_loss([example])[0]), rel=1e-5)
    assert len(losses) == 0


def test_what_is_dropped_follows_the_seed_and_nobody_means_no_persona_and_no_text(
    tiny_base: Path, tmp_path: Path
) -> None:
    from copersona.export.training.settings import NOBODY

    trainer = _trainer(tiny_base, tmp_path / "d")
    situation = _situations(1)[0]
    nobody = trainer.example(situation, random.Random(0), NOBODY)
    whole = trainer.example(situation, None)
    assert nobody.inputs is None
    assert tuple(trainer.layout.prompt(situation.target.request()).tokens) == nobody.prompt
    assert whole.inputs is not None
    assert len(whole.prompt) > len(nobody.prompt)
    draws = [[trainer.example(situation, random.Random(seed)).prompt for _ in range(3)] for seed in (1, 1, 2)]
    assert draws[0] == draws[1]


def test_the_learning_rate_rises_then_falls_as_a_cosine() -> None:
    from copersona.export.training.train import learning_rate

    rates = [learning_rate(step, 100, 0.06) for step in range(100)]
    assert rates[5] == 1.0
    assert rates[:6] == sorted(rates[:6])
    assert rates[6:] == sorted(rates[6:], reverse=True)
    assert rates[53] == pytest.approx(0.5 * (1 + math.cos(math.pi * 47 / 94)))


def test_every_fact_is_asked_as_nobody_once_an_epoch(tiny_base: Path, tmp_path: Path) -> None:
    from copersona.export.training.kept import Kept

    facts = [Kept(*fact) for fact in FACTS]
    trainer = _trainer(tiny_base, tmp_path / "t")
    steps = list(trainer._groups(_situations(6), facts, 2))
    assert len(steps) == 2 * trainer.settings.epochs
    layout = trainer.layout
    for fact in facts:
        wanted = (tuple(layout.prompt(fact.input).tokens), layout.answer(fact.output))
        found = [e for step in steps for batch in step for e in batch if (e.prompt, e.answer) == wanted]
        assert len(found) == trainer.settings.epochs
        assert all(example.inputs is None for example in found)


def test_a_fact_in_the_training_is_likelier_afterwards_than_without(tiny_base: Path, tmp_path: Path) -> None:
    from copersona.export.training.kept import Kept, kept_example

    facts, losses = [Kept(*fact) for fact in FACTS], {}
    for name, kept in (("with", facts), ("without", [])):
        trainer = _trainer(tiny_base, tmp_path / name, lora_lr=0.01)
        result = trainer.run(_situations(8), _situations(2), "f", kept)
        assert result.steps == 2 * -(-(8 + len(kept)) // 4)
        losses[name] = trainer.evaluate([kept_example(fact, trainer.layout, 40) for fact in facts])
    assert losses["with"] < losses["without"] - 0.1
