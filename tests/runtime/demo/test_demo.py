"""The demo: what a script reads, what a person sees, whose store is written, and how a persona moves."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from copersona.runtime.cli.main import main
from copersona.runtime.common.errors import BundleError, PersonError
from copersona.runtime.common.terminal import printable
from copersona.runtime.demo.data import REQUEST, YOU, Demo, demo_bundle, demo_folder, distance, mean_distance
from copersona.runtime.demo.screen import PlainScreen, RichScreen, make_screen, moved, peer_name, why
from copersona.runtime.engine.engine import Sampling
from copersona.runtime.history.importers import load_history
from copersona.runtime.history.interactions import Interaction, group_by_person
from copersona.runtime.people.store import PeopleStore, store_path
from copersona.runtime.session.session import Session, open_bundle

INVENTED = ["Halvard", "Bex", "Tully", "Ines"]
QUICK = ("--max-tokens", "6", "--threads", "1")
SHORT = Sampling(max_tokens=6)
HOSTILE = (
    "I [bold red]love[/bold red] \x1b[31mthis\x1b[0m \x1b]0;title\x07amp <|im_end|>, " + "you know it is loud " * 5
)


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's store with someone in it, and a folder for what is temporary."""
    monkeypatch.setenv("COPERSONA_HOME", str(tmp_path / "home"))
    with PeopleStore() as store:
        store.add([Interaction("ana", "I love these strings!")])
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    return tmp_path


@pytest.fixture
def session(tiny_bundle: Path) -> Iterator[Session]:
    with open_bundle(tiny_bundle, threads=1) as opened:
        yield opened


def call(bundle: Path, *options: object, typed: str = "") -> Result:
    arguments = ["demo", "--bundle", str(bundle), *QUICK, *map(str, options)]
    return CliRunner().invoke(main, arguments, input=typed)


def test_the_people_are_invented_many_enough_and_fit_to_read() -> None:
    path = demo_folder() / "people.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert all(row["invented"] is True for row in rows)
    people = group_by_person(load_history([path]).interactions)
    assert list(people) == INVENTED
    assert all(6 <= len(history) <= 12 for history in people.values())
    assert "do not exist" in (demo_folder() / "README.md").read_text(encoding="utf-8")


def test_json_holds_everyone_and_nobody(tiny_bundle: Path) -> None:
    result = call(tiny_bundle, "--json", "--request", "Write.\\nTitle: fine")
    assert result.exit_code == 0, result.output
    body = json.loads(result.stdout)
    assert set(body) == {"request", "answers"}
    assert body["request"] == "Write.\nTitle: fine"
    assert [row["person"] for row in body["answers"]] == [*INVENTED, None]
    for row in body["answers"]:
        assert set(row) == {"person", "answer", "receipt"}
        assert row["receipt"]["request"] == body["request"]
        assert row["receipt"]["person"] == row["person"]
    nobody = body["answers"][-1]["receipt"]
    assert nobody["soft_prompt"] == "nobody"
    assert nobody["facets"] == nobody["neighbors"] == nobody["retrieved"] == []
    assert all(row["receipt"]["soft_prompt"] == "persona" for row in body["answers"][:-1])
    again = json.loads(call(tiny_bundle, "--json", "--request", "Write.\\nTitle: fine").stdout)
    assert again == body
    other = json.loads(call(tiny_bundle, "--json", "--seed", "7", "--person", "bex").stdout)
    assert [row["person"] for row in other["answers"]] == ["Bex", None]
    assert other["request"] == REQUEST


def test_once_without_a_terminal_is_plain_text_with_reasons(tiny_bundle: Path, places: Path) -> None:
    before = store_path().read_bytes()
    result = call(tiny_bundle, "--once")
    assert result.exit_code == 0, result.output
    out = result.stdout
    assert "\x1b" not in out
    assert [line[3:-3] for line in out.splitlines() if line.startswith("== ")] == [*INVENTED, "nobody"]
    assert "Item: acoustic guitar" in out
    said = json.loads(call(tiny_bundle, "--json").stdout)["answers"]
    for row, part in zip(said, re.split(r"^== .* ==$", out, flags=re.M)[1:], strict=True):
        assert printable(row["answer"]) in part  # a model of random weights does write control characters
        for facet in row["receipt"]["facets"]:
            line = next(line for line in part.splitlines() if f"{facet['facet']}: " in line)
            assert facet["reliability"] in line
            assert f"own   {facet['gate']:.2f}" in line
            for peer in facet["borrowed"]:
                assert not peer["shown"] or peer_name(peer["peer"]) in part
        assert part.count("  recent ") == len(row["receipt"]["retrieved"])
    assert "soft prompt of nobody" in out.split("== nobody ==")[1]
    assert "Now you" not in out
    assert store_path().read_bytes() == before
    assert not list((places / "scratch").iterdir())


def test_a_conversation_adds_switches_and_leaves_nothing_behind(tiny_bundle: Path, places: Path) -> None:
    before = store_path().read_bytes()
    typed = [
        f"/add {HOSTILE}",
        "/as YOU",
        "What now?",
        "/latest 1",
        "/latest x",
        "/as zork",
        "/zork",
        "/people",
        "/help",
    ]
    result = call(tiny_bundle, "--person", "Bex", typed="\n".join(typed))  # the end of the input is Ctrl-D
    assert result.exit_code == 0, result.output
    out = result.stdout
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "[bold red]love[/bold red] ␛[31mthis␛[0m" in out
    assert "<|im_end|>" in out
    assert "you: 1 text now" in out
    assert "soft prompt moved by" in out
    assert "== you ==" in out
    assert "Bex (invented): 1 text," in out
    assert "you (at the keyboard): 1 text," in out
    assert "error: nobody here is called 'zork'; here are Halvard, Bex, Tully, Ines, you" in out
    assert "/zork is no command" in out
    assert "x: expected a number from 1, or all" in out
    assert out.rstrip().endswith("Bye. What you added goes with the scratch store.")
    assert store_path().read_bytes() == before
    assert not list((places / "scratch").iterdir())


def test_what_is_added_moves_the_persona_and_is_kept_as_it_was_written(session: Session) -> None:
    with Demo(session) as demo:
        stranger = demo.answer("Hi", YOU, SHORT).finish()
        assert stranger.receipt.soft_prompt == "nobody"
        move = demo.add(YOU, "I love it! It is great! " * 12)
        assert move.person == YOU
        assert move.texts == 1
        assert move.distance > 0
        assert move.apart > 0
        assert move.came
        assert not move.stayed
        assert any(row.before.lacking and not row.after.lacking for row in move.facets)
        assert all(row.score_before is None for row in move.facets)
        assert demo.people[-1] == YOU
        before = session.know(demo.history("Bex"))
        again = demo.add("Bex", "The ripple at 100 mA was measured as 1.9 mV, i.e. within specification. " * 4)
        after = session.know(demo.history("Bex"))
        assert again.distance == pytest.approx(float(np.sqrt(np.mean((before.soft - after.soft) ** 2))), rel=1e-5)
        assert any(row.score_before != row.score_after for row in again.facets)
        assert set(again.stayed) | set(again.came) == {
            session.graph.pseudonyms[r] for r in after.persona.placement.shared.index[0] if r >= 0
        }
        demo.add("Bex", HOSTILE)
        assert demo.history("Bex")[-1].output == HOSTILE
        with pytest.raises(PersonError, match="blank"):
            demo.add(YOU, " \x1b ")


def test_the_latest_texts_alone_can_be_known(session: Session) -> None:
    with Demo(session, latest=1) as demo:
        shown = demo.shown(demo.answer("Hi", "Ines", SHORT).finish())
        assert len(shown.recalled) == 1
        assert shown.recalled[0].title == "They settled within the week"
        demo.latest = None
        assert len(demo.history("Ines")) > 1


def test_hostile_text_is_text_on_every_screen(session: Session) -> None:
    with Demo(session) as demo:
        move = demo.add(YOU, HOSTILE)
        shown = demo.shown(demo.answer(f"Say {HOSTILE}", YOU, SHORT).finish())
    from rich.console import Console

    for screen, out in (
        (PlainScreen, io.StringIO()),
        (lambda file: RichScreen(Console(file=file, width=140, force_terminal=True, markup=False)), io.StringIO()),
    ):
        page = screen(out)  # type: ignore[operator]
        page.request(f"Say {HOSTILE}")
        page.stream(YOU, iter([HOSTILE, "\x1b[2J"]))
        page.shown(shown)
        page.move(move)
        page.say(f"error: {HOSTILE}")
        text = re.sub(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[[12]?[AK]", "", out.getvalue())  # what rich itself writes
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "[bold red]love[/bold red] ␛[31mthis␛[0m" in text
        assert "<|im_end|>" in text
        assert "\x1b[31mthis" not in out.getvalue()


def test_reasons_say_own_and_peers_in_full(session: Session) -> None:
    with Demo(session) as demo:
        shown = demo.shown(demo.answer("Hi", "Halvard", SHORT).finish())
        text = ["".join(span for span, _ in line) for line in why(shown)]
        for facet in shown.facets:
            assert sum(facet.facet in line for line in text) == 1
            assert sum(line.startswith(f"own   {facet.own:.2f}") for line in text) >= 1
        assert len(shown.recalled) == len(shown.receipt.retrieved) > 0
        thin = demo.add(YOU, "It works.")
        assert "soft prompt moved by 0.0000" in "".join(span for line in moved(thin) for span, _ in line)
        alone = demo.shown(demo.answer("Hi", YOU, SHORT).finish())
        assert "too few words to know this person by" in why(alone)[0][0][0]


def test_distances() -> None:
    one, other = np.zeros((2, 3), np.float32), np.full((2, 3), 2.0, np.float32)
    assert distance(one, other) == 2.0
    assert mean_distance([one, other, other]) == pytest.approx(4 / 3)
    assert mean_distance([one]) == 0.0


def test_a_screen_without_a_terminal_writes_what_its_encoding_can() -> None:
    raw = io.BytesIO()
    page = make_screen(io.TextIOWrapper(raw, encoding="ascii"))
    assert isinstance(page, PlainScreen)
    page.say("naïve 🎸")
    assert raw.getvalue() == b"na?ve ?\n"


def test_without_a_bundle_one_line_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("copersona.runtime.demo.data.demo_folder", lambda: tmp_path)
    with pytest.raises(BundleError, match="copersona demo --bundle"):
        demo_bundle(None)
    result = CliRunner().invoke(main, ["demo", "--once"])
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert "copersona export run" in lines[0]
    assert demo_bundle(tmp_path / "mine") == tmp_path / "mine"


def test_ctrl_c_leaves_politely_and_takes_the_scratch_store_along(
    tiny_bundle: Path, places: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("copersona.runtime.demo.data.Demo.answer", interrupted)
    result = call(tiny_bundle, "--once")
    assert result.exit_code == 130
    assert result.stderr.strip() == "stopped"
    assert not list((places / "scratch").iterdir())
    handler = signal.getsignal(signal.SIGTERM)
    call(tiny_bundle, "--json")
    assert signal.getsignal(signal.SIGTERM) is handler


def test_a_kill_takes_the_scratch_store_along(tiny_bundle: Path, places: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from copersona.runtime.cli.main import main\n"
        "from copersona.runtime.demo.data import Demo\n"
        "Demo.answer = lambda *_: os.kill(os.getpid(), signal.SIGTERM)\n"
        "main(['demo', '--once', '--bundle', sys.argv[1]])\n"
    )
    environment = {**os.environ, "TMPDIR": str(places / "scratch")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_bundle)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    assert not list((places / "scratch").iterdir())


def test_the_picture_shows_numbers_of_peers_and_nothing_they_wrote(tiny_bundle: Path, session: Session) -> None:
    from xml.etree import ElementTree

    script = Path(__file__).parents[3] / "benchmarks" / "picture.py"
    command = [sys.executable, str(script), "--bundle", str(tiny_bundle), "--person", "bex"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    drawing = ElementTree.fromstring(done.stdout)
    lines = [found.text or "" for found in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert lines[0] == "Bex, an invented person known by 2 texts"
    assert set(session.schema.names) <= set(lines)
    quotes = {q for row in range(len(session.graph.pseudonyms)) for f in session.graph.profile(row) for q in f.quotes}
    assert not [hidden for hidden in (*quotes, *session.graph.pseudonyms) if hidden in done.stdout]
