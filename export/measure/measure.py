"""Figures of a finished run on what was held out, measured through the bundle's public entry points.

Per-person values go to `measured.json` without any text: what is said of the method must be countable by others.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from copersona.export.common.figures import Figures
from copersona.export.common.files import write_text
from copersona.export.common.statistics import mean_interval
from copersona.export.measure.abstention import abstention
from copersona.export.measure.completion import hidden_facet_figures, run_figures
from copersona.export.measure.lending import lending
from copersona.export.measure.parity import (
    check_encoder,
    check_model,
    check_neighbors,
    check_personalizer,
    sample_personas,
)
from copersona.export.measure.switched_on import braked, unsaid
from copersona.export.measure.whose import whose_answer
from copersona.export.population.profile import facet_aucs, halves
from copersona.export.run.run import Run
from copersona.export.run.situations import read_centring
from copersona.runtime.assemble.assemble import whole_bundle
from copersona.runtime.bundle.verify import open_manifest
from copersona.runtime.common.arrays import F64
from copersona.runtime.common.errors import ExportError
from copersona.runtime.common.progress import track
from copersona.runtime.people.known import Known
from copersona.runtime.persona.neighbors import PER_FACET
from copersona.runtime.persona.persona import Persona
from copersona.runtime.profile.facets import Profile
from copersona.runtime.session.session import Session, open_bundle


def measure_run(
    run: Run, *, people: int | None = None, only: Sequence[str] = (), bundle: Path | None = None
) -> Figures:
    """All measurements, or those named; results are added to `measured.json` of the run as they come.

    With `bundle`, another bundle of the run's population is measured, such as one in which nothing is trained: what
    concerns the bundle alone, in `measured-<its id>.json`.

    Raises:
        ExportError: a name that is not known, no bundle in the run folder (or no graph, where that is enough), or one
            of another population.
    """
    known = MEASUREMENTS if bundle is None else OF_BUNDLES
    unknown = set(only) - set(known)
    if unknown:
        raise ExportError(f"unknown measurements {sorted(unknown)}; known: {', '.join(known)}")
    last = "graph" if only and set(only) <= set(OF_GRAPH) else "bundle"
    if not run.path({"graph": "arrays.safetensors", "bundle": "bundle/manifest.json"}[last]).is_file():
        raise ExportError(f"{run.folder}: holds no {last} yet; run the export to this step first")
    path = run.path("measured.json") if bundle is None else _choose(run, bundle)
    figures: Figures = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for name in only or known:
        found = MEASUREMENTS[name](run, people)
        figures[name] = {**found, "limited to people": people} if people else found
        write_text(path, json.dumps(figures, ensure_ascii=False, indent=1))
    run.forget()
    return {name: figures[name] for name in only or known}


def _choose(run: Run, bundle: Path) -> Path:
    """Have another bundle measured; the file of its figures."""
    own, other = open_manifest(run.path("bundle")), open_manifest(bundle)
    if own.population_id != other.population_id:
        raise ExportError(
            f"{bundle}: population {other.population_id[:12]}, the run's is {own.population_id[:12]}; measure it with "
            "the run that it comes from"
        )
    run.chosen = bundle
    return run.path(f"measured-{other.bundle_id[:12]}.json")


def parity(run: Run, people: int | None) -> Figures:
    """Numpy against torch, merged GGUF against torch, int8 encoder against sentence-transformers on 1,000 sentences."""
    personas = sample_personas(run, 50)
    texts = [item.output for person in run.people[:50] for item in run.training_histories[person][:2]]
    return {
        **check_personalizer(run, personas),
        **check_model(run, personas, texts),
        **check_neighbors(run),
        **check_encoder(run, 1000),
    }


def same_person(run: Run, people: int | None) -> Figures:
    """Same-person AUC of each facet and of all together: two halves of one person against halves of two people."""
    sample = run.people[:people] if people else run.people
    odd, even = halves(sample, run.training_histories, run.schema, run.encode, workers=run.settings.workers)
    return {k: round(v, 4) for k, v in facet_aucs(odd, even, run.schema, read_centring(run)).items()} | {
        "people": len(odd)
    }


def neighbors_from_text(run: Run, people: int | None) -> Figures:
    """Profiles made again from text by the opened bundle: share of the stored neighbours found again (recall@5)."""
    sample = run.people[: min(people or 1000, 1000)]
    recalls = []
    with open_bundle(run.bundle) as session:
        for person in track(sample, "neighbours from text"):
            known = session.know(run.training_histories[person], pseudonym=run.pseudonyms[person])
            stored = session.graph.stored_edges(session.graph.row(run.pseudonyms[person]), PER_FACET)
            for found, kept in zip(known.persona.placement.edges.index[0], stored.index[0], strict=True):
                wanted = set(kept[kept >= 0].tolist())
                if wanted:
                    recalls.append(len(wanted & set(found.tolist())) / len(wanted))
    return {"recall@5 from text": round(float(np.mean(recalls)), 4), "people": len(sample), "layers": len(recalls)}


def bits_per_byte(run: Run, people: int | None) -> Figures:
    """Test interactions as oneself, as nobody, and as the next person (persona and context); paired over people."""
    values, new = _score(run, people, ("own", "nobody", "stranger"))
    figures = _compared(values)
    if new.sum() >= 2:
        for other in ("nobody", "stranger"):
            figures[f"new people: own minus {other}"] = mean_interval((values["own"] - values[other])[new])
    kept = {name: column.tolist() for name, column in values.items()}
    which = "" if run.chosen is None else f"-{open_manifest(run.chosen).bundle_id[:12]}"
    write_text(run.path(f"bits_per_byte{which}.json"), json.dumps({**kept, "new": new.tolist()}))
    return figures


def branches(run: Run, people: int | None) -> Figures:
    """The same with one branch only, on 300 people: a trained part switched off at inference, nothing retrained."""
    values, _ = _score(run, people or 300, ("own", "own text only", "own soft prompt only"))
    return _compared(values)


def _compared(values: dict[str, F64]) -> Figures:
    """Means, and own minus each other, with intervals over people."""
    means = {name: round(float(column.mean()), 5) for name, column in values.items()}
    others = [name for name in values if name != "own"]
    return {"mean": means, **{f"own minus {name}": mean_interval(values["own"] - values[name]) for name in others}}


def _score(run: Run, people: int | None, names: Sequence[str]) -> tuple[dict[str, F64], Any]:
    """Bits per byte of each test interaction under each condition, one value a person; and who is a new person."""
    targets = [p for p, s in run.splits.items() if s.held_out]
    targets = targets[:: max(len(targets) // people, 1)][:people] if people else targets
    rows: dict[str, list[float]] = {name: [] for name in names}
    with open_bundle(run.bundle) as session:
        knowns = [_known(run, session, person) for person in track(targets, "personas")]
        for i in track(range(len(targets)), "scoring test interactions"):
            target, own = run.histories[targets[i]][-1], knowns[i]
            conditions = {
                "own": own,
                "nobody": None,
                "stranger": knowns[(i + 1) % len(targets)],
                "own text only": Known(own.history, own.persona, session.nobody),
                "own soft prompt only": Known((), _silent(own), own.soft),
            }
            for name in names:
                score = session.score(target.request(), target.output, conditions[name])
                rows[name].append(score.bits_per_byte)
    new = np.array([run.splits[p].new for p in targets])
    return {name: np.array(column) for name, column in rows.items()}, new


def _known(run: Run, session: Session, person: str) -> Known:
    return session.know(run.histories[person][:-1], pseudonym=run.pseudonyms.get(person))


def _silent(known: Known) -> Persona:
    """The same persona with nothing to say in text."""
    profile = known.persona.profile
    return replace(known.persona, profile=Profile((), profile.vectors, profile.z), peers=())


def invented(run: Run, people: int | None) -> Figures:
    """Hidden facets in an invented population: peers against no peers and against random peers."""
    return hidden_facet_figures(run.settings.seed, run.encode).to_json()


def completion(run: Run, people: int | None) -> Figures:
    """The same control on the real population, where the truth of a hidden facet is only what the history shows."""
    return run_figures(run)


def style_in_facets(run: Run, people: int | None) -> Figures:
    """What a person's facet vectors tell of the style of their next text, feature by feature."""
    from copersona.export.measure.style_in_facets import style_figures

    return style_figures(run, people)


PROBE = """
import json, sys
from pathlib import Path
from copersona.runtime import Interaction, Sampling, open_bundle
def resident():
    rows = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {name: int(rows[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon", "RssFile")}
with open_bundle(sys.argv[1]) as session:
    texts = (f"I like it, number {i}. It works well and sounds good." for i in range(6))
    known = session.know(tuple(Interaction("x", text) for text in texts))
    session.answer("Write a review.", known, Sampling(max_tokens=64)).finish()
    after = resident()
heavy = ("torch", "transformers", "peft", "sentence_transformers", "optimum", "copersona.export")
forbidden = [name for name in heavy if name in sys.modules]
print(json.dumps({"resident": after, "forbidden": forbidden}))
"""


def runtime_process(run: Run, people: int | None) -> Figures:
    """A fresh process that opens the bundle and answers: what it imported, and its memory beyond the mapped model."""
    bundle = whole_bundle(run.bundle)
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(bundle)], capture_output=True, text=True, check=False, env=os.environ.copy()
    )
    if done.returncode:
        raise ExportError(f"the runtime process failed: {done.stderr.strip().splitlines()[-1]}")
    found = json.loads(done.stdout)
    model = open_manifest(bundle).path(bundle, "model").stat().st_size / 1e6
    return {
        "resident MB": round(found["resident"]["VmRSS"], 1),
        "of it anonymous MB": round(found["resident"]["RssAnon"], 1),
        "mapped model MB": round(model, 1),
        "resident beyond the model MB": round(found["resident"]["VmRSS"] - model, 1),
        "torch or export imported": bool(found["forbidden"]),
    }


def steps(run: Run, people: int | None) -> Figures:
    """Wall time and peak memory of each step, from the markers of the run."""
    rows = {}
    for path in sorted((run.folder / "done").glob("*.json"), key=lambda p: p.stat().st_mtime):
        marker = json.loads(path.read_text(encoding="utf-8"))
        rows[marker["step"]] = {"seconds": marker["seconds"], "peak MB": marker["peak_megabytes"]}
    return rows


MEASUREMENTS: dict[str, Callable[[Run, int | None], Figures]] = {
    "steps": steps,
    "parity": parity,
    "same person": same_person,
    "neighbours from text": neighbors_from_text,
    "bits per byte": bits_per_byte,
    "branches": branches,
    "invented population": invented,
    "completion": completion,
    "lending": lending,
    "abstention": abstention,
    "braked": braked,
    "unsaid": unsaid,
    "style in facets": style_in_facets,
    "runtime process": runtime_process,
    "whose answer": whose_answer,
}


OF_GRAPH = ("steps", "same person", "lending", "abstention")
"""Those that a run tells before anything is trained."""

OF_BUNDLES = {
    name: MEASUREMENTS[name] for name in ("bits per byte", "whose answer", "neighbours from text", "runtime process")
}
"""Those that say something of a bundle by itself."""


def same_run(first: Path, second: Path) -> dict[str, bool]:
    """Whether two runs gave the same facets, graph and personalizer, byte for byte (the graph row for row)."""
    import sqlite3

    parts = ("facets.json", "graph.sqlite", "peers.npy", "anchors.npy", "train/best/personalizer.safetensors")
    missing = [str(folder / part) for folder in (first, second) for part in parts if not (folder / part).is_file()]
    if missing:
        raise ExportError(f"{missing[0]}: not there, so the runs cannot be compared; finish both exports first")

    def dump(folder: Path) -> list[Any]:
        database = sqlite3.connect(folder / "graph.sqlite")
        try:
            queries = ("SELECT * FROM peers ORDER BY row", "SELECT * FROM edges ORDER BY peer, facet, rank")
            return [row for query in queries for row in database.execute(query)]
        finally:
            database.close()

    def same(name: str) -> bool:
        return (first / name).read_bytes() == (second / name).read_bytes()

    return {
        "facets.json": same("facets.json"),
        "graph": dump(first) == dump(second) and same("peers.npy") and same("anchors.npy"),
        "personalizer": same("train/best/personalizer.safetensors"),
    }
