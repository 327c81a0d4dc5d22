"""How a person is opened: from what is remembered, from what the store keeps of them, or made anew and kept.

The one place that knows how a persona comes from a history, and when one that was kept still holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from copersona.runtime.bundle.opened import Bundle
from copersona.runtime.common.arrays import F32
from copersona.runtime.common.errors import PersonError
from copersona.runtime.common.progress import note
from copersona.runtime.history.interactions import History, clean_text, outputs
from copersona.runtime.people.known import Known
from copersona.runtime.people.persona_cache import (
    PersonaMemory,
    persona_key,
    read_persona,
    read_soft,
    write_persona,
    write_soft,
)
from copersona.runtime.people.vectors import Vectors
from copersona.runtime.people.wishes import NO_WISHES, Wishes
from copersona.runtime.persona.persona import Persona, make_persona
from copersona.runtime.profile.asked import evidence, with_asked
from copersona.runtime.profile.facets import Profile
from copersona.runtime.profile.language import TEXTS, language_of
from copersona.runtime.profile.owned import with_corrections, without_facets
from copersona.runtime.profile.profiler import RECENT, profile_history
from copersona.runtime.profile.served import unserved_script
from copersona.runtime.prompt.retrieval import before_recent, document
from copersona.runtime.prompt.settings import ContextSettings

if TYPE_CHECKING:
    from copersona.runtime.chat.ledger import Replies
    from copersona.runtime.people.store import PeopleStore
    from copersona.runtime.profile.model_profiler import ModelProfiler

READ = 20_000  # of a person's latest interactions; requests are matched against these, and the profile is of fewer


class Personas:
    """The people of one bundle, under one set of context settings; profiled by statistics, or by `profiler`."""

    def __init__(self, bundle: Bundle, context: ContextSettings, profiler: ModelProfiler | None = None) -> None:
        self._bundle, self._context, self._profiler = bundle, context, profiler
        self._remembered = PersonaMemory()
        self._why = ""  # what was wrong with the model's last answers, where statistics took over
        self.vectors = Vectors(lambda text: bundle.encoder.encode(text))

    @property
    def profiler_name(self) -> str:
        """The model that people are profiled by; empty for statistics."""
        return "" if self._profiler is None else self._profiler.by

    def unserved(self, history: History) -> str:
        """The script that most of what is measured of a history is in, where facets cannot speak to it; else empty."""
        return unserved_script([clean_text(one.output) for one in history[-RECENT:]], self._bundle.schema.scripts)

    def foreign(self, history: History) -> str:
        """The code of the language that a history is in, where facets or encoder are made for others; else empty."""
        languages = self._bundle.languages
        if not languages.named():
            return ""
        code = language_of(clean_text(text) for text in outputs(history[:TEXTS]))
        return code if code and languages.unserved(code) else ""

    def of_history(
        self, history: History, *, pseudonym: str | None = None, replies: Replies | None = None,
        wishes: Wishes = NO_WISHES,
    ) -> Known:  # fmt: skip
        """A person of whom there is a history, oldest first, and no store. `pseudonym` is their own peer if they took
        part in training; `replies` is where a model's answers about them are kept; of `wishes` those about facets and
        quotes are heeded.

        Raises:
            ModelError: profiles are made by a model, and it cannot be reached.
        """
        persona = self._persona(history, pseudonym, replies, wishes)
        return Known(history, persona, self._bundle.soft_prompt(persona.inputs), wishes=wishes)

    def of_store(self, store: PeopleStore, name: str) -> Known:
        """A person of the store: never their own neighbour, in no bundle of a population that they are enrolled in; and
        made only once.

        Raises:
            PersonError: nobody of that name is there; what is remembered of them is forgotten.
            ModelError: as `of_history`.
        """
        revision, wishes = store.wishes(name)
        left = wishes.left_texts
        written = store.written(name, left)  # before: what comes meanwhile makes another key, never a persona too old
        try:
            history, pinned = store.history(name, READ, left), store.these(name, wishes.pinned)
        except PersonError:
            self._remembered.forget(name)
            raise
        manifest = self._bundle.manifest
        store.carry_over(manifest.bundle_id, manifest.population_id)
        peer = store.peer_of(manifest.population_id, name)
        key = persona_key(manifest.population_id, self.profiler_name, self._context.peers, peer, written, wishes)
        known = self._remembered.get(name, key, history)
        if known is None or known.revision != revision:
            persona = self._kept(store, name, key)
            if persona is None:
                persona = self._persona(history, peer, store.replies(name, revision), wishes)
                self._keep(store, name, key, persona, revision)
            soft, earlier = self._soft(store, name, key, persona, revision), max(written.interactions - len(history), 0)
            files = store.prefixes.at(revision)
            known = Known(history, persona, soft, name, files, earlier, pinned, wishes, revision)
            if persona.profile.by == self.profiler_name:
                self._remembered.put(name, key, known)
            elif self._why:
                note(f"{name}: profiled by statistics, {self.profiler_name} gave no valid answer ({self._why})")
        self.recall(store, known)
        return known

    def forget(self, name: str) -> None:
        """Drop what is remembered of a person; of vectors all, which are known by text alone."""
        self._remembered.forget(name)
        self.vectors.forget()

    def recall(self, store: PeopleStore, known: Known) -> None:
        """Have the vectors that matching will need at hand, from the person's store or encoded and kept there.

        Nothing is done where the settings need none. Raises PersonError where the store cannot be read or written.
        """
        older = before_recent(known.unpinned, self._context.recent)
        if self._context.encodes and older:
            texts = [document(item, self._context.show) for item in older]
            self.vectors.recall(texts, store, older[0].person, self._bundle.encoder_hash, known.revision)

    def _persona(self, history: History, pseudonym: str | None, replies: Replies | None, wishes: Wishes) -> Persona:
        bundle, schema = self._bundle, self._bundle.schema
        own, asked = evidence(history)
        profile = with_asked(self._profile(own, replies, wishes), asked, schema)
        if wishes.corrected:
            profile = with_corrections(profile, dict(wishes.corrected), schema, bundle.encoder.encode)
        profile = without_facets(profile, wishes.left_facets)
        left_out = [place for place, facet in enumerate(schema.names) if facet in wishes.left_facets]
        own_row, peers = bundle.graph.row(pseudonym), self._context.peers
        return make_persona(profile, bundle.centring, bundle.graph, own_row=own_row, peers=peers, left_out=left_out)

    def _kept(self, store: PeopleStore, name: str, key: str) -> Persona | None:
        """The persona that the store has under this key, made with this bundle or another of its population."""
        manifest = self._bundle.manifest
        kept = store.persona(name, manifest.population_id)
        return None if kept is None or kept.key != key else read_persona(kept, self._bundle.graph, manifest.shapes)

    def _keep(self, store: PeopleStore, name: str, key: str, persona: Persona, revision: int) -> None:
        """Keep a persona; not where the model that should profile gave no valid answer."""
        if persona.profile.by == self.profiler_name:
            store.keep_persona(name, self._bundle.manifest.population_id, write_persona(key, persona), revision)

    def _soft(self, store: PeopleStore, name: str, key: str, persona: Persona, revision: int) -> F32:
        """The soft prompt (L, H) float32 of this persona by the bundle's personalizer, kept as the persona is."""
        if persona.profile.by != self.profiler_name:  # the key is that of another persona
            return self._bundle.soft_prompt(persona.inputs)
        if not self._bundle.manifest.trained:
            return self._bundle.soft_prompt(None)
        personalizer = self._bundle.personalizer_hash
        kept = store.soft_prompt(name, personalizer)
        soft = None if kept is None else read_soft(kept, key, self._bundle.manifest.shapes)
        if soft is None:
            soft = self._bundle.soft_prompt(persona.inputs)
            store.keep_soft_prompt(name, personalizer, write_soft(key, soft), revision)
        return soft

    def _profile(self, texts: Sequence[str], replies: Replies | None, wishes: Wishes) -> Profile:
        encode, schema = self._bundle.encoder.encode, self._bundle.schema
        if self._profiler is None:
            return profile_history(texts, schema, encode, wishes.left_quotes)
        profiler = self._profiler if replies is None else self._profiler.remembering(replies)
        profile = profiler.profile(texts, schema, encode, wishes.left_quotes)
        self._why = "" if profile.by else profiler.why
        return profile
