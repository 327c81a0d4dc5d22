"""Where the parts meet: an opened bundle that knows people, answers as them, and scores what they wrote.

`open_bundle(path)` checks the bundle and loads what is small; language model and encoder are loaded when first needed.
Nothing here writes to the bundle; nothing leaves the machine unless the owner has people profiled by a model elsewhere.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from copersona.runtime.bundle.manifest import Manifest
from copersona.runtime.bundle.opened import Bundle
from copersona.runtime.bundle.verify import open_manifest
from copersona.runtime.common.arrays import F32
from copersona.runtime.common.closing import Closing
from copersona.runtime.common.errors import ModelRefused, PersonError
from copersona.runtime.engine.engine import Engine, Wanted
from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.engine.sequences import Prefix
from copersona.runtime.history.interactions import History, Interaction
from copersona.runtime.people.known import Known
from copersona.runtime.people.opening import Personas
from copersona.runtime.persona.graph import PersonaGraph
from copersona.runtime.persona.personalizer import Personalizer
from copersona.runtime.profile.encoder import Encoder
from copersona.runtime.profile.facets import FacetSchema
from copersona.runtime.prompt.layout import Fixed, Layout, Prompt
from copersona.runtime.prompt.prompt import fixed_prompt, request_prompt
from copersona.runtime.session.answers import Answer, Asked, Score
from copersona.runtime.session.first_load import load_apart_once
from copersona.runtime.session.guarding import Verdict, check_guarded, check_readable, guarded
from copersona.runtime.session.prefix_cache import CacheLimits, PersonShelf, PrefixMemory
from copersona.runtime.session.prefix_key import Ready, prefix_key
from copersona.runtime.session.recall import recall
from copersona.runtime.session.receipt import make_receipt
from copersona.runtime.session.scoring import score

if TYPE_CHECKING:
    from copersona.runtime.chat.ledger import Replies
    from copersona.runtime.people.store import Added, PeopleStore
    from copersona.runtime.profile.model_profiler import ModelProfiler
    from copersona.runtime.prompt.settings import GuardMode, RecallMode


class Session(Closing):
    """An opened bundle that answers. Use `open_bundle`; close it, or use it in a `with`. For one thread at a time."""

    def __init__(
        self, bundle: Bundle, *, threads: int | None = None, context: Mapping[str, Any] | None = None,
        profiler: ModelProfiler | None = None, sequences: int = 1, cache: CacheLimits | None = None,
        guard: GuardMode = "off",
    ) -> None:  # fmt: skip
        self.bundle, self.guard = bundle, guard
        check_guarded(bundle, guard)
        self.context = bundle.context(context or {})
        self.personas = Personas(bundle, self.context, profiler)
        self._threads, self._sequences = threads, sequences
        self._engine: Engine | None = None
        self._limits = cache or CacheLimits()
        self.prefixes = PrefixMemory(self._limits.memory)
        self._ready: WeakKeyDictionary[Known, Ready] = WeakKeyDictionary()

    def close(self) -> None:
        """Give back the model's memory and the graph's file."""
        if self._engine is not None:
            self._engine.close()
        self.bundle.close()

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self.bundle.manifest

    @property
    def schema(self) -> FacetSchema:
        """The facets of the bundle's population."""
        return self.bundle.schema

    @property
    def graph(self) -> PersonaGraph:
        """The peers of the bundle."""
        return self.bundle.graph

    @property
    def encoder(self) -> Encoder:
        """The facet encoder, loaded at first use."""
        return self.bundle.encoder

    @property
    def personalizer(self) -> Personalizer:
        """The parametric branch, loaded at first use. Raises BundleError where nothing is trained."""
        return self.bundle.personalizer

    @property
    def engine(self) -> Engine:
        """The language model, loaded at first use."""
        if self._engine is None:
            engine = Engine(
                self.bundle.path("model"),
                n_ctx=self.bundle.context_length,
                threads=self._threads,
                sequences=self._sequences,
                any_model=not self.manifest.trained,
                reads=self.guard != "off",
            )
            check_readable(engine, self.bundle)
            self._engine = engine
        return self._engine

    @cached_property
    def layout(self) -> Layout:
        """How prompts are laid out for this bundle's model, whose answers end as its turns do."""
        layout = Layout(self.engine, self.context, self.bundle.turns(self.engine.vocabulary_size))
        self.engine.end_at(layout.turns.end)
        return layout

    @cached_property
    def nobody(self) -> F32:
        """The soft prompt of nobody, (L, H) float32."""
        return self.bundle.soft_prompt(None)

    def person(self, store: PeopleStore, name: str) -> Known:
        """A person of the store, with what answering as them needs at hand. This is the way to open a person: it knows
        who took part in training, and what was computed of them before.

        Raises:
            PersonError: nobody of that name is there; what this session remembers of them is forgotten.
            ModelError: profiles are made by a model, and it cannot be reached.
        """
        try:
            return self.personas.of_store(store, name)
        except PersonError:
            self.prefixes.forget(name)
            raise

    def know(self, history: History, *, pseudonym: str | None = None, replies: Replies | None = None) -> Known:
        """Someone of whom there is a history, oldest first, and no store; nothing of them is kept. `pseudonym` is
        their own peer if they took part in training; `replies` is where a model's answers about them are kept.

        Raises:
            ModelError: profiles are made by a model, and it cannot be reached.
        """
        return self.personas.of_history(history, pseudonym=pseudonym, replies=replies)

    def add(
        self, store: PeopleStore, interactions: Iterable[Interaction], *, enrolled: Mapping[str, str] | None = None
    ) -> Added:
        """Keep what people wrote in the store, all or none, as `copersona people import` does: items without a title
        get words, and those who took part in training (`enrolled`: person to pseudonym) are remembered as such, in the
        same step.

        Raises:
            HistoryError: what `interactions` raises, such as `read_history`; then nothing is kept.
            PersonError: as `PeopleStore.add`.
        """
        names, peers = enrolled or {}, dict[str, str]()

        def named(one: Interaction) -> Interaction:
            if one.person in names:
                peers[one.person] = names[one.person]
            return self.bundle.name_item(one, enrolled=names)

        population = self.manifest.population_id
        store.carry_over(self.manifest.bundle_id, population)
        added = store.add(map(named, interactions), population=population, peers=peers)
        return replace(added, enrolled=len(peers))

    def prompt(self, request: str, known: Known | None) -> Prompt:
        """The text of the prompt as segments; None is nobody."""
        fixed = self.prepared(known).fixed
        if known is None:
            return self.layout.complete(fixed, request)
        return request_prompt(self.layout, fixed, request, known.history, self.personas.vectors)

    def prepared(self, known: Known | None) -> Ready:
        """What all prompts of this person, or of nobody, have in common; made once."""
        if known is None:
            return self._nobody_ready
        if known not in self._ready:
            fixed = fixed_prompt(self.layout, known.history, known.persona)
            self._ready[known] = self._keyed(fixed, known.soft, known.persona.profile.by)
        return self._ready[known]

    @cached_property
    def _nobody_ready(self) -> Ready:
        return self._keyed(self.layout.fixed(), self.nobody, "")

    def _keyed(self, fixed: Fixed, soft: F32, profiler: str) -> Ready:
        tokens = self.layout.complete(fixed, "").prefix
        return Ready(fixed, prefix_key(self.manifest, self.context, self.engine.make, profiler, soft, tokens))

    def wanted(self, prompt: Prompt, known: Known | None, sampling: Sampling, *, keep: bool = True) -> Wanted:
        """The prompt as the engine wants it, its beginning kept: on disk only with `keep`, for it is read again."""
        disk = self._limits.disk if keep else 0
        name, files = (None, None) if known is None else (known.name, known.files)
        shelf = PersonShelf(self.prefixes, name, files if self._limits.disk else None, disk)
        prefix = Prefix(len(prompt.prefix), self.prepared(known).key, shelf)
        return Wanted(self.nobody if known is None else known.soft, prompt.tokens, sampling, prefix)

    def answer(
        self, request: str, known: Known | None, sampling: Sampling | None = None, *, person: str | None = None,
        mode: RecallMode = "always", guard: GuardMode | None = None,
    ) -> Answer:  # fmt: skip
        """Answer a request as a person, or as nobody. `person` is the name that the receipt bears, by default the one
        that the person has in the store; `mode` says when they are recalled, `guard` another mode than the session's.

        Raises:
            ModelError: the prompt leaves no room for an answer.
        """
        sampling, person = sampling or Sampling(), person or (known.name if known else None)
        known, why = recall(self, request, known, mode)
        prompt = self.prompt(request, known)
        wanted, verdict = self._guarded(self.wanted(prompt, known, sampling), request, known, guard)
        pieces = self.engine.answer(wanted)
        receipt = lambda: make_receipt(self, request, prompt, known, sampling, person, why, verdict)
        return Answer((piece.text for piece in pieces), receipt, prompt.request_cut)

    def answer_many(self, asked: Iterable[Asked]) -> Iterator[tuple[Asked, Answer | ModelRefused]]:
        """Answer several requests at once, as many as the bundle was opened for; each is given when it is finished,
        or with its error where it cannot be answered. Requests of one person should stand together.

        Raises:
            ModelError: the model fails as a whole.
        """
        for (one, prompt, verdict), found in self.engine.generate_many(self._all_wanted(asked)):
            if isinstance(found, ModelRefused):
                yield one, found
                continue
            _, why = recall(self, one.request, one.known, "always")
            args = (self, one.request, prompt, one.known, one.sampling, one.person, why, verdict)
            receipt = functools.partial(make_receipt, *args)
            yield one, Answer([piece.text for piece in found], receipt, prompt.request_cut).finish()

    def _all_wanted(
        self, asked: Iterable[Asked]
    ) -> Iterator[tuple[tuple[Asked, Prompt, Verdict | None], Wanted | ModelRefused]]:
        for one in asked:
            prompt = self.prompt(one.request, one.known)
            wanted = self.wanted(prompt, one.known, one.sampling, keep=False)
            try:
                wanted, verdict = self._guarded(wanted, one.request, one.known, one.guard)
            except ModelRefused as error:
                yield (one, prompt, None), error
            else:
                yield (one, prompt, verdict), wanted

    def _guarded(
        self, wanted: Wanted, request: str, known: Known | None, mode: GuardMode | None
    ) -> tuple[Wanted, Verdict | None]:
        return guarded(self, mode, wanted, known, lambda: self.prompt(request, None))

    def score(self, request: str, output: str, known: Known | None) -> Score:
        """`scoring.score`: bits that the model needs for `output` after the request."""
        return score(self, request, output, known)


def open_bundle(
    folder: Path | str,
    *,
    threads: int | None = None,
    full: bool = False,
    context: Mapping[str, Any] | None = None,
    profiler: ModelProfiler | None = None,
    sequences: int = 1,
    cache: CacheLimits | None = None,
    trusted: bool = False,
    guard: GuardMode = "off",
) -> Session:
    """Verify a bundle and open it; a thin one is assembled into the cache, once. The first time on this machine (with
    `full` each time) it is loaded in a process of its own before; `trusted` leaves it out, for what you made. `context`
    changes fields of `ContextSettings`; people are profiled by statistics, or by the model of `profiler`. `answer_many`
    answers `sequences` requests at once; `cache` bounds what is kept of prompts' beginnings; `guard` is as `--guard`.

    Raises:
        BundleError: a file is not whole, parts do not fit together, or one fails at its first load; it says which. Or
            there is no guard.
        ValueError: a change of the context that is not known or out of range.
        ModelError: a context that leaves no room for an answer, or a thin bundle whose base is not on this device.
    """
    if open_manifest(folder).thin:
        from copersona.runtime.assemble.assemble import whole_bundle

        folder = whole_bundle(folder)
    bundle = Bundle(folder, full=full)
    try:
        found = Session(
            bundle, threads=threads, context=context, profiler=profiler, sequences=sequences, cache=cache, guard=guard
        )
        if not trusted:
            load_apart_once(bundle, again=full)
        return found
    except BaseException:
        bundle.close()
        raise
