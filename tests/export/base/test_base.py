"""The base model's recipe: nothing held out is seen, documents are the runtime's turns, the folder can be used."""

from __future__ import annotations

import json
import lzma
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copersona.runtime.common.errors import ExportError
from copersona.runtime.engine.engine import Engine
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.prompt.layout import Layout
from copersona.runtime.prompt.settings import ContextSettings

pytestmark = pytest.mark.export
POSTS, PEOPLE, HELD = 60, 40, (3, 41, 59)


def word(*parts: object) -> str:
    """A word that stands in one text only."""
    return "zq" + "x".join(str(part) for part in parts) + "q"


def review(kind: str, person: int, place: int) -> str:
    return f"I bought this one and it works {word(kind, person, place)} as it should, number {place}."


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder in small, with a unique word in every text, and the lists of what is held out and learnt."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "qa").mkdir()
    with lzma.open(folder / "english_blog_text.jsonl.xz", "wt") as file:
        for line in range(POSTS):
            file.write(json.dumps({"text": f"Today was a day like {word('post', line)} and we went home."}) + "\n")
    for name, kind in (("musical_instruments", "m"), ("digital_music_part", "d")):
        with (folder / f"amazon2014_{name}.jsonl").open("w") as file:
            for person in range(PEOPLE):
                for place in range(5):
                    row = {"reviewerID": f"{kind}{person}", "asin": f"i{place}", "overall": 4, "unixReviewTime": place}
                    row |= {"reviewText": review(kind, person, place), "summary": f"title {place}"}
                    file.write(json.dumps(row) + "\n")
    meta = folder / "amazon2014_digital_music_part_meta.jsonl"
    meta.write_text(json.dumps({"asin": "i1", "title": "A song"}) + "\n")
    with (folder / "amazon2023_multicategory.jsonl").open("w") as file:
        for person in range(PEOPLE):
            rows = [
                {"review_full": review("a", person, place), "timestamp_ms": place * 1000, "rating": 5}
                for place in range(5)
            ]
            file.write(json.dumps({"user_id": f"a{person}", "history": rows[:4], "heldout": rows[4]}) + "\n")
    questions = [{"qId": f"q{i}", "qText": f"who is number {i}?", "answers": [f"Name {i}", "X"]} for i in range(9)]
    (folder / "qa" / "webquestions_trainmodel.json").write_text(json.dumps(questions))
    (folder / "validation.json").write_text(json.dumps({"blog_lines": HELD}))
    (folder / "questions.json").write_text(json.dumps({"ids": ["q2", "q5", "q7"]}))
    return folder


@pytest.fixture(scope="module")
def text(data: Path) -> Any:
    from copersona.export.base.text import BaseText

    return BaseText(data, data)


@pytest.fixture(scope="module")
def run(text: Any, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished working folder of a tiny model."""
    from copersona.export.base.base import Recipe, make_base
    from copersona.export.base.folder import Shape
    from copersona.export.base.pretrain import PretrainSettings

    folder = tmp_path_factory.mktemp("base")
    train = PretrainSettings(batch=1_024, micro=1_024, window=64, last_window=128)
    shape = Shape(width=32, layers=1, feed_forward=64, heads=2, kv_heads=1, vocabulary=400)
    recipe = Recipe(str(data), tokens=100 * 1_024, shape=shape, train=train)
    make_base(folder, recipe, hours=None, say=lambda line: None, text=text)
    return folder


def tokens_of(folder: Path) -> Any:
    from copersona.export.convert.file_tokens import FileTokens

    return FileTokens(folder / "tokenizer.json")


def test_nothing_held_out_is_trained_on_and_the_rest_is(text: Any, run: Path) -> None:
    from tokenizers import Tokenizer

    seen = Tokenizer.from_file(str(run / "tokenizer.json")).decode(np.load(run / "tokens.npy").tolist())
    words: dict[str, set[str]] = {kind: set() for kind in ("held", "free")}
    for kind, people in zip("mda", text.reviews, strict=True):
        for person in range(PEOPLE):
            split = people.splits[f"{kind}{person}"]
            for place in range(5):
                free = not split.new and place < split.seen
                words["free" if free else "held"].add(word(kind, person, place))
    for line in range(POSTS):
        words["held" if line in HELD else "free"].add(word("post", line))
    assert len(words["held"]) > 3 * PEOPLE * 2
    assert [w for w in words["held"] if w in seen] == []
    assert [w for w in words["free"] if w not in seen] == []
    assert all(f"number {i}?" in seen and f"Name {i}" in seen for i in (2, 5, 7))
    assert "number 4?" not in seen


def test_the_tokenizer_saw_nothing_held_out_either(text: Any) -> None:
    from copersona.export.base.base import tokenizer_texts

    joined = "\n".join(tokenizer_texts(text))
    assert not any(word("post", line) in joined for line in HELD)
    assert all(held not in joined for people in text.reviews for held in people.held_out())


def test_a_copy_of_a_held_out_text_is_left_out(data: Path, tmp_path: Path) -> None:
    import shutil

    from copersona.export.base.text import BaseText

    copy = Path(shutil.copytree(data, tmp_path / "data"))
    held = next(iter(BaseText(data, data).reviews[0].held_out()))
    with lzma.open(copy / "english_blog_text.jsonl.xz", "wt") as file:
        rows = [held.replace(" ", "  "), *("another post" for _ in range(POSTS - 1))]
        file.writelines(json.dumps({"text": row}) + "\n" for row in rows)
    assert BaseText(copy, copy).posts() == ["another post"] * (POSTS - len(HELD) - 1)


def test_what_is_learnt_by_heart_stands_beside_the_model_and_the_terms_in_it(text: Any, run: Path) -> None:
    from copersona.export.training.kept import read_kept

    kept = read_kept(run / "questions.jsonl")
    assert [(k.input, k.output) for k in kept] == [(q.text, q.answers[0]) for q in text.questions()]
    assert "not for commercial use" in (run / "model" / "LICENSE").read_text()


def test_turns_are_those_of_the_runtime(run: Path) -> None:
    from copersona.export.base.turns import Documents

    tokens = tokens_of(run)
    turns, layout = Documents(tokens), Layout(tokens, ContextSettings())
    nobody = layout.prompt("What now?").tokens
    head = (*turns.turn("system", "Write as this person would."), *turns.exchange("What now?", "Home."))
    assert list(head)[: len(nobody)] == nobody
    assert list(head)[len(nobody) : -1] == list(layout.answer("Home."))


def test_a_persons_document_is_in_order_and_ends(run: Path) -> None:
    from copersona.export.base.text import Question
    from copersona.export.base.turns import Documents, person_document

    tokens = tokens_of(run)
    turns = Documents(tokens)
    history = [Interaction("p", f"text number {i}", title=f"title {i}") for i in range(3)]
    question = Question("q", "who is it?", ("Name", "Other"))
    end, begin = tokens.control("<|endoftext|>"), tokens.control("<|im_start|>")
    kinds = set()
    for seed in range(30):
        document = person_document(turns, history, random.Random(seed), question)
        assert (document[-1], document.count(end)) == (end, 1)
        assert document.count(begin) in (6, 7, 8, 9)  # turns: alone or as exchanges, with a system turn or without
        kinds.add(document.count(begin))
        tail = [*turns.exchange("who is it?", "Name"), end]
        assert document[-len(tail) :] == tail
    assert kinds == {6, 7, 8, 9}


def test_long_histories_are_cut_between_interactions(run: Path) -> None:
    from copersona.export.base.turns import Documents, chunks

    turns = Documents(tokens_of(run))
    history = tuple(Interaction("p", f"text number {i}", title="t") for i in range(7))
    one = len(turns.exchange(history[0].request(), history[0].output))
    runs = list(chunks(turns, history, 3 * one))
    assert [len(part) for part in runs] == [3, 3, 1]
    assert tuple(item for part in runs for item in part) == history
    assert [len(part) for part in chunks(turns, history, 1)] == [1] * 7


def test_the_row_is_the_same_again_and_mixed_as_asked(text: Any, run: Path) -> None:
    from copersona.export.base.stream import Corpus, Mix, build_stream
    from copersona.export.base.turns import Documents

    corpus = Corpus(text.posts(), text.histories(), text.questions())
    turns = Documents(tokens_of(run))
    row = build_stream(corpus, turns, 20_000, Mix(), 0)
    assert (row == build_stream(corpus, turns, 20_000, Mix(), 0)).all()
    assert not (row == build_stream(corpus, turns, 20_000, Mix(), 1)).all()
    start = tokens_of(run).control("<|im_start|>")
    for part, share in ((row[:13_000], 0.74), (row[13_000:], 0.66)):
        documents = np.split(part, np.flatnonzero(part == turns.end) + 1)
        posts = sum(len(d) for d in documents if start not in d)
        assert posts / len(part) == pytest.approx(share, abs=0.03)
    with pytest.raises(ExportError, match="no questions to train on"):
        build_stream(Corpus(corpus.posts, corpus.people, ()), turns, 100, Mix(), 0)


def test_the_folder_is_a_base_and_its_gguf_tokenizes_alike(run: Path, tmp_path: Path) -> None:
    from copersona.export.convert.gguf import check_base, load_causal_lm, write_gguf

    check_base(run / "model")
    assert "non-commercial" in (run / "model" / "README.md").read_text()
    write_gguf(run / "model", tmp_path / "model.gguf", "f32")
    model = load_causal_lm(run / "model")
    tokens = tokens_of(run)
    texts = ["I bought this, and it's 25 % off!\n\n  José", "<|im_end|> is text", "吉他 🎸\tx  y", "don't WON'T 1234"]
    with Engine(tmp_path / "model.gguf", n_ctx=128, threads=1, exact=True) as engine:
        for one in texts:
            assert engine.tokenize(one) == tokens.tokenize(one)
            assert engine.detokenize(tokens.tokenize(one)) == one
        assert engine.vocabulary_size == model.config.vocab_size == tokens.size


def test_going_on_with_a_finished_folder_changes_nothing_and_other_plans_are_refused(
    run: Path, text: Any, data: Path
) -> None:
    from dataclasses import replace

    from copersona.export.base.base import Recipe, make_base

    before = (run / "model" / "model.safetensors").read_bytes()
    recipe = Recipe.read(run / "recipe.json")
    make_base(run, replace(recipe, tokens=0), hours=None, say=lambda line: None, text=text)
    assert (run / "model" / "model.safetensors").read_bytes() == before
    with pytest.raises(ExportError, match="planned for 102,400 tokens"):
        make_base(run, replace(recipe, tokens=2_048), hours=None, say=lambda line: None, text=text)


def test_the_plan_comes_from_the_speed_where_hours_are_given(text: Any, data: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from copersona.export.base import base
    from copersona.export.base.folder import Shape, new_model
    from copersona.export.base.pretrain import PretrainSettings

    train = PretrainSettings(batch=256, micro=256, window=64, last_window=128)
    shape = Shape(width=32, layers=1, feed_forward=64, heads=2, kv_heads=1, vocabulary=300)
    lines: list[str] = []
    recipe = base.Recipe(str(data), shape=shape, train=train)
    planned = base._planned(tmp_path, recipe, new_model(shape, 300, 0), 0.001, lines.append)
    speed = int(lines[0].split()[0].replace(",", ""))
    assert planned.tokens == pytest.approx(3.6 * speed, abs=300)
    assert planned.tokens % 256 == 0
    assert base._stored(tmp_path, recipe) == planned
    assert (
        base._stored(tmp_path, replace(recipe, shape=Shape())) == planned
    )  # the first call's shape, whatever is asked
    with pytest.raises(ExportError, match="give --tokens or --hours"):
        base._planned(tmp_path / "new", recipe, None, None, lines.append)


def test_what_is_missing_is_named(data: Path, tmp_path: Path) -> None:
    import shutil

    from copersona.export.base.text import BaseText

    with pytest.raises(ExportError, match=r"english_blog_text.jsonl.xz: is missing; --data is a folder"):
        BaseText(tmp_path, data).posts()
    copy = Path(shutil.copytree(data, tmp_path / "data"))
    (copy / "questions.json").write_text(json.dumps({"ids": ["q2", "nope"]}))
    with pytest.raises(ExportError, match="has no question nope"):
        BaseText(copy, copy).questions()
    (copy / "validation.json").write_text(json.dumps({"blog_lines": [POSTS]}))
    with pytest.raises(ExportError, match=f"has {POSTS} lines, but line {POSTS} is held out"):
        BaseText(copy, copy).posts()
    (copy / "english_blog_text.jsonl.xz").write_bytes(b"no archive")
    with pytest.raises(ExportError, match="not JSON lines with 'text'"):
        BaseText(copy, data).posts()


def test_the_committed_lists_are_what_they_say() -> None:
    from copersona.export.base.text import LISTS

    lines = json.loads((LISTS / "validation.json").read_text())["blog_lines"]
    ids = json.loads((LISTS / "questions.json").read_text())["ids"]
    assert lines == sorted(set(lines))
    assert len(lines) == 1_000
    assert len(set(ids)) == len(ids) == 1_000


def test_the_largest_shape_leaves_room_for_the_rest_of_the_bundle() -> None:
    from copersona.export.base.folder import GPU, new_model

    quantised = new_model(GPU, GPU.vocabulary, 0).num_parameters() * 34 / 32  # q8_0: 34 bytes for 32 weights
    assert 30e6 < quantised < 80e6 - 28e6 - 10e6  # the encoder and the graph


def test_the_command_is_there_and_says_what_is_missing(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from copersona.runtime.cli.main import main

    arguments = ["export", "base", str(tmp_path / "out"), "--data", str(tmp_path), "--tokens", "100000"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert "is missing; --data is a folder that holds" in done.stderr
