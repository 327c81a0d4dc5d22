"""The demo on a screen: beside each answer, why it reads so. With `rich` on a terminal, as plain lines elsewhere.

Both draw the same lines. A line is spans of (text, style); every text of a person, a peer or a model goes through
`printable` and is never markup. Knows nothing of bundles or stores.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TextIO

from copersona.runtime.common.terminal import one_line, printable
from copersona.runtime.demo.data import Move, Recalled, Shown
from copersona.runtime.session.portrait import FacetMove, FacetShown

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

Line = list[tuple[str, str]]

WIDE = 96  # columns from which answer and reasons stand side by side
BAR = 8
STYLES = {"strong": "green", "moderate": "yellow", "weak": "red", "none": "red"}
NOBODY = "nobody"
LEGEND = (
    "own: how much of a facet in the soft prompt is the person's (the gate), a neutral placeholder where their texts "
    "tell too little; peers: the rest, of those nearest in all.",
    "near, lent by: a peer whose facet stands in the prompt as someone else's; lent where the person's own texts tell "
    "too little. Peers are the pseudonymous people of the bundle, with their similarity.",
)


class Screen(Protocol):
    """Where the demo is shown."""

    def say(self, *lines: str) -> None:
        """Lines of the demo's own."""
        ...

    def request(self, request: str) -> None:
        """What is asked of everyone."""
        ...

    def stream(self, person: str | None, pieces: Iterator[str]) -> None:
        """An answer as it comes; reads `pieces` to their end."""
        ...

    def shown(self, shown: Shown) -> None:
        """The answer that was just streamed, with why."""
        ...

    def move(self, move: Move) -> None:
        """What one more text did."""
        ...


def make_screen(stream: TextIO | None = None) -> Screen:
    """A screen for this output: `rich` on a terminal that can do it, plain lines elsewhere."""
    stream = stream or sys.stdout
    if stream.isatty():
        from rich.console import Console

        console = Console(file=stream, markup=False, highlight=False, emoji=False)
        if not console.is_dumb_terminal and not console.options.ascii_only:
            return RichScreen(console)
    return PlainScreen(stream)


class PlainScreen:
    """Lines of text as they come."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def _write(self, text: str) -> None:
        encoding = self._stream.encoding or "utf-8"  # what cannot be written is a question mark, not an error
        self._stream.write(text.encode(encoding, "replace").decode(encoding))
        self._stream.flush()

    def say(self, *lines: str) -> None:
        self._write("".join(f"{printable(line)}\n" for line in lines))

    def request(self, request: str) -> None:
        self.say("", "request", *(f"  {line}" for line in request.splitlines()))

    def stream(self, person: str | None, pieces: Iterator[str]) -> None:
        self._write(f"\n== {one_line(person or NOBODY)} ==\n")
        start = True
        for piece in pieces:
            piece = piece.lstrip() if start else piece
            start = start and not piece
            self._write(printable(piece))
        self._write("\n")

    def shown(self, shown: Shown) -> None:
        self._lines(why(shown))

    def move(self, move: Move) -> None:
        self._write("\n")
        self._lines(moved(move))

    def _lines(self, lines: Sequence[Line]) -> None:
        for line in lines:
            self._write("  " + "".join(text for text, _ in line).rstrip() + "\n")


class RichScreen:
    """Panels, side by side where the terminal is wide enough."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def say(self, *lines: str) -> None:
        for line in lines:
            self._console.print(_text([(printable(line), "")]))

    def request(self, request: str) -> None:
        from rich.panel import Panel

        body = _text([(printable(request), "bold")])
        self._console.print(Panel(body, title="request", title_align="left", style="cyan"))

    def stream(self, person: str | None, pieces: Iterator[str]) -> None:
        from rich.live import Live

        text = ""
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            live.update(self._panel(person, "", None), refresh=True)
            for piece in pieces:
                text += printable(piece)
                live.update(self._panel(person, text.lstrip(), None), refresh=True)

    def shown(self, shown: Shown) -> None:
        self._console.print(self._panel(shown.person, printable(shown.answer), why(shown, solid=True)))

    def move(self, move: Move) -> None:
        from rich.panel import Panel

        body = _rows(moved(move))
        title = _text([(f"{one_line(move.person)}, before and after", "bold")])
        self._console.print(Panel(body, title=title, title_align="left"))

    def _panel(self, person: str | None, answer: str, lines: Sequence[Line] | None) -> RenderableType:
        from rich.panel import Panel
        from rich.table import Table

        wide = self._console.width >= WIDE
        grid = Table.grid(padding=(0, 2), expand=True)
        grid.add_column(ratio=1)
        said = _text([(answer or "...", "")])
        reasons = _rows(lines or [])
        if wide:
            grid.add_column(ratio=2)
            grid.add_row(said, reasons)
        else:
            grid.add_row(said)
            if lines is not None:
                grid.add_row(_text([("", "")]))
                grid.add_row(reasons)
        title = _text([(one_line(person or NOBODY, 40), "bold magenta" if person else "bold")])
        return Panel(grid, title=title, title_align="left")


def _text(spans: Line) -> Text:
    from rich.text import Text

    return Text.assemble(*spans)


def _rows(lines: Sequence[Line]) -> RenderableType:
    """Each line on one row; what is too long for it ends in an ellipsis."""
    from rich.console import Group

    rows = [_text(line) for line in lines]
    for row in rows:
        row.no_wrap, row.overflow = True, "ellipsis"
    return Group(*rows)


# -- what both draw -------------------------------------------------------------------------------------------------


def why(shown: Shown, *, solid: bool = False) -> list[Line]:
    """Facets with reliability and gate, peers, own texts and neighbours behind one answer."""
    receipt = shown.receipt
    if shown.person is None:
        soft = "the soft prompt of nobody, and the request" if receipt.trained else "the request alone"
        return [[(f"no facets, no peers, no texts: {soft}", "dim")]]
    lines: list[Line] = []
    if receipt.soft_prompt == NOBODY:
        lines.append([("too few words to know this person by: the soft prompt of nobody", "")])
    else:
        for facet in shown.facets:
            lines += _facet(facet, solid)
    if shown.recalled:
        lines.append([("own texts in the prompt:", "dim")])
        lines += [_recalled(row) for row in shown.recalled]
    else:
        lines.append([("no own text in the prompt", "dim")])
    near = ", ".join(f"{peer_name(peer)} {value:.2f}" for peer, value in receipt.neighbors)
    if near:
        lines.append([("nearest in all: ", "dim"), (near, "")])
    tokens = receipt.prompt_tokens
    soft = f"soft prompt of {tokens['soft']} tokens" if receipt.trained else "nothing trained, no soft prompt"
    lines.append([(f"{soft}; {sum(tokens.values())} tokens in all", "dim")])
    return lines


def _facet(facet: FacetShown, solid: bool) -> list[Line]:
    """The person's own share of a facet, and below it the peers' share and whose it is."""
    says = one_line(facet.says) or "too little of their own to say"
    share, rest = "", ""
    if facet.own is not None:
        share, rest = _share("own", facet.own, solid), _share("peers", 1 - facet.own, solid)
    own: Line = [
        (share, "cyan"),
        (f"{facet.reliability:<9}", STYLES.get(facet.reliability, "")),
        (one_line(facet.facet), "bold"),
        (f": {says}", "dim" if facet.lacking else ""),
    ]
    lines = [own]
    for peer in [peer for peer in facet.lent if peer.in_prompt] or facet.lent[:1]:
        says = f"{peer_name(peer.peer)} ({peer.similarity:.2f}): {one_line(peer.says).partition(' (')[0]}"
        where = "" if peer.in_prompt else ", not in the prompt"
        lines.append([(rest, "magenta"), (f"{'lent by' if facet.lacking else 'near':<9}{says}{where}", "dim")])
        rest = " " * len(rest)
    return lines


def _share(whose: str, share: float, solid: bool) -> str:
    """Whose share of a facet, as a number and a bar."""
    full, empty = ("█", "░") if solid else ("#", ".")
    filled = round(share * BAR)
    return f"{whose:<5} {share:.2f} {full * filled + empty * (BAR - filled)} "


def _recalled(row: Recalled) -> Line:
    day = time.strftime("%Y-%m-%d", time.gmtime(row.time)) if row.time is not None else "no date"
    title = f"{one_line(row.title, 40)}: " if row.title else ""
    return [(f"  {row.by} {day} ", "dim"), (f"{title}{one_line(row.text, 60)}", "italic dim")]


def moved(move: Move) -> list[Line]:
    """Facet values, neighbours and soft prompt before and after."""
    lines: list[Line] = [[(f"{one_line(move.person)}: {counted(move.texts)} now", "bold")]]
    for row in move.facets:
        lines += _moved_facet(row)
    count = len(move.stayed) + len(move.came)
    lines.append([(f"nearest in all: {len(move.stayed)} of {count} stayed", "")])
    for name, peers in (("came", move.came), ("went", move.went)):
        if peers:
            lines.append([(f"  {name}: {', '.join(map(peer_name, peers))}", "dim")])
    if move.apart:
        scale = f"(two of these people are {move.apart:.4f} apart, on average)"
        lines.append([(f"soft prompt moved by {move.distance:.4f} {scale}", "bold")])
    return lines


def _moved_facet(row: FacetMove) -> list[Line]:
    before, after = row.before, row.after
    spans: Line = [(f"{one_line(row.facet)}: ", "bold")]
    spans.append((_change(before.reliability, after.reliability), STYLES.get(after.reliability, "")))
    if before.own is not None and after.own is not None:
        spans.append((f", own {_change(f'{before.own:.2f}', f'{after.own:.2f}')}", ""))
    if row.score_after is not None:
        was = "-" if row.score_before is None else f"{row.score_before:+.2f}"
        spans.append((f", score {_change(was, f'{row.score_after:+.2f}')}", ""))
    lines = [spans]
    if not (before.lacking and after.lacking):
        says = [one_line(facet.says) or "too little to say" for facet in (before, after)]
        lines.append([(f"  {_change(*says)}", "dim")])
    return lines


def _change(before: str, after: str) -> str:
    return before if before == after else f"{before} -> {after}"


def counted(texts: int) -> str:
    """So many texts."""
    return "1 text" if texts == 1 else f"{texts} texts"


def peer_name(pseudonym: str) -> str:
    """A pseudonym short enough to read."""
    return f"peer {one_line(pseudonym)[:6]}"
