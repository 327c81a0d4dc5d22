"""Where the parts meet: an opened bundle that knows people, answers as them, and scores what they wrote.

`open_bundle(path)` checks the bundle and loads what is small; the language model and the encoder are loaded when first
needed. Nothing here writes to the bundle, and nothing leaves the machine unless the owner has people profiled by a
model elsewhere.
"""

from __future__ import annotations

import functools
import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from copersona.runtime.bundle.manifest import Manifest
from copersona.runtime.bundle.parts import check_parts_once, open_graph_db
from copersona.runtime.bundle.verify import verify
from copersona.runtime.common.arrays import F32
from copersona.runtime.common.closing import Closing
from copersona.runtime.common.errors import BundleError, ModelError, ModelRefused, PersonError
from copersona.runtime.engine.engine import Engine, Prefix, Sampling, Wanted
from copersona.runtime.history.interactions import History, Interaction, outputs
from copersona.runtime.people.known import Known
from copersona.runtime.people.persona_cache import PersonaMemory, persona_key, read_persona, write_persona
from copersona.runtime.people.vectors import Vectors
from copersona.runtime.persona.graph import PersonaGraph, map_vectors
from copersona.runtime.persona.persona import make_persona
from copersona.runtime.persona.personalizer import Personalizer, load_personalizer
from copersona.runtime.profile.encoder import Encoder
from copersona.runtime.profile.facets import FacetSchema, Profile, read_schema
from copersona.runtime.profile.items import pick_words
from copersona.runtime.profile.profiler import Centring, profile_history
from copersona.runtime.prompt.layout import Fixed, Layout, Prompt
from copersona.runtime.prompt.prompt import fixed_prompt, request_prompt
from copersona.runtime.prompt.retrieval import before_recent, document
from copersona.runtime.prompt.settings import ContextSettings, changed, check_room, read_context
from copersona.runtime.session.answers import Answer, Asked, Score
from copersona.runtime.session.prefix_cache import CacheLimits, PersonShelf, PrefixMemory
from copersona.runtime.session.prefix_key import prefix_key
from copersona.runtime.session.receipt import make_receipt

__all__ = ["Answer", "Asked", "Known", "Score", "Session", "open_bundle"]

if TYPE_CHECKING:
    from copersona.runtime.chat.ledger import Replies
    from copersona.runtime.people.store import PeopleStore
    from copersona.runtime.profile.model_profiler import ModelProfiler


@dataclass(frozen=True, slots=True)
class _Ready:
    """What the prompts of one person have in common, and the key of the state after it."""

    fixed: Fixed
    key: str


class Session(Closing):
    """An opened bundle. Use `open_bundle`; close it, or use it in a `with`. For one thread at a time."""

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        *,
        threads: int | None = None,
        context: Mapping[str, Any] | None = None,
        profiler: ModelProfiler | None = None,
        sequences: int = 1,
        cache: CacheLimits | None = None,
    ) -> None:
        self.folder, self.manifest, self._profiler = folder, manifest, profiler
        self.context = _settings(manifest, context or {})
        self._threads, self._sequences = threads, sequences
        self._limits = cache or CacheLimits()
        self.prefixes = PrefixMemory(self._limits.memory)
        self._people = PersonaMemory()
        self._ready: WeakKeyDictionary[Known, _Ready] = WeakKeyDictionary()
        self.schema: FacetSchema = read_schema(manifest.path(folder, "facets"))
        self._database: sqlite3.Connection = open_graph_db(manifest.path(folder, "graph"))
        peers = map_vectors(manifest.path(folder, "peers"), 3)
        self.graph = PersonaGraph(self._database, peers, map_vectors(manifest.path(folder, "anchors"), 2))
        self.vectors = Vectors(lambda text: self.encoder.encode(text))
        self.centring = _centring(manifest.path(folder, "arrays"), manifest)

    def close(self) -> None:
        """Give back the model's memory and the graph's file."""
        if "engine" in self.__dict__:
            self.engine.close()
        self._database.close()

    @cached_property
    def engine(self) -> Engine:
        """The language model, loaded at first use."""
        path, trained = self.manifest.path(self.folder, "model"), _trained(self.manifest)
        return Engine(path, n_ctx=trained, threads=self._threads, sequences=self._sequences)

    @cached_property
    def encoder(self) -> Encoder:
        """The facet encoder, loaded at first use."""
        paths = (self.manifest.path(self.folder, role) for role in ("encoder", "encoder_tokenizer"))
        return Encoder(*paths)

    @cached_property
    def personalizer(self) -> Personalizer:
        """The parametric branch, loaded at first use."""
        shapes = self.manifest.shapes
        return load_personalizer(
            self.manifest.path(self.folder, "personalizer"),
            facets=shapes.facets,
            width=shapes.width,
            soft_tokens=shapes.soft_tokens,
            model_width=shapes.hidden,
        )

    @cached_property
    def layout(self) -> Layout:
        """How prompts are laid out for this bundle's model."""
        return Layout(self.engine, self.context)

    @cached_property
    def nobody(self) -> F32:
        """The soft prompt of nobody, (L, H) float32."""
        return self.personalizer.soft_prompt(None)

    def know(self, history: History, *, pseudonym: str | None = None, replies: Replies | None = None) -> Known:
        """The persona of a history, oldest first. `pseudonym` is the person's own peer if they took part in
        training; `replies` is where a model's answers about them are kept.

        Raises:
            ModelError: profiles are made by a model, and it cannot be reached.
        """
        profile = self._profile(outputs(history), replies)
        persona = make_persona(
            profile, self.centring, self.graph, own_row=self.graph.row(pseudonym), peers=self.context.peers
        )
        return Known(history, persona, self.personalizer.soft_prompt(persona.inputs))

    def person(self, store: PeopleStore, name: str) -> Known:
        """A person of the store, with what answering as them needs at hand.

        Raises:
            PersonError: nobody of that name is there; what this session remembers of them is forgotten.
            ModelError: as `know`.
        """
        try:
            history = store.history(name)
        except PersonError:
            self.prefixes.forget(name)
            self._people.forget(name)
            raise
        peer = store.peer_of(self.manifest.bundle_id, name)
        key = persona_key(self.manifest.bundle_id, self.profiler_name, self.context.peers, peer, history)
        known = self._people.get(name, key, history)
        if known is None:
            found = self._kept(store, name, key) or self._make(store, name, key, history, peer)
            known = replace(found, history=history, name=name, files=store.prefixes)
            self._people.put(name, key, known)
        self.recall(store, known)
        return known

    def _kept(self, store: PeopleStore, name: str, key: str) -> Known | None:
        """The persona that the store has under this key."""
        kept = store.persona(name, self.manifest.bundle_id)
        read = None if kept is None or kept.key != key else read_persona(kept, self.graph, self.manifest.shapes)
        return None if read is None else Known((), *read)

    def _make(self, store: PeopleStore, name: str, key: str, history: History, peer: str | None) -> Known:
        """The persona, made anew and kept; not where the model that should profile gave no valid answer."""
        known = self.know(history, pseudonym=peer, replies=store.replies(name))
        if known.persona.profile.by == self.profiler_name:
            store.keep_persona(name, self.manifest.bundle_id, write_persona(key, known.persona, known.soft))
        return known

    @property
    def profiler_name(self) -> str:
        """The model that people are profiled by; empty for statistics."""
        return "" if self._profiler is None else self._profiler.by

    def _profile(self, texts: Sequence[str], replies: Replies | None) -> Profile:
        if self._profiler is None:
            return profile_history(texts, self.schema, self.encoder.encode)
        profiler = self._profiler if replies is None else self._profiler.remembering(replies)
        return profiler.profile(texts, self.schema, self.encoder.encode)

    def attach_items(
        self, interactions: Sequence[Interaction], *, enrolled: frozenset[str] = frozenset()
    ) -> list[Interaction]:
        """Item words for interactions without an input of their own, the author's own review taken out if it was
        counted."""
        done = []
        for one in interactions:
            words = one.words
            if one.input is None and not words and one.item is not None:
                own = one.output if one.person in enrolled else None
                words = pick_words(self.graph.item_words(one.item), own)
            done.append(replace(one, words=words))
        return done

    def recall(self, store: PeopleStore, known: Known) -> None:
        """Have the vectors that matching will need at hand, from the person's store or encoded and kept there.

        Nothing is done where the settings need none. Raises PersonError where the store cannot be read or written.
        """
        older = before_recent(known.history, self.context.recent)
        if self.context.encodes and older:
            texts = [document(item, self.context.show) for item in older]
            self.vectors.recall(texts, store, older[0].person, self.encoder_hash)

    @cached_property
    def encoder_hash(self) -> str:
        """Hash of the encoder's files: the same, the same vectors."""
        rows = [self.manifest.file(role) for role in ("encoder", "encoder_tokenizer")]
        return hashlib.sha256("".join(row.sha256 for row in rows if row).encode()).hexdigest()

    def prompt(self, request: str, known: Known | None) -> Prompt:
        """The text of the prompt as segments; None is nobody."""
        fixed = self._prepared(known).fixed
        if known is None:
            return self.layout.complete(fixed, request)
        return request_prompt(self.layout, fixed, request, known.history, self.vectors)

    def _prepared(self, known: Known | None) -> _Ready:
        """What all prompts of this person, or of nobody, have in common; made once."""
        if known is None:
            return self._nobody_ready
        if known not in self._ready:
            fixed = fixed_prompt(self.layout, known.history, known.persona)
            self._ready[known] = self._keyed(fixed, known.soft, known.persona.profile.by)
        return self._ready[known]

    @cached_property
    def _nobody_ready(self) -> _Ready:
        return self._keyed(self.layout.fixed(), self.nobody, "")

    def _keyed(self, fixed: Fixed, soft: F32, profiler: str) -> _Ready:
        tokens = self.layout.complete(fixed, "").prefix
        return _Ready(fixed, prefix_key(self.manifest, self.context, self.engine.make, profiler, soft, tokens))

    def _wanted(self, prompt: Prompt, known: Known | None, sampling: Sampling, *, keep: bool = True) -> Wanted:
        """The prompt as the engine wants it, its beginning kept: on disk only with `keep`, for it is read again."""
        disk = self._limits.disk if keep else 0
        name, files = (None, None) if known is None else (known.name, known.files)
        shelf = PersonShelf(self.prefixes, name, files if self._limits.disk else None, disk)
        prefix = Prefix(len(prompt.prefix), self._prepared(known).key, shelf)
        return Wanted(self.nobody if known is None else known.soft, prompt.tokens, sampling, prefix)

    def answer(
        self, request: str, known: Known | None, sampling: Sampling | None = None, *, person: str | None = None
    ) -> Answer:
        """Answer a request as a person, or as nobody. `person` is the name that the receipt bears.

        Raises:
            ModelError: the prompt leaves no room for an answer.
        """
        sampling = sampling or Sampling()
        prompt = self.prompt(request, known)
        wanted = self._wanted(prompt, known, sampling)
        pieces = self.engine.generate(wanted.soft, wanted.tokens, sampling, prefix=wanted.prefix)
        receipt = lambda: make_receipt(self, request, prompt, known, sampling, person)
        return Answer((piece.text for piece in pieces), receipt)

    def answer_many(self, asked: Iterable[Asked]) -> Iterator[tuple[Asked, Answer | ModelRefused]]:
        """Answer several requests at once, as many as the bundle was opened for; each is given when it is finished,
        or with its error where it cannot be answered. Requests of one person should stand together.

        Raises:
            ModelError: the model fails as a whole.
        """
        for (one, prompt), found in self.engine.generate_many(self._all_wanted(asked)):
            if isinstance(found, ModelRefused):
                yield one, found
                continue
            args = (self, one.request, prompt, one.known, one.sampling, one.person)
            yield one, Answer([piece.text for piece in found], functools.partial(make_receipt, *args)).finish()

    def _all_wanted(self, asked: Iterable[Asked]) -> Iterator[tuple[tuple[Asked, Prompt], Wanted]]:
        for one in asked:
            prompt = self.prompt(one.request, one.known)
            yield (one, prompt), self._wanted(prompt, one.known, one.sampling, keep=False)

    def score(self, request: str, output: str, known: Known | None) -> Score:
        """Bits that the model needs for `output` after the request, as a person or as nobody.

        What does not fit the context is not counted, neither its bits nor its bytes.

        Raises:
            ModelError: the prompt leaves no room for a single token of it.
        """
        prompt = self.prompt(request, known)
        soft = self.nobody if known is None else known.soft
        tokens = self.layout.answer(output)
        room = self.engine.context - len(soft) - len(prompt.tokens)
        if room < 1:
            raise ModelError(
                f"the prompt has {len(prompt.tokens)} tokens, the context {self.engine.context}: no room left"
            )
        kept = tokens[:room]
        logs = self.engine.score(soft, prompt.tokens, kept)
        size = len(self.engine.detokenize(kept).encode("utf-8"))
        return Score(float(-logs.sum() / np.log(2)), size, len(kept))


def open_bundle(
    folder: Path | str,
    *,
    threads: int | None = None,
    full: bool = False,
    context: Mapping[str, Any] | None = None,
    profiler: ModelProfiler | None = None,
    sequences: int = 1,
    cache: CacheLimits | None = None,
) -> Session:
    """Verify a bundle and open it. `context` changes fields of `ContextSettings` from what the bundle was trained
    with; people are profiled by statistics, or by the model of `profiler`. `answer_many` answers `sequences` requests
    at once; `cache` bounds what is kept of prompts' beginnings.

    Raises:
        BundleError: a file is missing, cut, changed or not listed, or parts do not fit together; the message says
            which.
        ValueError: a change of the context that is not known or out of range.
        ModelError: a context that leaves no room for an answer.
    """
    folder = Path(folder)
    manifest = verify(folder, full=full)
    check_parts_once(folder, manifest, full=full)
    return Session(
        folder, manifest, threads=threads, context=context, profiler=profiler, sequences=sequences, cache=cache
    )


def _settings(manifest: Manifest, changes: Mapping[str, Any]) -> ContextSettings:
    """The settings that the bundle was trained with, and what is to be different this time."""
    try:
        trained = read_context(manifest.settings.get("context", {}))
    except (TypeError, ValueError) as error:
        raise BundleError(f"manifest.json: context settings are not known here ({error}); update copersona") from error
    settings = changed(trained, changes)
    if settings != trained:
        check_room(settings, manifest.shapes.soft_tokens, _trained(manifest))
    return settings


def _trained(manifest: Manifest) -> int:
    """Tokens of context that the base was trained on."""
    return int(manifest.settings.get("context_length", 2048))


def _centring(path: Path, manifest: Manifest) -> Centring:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    shape = (manifest.shapes.facets, manifest.shapes.width)
    try:
        arrays = load_file(path)
        means, placeholder = arrays["means"], arrays["placeholder"]
    except (OSError, SafetensorError, KeyError) as error:
        raise BundleError(f"{path}: cannot be read ({error}); export the bundle again") from error
    if means.shape != shape or placeholder.shape != shape or means.dtype != np.float32:
        raise BundleError(
            f"{path}: layer means are {means.shape}, the bundle has {shape}; the files do not fit together"
        )
    return Centring(means, placeholder)
