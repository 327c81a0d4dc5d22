"""What is broken, too large or made to do harm ends in one clear line; nothing is ever written to disk."""

from __future__ import annotations

import json
import os
import random
import stat
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copersona.runtime.common.errors import HistoryError
from copersona.runtime.history import jsonlines
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.importing import source as sources
from copersona.runtime.importing.recognise import FORMATS, is_export, names, open_export
from copersona.runtime.importing.records import Given
from copersona.runtime.importing.source import Source

from .reading import lay, read
from .test_importers import VARIANTS
from .variants import Variant, dump

EXAMPLES = int(os.environ.get("COPERSONA_FUZZ", "6"))  # broken exports of each format; many for a long run
ONE_EACH = list({one.format: one for one in VARIANTS if one.marks}.values())


def problem(path: Path, **told: Any) -> str:
    with pytest.raises(HistoryError) as caught, Source(path) as source:
        list(open_export(source, person="ana", **told))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in files.items():
            archive.writestr(name, raw)
    return path


def chatgpt(*parts: str) -> bytes:
    node = {"message": {"author": {"role": "user"}, "content": {"parts": list(parts)}}}
    return dump([{"mapping": {"a": node}, "current_node": "a"}])


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "ANYWAY", 1 << 20)
    path = zipped(tmp_path / "bomb.zip", {"conversations.json": b"[" + b" " * (8 << 20) + b"]"})
    assert "unpacks to more than" in problem(path)


def test_a_size_that_a_zip_lies_about_is_not_exceeded(tmp_path: Path) -> None:
    path = zipped(tmp_path / "lie.zip", {"conversations.json": chatgpt("x" * 100_000)})
    raw = bytearray(path.read_bytes())
    entry = raw.rindex(b"PK\x01\x02")
    raw[entry + 24 : entry + 28] = (50).to_bytes(4, "little")
    path.write_bytes(bytes(raw))
    assert problem(path)


def test_too_many_files_are_refused_by_what_the_end_of_the_zip_says(tmp_path: Path) -> None:
    path = zipped(tmp_path / "many.zip", {"a": b""})
    raw = bytearray(path.read_bytes())
    end = raw.rindex(b"PK\x05\x06")
    raw[end + 12 : end + 16] = (600_000 * 1024).to_bytes(4, "little")
    path.write_bytes(bytes(raw))
    assert "more than 500,000 files" in problem(path)


@pytest.mark.parametrize(
    "name", ["../conversations.json", "/conversations.json", "..\\conversations.json", "a/../../b.md"]
)
def test_names_that_lead_outside_are_passed_over(name: str, tmp_path: Path) -> None:
    path = zipped(tmp_path / "out.zip", {name: chatgpt("x"), "inside.txt": b"x"})
    with Source(path) as source:
        assert (source.names, source.outside) == (("inside.txt",), 1)
    assert [*tmp_path.iterdir()] == [path]


def test_links_in_a_folder_and_in_a_zip_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("What nobody should see, in three words.", encoding="utf-8")
    folder = tmp_path / "vault"
    folder.mkdir()
    (folder / "note.md").write_text("This is a note of mine.", encoding="utf-8")
    (folder / "link.md").symlink_to(tmp_path / "secret.md")
    (folder / "round").symlink_to(folder)
    os.mkfifo(folder / "pipe.md")
    with Source(folder) as source:
        assert (source.names, source.outside) == (("note.md",), 3)
        assert [one.output for one in open_export(source, person="ana")] == ["This is a note of mine."]
    path = tmp_path / "link.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link.md")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with Source(path) as source:
        assert (source.names, source.outside) == ((), 1)


def test_a_zip_that_is_cut_damaged_or_encrypted_is_one_line(tmp_path: Path) -> None:
    whole = zipped(
        tmp_path / "whole.zip", {"conversations.json": chatgpt(*(str(random.random()) for _ in range(9000)))}
    )
    raw = whole.read_bytes()
    for number, broken in enumerate((raw[: len(raw) // 2], raw[:30] + os.urandom(2000) + raw[2030:])):
        path = tmp_path / f"{number}.zip"
        path.write_bytes(broken)
        assert "cut or damaged" in problem(path, format="chatgpt") or "no chatgpt export" in problem(
            path, format="chatgpt"
        )
    locked = bytearray(raw)
    for sign, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.rindex(sign) + place] |= 1
    path = tmp_path / "locked.zip"
    path.write_bytes(bytes(locked))
    with pytest.raises(HistoryError, match="encrypted"), Source(path) as source, source.open("conversations.json"):
        pass


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'[{"mapping": {}}, {"mapping"', "not JSON"),
        (b'[{"mapping": ' + b'{"a": ' * 100_000, "nested too deeply"),
        (b'[{"mapping": {}}' + b"[" * 100_000, "expected a comma"),
        (b'[{"mapping": {}}, "' + b"x" * (6 << 20) + b'"]', "longer than 1,048,576 characters"),
        (b'[{"mapping": {}}, {"\xff": 1}]', "not UTF-8"),
        (b'[{"mapping": {}}] and more', "text after the end"),
        (b'[{"mapping": {}}]', "no records"),
    ],
    ids=["cut", "deep", "deep lists", "a long record", "another encoding", "more", "nothing"],
)
def test_json_that_is_none_is_one_line(raw: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonlines, "MAX_RECORD", 1 << 20)
    path = tmp_path / "conversations.json"
    path.write_bytes(raw)
    assert said in problem(path)


def test_a_line_of_ten_megabytes_is_read_in_bounds(tmp_path: Path) -> None:
    path = tmp_path / "chat.txt"
    long = "x y " * 2_500_000
    path.write_text(f"14/10/21, 15:00 - Ana: one two\n{long}\n14/10/21, 15:01 - Ana: five six seven", encoding="utf-8")
    with Source(path) as source:
        export = open_export(source, given=Given(names(["Ana"])), person="ana")
        assert [one.output for one in export] == ["five six seven"]
        assert export.found.left == {"longer than 200,000 characters": 1}


def test_an_empty_folder_a_missing_file_and_a_pipe_are_named(tmp_path: Path) -> None:
    assert "no export that is known" in problem(tmp_path)
    assert "no such file" in problem(tmp_path / "none.zip")
    os.mkfifo(tmp_path / "pipe")
    assert "a pipe or a device" in problem(tmp_path / "pipe")


def test_a_tar_archive_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "takeout.tgz"
    path.write_bytes(b"\x1f\x8b")
    with pytest.raises(HistoryError, match="unpack it and give the folder"):
        is_export(path)


def test_an_export_whose_own_name_cannot_be_read_is_read_with_a_name_that_is_told(tmp_path: Path) -> None:
    (tmp_path / "outbox.json").write_bytes(dump({"orderedItems": []}))
    (tmp_path / "actor.json").write_bytes(b"{")
    with Source(tmp_path) as source:
        assert open_export(source, person="ana").person == "ana"
        with pytest.raises(HistoryError, match="--person"):
            open_export(source)


def test_who_is_meant_is_asked_with_the_names_there_are(tmp_path: Path) -> None:
    path = tmp_path / "chat.txt"
    path.write_text("14/10/21, 15:00 - Ana: one two three\n14/10/21, 15:01 - Bob: one two four\n", encoding="utf-8")
    assert "say --me NAME: 'Ana' (1), 'Bob' (1)" in problem(path)
    assert "nobody in it is called so (--me); there are 'Ana' (1)" in problem(path, given=Given(names(["Carl"])))
    notes = tmp_path / "a.md"
    notes.write_text("one two three", encoding="utf-8")
    with pytest.raises(HistoryError, match="--person"), Source(notes) as source:
        open_export(source)


def test_two_exports_in_one_folder_are_not_guessed_between(tmp_path: Path) -> None:
    (tmp_path / "conversations.json").write_bytes(chatgpt("x"))
    (tmp_path / "chat.txt").write_text("14/10/21, 15:00 - Ana: one two three\n", encoding="utf-8")
    assert "holds 2 exports (chatgpt, whatsapp); say which with --format" in problem(tmp_path)
    assert "no mbox export" in problem(tmp_path, format="mbox")


@pytest.mark.parametrize("variant", ONE_EACH, ids=lambda one: one.format)
@given(data=st.data())
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_broken_in_an_export_it_is_read_or_refused(
    variant: Variant, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    files = dict(variant.files)
    for name in data.draw(st.lists(st.sampled_from(sorted(files)), min_size=1, max_size=3)):
        files[name] = data.draw(broken(files[name]))
    changed = Variant(variant.format, variant.name, files, (), variant.me, variant.person, True, variant.day_first)
    path = lay(changed, tmp_path_factory.mktemp("broken"), data.draw(st.sampled_from(["folder", "zip"])))
    found: list[Interaction] = []
    said = ""
    try:
        found, _ = read(changed, path, variant.format)
    except HistoryError as error:
        said = str(error)
    assert "\n" not in said
    assert all(one.output.strip() for one in found)


@st.composite
def broken(draw: st.DrawFn, raw: bytes) -> bytes:
    """The bytes with something changed: in their JSON where they are some, else anywhere."""
    start = raw.find(b"[") if raw.startswith(b"window.") else 0
    try:
        value = json.loads(raw[start:])
    except ValueError:
        return draw(scratched(raw))
    if draw(st.booleans()):
        return draw(scratched(raw))
    for _ in range(draw(st.integers(1, 6))):
        value = draw(replaced(value))
    return raw[:start] + json.dumps(value).encode()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | st.text(max_size=8),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below, max_size=3),
    max_leaves=5,
)


@st.composite
def replaced(draw: st.DrawFn, value: Any) -> Any:
    """The value with one inside it replaced by anything."""
    if isinstance(value, dict) and value and draw(st.integers(0, 9)):
        name = draw(st.sampled_from(sorted(value)))
        return {**value, name: draw(replaced(value[name]))}
    if isinstance(value, list) and value and draw(st.integers(0, 9)):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], draw(replaced(value[place])), *value[place + 1 :]]
    return draw(ANYTHING)


@st.composite
def scratched(draw: st.DrawFn, raw: bytes) -> bytes:
    """The bytes with some cut out, put in or doubled."""
    for _ in range(draw(st.integers(1, 4))):
        place, size = draw(st.integers(0, len(raw))), draw(st.integers(0, 40))
        new = draw(
            st.binary(max_size=20) | st.sampled_from([b"\n", b"\n\n", b"From ", b">", b'"', b":", b"\x00", b"=?"])
        )
        raw = raw[:place] + new + raw[place + size :]
    return raw


def test_every_format_is_fuzzed() -> None:
    assert {one.format for one in ONE_EACH} == set(FORMATS)
