"""Turns on real tokenizers: as transformers writes them, the same on both sides, never made by what people write."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copersona.export.convert.file_tokens import FileTokens, base_turns
from copersona.export.convert.gguf import check_base, write_gguf
from copersona.runtime.chat.ask import Ask, Message, object_schema, read_answer
from copersona.runtime.chat.local_model import LocalModel
from copersona.runtime.common.errors import ExportError, ModelError
from copersona.runtime.engine.chat_template import model_turns
from copersona.runtime.engine.engine import Engine, Sampling
from copersona.runtime.engine.turns import TurnTokens, chatml
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.persona.peer_lines import PeerLine
from copersona.runtime.profile.facets import FacetProfile, Reliability
from copersona.runtime.prompt.layout import Layout
from copersona.runtime.prompt.settings import NAMED, ContextSettings

from ...families import FAMILIES
from .test_models import byte_level, make_model, sentence_pieces

pytestmark = pytest.mark.export

MADE = {
    "ChatML": lambda folder: byte_level(folder, "qwen2"),
    "Llama 3": lambda folder: byte_level(folder, "llama-bpe"),
    "Gemma": lambda folder: byte_level(folder, "qwen2"),
    "Mistral v1": sentence_pieces,
    "Mistral v3": sentence_pieces,
}
"""A tokenizer of the kind for each family; Gemma's own has no place in a GGUF of ours."""


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a small model of a family, with its float32 GGUF as `model.gguf` in it."""

    @functools.cache
    def base(name: str) -> Path:
        from transformers import PreTrainedTokenizerFast

        folder, family = tmp_path_factory.mktemp("family") / "base", FAMILIES[name]
        MADE[name](folder)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        tokenizer.add_special_tokens({"additional_special_tokens": list(family.control), **family.special})
        tokenizer.chat_template = family.template
        tokenizer.save_pretrained(folder)
        make_model(folder, "Llama", {"tie_word_embeddings": True})
        write_gguf(folder, folder / "model.gguf", "f32")
        return folder

    return base


@pytest.fixture(scope="module", params=MADE)
def base(request: pytest.FixtureRequest, bases: Callable[[str], Path]) -> Path:
    return bases(request.param)


@pytest.fixture(scope="module")
def tokens(base: Path) -> FileTokens:
    return FileTokens(base / "tokenizer.json")


@pytest.fixture(scope="module")
def turns(base: Path) -> TurnTokens:
    return base_turns(base)


@pytest.fixture(scope="module")
def engine(base: Path) -> Iterator[Engine]:
    with Engine(base / "model.gguf", n_ctx=128, threads=1) as opened:
        yield opened


def controls(tokens: FileTokens) -> frozenset[int]:
    template = tokens.template
    assert template is not None
    return frozenset(template.control.values())


def test_an_export_takes_the_base_and_both_sides_find_the_same_turns(
    base: Path, tokens: FileTokens, turns: TurnTokens, engine: Engine
) -> None:
    check_base(base)
    assert model_turns(engine) == turns == model_turns(tokens)
    assert turns.end in controls(tokens)


@pytest.mark.parametrize("name", ["ChatML", "Llama 3", "Gemma", "Mistral v1"])
def test_conversations_are_tokenised_as_transformers_does(bases: Callable[[str], Path], name: str) -> None:
    """Of words at whose borders nothing merges in these tokenizers: of Mistral's that is the first turn alone."""
    from transformers import PreTrainedTokenizerFast

    base = bases(name)
    tokens, turns, theirs = FileTokens(base / "tokenizer.json"), base_turns(base), PreTrainedTokenizerFast
    chat = [("user", "Guitar strings"), ("assistant", "I like them"), ("user", "Why?")]
    chat = [("system", "Write"), *chat] if turns.system_role else chat[:1] if name == "Mistral v1" else chat
    wanted = theirs.from_pretrained(base).apply_chat_template(
        [{"role": role, "content": text} for role, text in chat], add_generation_prompt=True, tokenize=True
    )
    assert turns.conversation([(role, tokens.tokenize(text)) for role, text in chat], ()) == list(wanted)


def test_mistrals_later_tokenizer_has_one_space_before_a_text(bases: Callable[[str], Path]) -> None:
    """As mistral-common writes it: the ids of the turn, and each text as if it stood alone."""
    base = bases("Mistral v3")
    tokens = FileTokens(base / "tokenizer.json")
    begin, opened, closed, end = (tokens.control(token) for token in FAMILIES["Mistral v3"].control)
    user, answer = tokens.tokenize("Guitar strings"), tokens.tokenize("I like them")
    found = base_turns(base).conversation([("user", user), ("assistant", answer), ("user", user)], ())
    assert found == [begin, opened, *user, closed, *answer, end, opened, *user, closed]


def test_chatml_is_what_it_was_before_turns_were_data(bases: Callable[[str], Path]) -> None:
    folder = bases("ChatML")
    tokens = FileTokens(folder / "tokenizer.json")
    assert base_turns(folder) == chatml(tokens)
    (start,) = [tokens.control("<|im_start|>")]
    assert chatml(tokens).first.open == (start, *tokens.tokenize("system"), *tokens.tokenize("\n"))


HOSTILE = [
    "<|im_start|>system\n", "<|im_end|>\n", "<|endoftext|>", "<|begin_of_text|>", "<|start_header_id|>", "<|eot_id|>",
    "<|end_header_id|>\n\n", "<bos>", "<start_of_turn>user\n", "<end_of_turn>\n", "<eos>", "<s>", "</s>", "[INST]",
    "[/INST] ", "<unk>", "<tab>", "<|im_", "end|>", "s>", "<", "/", "system\n", "model\n", "obey ", "é", "\n\n", "😀",
    "▁",
]  # fmt: skip
TEXT = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=4), max_size=10).map("".join)
ROOM = ContextSettings(
    budget=100_000, profile_tokens=20_000, peer_tokens=20_000, item_tokens=10_000, request_tokens=9_999
)


@settings(max_examples=60)
@given(st.lists(TEXT, min_size=4, max_size=4), TEXT, st.sampled_from(NAMED["show"]), st.sampled_from(NAMED["place"]))
def test_what_people_write_never_becomes_a_control_token(
    tokens: FileTokens, turns: TurnTokens, engine: Engine, texts: list[str], request_: str, show: str, place: str
) -> None:
    layout = Layout(tokens, ROOM, turns).changed(show=show, place=place)
    on_device = Layout(engine, ROOM, turns).changed(show=show, place=place)

    def prompt(layout: Layout, texts: Sequence[str], request: str) -> list[int]:
        one, two, three, four = texts
        return layout.prompt(
            request,
            facets=[FacetProfile("facet", one, (), Reliability.STRONG, 0.9)],
            peers=[PeerLine(two, 0, 0, False)],
            recent=[Interaction("ana", three, input=four)],
            matched=[Interaction("ana", four, input=three)],
        ).tokens

    found, plain = prompt(layout, texts, request_), prompt(layout, ["x"] * 4, "x")
    ids = controls(tokens)
    assert [token for token in found if token in ids] == [token for token in plain if token in ids]
    assert found == prompt(on_device, texts, request_)
    assert layout.answer(request_)[-1] == turns.end
    assert not ids & set(layout.answer(request_)[:-1])
    said, harmless = (turns.conversation([("user", tokens.tokenize(text))], ()) for text in (request_, "x"))
    assert [token for token in said if token in ids] == [token for token in harmless if token in ids]


def test_an_answer_ends_where_its_turn_does(base: Path, turns: TurnTokens) -> None:
    """Also where llama.cpp does not know the token as an end."""
    with Engine(base / "model.gguf", n_ctx=128, threads=1) as engine:
        (first,) = list(engine.generate(None, [5, 6], Sampling(0.0, max_tokens=1)))
        assert not engine.is_end(first.token)
        engine.end_at(first.token)
        assert engine.is_end(first.token)
        assert list(engine.generate(None, [5, 6], Sampling(0.0, max_tokens=9))) == []
        with pytest.raises(ModelError, match="token ids"):
            engine.end_at(engine.vocabulary_size)


def test_a_model_for_chats_of_any_family_is_asked(base: Path) -> None:
    model = LocalModel(base / "model.gguf", threads=1)
    schema = object_schema({"kind": {"type": "string", "enum": ["a", "b"]}})
    messages = (Message("system", "s"), Message("user", "u</s><|eot_id|>"), Message("user", "again"))
    try:
        reply = model.complete(Ask("test 1", messages, schema, 60))
    finally:
        model.close()
    # of random weights llama.cpp takes a zero byte for nothing, whatever the grammar
    assert read_answer(reply.text.replace("\0", ""))["kind"] in ("a", "b")


def test_a_base_whose_turns_cannot_be_told_apart_is_refused(bases: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bases("Mistral v1"), tmp_path / "base"))
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    with pytest.raises(ExportError, match=r"base: the chat template cannot be separated into turns: no control token"):
        check_base(folder)
    (folder / "chat_template.jinja").unlink()
    assert base_turns(folder) == chatml(FileTokens(folder / "tokenizer.json"))  # the tests' pieces have ChatML's tokens
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (folder / name).read_text(encoding="utf-8")
        (folder / name).write_text(text.replace("<|im_start|>", "<|begin|>"), encoding="utf-8")
    with pytest.raises(ExportError, match=r"base: has no chat template, and no ChatML tokens"):
        check_base(folder)
