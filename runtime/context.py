"""The text branch: who the person is and what they wrote, laid out as prompt segments within a token budget.

Order (METHOD 0, "The same text everywhere"): soft prompt, system with the person's facets and their peers', own recent
history as earlier turns, retrieved history, the request. Each segment is normalised and tokenised by itself, in
training, evaluation and on the device, so that a cached prefix has the same tokens as a fresh one. Text from people
is tokenised with control tokens off; only this file writes turns. Knows nothing of how tokens are run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from copersona.runtime.facets import FacetProfile
from copersona.runtime.interactions import Interaction, clean_text

INSTRUCTION = "Write as this person would."
CAUTION = "Other people, similar but not the same; they may differ:"
CUT = " ..."
LEAST_TURN = 16  # tokens of an earlier exchange below which showing it is no use


class Tokens(Protocol):
    """What the layout needs of a tokenizer."""

    def tokenize(self, text: str) -> list[int]:
        """Tokens of plain text; control tokens inside it stay text."""
        ...

    def control(self, token: str) -> int:
        """The id of a control token, such as <|im_start|>."""
        ...


@dataclass(frozen=True, slots=True)
class ContextSettings:
    """How much of what goes into the prompt. Token counts exclude the request and the soft prompt.

    budget bounds everything; profile and peers are shares of it that roll over to the history when not used.
    recent and matched are the numbers of own interactions by recency and by BM25 on the request.
    """

    budget: int = 512
    profile_tokens: int = 128
    peer_tokens: int = 128
    item_tokens: int = 192
    request_tokens: int = 256
    recent: int = 4
    matched: int = 0
    peers: int = 3


@dataclass(frozen=True, slots=True)
class PeerLine:
    """One peer's facet as shown: a pseudonym is never shown, a number within the prompt is."""

    text: str
    peer: int
    facet: int
    lacking: bool


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of tokens with a name; `cacheable` ones depend on the person only, not on the request."""

    name: str
    tokens: tuple[int, ...]
    cacheable: bool


@dataclass(frozen=True, slots=True)
class Prompt:
    """Segments in order, and what of the person's they hold (for the receipt)."""

    segments: tuple[Segment, ...]
    history: tuple[Interaction, ...] = ()
    peers: tuple[PeerLine, ...] = ()
    cut: tuple[str, ...] = ()

    @property
    def tokens(self) -> list[int]:
        return [token for segment in self.segments for token in segment.tokens]


class Layout:
    """Builds prompts for one tokenizer and one set of settings (ChatML turns)."""

    def __init__(self, tokens: Tokens, settings: ContextSettings) -> None:
        self._tokens = tokens
        self.settings = settings
        self._start, self._end = tokens.control("<|im_start|>"), tokens.control("<|im_end|>")
        self._newline = tuple(tokens.tokenize("\n"))
        roles = ("system", "user", "assistant")
        self._open = {role: (self._start, *tokens.tokenize(role), *self._newline) for role in roles}
        self._close = (self._end, *self._newline)
        self._frame = len(self._open["user"]) + len(self._open["assistant"]) + 2 * len(self._close)

    def text(self, text: str) -> tuple[int, ...]:
        """Tokens of plain text, normalised."""
        return tuple(self._tokens.tokenize(clean_text(text)))

    def answer(self, output: str) -> tuple[int, ...]:
        """What the model is to write: the output and the end of the turn."""
        return (*self.text(output), self._end)

    def prompt(
        self,
        request: str,
        *,
        facets: Sequence[FacetProfile] = (),
        peers: Sequence[PeerLine] = (),
        recent: Sequence[Interaction] = (),
        matched: Sequence[Interaction] = (),
    ) -> Prompt:
        """The whole prompt. `recent` oldest first, `matched` best first; both come after facets and peers in the
        budget.

        With nothing of a person given, this is the prompt of nobody: the instruction and the request.
        """
        room = self.settings.budget
        profile, shown, used, cut = self._profile(facets, peers)
        kept = self._history([*reversed(recent), *matched], room - used, cut)
        own = [(i, turn) for i, turn in kept if i in recent][::-1]
        picked = [(i, turn) for i, turn in kept if i not in recent]
        segments = [
            Segment("system", (*self._open["system"], *profile, *self._close), True),
            Segment("recent", tuple(t for _, turn in own for t in turn), True),
            Segment("matched", tuple(t for _, turn in picked for t in turn), False),
            Segment("request", self._request(request, cut), False),
        ]
        held = tuple(i for i, _ in (*own, *picked))
        return Prompt(tuple(s for s in segments if s.tokens), held, tuple(shown), tuple(cut))

    def _profile(
        self, facets: Sequence[FacetProfile], peers: Sequence[PeerLine]
    ) -> tuple[tuple[int, ...], list[PeerLine], int, list[str]]:
        """Instruction, own facets and peers' facets as tokens; which peers fitted; tokens of it that count; what was
        cut."""
        head, cut = self.text(INSTRUCTION), []
        budget = self.settings.budget
        own, left = self._lines([f"{f.summary}." for f in facets], min(self.settings.profile_tokens, budget))
        if left:
            cut.append(f"{left} of {len(facets)} facets")
        if not peers:
            return (*head, *own), [], len(own), cut
        room = min(self.settings.peer_tokens + self.settings.profile_tokens, budget) - len(own)
        caution = (*self._newline, *self.text(CAUTION))
        lines, left = self._lines([peer.text for peer in peers], room - len(caution))
        if left:
            cut.append(f"{left} of {len(peers)} peers")
        shown = list(peers[: len(peers) - left])
        tail = (*caution, *lines) if shown else ()
        return (*head, *own, *tail), shown, len(own) + len(tail), cut

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
        self, items: Sequence[Interaction], room: int, cut: list[str]
    ) -> list[tuple[Interaction, tuple[int, ...]]]:
        """Items in order of importance as turns: an equal share of the room each; what one leaves rolls over.

        Where equal shares are too small for a turn, the first get the least that is of use and the last nothing.
        """
        kept: list[tuple[Interaction, tuple[int, ...]]] = []
        for place, item in enumerate(items):
            share = min(max(room // (len(items) - place), self._frame + LEAST_TURN), room, self.settings.item_tokens)
            turn = self._turn(item, share)
            if turn is None:
                cut.append("1 interaction")
                continue
            kept.append((item, turn))
            room -= len(turn)
        return kept

    def _turn(self, item: Interaction, room: int) -> tuple[int, ...] | None:
        """An earlier exchange within `room` tokens: the output before the input (METHOD 11); None if nothing useful
        fits."""
        asked, wrote = self.text(item.request()), self.text(item.output)
        room -= self._frame
        if room < LEAST_TURN:
            return None
        if len(asked) + len(wrote) > room:
            asked = asked[: max(room - len(wrote), room // 4)]
            wrote = self._shorten(wrote, room - len(asked))
        return (*self._open["user"], *asked, *self._close, *self._open["assistant"], *wrote, *self._close)

    def _shorten(self, tokens: tuple[int, ...], room: int) -> tuple[int, ...]:
        mark = tuple(self._tokens.tokenize(CUT))
        return tokens if len(tokens) <= room else (*tokens[: max(room - len(mark), 0)], *mark)

    def _request(self, request: str, cut: list[str]) -> tuple[int, ...]:
        tokens = self.text(request)
        if len(tokens) > self.settings.request_tokens:
            cut.append(f"{len(tokens) - self.settings.request_tokens} tokens of the request")
            tokens = tokens[: self.settings.request_tokens]
        return (*self._open["user"], *tokens, *self._close, *self._open["assistant"])


def peer_line(facet: int, peer: int, profile: FacetProfile, *, lacking: bool) -> PeerLine:
    """A peer's facet as one line; where the person's own history is silent, with a quote of theirs if there is one."""
    quote = f' e.g. "{profile.quotes[0]}"' if lacking and profile.quotes else ""
    return PeerLine(f"{profile.summary}.{quote}", peer, facet, lacking)
