"""Variants of a finished run: the base as it is, and the model retrained without a part, for as many steps.

Each has a folder `RUN/variants/NAME` with its training (checkpointed by the run's own Trainer) and a bundle that
differs from the run's in model and personalizer alone, so that the runtime opens it as any other. What is done and of
this run is skipped.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from copersona.export.common.files import sha256, write_text
from copersona.export.evaluation.methods.method import silent
from copersona.export.evaluation.methods.switched import UNGATED
from copersona.export.evaluation.variants.rewire import global_order, global_vectors, order_name, random_order, rewired
from copersona.export.evaluation.variants.variant_bundles import VERSION, folder_of, key_of, pack_variant
from copersona.export.run.run import Run
from copersona.export.run.situations import Targets, run_graph, run_targets
from copersona.export.steps.pipeline import read_marker, step_key
from copersona.export.training.examples import Situation
from copersona.runtime.bundle.verify import open_manifest
from copersona.runtime.common.arrays import I32
from copersona.runtime.common.errors import ExportError
from copersona.runtime.common.progress import note
from copersona.runtime.persona.graph import PersonaGraph

Text = Literal["all", "history", "none"]
Wiring = Literal["facets", "random", "global"]


@dataclass(frozen=True, slots=True)
class Variant:
    """What a model is trained without: `text` of the prompt, the soft prompt, LoRA, parts of the personalizer held at
    a value; and how peers are chosen."""

    name: str
    text: Text = "all"
    soft: bool = True
    lora: bool = True
    frozen: Mapping[str, float] = field(default_factory=dict)
    wiring: Wiring = "facets"
    dep: bool = False


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("lora", text="none", soft=False),
        Variant("lora-rag", text="history", soft=False),
        Variant("no-parametric", soft=False),
        Variant("no-text", text="none"),
        Variant("history-text", text="history"),
        Variant("no-gate", frozen={"gate_start": 0.0, "gate_steps": UNGATED}),
        Variant("no-attention", frozen={"attention": 0.0}),
        Variant("random-neighbours", wiring="random"),
        Variant("global-peers", wiring="global"),
        Variant("dep", text="history", lora=False, dep=True),
    )
}
FACETS = tuple(f"facets-{count}" for count in range(3, 7))


def made(run: Run, bundle: Path) -> dict[str, Path]:
    """Bundles of variants that are whole and of this bundle, by name."""
    found = {}
    for name in ("base", *VARIANTS, *FACETS):
        folder = folder_of(run, name) / "bundle"
        if not (folder / "manifest.json").is_file():
            continue
        ours = key_of(bundle, name).items() <= open_manifest(folder).settings.items()
        if ours or (name in FACETS and _same_but_facets(run, Run.open(folder.parent))):
            found[name] = folder
    return found


def _same_but_facets(run: Run, other: Run) -> bool:
    """Whether a run of its own is whole and has this run's settings but for the number of facets."""
    marker = read_marker(other, "bundle")
    whole = marker is not None and marker.key == step_key(other, "bundle")
    return whole and replace(other.settings, facets=run.settings.facets) == run.settings


class VariantTrainer:
    """Trains variants of one run; situations are placed once for all of them."""

    def __init__(self, run: Run, bundle: Path) -> None:
        self.run, self.bundle = run, bundle

    @cached_property
    def targets(self) -> Targets:
        """As the run trained on them."""
        return run_targets(self.run)

    def train(self, variant: Variant) -> Path:
        """The bundle of a variant, trained if it is not there.

        Raises:
            ExportError: as the Trainer does.
        """
        folder = folder_of(self.run, variant.name)
        if variant.name in made(self.run, self.bundle):
            note(f"{variant.name}: done before, skipped")
            return folder / "bundle"
        folder.mkdir(parents=True, exist_ok=True)
        self._train(variant, folder / "train")
        best = folder / "train" / "best"
        personalizer = best / "personalizer.safetensors"
        if variant.dep:  # no device reads its vectors, so they are not in the bundle
            return pack_variant(self.run, self.bundle, variant.name, best / "adapter", None, sha256(personalizer))
        return pack_variant(self.run, self.bundle, variant.name, best / "adapter", personalizer)

    def _train(self, variant: Variant, folder: Path) -> None:
        from copersona.export.run.training import Make, Shape, personalizer_shape, train_run
        from copersona.export.training.personalized import Switches
        from copersona.export.training.personalizer import TorchPersonalizer

        run, targets = self.run, self.targets
        with run_graph(run) as graph:
            alter = self._alter(variant, graph)
            training, validation = ([alter(s) for s in part] for part in (targets.training, targets.validation))
        shape: Shape = personalizer_shape
        make: Make = TorchPersonalizer
        if variant.dep:
            from copersona.export.evaluation.variants.dep_model import DepPersonalizer, dep_shape

            shape, make = lambda run, means, width: dep_shape(len(run.encode("x")), width), DepPersonalizer
        changed = replace(targets, training=training, validation=validation)
        switches = Switches(variant.soft, variant.lora, variant.frozen)
        parts = (VERSION, asdict(variant))
        result = train_run(run, changed, folder, *parts, switches=switches, shape=shape, make=make).result
        write_text(folder.parent / "result.json", json.dumps(asdict(result), indent=1))

    def _alter(self, variant: Variant, graph: PersonaGraph) -> Callable[[Situation], Situation]:
        """How a situation changes under the variant: the same as its method does at inference."""
        run = self.run
        if variant.dep:
            from copersona.export.evaluation.variants.dep_inputs import DepCorpus

            corpus = DepCorpus(run)

            def dep_inputs(s: Situation) -> Situation:
                found = corpus.inputs(s.history, run.pseudonyms.get(s.state.person))
                return replace(s, persona=replace(silent(s.persona), inputs=found))

            return dep_inputs
        if variant.wiring != "facets":
            return self._rewire(variant.wiring, graph)
        if variant.text == "all":
            return lambda s: s
        if variant.text == "history":
            return lambda s: replace(s, persona=silent(s.persona))
        return lambda s: replace(s, persona=silent(s.persona), history=())

    def _rewire(self, wiring: Wiring, graph: PersonaGraph) -> Callable[[Situation], Situation]:
        run = self.run
        peers = (
            global_vectors([run.training_histories[p] for p in run.people], run.encode) if wiring == "global" else None
        )

        def alter(s: Situation) -> Situation:
            row = graph.row(run.pseudonyms.get(s.state.person))
            order: I32
            if peers is None:
                order = random_order(graph, row, order_name(s.history, s.target))
            else:
                order = global_order(s.history, run.encode, peers, row)
            return replace(s, persona=rewired(s.persona, graph, order, run.settings.context.peers))

        return alter


def facet_run(run: Run, count: int) -> Path:
    """The bundle of a whole run with another number of facets, in a run folder of its own."""
    from copersona.export.steps.pipeline import run_steps
    from copersona.export.steps.steps import STEPS

    folder = folder_of(run, f"facets-{count}")
    folder.mkdir(parents=True, exist_ok=True)
    if run.path("vectors.sqlite").is_file() and not (folder / "vectors.sqlite").exists():
        shutil.copyfile(run.path("vectors.sqlite"), folder / "vectors.sqlite")
    other = Run(folder, replace(run.settings, facets=count))
    other.save_settings()
    run_steps(other, tuple(STEPS), note)
    return folder / "bundle"


def make_variants(run: Run, bundle: Path, names: Sequence[str]) -> None:
    """Train and pack the named variants one after the other.

    Raises:
        ExportError: a name that is not known.
    """
    unknown = set(names) - {*VARIANTS, *FACETS}
    if unknown:
        raise ExportError(f"unknown variants {sorted(unknown)}; known: {', '.join([*VARIANTS, *FACETS])}")
    trainer = VariantTrainer(run, bundle)
    for name in names:
        if name in VARIANTS:
            trainer.train(VARIANTS[name])
        elif int(name.removeprefix("facets-")) != run.settings.facets:
            facet_run(run, int(name.removeprefix("facets-")))


def results(run: Run, names: Sequence[str]) -> dict[str, Any]:
    """What the trainings of these variants came to."""
    found = {}
    for name in names:
        path = folder_of(run, name) / "result.json"
        if path.is_file():
            found[name] = json.loads(path.read_text(encoding="utf-8"))
    return found
