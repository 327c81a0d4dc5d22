"""A run folder: settings, and the files that the steps of one export read and write.

Everything private to the training population stays here: histories, splits, the map from people to pseudonyms,
clusters.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from copersona.export.common.files import replacing, sha256, write_text
from copersona.export.common.language_model import ModelSettings, open_ledger
from copersona.export.common.vectors import VectorFile
from copersona.export.convert.file_tokens import FileTokens, base_turns
from copersona.export.data.items import ItemTable, attach_words
from copersona.export.data.splits import Splits, read_splits, seen_history, training_people
from copersona.export.population.profile import State, stack, states_of
from copersona.export.training.examples import Dropout
from copersona.export.training.kept import Kept, read_kept
from copersona.export.training.settings import TrainSettings
from copersona.runtime.assemble.merge import Quantisation
from copersona.runtime.chat.ledger import Ledger
from copersona.runtime.common.arrays import F32
from copersona.runtime.common.errors import ExportError
from copersona.runtime.engine.turns import TurnTokens
from copersona.runtime.history.importers import load_history
from copersona.runtime.history.interactions import History, group_by_person
from copersona.runtime.profile.encoder import Encoder
from copersona.runtime.profile.facets import FacetSchema, Profile, profile_from_json, profile_to_json, read_schema
from copersona.runtime.prompt.layout import Layout
from copersona.runtime.prompt.settings import ContextSettings, read_context


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What an export was asked for; `settings.json` in the run folder."""

    histories: tuple[str, ...]
    format: str
    base: str
    encoder: str
    facets: int = 5
    clusters: int = 8
    quantize: Quantisation = "q8_0"
    thin: bool = False
    """Pack the LoRA and the name of the base instead of the model."""
    peer_quotes: bool = True
    context_length: int = 1024
    seed: int = 0
    limit_people: int | None = None
    workers: int = 2
    metadata: str | None = None
    skip_bad: bool = False
    facets_model: str | None = None
    """Name of the language model that finds the facets; None is by statistics."""
    profiles_model: str | None = None
    """The same for profiles."""
    people_per_call: int = 4
    keep: str | None = None
    """File of questions and answers that are mixed into the training; see `kept.py`."""
    model: ModelSettings = field(default_factory=ModelSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    context: ContextSettings = field(default_factory=ContextSettings)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str) -> RunSettings:
        """Raises ExportError."""
        try:
            body: dict[str, Any] = json.loads(text)
            train = body.pop("train")
            dropout = Dropout(**train.pop("dropout"))
            body["histories"] = tuple(body["histories"])
            context = read_context(body.pop("context"))
            body["model"] = ModelSettings(**body.pop("model"))
            return cls(**body, train=TrainSettings(**train, dropout=dropout), context=context)
        except (ValueError, TypeError, KeyError) as error:
            raise ExportError(f"{source}: not the settings of an export ({error}); use a new run folder") from error


class Run:
    """One run folder. Parts are read when first asked for; a step that rewrites a part calls `forget`."""

    def __init__(self, folder: Path, settings: RunSettings) -> None:
        self.folder, self.settings = folder, settings
        self.chosen: Path | None = None
        self._ledgers: dict[str, Ledger] = {}
        self._vectors: VectorFile | None = None
        self._opening = threading.Lock()  # texts are encoded in several threads

    @classmethod
    def open(cls, folder: Path) -> Run:
        """An existing run folder. Raises ExportError."""
        path = folder / "settings.json"
        if not path.is_file():
            raise ExportError(f"{folder}: no run folder (settings.json is missing); start with: copersona export run")
        return cls(folder, RunSettings.from_json(path.read_text(encoding="utf-8-sig"), str(path)))

    def save_settings(self) -> None:
        write_text(self.path("settings.json"), self.settings.to_json())

    def path(self, name: str) -> Path:
        return self.folder / name

    @property
    def bundle(self) -> Path:
        """What is measured: the run's own bundle, or another of its population that was chosen."""
        return self.chosen or self.path("bundle")

    def forget(self) -> None:
        """Drop what was read, after a step has rewritten it."""
        if self._vectors is not None:
            self._vectors.close()
            self._vectors = None
        for name in [n for n, v in vars(Run).items() if isinstance(v, cached_property)]:
            self.__dict__.pop(name, None)

    @cached_property
    def raw_histories(self) -> dict[str, History]:
        """Everyone's histories without item words, as prepared."""
        return group_by_person(load_history([self.path("histories.jsonl")], "jsonl").interactions)

    @cached_property
    def splits(self) -> Splits:
        return read_splits(self.path("splits.json"), self.raw_histories)

    @cached_property
    def items(self) -> ItemTable:
        table: ItemTable = json.loads(self.path("items.json").read_text(encoding="utf-8"))
        return table

    @cached_property
    def histories(self) -> dict[str, History]:
        """Everyone's histories with item words."""
        return attach_words(self.raw_histories, self.splits, self.items)

    @cached_property
    def people(self) -> list[str]:
        """Training people, in the order of the peers' rows."""
        return training_people(self.splits)

    @cached_property
    def training_histories(self) -> dict[str, History]:
        """Training people's interactions before validation."""
        return {p: seen_history(self.histories, self.splits, p) for p in self.people}

    @cached_property
    def encoder(self) -> Encoder:
        return Encoder(self.path("encoder.onnx"), self.path("encoder_tokenizer.json"))

    @cached_property
    def kept(self) -> tuple[Kept, ...]:
        """The facts that are mixed into the training; none where the run has no file of them."""
        return () if self.settings.keep is None else read_kept(Path(self.settings.keep))

    @cached_property
    def schema(self) -> FacetSchema:
        return read_schema(self.path("facets.json"))

    @cached_property
    def pseudonyms(self) -> Mapping[str, str]:
        names: dict[str, str] = json.loads(self.path("pseudonyms.json").read_text(encoding="utf-8-sig"))
        return names

    @cached_property
    def states(self) -> list[State]:
        return states_of(self.splits)

    @cached_property
    def profiles(self) -> dict[State, Profile]:
        """Profiles of all states."""
        return dict(zip(self.states, read_profiles(self.path("profiles")), strict=True))

    @cached_property
    def layout(self) -> Layout:
        """Prompts on the base model's tokens."""
        base = Path(self.settings.base)
        return Layout(FileTokens(base / "tokenizer.json"), self.settings.context, self.turns)

    @cached_property
    def turns(self) -> TurnTokens:
        """How the base model's turns open and close."""
        return base_turns(Path(self.settings.base))

    def ledger(self, name: str) -> Ledger:
        """The calls of this process to the language model `name`. Raises ExportError or ModelError."""
        if name not in self._ledgers:
            self._ledgers[name] = open_ledger(self.settings.model, name, self.folder)
        return self._ledgers[name]

    def close_models(self) -> None:
        """Give the memory of language models back; their answers stay in the folder."""
        self._ledgers.clear()

    @property
    def encoded(self) -> int:
        """How many texts were encoded, not found on disk, since the last `forget`."""
        return 0 if self._vectors is None else self._vectors.encoded

    def encode(self, text: str) -> F32:
        """The vector of a text by the shipped encoder, (E,) float32; encoded once in the life of the run folder."""
        with self._opening:
            if self._vectors is None:
                encoder = sha256(self.path("encoder.onnx"))
                self._vectors = VectorFile(self.path("vectors.sqlite"), encoder, self.encoder.encode)
            vectors = self._vectors
        return vectors(text)


def write_profiles(stem: Path, profiles: list[Profile]) -> None:
    """`<stem>.safetensors` (vectors, z) and `<stem>.jsonl` (facets), in order."""
    from safetensors.numpy import save_file

    vectors, _ = stack(profiles)
    with replacing(stem.with_suffix(".jsonl")) as part:
        part.write_text("".join(profile_to_json(p.facets) + "\n" for p in profiles), encoding="utf-8")
    with replacing(stem.with_suffix(".safetensors")) as part:
        save_file({"vectors": vectors, "z": np.stack([p.z for p in profiles])}, part)


def read_profiles(stem: Path) -> list[Profile]:
    """Inverse of `write_profiles`."""
    from safetensors.numpy import load_file

    arrays = load_file(stem.with_suffix(".safetensors"))
    lines = stem.with_suffix(".jsonl").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    rows = zip(lines, arrays["vectors"], arrays["z"], strict=True)
    return [Profile(profile_from_json(line, own=True), vectors, z) for line, vectors, z in rows]
