"""The steps of an export, each a function of a run folder that writes its files whole or not at all.

prepare -> encoder -> discover -> profile -> graph -> train -> convert -> bundle
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from copersona.export.common.files import need_room, replacing, sha256, write_text
from copersona.export.common.source import read_source
from copersona.export.common.statistics import mean_interval
from copersona.export.convert.encoder import check_encoder, convert_encoder
from copersona.export.data.items import item_table
from copersona.export.data.splits import make_splits, seen_history, training_people, write_splits
from copersona.export.discovery.candidates import Discovery
from copersona.export.discovery.discover import discover
from copersona.export.discovery.discover_model import discover_by_model
from copersona.export.population.graph import (
    build_graph,
    facet_biased,
    layer_figures,
    neighbor_gain,
    pseudonyms_for,
    write_graph,
)
from copersona.export.population.profile import (
    State,
    centre_population,
    choose_weight,
    facet_aucs,
    halves,
    held_out_scores,
    profile_states,
    stack,
    with_weight,
)
from copersona.export.run.run import Run, write_profiles
from copersona.export.run.situations import run_targets
from copersona.export.training.kept import read_kept
from copersona.runtime.common.errors import ExportError
from copersona.runtime.common.tensors import as_float16
from copersona.runtime.history.importers import history_line, load_history
from copersona.runtime.history.interactions import group_by_person, outputs
from copersona.runtime.profile.facets import Profile, Reliability, schema_to_json
from copersona.runtime.profile.model_profiler import ModelProfiler
from copersona.runtime.profile.served import measured_scripts
from copersona.runtime.prompt.settings import check_room

Report = Mapping[str, Any]
"""Figures of a step, plain JSON; kept with the step's marker and shown at the end."""


def prepare(run: Run) -> Report:
    """Read the histories into our own format, in order, and split them once for all steps."""
    asked = run.settings
    loaded = load_history(asked.histories, asked.format, skip_bad=asked.skip_bad, metadata=asked.metadata)
    histories = group_by_person(loaded.interactions)
    if run.settings.limit_people is not None:
        ranked = sorted(histories, key=lambda p: hashlib.sha256(p.encode()).digest())
        kept = set(ranked[: run.settings.limit_people])
        histories = {p: h for p, h in histories.items() if p in kept}
    splits = make_splits(histories, run.settings.seed)
    with replacing(run.path("histories.jsonl")) as part, part.open("w", encoding="utf-8") as lines:
        lines.writelines(f"{history_line(item)}\n" for history in histories.values() for item in history)
    write_splits(run.path("splits.json"), splits)
    seen = {p: seen_history(histories, splits, p) for p in training_people(splits)}
    write_text(run.path("items.json"), json.dumps(item_table(seen), ensure_ascii=False))
    odd = {"marks left out, texts": loaded.marks, "texts that hide characters": loaded.hidden}
    return {
        **{name: count for name, count in odd.items() if count},
        "people": len(histories),
        "interactions": sum(map(len, histories.values())),
        "empty": loaded.skipped_empty,
        "bad lines": len(loaded.bad),
        "new people": sum(s.new for s in splits.values()),
    }


def encoder(run: Run) -> Report:
    """The sentence encoder as it ships: every later step and the device use this one."""
    model = run.path("encoder.onnx")
    convert_encoder(Path(run.settings.encoder), model, run.path("encoder_tokenizer.json"))
    return {"megabytes": round(model.stat().st_size / 1e6, 1)}


def discover_facets(run: Run) -> Report:
    """Facets from training people's histories before validation; the features' weight from halves of them."""
    found, calls = _discover(run)
    workers = run.settings.workers
    own = (text for person in run.people for text in outputs(run.training_histories[person]))
    schema = replace(found.schema, scripts=measured_scripts(own))
    odd, even = halves(run.people, run.training_histories, schema, run.encode, workers=workers)
    if len(odd) >= 10:
        weight = choose_weight(odd, even, schema, run.encode)
        odd, even = with_weight(odd, schema, weight), with_weight(even, schema, weight)
        schema = replace(schema, feature_weight=weight)
    clusters = {"clusters": [asdict(c) for c in found.clusters], "assignment": dict(found.assignment)}
    write_text(run.path("clusters.json"), json.dumps(clusters, ensure_ascii=False, indent=1))
    write_text(run.path("facets.json"), schema_to_json(schema))
    run.forget()
    figures = {name: {k: round(v, 3) for k, v in row.items()} for name, row in found.figures.items()}
    return {
        "facets": list(schema.names),
        "feature weight": schema.feature_weight,
        "candidates": figures,
        "same-person AUC": _same_person(run, odd, even),
        "people in halves": len(odd),
        **calls,
    }


def _discover(run: Run) -> tuple[Discovery, Report]:
    """By statistics or by a model; what the model's calls came to."""
    asked, name = run.settings, run.settings.facets_model
    if name is None:
        return discover(
            run.training_histories, run.encode, facets=asked.facets, seed=asked.seed, clusters=asked.clusters
        ), {}
    ledger = run.ledger(name)
    before = replace(ledger.usage)
    found = discover_by_model(
        run.training_histories, run.encode, ledger, facets=asked.facets, seed=asked.seed, clusters=asked.clusters
    )
    return found, {"model": name, "calls": ledger.usage.since(before)}


def _same_person(run: Run, odd: Sequence[Profile], even: Sequence[Profile]) -> Report:
    """Same-person AUC of each facet, remembered beside the schema that it is of; empty without halves to compare."""
    if not odd:
        return {}
    vectors, labels = stack([*odd, *even])
    centring = centre_population(vectors, labels, run.schema, run.encode)
    figures = {name: round(value, 4) for name, value in facet_aucs(odd, even, run.schema, centring).items()}
    body = {"facets": sha256(run.path("facets.json")), "auc": figures}
    write_text(run.path("same_person.json"), json.dumps(body, indent=1))
    return figures


def _remembered_same_person(run: Run) -> Report:
    """The figures of discovery, made again where the facets were edited since."""
    path = run.path("same_person.json")
    body = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if body.get("facets") == sha256(run.path("facets.json")):
        figures: Report = body["auc"]
        return figures
    return _same_person(
        run, *halves(run.people, run.training_histories, run.schema, run.encode, workers=run.settings.workers)
    )


def profile(run: Run) -> Report:
    """Everyone's facet profile at every point where something is predicted.

    "texts encoded" are those of this call: what discovery or an interrupted profiling encoded is on disk.
    """
    workers, name, report = run.settings.workers, run.settings.profiles_model, {}
    if name is None:
        done = profile_states(run.states, run.histories, run.schema, run.encode, workers=workers)
    else:
        ledger = run.ledger(name)
        before = replace(ledger.usage)
        model = ModelProfiler(ledger, people_per_call=run.settings.people_per_call, workers=workers)
        done = profile_states(run.states, run.histories, run.schema, run.encode, workers=workers, model=model)
        report = {"model": name, "calls": ledger.usage.since(before), "claims": asdict(model.counts)}
    write_profiles(run.path("profiles"), done)
    return {"states": len(done), "texts encoded": run.encoded, **report}


def graph(run: Run) -> Report:
    """Centre the layers, connect the peers, write adjacency and vectors; print what the graph looks like."""
    from safetensors.numpy import save_file

    profiles = [run.profiles[State(p, run.splits[p].seen)] for p in run.people]
    vectors, labels = stack(profiles)
    centring = centre_population(vectors, labels, run.schema, run.encode)
    centred = as_float16(centring(vectors, labels >= Reliability.MODERATE))
    names = pseudonyms_for(run.people, run.settings.seed)
    built = build_graph(run.people, names, profiles, centred, labels, quotes=run.settings.peer_quotes)
    write_text(run.path("pseudonyms.json"), json.dumps(names, ensure_ascii=False, indent=1))
    with replacing(run.path("arrays.safetensors")) as part:
        save_file({"means": centring.means, "placeholder": centring.placeholder}, part)
    write_graph(built, run.items, run.path("graph.sqlite"), run.path("peers.npy"), run.path("anchors.npy"))
    gains = neighbor_gain(built, _held_out_truth(run), run.settings.seed)
    return {
        "peers": len(run.people),
        "layers": [asdict(row) for row in layer_figures(built, run.schema.names)],
        "same-person AUC": _remembered_same_person(run),
        "facet-biased": round(facet_biased(labels), 4),
        "neighbours nearer than random, z": mean_interval(gains, run.settings.seed) if len(gains) else None,
    }


def _held_out_truth(run: Run) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Facet scores of training people's validation and test texts, (U, M); NaN rows for people without."""
    rows = []
    for person in run.people:
        split, history = run.splits[person], run.histories[person]
        texts = [item.output for item in history[split.seen :]]
        rows.append(held_out_scores(texts, run.schema) if texts else np.full(len(run.schema), np.nan))
    return np.stack(rows)


def train(run: Run) -> Report:
    """LoRA and personalizer, jointly; goes on from a checkpoint of the same data and settings."""
    from copersona.export.run.training import train_run, training_device

    run.close_models()
    targets = run_targets(run)
    result = train_run(run, targets, run.path("train")).result
    counts = {"targets": len(targets.training), "kept": len(run.kept), "validation targets": len(targets.validation)}
    return {**counts, "device": training_device().type, **asdict(result)}


def convert(run: Run) -> Report:
    """LoRA as it ships, merged into the base in float32, then in the precision that ships."""
    from copersona.export.convert.lora import base_gguf, convert_lora
    from copersona.runtime.assemble.merge import merge
    from copersona.runtime.engine.engine import quantize

    base, kind = Path(run.settings.base), run.settings.quantize
    lora = convert_lora(run.path("train") / "best" / "adapter", base, run.path("lora.safetensors"))
    full, model = run.path("model-f32.gguf"), run.path("model.gguf")
    with base_gguf(base, run.folder) as source:
        with replacing(full) as part:
            merge(source, lora, part)
        need_room(model, full.stat().st_size)
        if kind == "f32":
            with replacing(model) as part:
                shutil.copyfile(full, part)
        elif kind == "f16":
            with replacing(model) as part:
                merge(source, lora, part, "f16")
        else:
            quantize(full, model, kind)
    return {"quantisation": kind, "megabytes": round(model.stat().st_size / 1e6, 1)}


def bundle(run: Run) -> Report:
    """Pack and check: refused when a parity check fails."""
    from copersona.export.steps.pack import pack

    return pack(run)


STEPS = {
    "prepare": prepare,
    "encoder": encoder,
    "discover": discover_facets,
    "profile": profile,
    "graph": graph,
    "train": train,
    "convert": convert,
    "bundle": bundle,
}


def check_inputs(run: Run) -> None:
    """Fail before the first long step if a folder that a later step needs is not there, the base not supported, or the
    context too long for it."""
    from copersona.export.convert.base_tensors import check_weights
    from copersona.export.convert.gguf import check_base
    from copersona.export.convert.gguf_tokenizer import read_json

    base, needed = Path(run.settings.base), ("config.json", "tokenizer.json")
    missing = [name for name in needed if not (base / name).is_file()]
    if missing:
        raise ExportError(f"{base}: no Hugging Face model folder ({', '.join(missing)} missing); give --base DIR")
    check_base(base)
    check_weights(base)
    if run.settings.thin and read_source(base) is None:
        raise ExportError(f"{base}: --thin names the GGUF that a bundle is assembled with; give --base FILE.gguf")
    check_encoder(Path(run.settings.encoder))
    if run.settings.keep is not None:
        read_kept(Path(run.settings.keep))  # a bad line is found before the first long step
    trained = min(run.settings.context_length, read_json(base / "config.json")["max_position_embeddings"])
    check_room(run.settings.context, run.settings.train.soft_tokens, trained)
