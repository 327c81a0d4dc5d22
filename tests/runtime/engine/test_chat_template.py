"""Turns from chat templates as they are published: what is written in them is what the template writes."""

from __future__ import annotations

import itertools
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copersona.runtime.common.errors import ModelError
from copersona.runtime.engine.chat_template import derive_turns, model_turns
from copersona.runtime.engine.marked_chats import ChatTemplate, units
from copersona.runtime.engine.template_render import Chat, render
from copersona.runtime.engine.turns import MOST, TurnTokens, chatml

from ...families import CHATML, FAMILIES, SMOLLM2, Family

FIRST = 1_000  # of the ids of characters; control tokens stand below


class Letters:
    """Each character is one token; control tokens are those of a family, from 1 on."""

    def __init__(self, *control: str, template: str | None = None) -> None:
        self.ids = {token: i for i, token in enumerate(control, 1)}
        self.source = template

    def tokenize(self, text: str) -> list[int]:
        return [FIRST + ord(c) for c in text]

    def control(self, token: str) -> int:
        if token not in self.ids:
            raise ModelError(f"no {token}")
        return self.ids[token]

    @property
    def template(self) -> ChatTemplate | None:
        special = {"bos_token": next(iter(self.ids), ""), "eos_token": next(reversed(self.ids), "")}
        return None if self.source is None else ChatTemplate(self.source, special, self.ids)

    def text(self, tokens: list[int]) -> str:
        names = {i: token for token, i in self.ids.items()}
        return "".join(names.get(token) or chr(token - FIRST) for token in tokens)


def letters(family: Family) -> Letters:
    return Letters(*family.control, template=family.template)


def derived(template: str, *control: str) -> TurnTokens:
    return model_turns(Letters(*control, template=template))


def refused(template: str, *control: str) -> str:
    with pytest.raises(ModelError) as caught:
        derived(template, *(control or CHATML))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def written(tokens: Letters, turns: TurnTokens, *messages: tuple[str, str]) -> str:
    rows = [(role, tokens.tokenize(text)) for role, text in messages]
    return tokens.text(turns.conversation(rows, tokens.tokenize("\n\n")))


@pytest.fixture(scope="module")
def known() -> dict[str, TurnTokens]:
    return {name: model_turns(letters(family)) for name, family in FAMILIES.items()}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_chat_reads_as_its_makers_say(known: dict[str, TurnTokens], name: str) -> None:
    family, turns = FAMILIES[name], known[name]
    tokens = letters(family)
    chat = written(tokens, turns, ("system", "Be brief."), ("user", "What now?"))
    assert chat == family.chat.format(S="Be brief.", U="What now?")
    assert (turns.system_role, turns.alternates) == (family.system_role, family.alternates)
    assert tokens.text([turns.end]) == family.control[-1]


@pytest.mark.parametrize("name", FAMILIES)
def test_longer_chats_are_what_the_template_writes(known: dict[str, TurnTokens], name: str) -> None:
    """Of every order of roles that the template knows, against a rendering of the whole."""
    family, turns = FAMILIES[name], known[name]
    tokens, roles = letters(family), ("user", "assistant") if family.alternates else ("system", "user", "assistant")
    orders = [order for n in range(4) for order in itertools.product(roles, repeat=n)]
    if family.alternates:
        orders = [("user", "assistant") * n for n in range(3)]
    head = [("system", "Be brief.")] if family.system_role else []
    texts = [[(role, f"text {i} of [{role}]") for i, role in enumerate(order)] for order in orders]
    chats = [(*head, *text, ("user", "And?")) for text in texts]
    found = render(family.template, family.special, [Chat(tuple(chat), True) for chat in chats])
    for chat, one in zip(chats, found, strict=True):
        assert one.error is None
        assert written(tokens, turns, *chat) == one.text


def test_an_answer_is_opened_also_where_the_template_does_not() -> None:
    bare = LOOP + TURN + "{% endfor %}"
    assert derived(bare, *CHATML) == chatml(Letters(*CHATML))


def test_a_default_system_turn_is_never_written(known: dict[str, TurnTokens]) -> None:
    ids = [*known["ChatML"].first.open, *known["ChatML"].user.open]
    assert "helpful" not in letters(FAMILIES["ChatML"]).text(ids)
    tokens = letters(FAMILIES["ChatML"])
    assert known["ChatML"] == chatml(tokens)


def test_turns_of_one_role_in_a_row_are_one_where_roles_alternate(known: dict[str, TurnTokens]) -> None:
    tokens = letters(FAMILIES["Gemma"])
    messages = [("system", "S"), ("user", "a"), ("user", "b"), ("assistant", "c"), ("user", "d")]
    chat = written(tokens, known["Gemma"], *messages)
    assert chat == (
        "<bos><start_of_turn>user\nS\n\na\n\nb<end_of_turn>\n<start_of_turn>model\nc<end_of_turn>\n"
        "<start_of_turn>user\nd<end_of_turn>\n<start_of_turn>model\n"
    )
    for wrong in ((), ("assistant",), ("user", "assistant"), ("assistant", "user"), ("user", "tool", "user")):
        with pytest.raises(ValueError, match=r"user's turn|no role"):
            known["Gemma"].conversation([(role, ()) for role in wrong], ())


def test_without_a_template_chatml_goes_on_and_nothing_else() -> None:
    assert model_turns(Letters(*CHATML)) == chatml(Letters(*CHATML))
    with pytest.raises(ModelError, match="no chat template, and no ChatML tokens"):
        model_turns(Letters("<s>"))


LOOP = "{% for m in messages %}"
TURN = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
REFUSED = {
    "does not parse": ("{% for %}", "cannot be read: "),
    "unknown tag": ("{% generation %}{% endgeneration %}", "cannot be read: .*generation"),
    "include": ("{% include '/etc/passwd' %}", "no loader for this environment"),
    "import": ("{% import 'os' as os %}", "no loader for this environment"),
    "extends": ("{% extends 'x' %}", "no loader for this environment"),
    "reaches out": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
    "reaches a module": ("{{ raise_exception.__globals__['os'].system('true') }}", "unsafe"),
    "changes its input": ("{{ messages.append(1) }}", "(not safely callable|unsafe)"),
    "needs what is not there": ("{{ bos_token + nothing }}", "refuses a chat of user"),
    "grows": ("{% for a in range(99999) %}{{ 'aaaaaaaaaaaa' }}{% endfor %}", "more than 262,144 characters"),
    "grows at once": ("{{ 'a' * 10 ** 10 }}", "refuses a chat of user"),
    "counts to the end": ("{{ range(10 ** 9) | list }}", "Range too big"),
    "says nothing": (" ", "left out, changed"),
    "no text": (LOOP + "{{ m.role }}{% endfor %}", "a text is left out, changed or there twice"),
    "twice": (LOOP + TURN + TURN + "{% endfor %}", "there twice"),
    "changed": (LOOP + TURN.replace("content", "content | upper") + "{% endfor %}", "changed"),
    "escaped": (LOOP + TURN.replace("content", "content | e") + "{% endfor %}", "changed"),
    "as JSON": (LOOP + TURN.replace("content", "content | tojson") + "{% endfor %}", "changed"),
    "backwards": ("{% for m in messages[::-1] %}" + TURN + "{% endfor %}", "not in their order"),
    "counted": (LOOP + "{{ loop.index }}" + TURN + "{% endfor %}", "opens in different ways|reads otherwise"),
    "by length": (LOOP + TURN + "{% if messages | length > 3 %}!{% endif %}{% endfor %}", "different ways|otherwise"),
    "shows earlier text": (
        LOOP + "{% if loop.index0 > 4 %}{{ messages[2].content | length }}{% endif %}" + TURN + "{% endfor %}",
        "otherwise",
    ),
    "no end": (LOOP + "{{ m.role }}: {{ m.content }}\n{% endfor %}", "no control token ends an answer"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_separated_is_refused_with_a_line_that_says_why(name: str) -> None:
    template, why = REFUSED[name]
    said = refused(template)
    assert re.search(why, said), said
    assert len(said) < 500


def test_a_template_that_does_not_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    begun = time.monotonic()
    with pytest.raises(ModelError, match="does not end within 1 seconds"):
        render(endless, {}, [Chat((("user", "x"),), True)], seconds=1)
    assert time.monotonic() - begun < 30
    with pytest.raises(ModelError, match="more than 262,144 bytes"):
        render("x" * (1 << 18) + "x", {}, [])


def test_what_a_template_says_for_itself_is_one_line_without_signs_for_a_terminal() -> None:
    said = refused("{{ raise_exception('\x1b[31mred\n' + 'x' * 10000) }}")
    assert "\x1b" not in said
    assert len(said) < 500


def test_a_template_sees_no_clock() -> None:
    (found,) = render("{{ strftime_now('%d %b %Y') }}", {}, [Chat((), True)])
    assert found.text == "26 Jul 2024"


def test_a_turn_may_not_be_opened_by_a_book() -> None:
    long = SMOLLM2.replace("+ '\n' +", f"+ '\n{'x' * MOST}' +", 1)
    assert f"more than {MOST}" in refused(long)


class Spaced(Letters):
    """A tokenizer that puts a space in front of every text, as SentencePiece's do."""

    def tokenize(self, text: str) -> list[int]:
        return super().tokenize(f"▁{text.replace(' ', '▁')}") if text else []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Mistral v1", "<s>▁[INST]▁S▁\n\n▁U▁[/INST]▁A</s>"),  # as their own tokenizer has it, but for the blank line
        ("Mistral v3", "<s>[INST]▁S▁\n\n▁U[/INST]▁A</s>"),
    ],
)
def test_a_space_that_the_tokenizer_adds_is_not_written_twice(name: str, expected: str) -> None:
    family = FAMILIES[name]
    tokens = Spaced(*family.control, template=family.template)
    turns = model_turns(tokens)
    rows = [("system", tokens.tokenize("S")), ("user", tokens.tokenize("U"))]
    prompt = turns.conversation(rows, tokens.tokenize("\n\n"))
    assert tokens.text([*prompt, *tokens.tokenize("A"), turns.end]) == expected


@given(st.text(st.sampled_from("<|ab>"), max_size=40))
def test_units_are_the_text(text: str) -> None:
    found = list(units(text, {"<|a": 1, "<|ab": 2, ">": 3}))
    assert "".join(unit.text for unit in found) == text
    assert [unit.control for unit in found if len(unit.text) > 1] == [True] * text.count("<|a")
    assert sum(unit.text == "<|ab" for unit in found) == text.count("<|ab")


def test_turns_are_the_same_again() -> None:
    family = FAMILIES["Llama 3"]
    template = letters(family).template
    assert template is not None
    assert derive_turns(template, letters(family)) == derive_turns(template, letters(family))
