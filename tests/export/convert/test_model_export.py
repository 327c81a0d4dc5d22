"""Facets and profiles by a language model through the real steps, over HTTP, by a server that knows what to say."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from copersona.export.discovery.families import FAMILIES
from copersona.export.run.run import Run
from copersona.export.steps.pack import manifest_settings
from copersona.export.steps.pipeline import read_marker, run_steps, step_key
from copersona.export.steps.steps import STEPS
from copersona.runtime.cli.main import main
from copersona.runtime.common.arrays import F32
from copersona.runtime.history.interactions import clean_text, outputs
from copersona.runtime.profile.segments import words_of

pytestmark = pytest.mark.export

KEY = "sk-canary-1234567890"
INVENTED = "a sentence that nobody ever wrote"
NAME = "tester"
UNTIL_GRAPH = ("discover", "profile", "graph")


def sensible(body: dict[str, Any]) -> str:
    """Facets from families, profiles with own sentences; one quote in three is invented or somebody else's."""
    data = json.JSONDecoder().raw_decode(body["messages"][1]["content"])[0]
    if "clusters" in data:
        rows = [
            {
                "name": f.name, "definition": f.definition, "rubric": "By the signals.", "kind": "ordinal",
                "values": list(f.values), "features": [{"name": n, "sign": "+"} for n, _ in f.features],
                "words": [], "clusters": [0],
            }
            for f in FAMILIES
        ]  # fmt: skip
        return json.dumps({"facets": rows})
    claims = {}
    texts = list(data["people"].values())
    for place, (name, own) in enumerate(data["people"].items()):
        other = texts[(place + 1) % len(texts)]
        quotes = [own[-1][:60].strip(), own[0][-60:].strip(), INVENTED if place % 2 else other[-1][:90]]
        claim = {"note": "calm throughout", "quotes": quotes[place % 3 :], "reliability": "strong"}
        claims[name] = {f: {"value": facet["values"][place % 3], **claim} for f, facet in data["facets"].items()}
    return json.dumps(claims)


def encode(text: str) -> F32:
    """A unit vector of the encoder's width that depends on the words."""
    vector = np.zeros(384, np.float32)
    for word in words_of(text):
        vector[zlib.crc32(word.encode()) % 384] += 1
    return vector / np.float32(max(float(np.linalg.norm(vector)), 1e-9))


@pytest.fixture
def folder(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished statistical run, and a key in the environment."""
    monkeypatch.setenv("A_KEY", KEY)
    monkeypatch.setattr(Run, "encode", lambda self, text: encode(text))  # in place of an encoder that takes its time
    shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("train", "*.gguf", "merged", "bundle"))
    return tmp_path / "run"


@pytest.fixture
def by_model(folder: Path, chat_server: Any) -> Callable[..., Run]:
    """The run with the server's model for facets and profiles."""
    chat_server.answer = sensible

    def make(**changes: Any) -> Run:
        body = json.loads((folder / "settings.json").read_text())
        body["model"] |= {"endpoint": chat_server.url, "api_key_env": "A_KEY", **changes}
        body |= {"facets_model": NAME, "profiles_model": NAME}
        (folder / "settings.json").write_text(json.dumps(body))
        return Run.open(folder)

    return make


def steps(run: Run, *names: str) -> None:
    run_steps(run, names, lambda line: None)


def export(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def test_the_steps_by_a_model_and_a_rerun_that_calls_nothing(
    by_model: Callable[..., Run], chat_server: Any, folder: Path
) -> None:
    run = by_model()
    done = export("discover", folder, "--json")
    assert done.exit_code == 0, done.output
    steps(run, *UNTIL_GRAPH)
    calls, marker = len(chat_server.bodies), read_marker(run, "profile")
    assert marker is not None
    claims, made = marker.report["claims"], marker.report["calls"]
    run = by_model()
    reached = [
        quote
        for state, profile in run.profiles.items()
        for facet in profile.facets
        for quote in facet.quotes
        if not any(quote in clean_text(t) for t in outputs(run.histories[state.person][: state.cut]))
    ]
    print(f"quotes {claims['quotes']}, invented {claims['invented']}, reached {len(reached)}")  # noqa: T201
    assert claims["invented"] > 500
    assert reached == []
    assert made["calls"] + 1 == calls
    assert claims["people"] == len(run.states)
    assert claims["by_statistics"] == 0
    before = {p: p.read_bytes() for p in folder.rglob("*.json*")}
    steps(run, *UNTIL_GRAPH)  # done: nothing runs
    for step in UNTIL_GRAPH:
        (folder / "done" / f"{step}.json").unlink()
    steps(by_model(), *UNTIL_GRAPH)  # all over again, from memory
    print(f"calls: {calls} at first, {len(chat_server.bodies) - calls} on the rerun")  # noqa: T201
    assert len(chat_server.bodies) == calls
    after = {p: p.read_bytes() for p in folder.rglob("*.json*")}
    assert {p for p in before if before[p] != after[p]} <= {folder / "done" / f"{s}.json" for s in UNTIL_GRAPH}


def test_what_a_model_made_is_said_and_no_key_or_address_stands_anywhere(
    by_model: Callable[..., Run], chat_server: Any, folder: Path
) -> None:
    run = by_model()
    steps(run, *UNTIL_GRAPH)
    said = manifest_settings(run, {})
    assert said["made_by"] == {"facets": "tester, facets 1", "profiles": "tester, profile 1"}
    assert chat_server.url not in json.dumps(said)
    assert "A_KEY" not in json.dumps(said)
    assert set(chat_server.keys) == {f"Bearer {KEY}"}
    for path in folder.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
    database = sqlite3.connect(folder / "graph.sqlite")
    rows = str(database.execute("SELECT * FROM peers").fetchall())
    database.close()
    assert "calm throughout" in rows
    assert INVENTED not in rows


def test_no_two_states_of_one_person_share_a_call(by_model: Callable[..., Run], chat_server: Any) -> None:
    run = by_model()
    steps(run, "discover", "profile")
    texts = {person: {clean_text(t) for t in outputs(h)} for person, h in run.histories.items()}
    for body in chat_server.bodies[1:]:
        data = json.JSONDecoder().raw_decode(body["messages"][1]["content"])[0]
        authors = [next(p for p, own in texts.items() if shown[-1] in own) for shown in data["people"].values()]
        assert len(set(authors)) == len(authors)


def test_a_cut_step_goes_on_where_it_was(by_model: Callable[..., Run], chat_server: Any, folder: Path) -> None:
    steps(by_model(), "discover")
    chat_server.answer = lambda body: (401, {}, b"") if len(chat_server.bodies) > 5 else sensible(body)
    failed = export("profile", folder)
    assert failed.exit_code == 1
    assert failed.stderr.splitlines()[-1] == "error: 127.0.0.1: answers 401; check the key"
    before = len(chat_server.bodies)
    kept = len((folder / "replies.jsonl").read_text().splitlines())
    chat_server.answer = sensible
    assert export("profile", folder).exit_code == 0
    run = by_model()
    marker = read_marker(run, "profile")
    assert marker is not None
    assert marker.report["calls"]["remembered"] == kept - 1 > 0
    assert len(chat_server.bodies) - before == marker.report["calls"]["calls"]


def test_too_few_calls_are_refused_before_the_first(
    by_model: Callable[..., Run], chat_server: Any, folder: Path
) -> None:
    by_model(max_calls=3)
    assert export("discover", folder).exit_code == 0
    failed = export("profile", folder)
    assert failed.exit_code == 1
    assert "--max-calls allows 3; nothing more was called" in failed.stderr.splitlines()[-1]
    assert len(chat_server.bodies) == 1


def test_runs_without_a_model_keep_their_keys_and_a_model_changes_only_its_steps(
    by_model: Callable[..., Run], tiny_run: Path
) -> None:
    from dataclasses import replace

    plain, modelled = Run.open(tiny_run), by_model()
    settings = replace(plain.settings, profiles_model=NAME)
    profiles_only = Run(tiny_run, settings)
    moved = Run(tiny_run, replace(settings, model=replace(settings.model, endpoint="http://127.0.0.1:1", max_calls=1)))
    for step in STEPS:
        marker = read_marker(plain, step)
        assert marker is not None
        assert marker.key == step_key(plain, step)
        assert step_key(profiles_only, step) == step_key(moved, step)
    early = ("prepare", "encoder")
    assert [s for s in STEPS if step_key(profiles_only, s) == step_key(plain, s)] == [*early, "discover"]
    assert [s for s in STEPS if step_key(modelled, s) == step_key(plain, s)] == [*early]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--facets-by", "model"], "need --endpoint URL --model NAME, or --gguf FILE"),
        (["--profiles-by", "model", "--endpoint", "http://127.0.0.1:1"], "need --endpoint URL --model NAME"),
        (["--profiles-by", "model", "--model", "x"], "need --endpoint URL --model NAME"),
        (["--endpoint", "http://127.0.0.1:1", "--model", "x"], "for nothing; add --facets-by model"),
    ],
)
def test_a_model_is_asked_for_in_full(options: list[str], message: str, tmp_path: Path) -> None:
    history = tmp_path / "h.jsonl"
    history.write_text('{"person": "a", "output": "b"}\n')
    places = ["--base", tmp_path, "--encoder", tmp_path, "--out", tmp_path / "run"]
    failed = export("run", history, *places, *options)
    assert failed.exit_code == 1
    assert message in failed.stderr.splitlines()[-1]
