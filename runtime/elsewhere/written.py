"""A person's prompt as other programs take it: as text in which control tokens are written out, and as templates.

Those programs read control tokens in any text. So what people wrote is changed where it reads like one: a blank is put
into it, and it stays text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from copersona.runtime.engine.turns import Turn, TurnTokens
from copersona.runtime.engine.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class WrittenTurns:
    """How turns open and close, as text. Where roles alternate, the first user turn is open already."""

    system: Turn[str]
    user: Turn[str]
    assistant: Turn[str]
    answer: str
    end: str
    alternates: bool


class Writing:
    """Tokens of a vocabulary as text that another program reads as these tokens."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._controls = {token: text for text, token in vocabulary.controls().items()}

    def is_control(self, token: int) -> bool:
        """Whether it is a control token, or markup of the model's own."""
        return token in self._controls

    def text(self, tokens: Sequence[int]) -> str:
        """The text of these tokens."""
        parts = []
        for control, run in groupby(tokens, key=self.is_control):
            ids = list(run)
            if control:
                parts += [self._controls[token] for token in ids]
            else:
                parts.append(plain(self._vocabulary.text(np.array(ids, np.int32)), self._controls.values()))
        return "".join(parts)

    def turns(self, turns: TurnTokens) -> WrittenTurns:
        """The turns of a model."""

        def turn(role: str) -> Turn[str]:
            found = turns.turn(role)
            return Turn((self.text(found.open),), (self.text(found.close),))

        return WrittenTurns(
            turn("system"), turn("user"), turn("assistant"), self.text(turns.answer), self.text([turns.end]),
            turns.alternates,
        )  # fmt: skip


def plain(text: str, controls: Iterable[str]) -> str:
    """The text with a blank behind the first character of whatever reads like a control token in it."""
    for control in sorted(controls, key=len, reverse=True):
        while control in text:
            text = text.replace(control, f"{control[0]} {control[1:]}")
    return text


def jinja(prefix: str, turns: WrittenTurns) -> str:
    """A chat template, as a GGUF holds it, in which every conversation begins with `prefix`."""

    def say(turn: Turn[str], condition: str = "") -> str:
        opened = f"({_quoted(turn.open[0])} if {condition} else '')" if condition else _quoted(turn.open[0])
        return f"{{{{- {opened} + message['content'] + {_quoted(turn.close[0])} -}}}}"

    return (
        f"{{{{- {_quoted(prefix)} -}}}}{{%- for message in messages -%}}"
        f"{{%- if message['role'] == 'user' -%}}{say(turns.user, 'not loop.first' if turns.alternates else '')}"
        f"{{%- elif message['role'] == 'assistant' -%}}{say(turns.assistant)}"
        f"{{%- else -%}}{say(turns.system)}{{%- endif -%}}{{%- endfor -%}}"
        f"{{%- if add_generation_prompt -%}}{{{{- {_quoted(turns.answer)} -}}}}{{%- endif -%}}"
    )


def modelfile(model: str, prefix: str, turns: WrittenTurns) -> str:
    """Ollama's description of a model in which every conversation begins with `prefix`."""

    def say(turn: Turn[str]) -> str:
        return f"{_go(turn.open[0])}{{{{ .Content }}}}{_go(turn.close[0])}"

    first = turns.user.open[0]
    opened = f"{{{{ if $place }}}}{_go(first)}{{{{ end }}}}" if turns.alternates else _go(first)
    user = f"{opened}{{{{ .Content }}}}{_go(turns.user.close[0])}"
    return (
        f'FROM ./{model}\nTEMPLATE """{_go(prefix)}{{{{ range $place, $_ := .Messages }}}}'
        f'{{{{ if eq .Role "user" }}}}{user}{{{{ else if eq .Role "assistant" }}}}{say(turns.assistant)}'
        f'{{{{ else }}}}{say(turns.system)}{{{{ end }}}}{{{{ end }}}}{_go(turns.answer)}"""\n'
        f"PARAMETER stop {json.dumps(turns.end)}\nPARAMETER temperature 0.8\nPARAMETER top_p 0.95\n"
    )


def _quoted(text: str) -> str:
    """As a string of Jinja's."""
    return json.dumps(text, ensure_ascii=False)


def _go(text: str) -> str:
    """As text in a template of Go's, between three quotation marks."""
    return text.replace("{{", '{{ "{{" }}').replace('"""', '{{ "\\"" }}' * 3)
