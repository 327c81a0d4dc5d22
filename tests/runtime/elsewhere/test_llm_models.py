"""Bundles as models of the real `llm`: as a person, streaming, in a conversation, by a schema, and vectors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from copersona.runtime.chat.ask import Message
from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.store import PeopleStore
from copersona.runtime.session.conversing import converse
from copersona.runtime.session.session import Session, open_bundle

pytestmark = pytest.mark.twice  # `llm` is in the full environment alone
TEXTS = ("I bought it two weeks ago. It is loud.", "My dog liked it. I would buy it again!", "Too dear for what it is.")
Llm = Callable[..., Any]
FIXED = ("-o", "max_tokens", "12", "-o", "seed", "3")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, random_bundle: Path) -> Path:
    """A place with one bundle and one person."""
    monkeypatch.setenv("COPERSONA_HOME", str(tmp_path))
    monkeypatch.setenv("LLM_USER_PATH", str(tmp_path / "llm"))
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "tiny").symlink_to(random_bundle)
    with PeopleStore() as store:
        store.add([Interaction("ana", text, time=float(n)) for n, text in enumerate(TEXTS)])
    return tmp_path


@pytest.fixture
def llm(home: Path) -> Iterator[Llm]:
    """The program with our plugin, which its entry point names; gives what a call printed."""
    cli = pytest.importorskip("llm.cli", reason="llm is not installed (extra `test`)").cli
    from click.testing import CliRunner
    from llm.plugins import pm

    from copersona.runtime.elsewhere import llm_models

    (found,) = (one for one in entry_points(group="llm") if one.name == "copersona")
    assert found.load() is llm_models
    if not pm.is_registered(llm_models):  # other tests of this process have `llm` load no plugins
        pm.register(llm_models)

    def run(*words: str) -> Any:
        return CliRunner().invoke(cli, words)

    yield run
    llm_models.opened.cache_clear()


def answer(found: Any) -> str:
    assert found.exit_code == 0, found.output
    return str(found.stdout).removesuffix("\n")


@pytest.fixture
def session(random_bundle: Path, home: Path) -> Iterator[Session]:
    with open_bundle(random_bundle) as opened:
        yield opened


def as_ana(session: Session, *said: Message, person: bool = True) -> str:
    """The library's answer."""
    with PeopleStore() as store:
        known = session.person(store, "ana") if person else None
        wanted = converse(session, said, known, Sampling(0.8, 0.95, 12, 3)).wanted
    return "".join(piece.text for piece in session.engine.generate(wanted.soft, wanted.tokens, wanted.sampling))


def test_llm_answers_as_the_person_and_without_one_as_nobody(llm: Llm, session: Session) -> None:
    request = Message("user", "Write a review.")
    own = answer(llm("-m", "copersona/tiny", "-o", "person", "ana", *FIXED, request.content))
    assert own == as_ana(session, request)
    plain = answer(llm("-m", "copersona/tiny", *FIXED, request.content))
    assert plain == as_ana(session, request, person=False) != own
    assert own == answer(llm("-m", "copersona/tiny", "-o", "person", "ana", "--no-stream", *FIXED, request.content))


def test_a_conversation_goes_on_and_keeps_its_instruction(llm: Llm, session: Session) -> None:
    options = ("-m", "copersona/tiny", "-o", "person", "ana", "-o", "recall", "always", *FIXED)
    first = answer(llm(*options, "-s", "Be brief.", "Write a review."))
    second = answer(llm("-c", *options, "Make it shorter."))
    turns = [Message("user", "Write a review."), Message("assistant", first), Message("user", "Make it shorter.")]
    assert first == as_ana(session, Message("system", "Be brief."), turns[0])
    assert second == as_ana(session, Message("system", "Be brief."), *turns)


def test_the_log_of_llm_has_the_record_of_the_answer(llm: Llm) -> None:
    answer(llm("-m", "copersona/tiny", "-o", "person", "ana", *FIXED, "Write a review."))
    (row,) = json.loads(answer(llm("logs", "list", "--json", "-n", "1")))
    assert row["response_json"]["person"] == "ana"
    assert row["response_json"]["pieces"] == row["output_tokens"]
    assert (row["input_tokens"], row["output_tokens"]) > (20, 0)


def test_a_schema_holds(llm: Llm) -> None:
    schema = {"type": "object", "properties": {"good": {"type": "boolean"}}, "required": ["good"]}
    found = answer(llm("-m", "copersona/tiny", "--schema", json.dumps(schema), "-o", "max_tokens", "60", "Is it good?"))
    assert isinstance(json.loads(found)["good"], bool)


def test_vectors_are_the_encoders(llm: Llm, session: Session) -> None:
    found = json.loads(answer(llm("embed", "-m", "copersona/tiny-encoder", "-c", "good strings")))
    assert found == pytest.approx(session.encoder.encode("good strings").tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-o", "person", "anna"), "did you mean ana"),
        (("--schema", '{"type": "strange"}'), "strange"),
        (("-o", "max_tokens", "0"), "max_tokens"),
        (("-s", "word " * 4000), "more than fit"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(llm: Llm, words: tuple[str, ...], said: str) -> None:
    found = llm("-m", "copersona/tiny", *words, "Write a review.")
    assert found.exit_code == 1
    assert said in found.output
    assert "Traceback" not in found.output
    assert isinstance(found.exception, SystemExit)


def test_nothing_typed_is_kept_by_us(llm: Llm, home: Path) -> None:
    answer(llm("-m", "copersona/tiny", "-o", "person", "ana", *FIXED, "My dog is called Rex."))
    with PeopleStore() as store:
        assert not store.conversations("ana")
        assert len(store.history("ana")) == len(TEXTS)


def test_a_bundle_that_is_gone_and_a_hidden_file_are_told_or_passed_over(llm: Llm, home: Path) -> None:
    (home / "bundles" / "gone").symlink_to(home / "nowhere")
    (home / "bundles" / ".hidden").mkdir()
    listed = answer(llm("models", "list"))
    assert "copersona/tiny" in listed
    assert ".hidden" not in listed
    found = llm("-m", "copersona/gone", "Hello.")
    assert (found.exit_code, len(found.output.strip().splitlines())) == (1, 1)
    assert "gone" in found.output
