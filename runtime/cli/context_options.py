"""The options of context settings, for the commands that train with them and for those that answer with others."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

import click

from copersona.runtime.prompt.settings import NAMED, REAL, ContextSettings

T = TypeVar("T")

HELP = {
    "recent": "Own interactions shown: the latest.",
    "matched": "Own interactions shown: of the older ones, those most like the request.",
    "matcher": "What is like the request: common words, sentence vectors, or both ranks fused.",
    "show": "What is shown of an interaction, and matched: what the person wrote, what it answered, or both.",
    "place": "Where facets and peers stand: before the history, between latest and matched, or before the request.",
    "served": "What has its part of the budget first: facets and peers, or own texts; the other has what is left.",
    "peers": "Peers shown for a facet that the person lacks, at most.",
    "budget": "Most tokens of facets, peers and own history together.",
    "profile_tokens": "Of them, tokens of own facets; what is not used goes on to peers and history.",
    "peer_tokens": "Of them, tokens of peers' facets; what is not used goes on to the history.",
    "item_tokens": "Most tokens of one interaction.",
    "request_tokens": "Most tokens of the request, beside the budget.",
    "brake": "How little a few very similar people are believed; 0: the nearest, wholly.",
    "confidence": "Least support of a facet of which anything is said.",
}


def context_options(*, default: str | None = None) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Give a command an option for every context setting; it gets those that were given as one dict, `context`.

    `default` says in the help what holds without an option; None: the defaults of `ContextSettings`.
    """

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        @functools.wraps(function)
        def gather(**given: Any) -> T:
            context = {name: given.pop(name) for name in HELP}
            return function(**given, context={name: value for name, value in context.items() if value is not None})

        command: Callable[..., T] = gather
        plain = {field.name: field.default for field in fields(ContextSettings)}
        for name, text in reversed(HELP.items()):
            kind: Any = click.IntRange(0)
            if name in NAMED:
                kind = click.Choice(NAMED[name])
            elif name in REAL:
                kind = click.FloatRange(0, REAL[name])
            shown = f"[default: {default or plain[name]}]"
            command = click.option(f"--{name.replace('_', '-')}", name, type=kind, help=f"{text}  {shown}")(command)
        return command

    return decorate
