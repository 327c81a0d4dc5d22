"""A verified bundle with its parts at hand: what is small is read at once, encoder and personalizer at first use."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from copersona.runtime.bundle.graph_file import open_graph_db
from copersona.runtime.bundle.guard import Guard, read_guard
from copersona.runtime.bundle.manifest import Manifest
from copersona.runtime.bundle.parts import check_means, check_parts_once, manifest_turns
from copersona.runtime.bundle.said import context_length, languages
from copersona.runtime.bundle.verify import open_manifest, verify
from copersona.runtime.common.arrays import F32
from copersona.runtime.common.closing import Closing
from copersona.runtime.common.errors import BundleError
from copersona.runtime.engine.turns import TurnTokens
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.persona.graph import PersonaGraph, map_vectors
from copersona.runtime.persona.personalizer import PersonaInputs, Personalizer, load_personalizer
from copersona.runtime.profile.encoder import Encoder
from copersona.runtime.profile.facets import FacetSchema, Reliability, read_schema
from copersona.runtime.profile.items import pick_words
from copersona.runtime.profile.language import Languages
from copersona.runtime.prompt.relevance import Examples
from copersona.runtime.prompt.settings import ContextSettings, changed, check_room, read_context


class Bundle(Closing):
    """The folder of a finished export, checked and opened. Nothing here writes to it. `full` trusts no check of before;
    `checked` is for the caller who has just checked it.

    Raises:
        BundleError: a file is missing, cut, changed or not listed, or parts do not fit together.
    """

    def __init__(self, folder: Path | str, *, full: bool = False, checked: bool = False) -> None:
        self.folder = Path(folder)
        self.manifest: Manifest = open_manifest(self.folder) if checked else verify(self.folder, full=full)
        if self.manifest.thin:
            raise BundleError(
                f"{self.folder}: a thin bundle, without a model; run: copersona bundle assemble {self.folder}"
            )
        if not checked:
            check_parts_once(self.folder, self.manifest, full=full)
        self.schema: FacetSchema = read_schema(self.path("facets"))
        self._database: sqlite3.Connection = open_graph_db(self.path("graph"))
        peers, anchors = map_vectors(self.path("peers"), 3), map_vectors(self.path("anchors"), 2)
        self.graph = PersonaGraph(self._database, peers, anchors)
        self.centring = check_means(self.path("arrays"), self.manifest.shapes)

    def close(self) -> None:
        """Give back the graph's file; closing twice is no error."""
        self._database.close()

    def path(self, role: str) -> Path:
        """Where the file of a role is. Raises BundleError where the bundle has none."""
        return self.manifest.path(self.folder, role)

    @cached_property
    def encoder(self) -> Encoder:
        """The facet encoder, loaded at first use."""
        return Encoder(self.path("encoder"), self.path("encoder_tokenizer"))

    @cached_property
    def guard(self) -> Guard | None:
        """The factuality guard, read at first use; None where the bundle has none."""
        return read_guard(self.folder, self.manifest)

    @cached_property
    def examples(self) -> Examples:
        """What requests are compared with to see whether they have to do with a person; 60 sentences are encoded."""
        return Examples(self.encoder.encode)

    @cached_property
    def encoder_hash(self) -> str:
        """Hash of the encoder's files: the same, the same vectors."""
        rows = [self.manifest.file(role) for role in ("encoder", "encoder_tokenizer")]
        return hashlib.sha256("".join(row.sha256 for row in rows if row).encode()).hexdigest()

    @property
    def personalizer_hash(self) -> str:
        """Hash of the personalizer's file: the same, and of one persona the same soft prompt. Empty without one."""
        row = self.manifest.file("personalizer")
        return "" if row is None else row.sha256

    @cached_property
    def personalizer(self) -> Personalizer:
        """The parametric branch, loaded at first use. Raises BundleError where nothing is trained."""
        shapes = self.manifest.shapes
        return load_personalizer(
            self.path("personalizer"),
            facets=shapes.facets,
            width=shapes.width,
            soft_tokens=shapes.soft_tokens,
            model_width=shapes.hidden,
        )

    def soft_prompt(self, inputs: PersonaInputs | None) -> F32:
        """The soft prompt of a person, None for nobody, (L, H) float32; L is 0 where nothing is trained."""
        if not self.manifest.trained:
            return np.empty((0, self.manifest.shapes.hidden), np.float32)
        return self.personalizer.soft_prompt(inputs)

    def gate(self, label: Reliability) -> float | None:
        """How much of a facet of this reliability is the person's own in the soft prompt, from 0 to 1; None where
        nothing is trained."""
        return round(float(self.personalizer.gates()[int(label)]), 4) if self.manifest.trained else None

    def turns(self, vocabulary: int) -> TurnTokens | None:
        """`manifest_turns`: in which turns prompts are written, for the bundle's model of that many tokens."""
        return manifest_turns(self.manifest, vocabulary)

    @property
    def languages(self) -> Languages:
        """The languages that facets by statistics and the encoder serve."""
        return languages(self.manifest)

    @property
    def context_length(self) -> int:
        """Tokens of context that the base was trained on."""
        return context_length(self.manifest)

    def context(self, changes: Mapping[str, Any]) -> ContextSettings:
        """The settings of prompts that the bundle was trained with, and what is to be different this time.

        Raises:
            BundleError: settings that this version does not know.
            ValueError: a change that is not known or out of range.
            ModelError: a prompt that would leave no room for an answer.
        """
        try:
            trained = read_context(self.manifest.settings.get("context", {}))
        except (TypeError, ValueError) as error:
            raise BundleError(
                f"manifest.json: context settings are not known here ({error}); update copersona"
            ) from error
        settings = changed(trained, changes)
        if settings != trained:
            check_room(settings, self.manifest.shapes.soft_tokens, self.context_length)
        return settings

    def attach_items(self, interactions: Iterable[Interaction], *, enrolled: Container[str] = ()) -> list[Interaction]:
        """`name_item` of each."""
        return [self.name_item(one, enrolled=enrolled) for one in interactions]

    def name_item(self, one: Interaction, *, enrolled: Container[str] = ()) -> Interaction:
        """The interaction with words for its item, if it has none and no input of its own; of one by someone who is
        `enrolled`, that very review is taken out."""
        if one.input is not None or one.words or one.item is None:
            return one
        own = one.output if one.person in enrolled else None
        return replace(one, words=pick_words(self.graph.item_words(one.item), own))
