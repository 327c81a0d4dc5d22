"""Markdown of an answer as HTML that may stand in the page: no HTML of the text's own, no images, links that leave.

What a model or a person wrote is data: tags in it are shown as they are, and only addresses of the web and of mail are
linked.
"""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from copersona.runtime.serve.answering import as_json
from copersona.runtime.serve.fault import Fault
from copersona.runtime.serve.fields import read_body

LONGEST = 100_000  # characters


def as_html(text: str) -> str:
    """The HTML of a text in Markdown."""
    return str(_reader().render(text))


def markdown_routes() -> list[Route]:
    """The route by which the page asks for it."""
    return [Route("/copersona/v1/markdown", _answer, methods=["POST"])]


async def _answer(request: Request) -> Response:
    fields = read_body(await request.body())
    text = fields.text("text", LONGEST)
    if text is None:
        raise Fault(400, "text is missing", param="text")
    return as_json({"html": await asyncio.to_thread(as_html, text)})


@cache
def _reader() -> MarkdownIt:
    reader = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    reader.disable(["image", "html_block", "html_inline"])
    reader.add_render_rule("link_open", _link)
    for cell in ("th_open", "td_open"):
        reader.add_render_rule(cell, _cell)
    reader.validateLink = lambda url: url.startswith(("https://", "http://", "mailto:"))  # type: ignore[method-assign]
    return reader


def _link(renderer: Any, tokens: list[Token], index: int, options: Any, env: Any) -> str:
    tokens[index].attrSet("rel", "noopener noreferrer nofollow")
    tokens[index].attrSet("target", "_blank")
    return str(renderer.renderToken(tokens, index, options, env))


def _cell(renderer: Any, tokens: list[Token], index: int, options: Any, env: Any) -> str:
    """A cell's side as a class, for the page allows no styles in its text."""
    style = str(tokens[index].attrs.pop("style", ""))
    if style:
        tokens[index].attrSet("class", style.removeprefix("text-align:"))
    return str(renderer.renderToken(tokens, index, options, env))
