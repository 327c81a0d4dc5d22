"""The text branch: who the person is and what they wrote, laid out as prompt segments within a token budget.

Order: soft prompt, system with the person's facets and their peers', own recent
history as earlier turns, retrieved history, the request; the settings may move facets and peers further back, into a
system turn of their own. Whether a part is a turn or stands inside one is decided in `frames`. Each segment is
normalised and tokenised by itself, in training, evaluation and on the device, so that a cached prefix has the same
tokens as a fresh one. Text from people is tokenised with control tokens off. Knows nothing of how tokens are run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from copersona.runtime.engine.turns import Tokens, TurnTokens, chatml
from copersona.runtime.history.interactions import Interaction, clean_text
from copersona.runtime.persona.peer_lines import PeerLine
from copersona.runtime.profile.facets import FacetProfile
from copersona.runtime.prompt.frames import BLANK, frames_of
from copersona.runtime.prompt.settings import ContextSettings, changed

INSTRUCTION = "Write as this person would."
CAUTION = "Other people, similar but not the same; they may differ:"
CUT = " ..."
LEAST_TURN = 16  # tokens of an earlier exchange below which showing it is no use


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of tokens with a name; `cacheable` ones, and all before them, depend on the person only, not on the
    request."""

    name: str
    tokens: tuple[int, ...]
    cacheable: bool


@dataclass(frozen=True, slots=True)
class Prompt:
    """Segments in order, and what of the person's they hold (for the receipt)."""

    segments: tuple[Segment, ...]
    recent: tuple[Interaction, ...] = ()
    matched: tuple[Interaction, ...] = ()
    peers: tuple[PeerLine, ...] = ()
    cut: tuple[str, ...] = ()
    request_cut: int = 0
    """Tokens of the request that are not there, from its middle; they are among `cut` too."""
    pinned: tuple[Interaction, ...] = ()

    @property
    def history(self) -> tuple[Interaction, ...]:
        """Own interactions, in the order in which they stand."""
        return (*self.pinned, *self.recent, *self.matched)

    @property
    def tokens(self) -> list[int]:
        return [token for segment in self.segments for token in segment.tokens]

    @property
    def prefix(self) -> tuple[int, ...]:
        """The tokens that depend on the person only."""
        return tuple(token for segment in self.segments if segment.cacheable for token in segment.tokens)


@dataclass(frozen=True, slots=True)
class Fixed:
    """What of a person's prompt no request changes: tokens by where they stand, what they show, and the room and
    places that are left for what a request finds."""

    system: tuple[int, ...]
    first: tuple[int, ...]
    turns: tuple[int, ...]
    profile: tuple[int, ...]
    pinned: tuple[Interaction, ...]
    recent: tuple[Interaction, ...]
    peers: tuple[PeerLine, ...]
    cut: tuple[str, ...]
    room: int
    places: int


class Layout:
    """Builds prompts for one tokenizer, one set of settings, and a model of these turns; ChatML where none are given.

    Raises:
        ModelError: none are given, and the vocabulary has no ChatML tokens.
    """

    def __init__(self, tokens: Tokens, settings: ContextSettings, turns: TurnTokens | None = None) -> None:
        self._tokens = tokens
        self.settings = settings
        self.turns = turns or chatml(tokens)
        self._frames = frames_of(self.turns, tokens)
        self._newline, self.blank = tuple(tokens.tokenize("\n")), tuple(tokens.tokenize(BLANK))
        parts = {"input": self._frames.input, "output": self._frames.output}
        shown = {"inputs": ("input",), "outputs": ("output",), "both": ("input", "output")}[settings.show]
        self._shown = [(part, parts[part]) for part in shown]
        self._frame = sum(len(frame.open) + len(frame.close) for _, frame in self._shown)

    def changed(self, **settings: Any) -> Layout:
        """The same with some settings changed. Raises ValueError as `ContextSettings` does."""
        return Layout(self._tokens, changed(self.settings, settings), self.turns)

    def text(self, text: str) -> tuple[int, ...]:
        """Tokens of plain text, normalised."""
        return tuple(self._tokens.tokenize(clean_text(text)))

    def answer(self, output: str) -> tuple[int, ...]:
        """What the model is to write: the output and the end of the turn."""
        return (*self.text(output), self._frames.end)

    def prompt(
        self,
        request: str,
        *,
        facets: Sequence[FacetProfile] = (),
        peers: Sequence[PeerLine] = (),
        recent: Sequence[Interaction] = (),
        matched: Sequence[Interaction] = (),
        places: int = 0,
    ) -> Prompt:
        """The whole prompt. `recent` oldest first, `matched` best first; both come after facets and peers in the
        budget. `places` is how many could be matched: recent ones leave them their share whatever the request finds,
        so that a cached prefix stays true.

        With nothing of a person given, this is the prompt of nobody: the instruction and the request.
        """
        fixed = self.fixed(facets=facets, peers=peers, recent=recent, places=max(places, len(matched)))
        return self.complete(fixed, request, matched)

    def fixed(
        self,
        *,
        facets: Sequence[FacetProfile] = (),
        peers: Sequence[PeerLine] = (),
        recent: Sequence[Interaction] = (),
        places: int = 0,
        pinned: Sequence[Interaction] = (),
    ) -> Fixed:
        """What of a prompt is the same for all requests. `pinned` texts have their part of the budget before all else,
        the first one first."""
        cut: list[str] = []
        firsts, room = self._history(pinned, len(pinned), self.settings.budget, cut)
        count = len(recent) + places
        if self.settings.served == "facets":
            profile, lines = self._profile(facets, peers, room, cut)
            own, room = self._history(recent[::-1], count, room - len(profile), cut)
        else:
            own, room = self._history(recent[::-1], count, room, cut)
            spare = max(room - places * self.settings.item_tokens, 0)  # what no match can need
            profile, lines = self._profile(facets, peers, spare, cut)
            room -= len(profile)
        first, head = self.settings.place == "first", self.text(INSTRUCTION)
        return Fixed(
            system=(*self._frames.system.open, *head, *(profile if first else ()), *self._frames.system.close),
            first=tuple(t for _, turn in firsts[::-1] for t in turn),
            turns=tuple(t for _, turn in own[::-1] for t in turn),
            profile=() if first else profile,
            pinned=tuple(item for item, _ in firsts[::-1]),
            recent=tuple(item for item, _ in own[::-1]),
            peers=tuple(lines),
            cut=tuple(cut),
            room=room,
            places=places,
        )

    def complete(self, fixed: Fixed, request: str, matched: Sequence[Interaction] = ()) -> Prompt:
        """The prompt of one request; `matched` are up to the places that were left for them."""
        cut = list(fixed.cut)
        picked, _ = self._history(matched, len(matched), fixed.room, cut)
        asked, request_cut = self._request(request, cut)
        rows = [
            ("system", fixed.system),
            ("pinned", fixed.first),
            ("recent", fixed.turns),
            ("matched", tuple(t for _, turn in picked for t in turn)),
            ("request", asked),
        ]
        if self.settings.place != "first":
            rows.insert(3 if self.settings.place == "middle" else 4, ("profile", fixed.profile))
        depends = [name for name, _ in rows].index("matched" if fixed.places else "request")
        return Prompt(
            segments=tuple(Segment(name, tokens, i < depends) for i, (name, tokens) in enumerate(rows) if tokens),
            recent=fixed.recent,
            matched=tuple(item for item, _ in picked),
            peers=fixed.peers,
            cut=tuple(cut),
            request_cut=request_cut,
            pinned=fixed.pinned,
        )

    def _profile(
        self, facets: Sequence[FacetProfile], peers: Sequence[PeerLine], room: int, cut: list[str]
    ) -> tuple[tuple[int, ...], Sequence[PeerLine]]:
        """Own facets and peers' facets as tokens, all of which count towards the room, and which peers fitted.

        Lines that follow the instruction in its turn, or a turn of their own.
        """
        apart = self.settings.place != "first"
        turn = self._frames.profile
        frame = len(turn.open) + len(turn.close) - len(self._newline)  # the first line needs no newline
        budget = room - apart * frame
        own, left = self._lines([f"{f.summary}." for f in facets], min(self.settings.profile_tokens, budget))
        if left:
            cut.append(f"{left} of {len(facets)} facets")
        caution = (*self._newline, *self.text(CAUTION))
        room = min(self.settings.peer_tokens + self.settings.profile_tokens, budget) - len(own) - len(caution)
        others, left = self._lines([peer.text for peer in peers], room)
        if left:
            cut.append(f"{left} of {len(peers)} peers")
        lines = (*own, *caution, *others) if others else own
        if apart and lines:
            lines = (*turn.open, *lines[len(self._newline) :], *turn.close)
        return lines, peers[: len(peers) - left]

    def _lines(self, lines: Sequence[str], room: int) -> tuple[tuple[int, ...], int]:
        """Each line on its own, whole or not at all; stops at the first that does not fit. Tokens and lines left
        out."""
        tokens: list[int] = []
        for done, line in enumerate(lines):
            row = (*self._newline, *self.text(line))
            if len(tokens) + len(row) > room:
                return tuple(tokens), len(lines) - done
            tokens.extend(row)
        return tuple(tokens), 0

    def _history(
        self, items: Sequence[Interaction], places: int, room: int, cut: list[str]
    ) -> tuple[list[tuple[Interaction, tuple[int, ...]]], int]:
        """Items in order of importance as turns: an equal share of the room for each of `places`, of which items take
        the first; what one leaves rolls over. Also the room that is left.

        Where equal shares are too small for a turn, the first get the least that is of use and the last nothing.
        """
        kept: list[tuple[Interaction, tuple[int, ...]]] = []
        for place, item in enumerate(items):
            share = min(max(room // (places - place), self._frame + LEAST_TURN), room, self.settings.item_tokens)
            if share < self._frame + LEAST_TURN:
                cut.append("1 interaction")
                continue
            turn = self._turn(item, share)
            kept.append((item, turn))
            room -= len(turn)
        return kept, room

    def _turn(self, item: Interaction, room: int) -> tuple[int, ...]:
        """What is shown of an earlier exchange within `room` tokens: of both, the output before the
        input."""
        texts = {"input": self.text(item.request()), "output": self.text(item.output)}
        room -= self._frame
        if len(self._shown) == 2 and sum(map(len, texts.values())) > room:
            texts["input"] = texts["input"][: max(room - len(texts["output"]), room // 4)]
            room -= len(texts["input"])
        last, _ = self._shown[-1]
        texts[last] = self._shorten(texts[last], room)
        return tuple(t for part, frame in self._shown for t in (*frame.open, *texts[part], *frame.close))

    def _shorten(self, tokens: tuple[int, ...], room: int) -> tuple[int, ...]:
        mark = tuple(self._tokens.tokenize(CUT))
        return tokens if len(tokens) <= room else (*tokens[: max(room - len(mark), 0)], *mark)

    def _request(self, request: str, cut: list[str]) -> tuple[tuple[int, ...], int]:
        """The request's turn and the answer's opening, and how many tokens of the request are left out: from its
        middle, as what is asked often stands at its end, and what it is about at its beginning."""
        tokens, most = self.text(request), self.settings.request_tokens
        left = 0
        if len(tokens) > most:
            mark = tuple(self._tokens.tokenize(CUT))
            mark = mark if len(mark) <= most // 4 else ()
            first = (most - len(mark)) // 2
            last = most - len(mark) - first
            left = len(tokens) - first - last
            cut.append(f"{left} tokens of the request")
            tokens = (*tokens[:first], *mark, *tokens[len(tokens) - last :])
        return (*self._frames.request.open, *tokens, *self._frames.request.close), left
