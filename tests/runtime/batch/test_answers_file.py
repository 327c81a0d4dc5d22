"""A file of answers: whole lines only, of one run only, one writer only."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from copersona.runtime.batch.answers_file import AnswersFile, record_path
from copersona.runtime.batch.rejects import Rejects
from copersona.runtime.common.errors import HistoryError

RUN = {"requests": "abc", "sampling": {"seed": 0}, "personas": True}


def answer(id_: str) -> tuple[str, dict[str, str]]:
    return id_, {"id": id_, "output": f"text of {id_}, naïve 🎸"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "answers.jsonl"


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()]


def test_lines_are_there_when_they_were_added(path: Path) -> None:
    with AnswersFile(path, RUN) as file:
        assert file.done == frozenset()
        file.add([answer("b"), answer("a")])
        assert ids(path) == ["b", "a"]
        file.add([])
        file.add([answer("c")])
        file.put_in_order(["a", "b", "c", "d"])
    assert ids(path) == ["a", "b", "c"]
    assert {p.name for p in path.parent.iterdir()} == {"answers.jsonl", "answers.jsonl.run.json"}
    with AnswersFile(path, RUN, resume=True) as file:
        assert file.done == {"a", "b", "c"}
        assert file.cut == 0


def test_whatever_was_written_of_the_last_line_is_cut_off(path: Path) -> None:
    with AnswersFile(path, RUN) as file:
        file.add([answer("a"), answer("b")])
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with AnswersFile(path, RUN, resume=True) as file:
            assert file.done == ({"a"} if size >= first else frozenset())
            assert file.cut == (size - first if size >= first else size)
            file.add([answer("b")])
        assert ids(path) == (["a", "b"] if size >= first else ["b"])


@pytest.mark.parametrize("tail", [b"\x00" * 4096, b"garbage\n", b"[1]\n", b'{"id": 3}\n', b'{"id": "a"}\n', b"\xff\n"])
def test_lines_that_are_no_answers_are_cut_off(path: Path, tail: bytes) -> None:
    with AnswersFile(path, RUN) as file:
        file.add([answer("a")])
    whole = path.read_bytes()
    path.write_bytes(whole + tail + whole.replace(b'"a"', b'"b"'))
    with AnswersFile(path, RUN, resume=True) as file:
        assert file.done == {"a"}
    assert path.read_bytes() == whole


def test_a_file_is_gone_on_with_only_for_the_same_run(path: Path) -> None:
    with AnswersFile(path, RUN) as file:
        file.add([answer("a")])
    before = path.read_bytes()
    with pytest.raises(HistoryError, match="is there already; go on with it by --resume"):
        AnswersFile(path, RUN)
    for changed, said in (
        ({**RUN, "requests": "xyz"}, "was begun with requests abc, this call has xyz"),
        ({**RUN, "sampling": {"seed": 1}}, "was begun with sampling seed 0, this call has 1"),
        ({**RUN, "more": 1}, "was begun with more unset, this call has 1"),
    ):
        with pytest.raises(HistoryError, match=said):
            AnswersFile(path, changed, resume=True)
    record_path(path).unlink()
    with pytest.raises(HistoryError, match="record"):
        AnswersFile(path, RUN, resume=True)
    record_path(path).write_text("{broken")
    with pytest.raises(HistoryError, match="record"):
        AnswersFile(path, RUN, resume=True)
    assert path.read_bytes() == before


def test_resuming_what_never_began_begins(path: Path) -> None:
    with AnswersFile(path, RUN, resume=True) as file:
        file.add([answer("a")])
    assert ids(path) == ["a"]
    path.unlink()
    with AnswersFile(path, {**RUN, "personas": False}) as file:  # the record of a run without answers is replaced
        assert file.done == frozenset()
    assert json.loads(record_path(path).read_text())["personas"] is False


def test_one_process_writes(path: Path) -> None:
    with AnswersFile(path, RUN) as file:
        file.add([answer("a")])
        with pytest.raises(HistoryError, match="another process is writing"):
            AnswersFile(path, RUN, resume=True)
    AnswersFile(path, RUN, resume=True).close()


def test_order_is_restored_from_any_order(path: Path) -> None:
    names = [f"r{n}" for n in range(50)]
    shuffled = random.Random(0).sample(names, len(names))
    with AnswersFile(path, RUN) as file:
        file.add([answer(name) for name in shuffled])
        file.put_in_order(names)
    assert ids(path) == names


def test_no_folder_for_the_answers(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="no such folder"):
        AnswersFile(tmp_path / "no" / "answers.jsonl", RUN)


def test_rejects_are_there_only_if_there_are_any(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("from before")
    rejects = Rejects(path, {})
    assert not path.exists()
    rejects.add(3, "naïve")
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"line": 3, "reason": "naïve"}]
    rejects = Rejects(path, {7: "b", 2: "a"})
    rejects.add(9, "c")
    assert [json.loads(line)["line"] for line in path.read_text().splitlines()] == [2, 7, 9]
    assert rejects.count == 3
