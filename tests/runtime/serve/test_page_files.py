"""What the page is made of: nothing from elsewhere, nothing that runs in the document, Markdown without markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("starlette", reason="the extra `serve` is not installed")

from copersona.runtime.serve.markdown import LONGEST, as_html
from copersona.runtime.serve.page_files import FOLDER, KINDS, page_files

from .running import Running

TAGS = {"p", "br", "em", "strong", "s", "code", "pre", "ul", "ol", "li", "blockquote", "hr", "a", "table", "thead",
        "tbody", "tr", "th", "td", "h1", "h2", "h3", "h4", "h5", "h6"}  # fmt: skip
ATTRIBUTES = {"href", "title", "rel", "target", "class", "start"}
MARKS = ["<", ">", "&", '"', "'", "`", "![", "](", ")", "[", "]", "javascript:", "http://a.b", "data:text/html,",
         "\n", "|", "-", ":-:", "#", "*", "<!--", "<script>", "</p>",
         "onerror=", "<svg", ":", "  ", "\t", "\\", "x"]  # fmt: skip


class Reader(HTMLParser):
    """The tags and attributes of some HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_comment(self, data: str) -> None:
        self.found.append(("comment", {}))


def tags(html: str) -> list[tuple[str, dict[str, str | None]]]:
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader.found


@given(st.lists(st.sampled_from(MARKS) | st.text(max_size=3), max_size=30).map("".join))
def test_markdown_of_any_text_holds_only_what_is_laid_out_by_it(text: str) -> None:
    for tag, attributes in tags(as_html(text)):
        assert tag in TAGS
        assert set(attributes) <= ATTRIBUTES
        if tag == "a":
            assert (attributes["href"] or "").startswith(("http://", "https://", "mailto:"))
            assert attributes["rel"] == "noopener noreferrer nofollow"


def test_markdown_is_laid_out() -> None:
    assert as_html("**a** and ~~b~~") == "<p><strong>a</strong> and <s>b</s></p>\n"
    assert "<td>1</td>" in as_html("| a |\n|---|\n| 1 |")
    assert '<td class="right">1</td>' in as_html("| a |\n|--:|\n| 1 |")
    assert as_html("one\ntwo") == "<p>one<br />\ntwo</p>\n"
    assert "&lt;b&gt;" in as_html("<b>x</b>")
    assert "<img" not in as_html("![x](https://a.example/x.png)")
    assert "<a" not in as_html("[x](javascript:alert(1))")


def test_markdown_over_the_server_is_bounded(server: Running) -> None:
    found = server.ask("POST", "/copersona/v1/markdown", {"text": "*a*"})
    assert found.body == {"html": "<p><em>a</em></p>\n"}
    long = server.ask("POST", "/copersona/v1/markdown", {"text": "a" * (LONGEST + 1)})
    assert (long.status, long.error["param"]) == (400, "text")
    assert server.ask("POST", "/copersona/v1/markdown", {}).status == 400


def test_the_page_s_files_are_sent_as_what_they_are(server: Running) -> None:
    for path, file in page_files().items():
        found = server.ask("GET", path, headers={"Authorization": None})
        assert (found.status, found.raw) == (200, file.read_bytes()), path
        assert found.headers["content-type"] == KINDS[file.suffix]
        policy = found.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert found.headers["x-content-type-options"] == "nosniff"


def test_a_link_leads_to_the_page_and_to_nothing_else(server: Running) -> None:
    visit = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert server.ask("GET", "/", headers=visit).status == 200
    assert server.ask("GET", "/v1/models", headers=visit).status == 403
    assert server.ask("GET", "/", headers=visit | {"Sec-Fetch-Dest": "iframe"}).status == 403


def test_no_file_of_the_page_asks_for_anything_elsewhere_or_runs_in_the_document() -> None:
    names = set(page_files())
    for file in FOLDER.iterdir():
        text = file.read_text(encoding="utf-8")
        assert set(re.findall(r"https?://[^\s\"']*", text)) <= {"http://www.w3.org/2000/svg"}, file.name
        for imported in re.findall(r'from "\./([^"]+)"', text):
            assert f"/page/{imported}" in names, (file.name, imported)
    document = (FOLDER / "index.html").read_text(encoding="utf-8")
    for tag, attributes in tags(document):
        assert not [name for name in attributes if name.startswith("on") or name == "style"], tag
        assert tag != "style"
        if tag == "script":
            assert attributes["src"] in names
    for source in re.findall(r'(?:src|href)="(/[^"]*)"', document):
        assert source in names


def test_scripts_make_html_of_nothing_but_the_server_s_markdown() -> None:
    found = {
        file.name: re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text)
        for file in FOLDER.glob("*.js")
        if (text := file.read_text(encoding="utf-8"))
    }
    assert {name: uses for name, uses in found.items() if uses} == {"markdown.js": ["innerHTML"]}
