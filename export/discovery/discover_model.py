"""Facet discovery by a language model (paper, section 3.1 and appendix C): it proposes, the population decides.

The model sees each cluster's evidence package (size, terms, style, snippets of its medoids) and proposes orthogonal
facets: name, definition, values, rubric, cited clusters, and the signals that carry them, which are style features
and word lists. Every proposal is measured as a statistical one is, so that the schema can be profiled without a model.
What does not hold is sent back with the reason. Snippets go to the model and never into `facets.json`: a proposal with
RUN words in a row of anybody's text is refused, and so are words that fewer than MIN_PEOPLE people use.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from copersona.export.discovery.candidates import (
    Candidate,
    Discovery,
    Measured,
    categorical,
    figures_of,
    measure_people,
    ordinal,
    repeats,
    schema_of,
    style_features,
    word_features,
)
from copersona.export.discovery.clusters import MIN_PEOPLE, Contrast, contrast
from copersona.export.discovery.proposals import LIMITS, MOST_WORDS, Proposal, ask_again, make_ask, read_proposals
from copersona.export.population.graph import scrub
from copersona.runtime.chat.ledger import Ledger
from copersona.runtime.common.errors import ExportError, ModelRefused, ModelSilent
from copersona.runtime.common.progress import note
from copersona.runtime.history.interactions import History
from copersona.runtime.profile.facets import FacetSchema
from copersona.runtime.profile.profiler import Encode
from copersona.runtime.profile.segments import words_of
from copersona.runtime.profile.style import STYLE_FEATURES, shares_run

ROUNDS = 4  # the first proposal, then what was sent back
RUN = 8  # words in a row of somebody's text that nothing in a schema may hold
LEAST_WORDS = 3  # of a word list that enough people use


def discover_by_model(
    histories: Mapping[str, History], encode: Encode, ledger: Ledger, *, facets: int, seed: int, clusters: int = 8
) -> Discovery:
    """As `discover.discover`, by the ledger's model.

    Raises:
        ExportError: too few people, or fewer facets that hold than asked for; the message says what was wrong.
        ModelError: the model cannot be reached, or `max_calls` is too low.
    """
    groups = contrast(histories, encode, clusters, seed)
    people = _People.of(groups)
    asked = make_ask(groups, people.style, facets, seed)
    note(ledger.estimate([asked], "facets").line("facets", ledger.name))
    chosen: list[tuple[Candidate, Measured]] = []
    reasons: list[str] = []
    for round_ in range(ROUNDS):
        missing = facets - len(chosen)
        ask = asked if round_ == 0 else ask_again(asked, missing, [c.facet.name for c, _ in chosen], reasons, round_)
        try:
            proposals, reasons = read_proposals(ledger.complete(ask, lambda text: bool(read_proposals(text)[0])).text)
        except ModelSilent as error:
            proposals, reasons = [], [str(error)]
        except ModelRefused as error:
            remedy = "see to it and give the same command, or use --facets-by statistics"
            raise ExportError(f"{error}; the model cannot propose facets: {remedy}") from None
        for proposal in proposals:
            held = people.weigh(proposal, [c for c, _ in chosen])
            if isinstance(held, str):
                reasons.append(f"{_quoted(proposal.name)}: {held}")
            elif len(chosen) < facets:
                chosen.append(held)
        if len(chosen) == facets:
            return _discovery(chosen, groups)
    why = f" ({'; '.join(dict.fromkeys(reasons))})" if reasons else ""
    raise ExportError(
        f"asked for {facets} facets, {len(chosen)} of what {ledger.name} proposed in {ROUNDS} rounds hold{why}; "
        f"use --facets {max(len(chosen), 1)}, another model, or --facets-by statistics"
    )


def _quoted(name: str) -> str:
    return repr(" ".join(name.split())[: LIMITS["name"]])


def _discovery(chosen: Sequence[tuple[Candidate, Measured]], groups: Contrast) -> Discovery:
    candidates = [candidate for candidate, _ in chosen]
    features = {f.name: f for candidate, measured in chosen for f in schema_of([candidate], measured).features}
    weight = schema_of(candidates[:1], chosen[0][1]).feature_weight
    schema = FacetSchema(tuple(c.facet for c in candidates), tuple(features.values()), weight)
    return Discovery(schema, groups.clusters, groups.by_person, figures_of(candidates))


@dataclass(frozen=True, slots=True)
class _People:
    """The population that proposals are held against: its style, and how many people use a word."""

    groups: Contrast
    style: Measured
    users: Counter[str]

    @classmethod
    def of(cls, groups: Contrast) -> _People:
        users = Counter(word for row in groups.texts for word in {w for text in row for w in words_of(text)})
        return cls(groups, measure_people(groups, style_features(groups.texts)), users)

    def weigh(self, proposal: Proposal, chosen: Sequence[Candidate]) -> tuple[Candidate, Measured] | str:
        """The proposal as a measured facet, or the reason why it is none."""
        lists = [self._used(words) for words in proposal.words]
        problem = self._problem(proposal, lists, [c.facet.name for c in chosen])
        if problem:
            return problem
        lists = [words for words in lists if words]
        names = [f"{proposal.name}: {words[0]}" for words in lists]
        phrases = [f"words such as {', '.join(words[:2])}" for words in lists]
        features = word_features(self.groups.texts, lists, names, phrases)
        measured = measure_people(self.groups, [*self.style.features, *features]) if features else self.style
        if proposal.kind == "categorical":
            parts = (proposal.name, proposal.definition, proposal.values, names, proposal.rubric)
            candidate = categorical(measured, *parts)
        else:
            signals = [*proposal.features, *((name, 1.0) for name in names)]
            candidate = ordinal(measured, proposal.name, proposal.definition, proposal.values, signals, proposal.rubric)
        if candidate.separation <= 0 or candidate.scores.std() == 0:
            return "its signals are the same in all clusters"
        other = repeats(candidate, chosen)
        return (candidate, measured) if other is None else f"it says the same of people as {_quoted(other.facet.name)}"

    def _used(self, words: Sequence[str]) -> tuple[str, ...]:
        """The words that enough people use, each once."""
        used = dict.fromkeys(w for w in words if words_of(w) == [w] and self.users[w] >= MIN_PEOPLE)
        return tuple(used)[:MOST_WORDS]

    def _problem(self, proposal: Proposal, lists: Sequence[tuple[str, ...]], taken: Sequence[str]) -> str:
        texts = {"name": proposal.name, "definition": proposal.definition, "rubric": proposal.rubric}
        if not proposal.name or proposal.name.casefold() in [name.casefold() for name in taken]:
            return "its name is empty or taken"
        for what, text in [*texts.items(), *(("value", value) for value in proposal.values)]:
            if not text or len(text) > LIMITS[what]:
                return f"its {what} has {len(text)} characters, expected 1 to {LIMITS[what]}"
            if scrub(text) != text:
                return f"its {what} holds an address, a number or a link"
        if not set(proposal.clusters) & set(range(len(self.groups.clusters))) or (
            set(proposal.clusters) - set(range(len(self.groups.clusters)))
        ):
            return f"it cites clusters that are not there, expected numbers from 0 to {len(self.groups.clusters) - 1}"
        written = (text for row in self.groups.texts for text in row)
        said = [*texts.values(), *proposal.values, *(word for words in lists for word in words)]
        if shares_run(" ".join(said), written, RUN):
            return f"it repeats {RUN} words in a row of a sample"
        return _signals_problem(proposal, lists)


def _signals_problem(proposal: Proposal, lists: Sequence[tuple[str, ...]]) -> str:
    names = [name for name, _ in proposal.features]
    short = [number for number, words in enumerate(lists, 1) if len(words) < LEAST_WORDS]
    all_words = [word for words in lists for word in words]
    if len(set(proposal.values)) != len(proposal.values) or not 2 <= len(proposal.values) <= 6:
        return "it needs 2 to 6 values that differ"
    if set(names) - set(STYLE_FEATURES) or len(set(names)) != len(names):
        return "it names style features that are not measured, or one twice"
    if short:
        return f"word list {short[0]} has fewer than {LEAST_WORDS} single words that at least {MIN_PEOPLE} people use"
    if len(set(all_words)) != len(all_words):
        return "a word stands in two of its lists"
    if proposal.kind == "categorical":
        fits = len(lists) == len(proposal.values) and not names
        return "" if fits else "a categorical facet needs one word list for every value, and no style features"
    if proposal.kind != "ordinal":
        return "its kind is neither ordinal nor categorical"
    return "" if (names or lists) and len(lists) <= 1 else "an ordinal facet needs style features or one word list"
