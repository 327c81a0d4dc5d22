"""A bundle of any model and another bundle's population: whole in its text branch, and plain about what it lacks."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from copersona.runtime.assemble import folder as folder_module
from copersona.runtime.assemble.training_free import training_free
from copersona.runtime.bundle.manifest import Manifest
from copersona.runtime.bundle.verify import open_manifest
from copersona.runtime.cli.main import main
from copersona.runtime.common.errors import BundleError, ModelError
from copersona.runtime.engine.engine import Engine, Prefix, Sampling, Wanted
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.session.prefix_cache import PersonShelf, PrefixMemory
from copersona.runtime.session.session import Session, open_bundle

from ...conftest import DEMO
from ...random_models import ARCHITECTURES, qwen2

TEXTS = ("I love these strings, they are loud and bright and my brother plays them every day.",
         "Bought two of them! The cable is short, but the tuner works fine and I would buy it again.",
         "You know it is a good stand. It holds my guitar, it holds my amp, what more do you want?")  # fmt: skip
GREEDY = Sampling(temperature=0, max_tokens=12)


@pytest.fixture(scope="module")
def made(tiny_gguf: Path, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("free") / "bundle"
    training_free(tiny_gguf, tiny_bundle, out, context=1024, changes={"budget": 700, "request_tokens": 64})
    return out


@pytest.fixture
def session(made: Path) -> Iterator[Session]:
    with open_bundle(made, threads=1) as opened:
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PeopleStore]:
    with PeopleStore(tmp_path / "home" / "people.sqlite") as store:
        store.add(Interaction("ana", text, time=float(n)) for n, text in enumerate(TEXTS))
        yield store


def test_it_is_of_the_population_and_says_that_nothing_is_trained(made: Path, tiny_bundle: Path) -> None:
    manifest, like = open_manifest(made), open_manifest(tiny_bundle)
    assert manifest.population_id == like.population_id
    assert manifest.bundle_id != like.bundle_id
    assert not manifest.trained
    assert manifest.settings["training"] is None
    assert manifest.settings["like"] == like.bundle_id
    shown = CliRunner().invoke(main, ["bundle", "show", str(made)])
    assert shown.exit_code == 0
    assert "nothing was trained" in shown.output
    assert json.loads(CliRunner().invoke(main, ["bundle", "show", str(made), "--json"]).stdout)["trained"] is False
    verified = CliRunner().invoke(main, ["bundle", "verify", str(made)])
    assert verified.exit_code == 0, verified.output


def test_the_model_is_not_there_twice_where_files_can_be_linked(made: Path, tiny_gguf: Path) -> None:
    assert (made / "model.gguf").samefile(tiny_gguf)


def test_an_answer_is_the_models_own_after_the_persons_texts(
    session: Session, store: PeopleStore, tiny_gguf: Path
) -> None:
    ana = session.person(store, "ana")
    prompt = session.prompt("Write a review.", ana)
    assert len(prompt.history) == len(TEXTS)
    with Engine(tiny_gguf, n_ctx=1024, threads=1) as engine:
        text = engine.detokenize(prompt.tokens)
        expected = "".join(piece.text for piece in engine.generate(None, prompt.tokens, GREEDY))
    assert all(one in text for one in TEXTS)
    answer = session.answer("Write a review.", ana, GREEDY).finish()
    assert answer.text == expected
    receipt = json.loads(answer.receipt.to_json())
    assert (receipt["trained"], receipt["soft_prompt"], receipt["neighbors"]) == (False, "none", [])
    assert receipt["prompt_tokens"]["soft"] == 0
    assert {facet["gate"] for facet in receipt["facets"]} == {None}
    assert any(facet["reliability"] != "none" for facet in receipt["facets"])


def test_nobody_is_asked_without_anything_before_the_request(session: Session, store: PeopleStore) -> None:
    asked = session.prompt("Write a review.", None).tokens
    assert len(asked) < len(session.prompt("Write a review.", session.person(store, "ana")).tokens)
    own = session.score("Write a review.", TEXTS[0], session.person(store, "ana"))
    assert own.bits != session.score("Write a review.", TEXTS[0], None).bits


def test_a_thin_bundle_may_be_what_it_is_like(tiny_gguf: Path, tmp_path: Path) -> None:
    made = training_free(tiny_gguf, DEMO, tmp_path / "new", context=1024)
    assert made.population_id == open_manifest(DEMO).population_id


def test_the_persona_of_a_sibling_bundle_is_kept_and_read(
    made: Path, tiny_bundle: Path, store: PeopleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_bundle(tiny_bundle, threads=1) as trained:
        before = trained.person(store, "ana").persona
    monkeypatch.setattr("copersona.runtime.people.opening.profile_history", None)  # nothing is profiled again
    with open_bundle(made, threads=1) as session:
        after = session.person(store, "ana")
    assert after.soft.shape == (0, open_manifest(made).shapes.hidden)
    np.testing.assert_array_equal(after.persona.vectors, before.vectors)


# -- other architectures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_any_architecture_answers_as_a_person(name: str, tiny_bundle: Path, store: PeopleStore, tmp_path: Path) -> None:
    model = ARCHITECTURES[name](tmp_path / f"{name}.gguf")
    training_free(model, tiny_bundle, tmp_path / "new", context=512, changes={"budget": 200, "request_tokens": 64})
    with open_bundle(tmp_path / "new", threads=1) as session:
        assert session.manifest.settings["architecture"] == name
        ana = session.person(store, "ana")
        first, again = (session.answer("Write.", ana, GREEDY).finish().text for _ in range(2))
        other = session.answer("Write more.", ana, GREEDY).finish().text
    with open_bundle(tmp_path / "new", threads=1) as fresh:
        assert fresh.answer("Write more.", fresh.person(store, "ana"), GREEDY).finish().text == other
    assert first == again


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_memory_that_keeps_no_positions_is_restored_or_computed_never_wrong(name: str, tmp_path: Path) -> None:
    model = ARCHITECTURES[name](tmp_path / "model.gguf")
    draw = np.random.default_rng(1)
    with Engine(model, n_ctx=256, threads=1, any_model=True) as engine:
        start = draw.integers(3, engine.vocabulary_size, 60).tolist()
        prompts = [[*start, *draw.integers(3, engine.vocabulary_size, 9).tolist()] for _ in range(4)]
        alone = [[piece.token for piece in engine.generate(None, ids, GREEDY)] for ids in prompts]
        for keep in (1 << 30, 0):  # states kept, and none to be had
            prefix = Prefix(len(start), "start", PersonShelf(PrefixMemory(keep)))
            found = [[p.token for p in engine.generate(None, ids, GREEDY, prefix=prefix)] for ids in prompts]
            assert found == alone
        reached = dict(engine.sequences.reached)
    kept = {"held": 7, "computed": 1} if name in ("qwen2", "gemma3") else {"restored": 3, "computed": 5}
    assert reached == kept
    with Engine(model, n_ctx=256, threads=1, sequences=3, any_model=True) as engine:
        wanted = [(n, Wanted(None, ids, replace(GREEDY, max_tokens=4 + n))) for n, ids in enumerate(prompts)]
        many = {n: [p.token for p in pieces] for n, pieces in engine.generate_many(wanted) if isinstance(pieces, list)}
    assert many == {n: tokens[: 4 + n] for n, tokens in enumerate(alone)}


# -- what is refused --------------------------------------------------------------------------------------------------


def half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100_000])


MODELS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no GGUF": (lambda path: path.write_bytes(b"x" * 100), "not a GGUF file"),
    "cut": (lambda path: half(qwen2(path)), "cut, or added to"),
    "no template": (
        lambda path: qwen2(path, **{"tokenizer.chat_template": None, "tokenizer.ggml.token_type": [1] * 1_200}),
        "no chat template",
    ),
    "a template that calls out": (
        lambda path: qwen2(path, **{"tokenizer.chat_template": "{% include 'x' %}"}), "chat template",
    ),
    "for embeddings": (lambda path: qwen2(path, **{"qwen2.pooling_type": 1}), "embeddings"),
    "one part of several": (lambda path: qwen2(path, **{"split.count": 3}), "one part of a model"),
    "a vocabulary of an encoder": (lambda path: qwen2(path, **{"tokenizer.ggml.model": "bert"}), "'bert'"),
    "an architecture that nobody knows": (
        lambda path: path.write_bytes(qwen2(path).read_bytes().replace(b"qwen2", b"qwenX").replace(b"qwenX", b"wxyz2")),
        "llama.cpp cannot load it",
    ),
    "nothing that fits": (lambda path: qwen2(path, **{"qwen2.context_length": 128}), "no room"),
}  # fmt: skip


@pytest.mark.parametrize("case", MODELS)
def test_a_model_that_will_not_do_is_one_line_and_nothing_is_left(case: str, tiny_bundle: Path, tmp_path: Path) -> None:
    make, word = MODELS[case]
    model, out = tmp_path / "model.gguf", tmp_path / "new" / "bundle"
    make(model)
    done = CliRunner().invoke(main, ["bundle", "from", str(model), "--like", str(tiny_bundle), "--out", str(out)])
    assert done.exit_code != 0
    assert not isinstance(done.exception, (AssertionError, ValueError, KeyError))
    (line,) = [line for line in done.output.splitlines() if line.startswith("error:")]
    assert word in line
    assert not out.parent.exists() or list(out.parent.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(tiny_gguf: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(BundleError, match="is there already"):
        training_free(tiny_gguf, tiny_bundle, tmp_path / "mine")


def test_a_full_disk_leaves_nothing(
    tiny_gguf: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(folder_module.shutil, "copyfile", full)
    with pytest.raises(ModelError, match="No space left"):
        training_free(tiny_gguf, tiny_bundle, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def edited(manifest: Manifest, **changes: Any) -> str:
    return replace(manifest, shapes=replace(manifest.shapes, **changes)).to_json()


def test_soft_tokens_and_a_personalizer_come_together(made: Path, tiny_bundle: Path) -> None:
    with pytest.raises(BundleError, match="4 soft tokens without a personalizer"):
        Manifest.from_json(edited(open_manifest(made), soft_tokens=4))
    with pytest.raises(BundleError, match="0 soft tokens with a personalizer"):
        Manifest.from_json(edited(open_manifest(tiny_bundle), soft_tokens=0))


def test_the_commands_that_show_a_person_do_without_gates(made: Path, tmp_path: Path) -> None:
    history = tmp_path / "ana.jsonl"
    rows = ({"person": "ana", "output": text, "time": n} for n, text in enumerate(TEXTS))
    history.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    env = {"COPERSONA_HOME": str(tmp_path / "home")}
    for arguments in (
        ("people", "import", made, history), ("people", "show", made, "ana"), ("doctor", made),
        ("ask", made, "Write.", "--person", "ana", "--max-tokens", "3", "--receipt"),
        ("demo", "--bundle", made, "--once", "--max-tokens", "3", "--person", "Bex"),
    ):  # fmt: skip
        done = CliRunner().invoke(main, [*map(str, arguments)], env=env)
        assert done.exit_code == 0, (arguments, done.output)
        assert ", own " not in done.output
    assert "nothing trained, no soft prompt" in done.output
    shutil.rmtree(tmp_path / "home")
