"""One evaluation from bundle and run folder to report."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from copersona.export.common.files import sha256, weight_hashes
from copersona.export.common.hub import model_name
from copersona.export.common.language_model import ModelSettings, open_ledger
from copersona.export.evaluation.bench.bench import BASE, TRAINED, Bench
from copersona.export.evaluation.bench.cases import cases, spread
from copersona.export.evaluation.bench.judge import Judge
from copersona.export.evaluation.bench.texts import TextMetrics
from copersona.export.evaluation.bench.values import ValueStore
from copersona.export.evaluation.experiments.compute import Plan, measure, measure_people
from copersona.export.evaluation.experiments.experiments import EXPERIMENTS
from copersona.export.evaluation.experiments.gating import gating
from copersona.export.evaluation.experiments.variants import FACETS, VARIANTS, made, make_variants, results
from copersona.export.evaluation.report.facts import Base, Facts
from copersona.export.evaluation.report.groups import CUTS, grouped
from copersona.export.evaluation.report.report import write_report
from copersona.export.evaluation.report.results import Table, about_people, collect, near_against_far, restricted
from copersona.export.evaluation.variants.variant_bundles import base_bundle
from copersona.export.run.run import Run
from copersona.export.steps.pipeline import alone
from copersona.runtime.bundle.verify import open_manifest
from copersona.runtime.chat.ledger import Ledger
from copersona.runtime.chat.local_model import local_name
from copersona.runtime.common.errors import ExportError
from copersona.runtime.engine.engine import Sampling, build_info
from copersona.runtime.prompt.settings import read_context

WHEN = {"checkpoint_seconds"}  # of the training's settings: how it is saved, not what it comes to


@dataclass(frozen=True, slots=True)
class Options:
    """What an evaluation was asked for; see the command's help."""

    only: Sequence[str] = ()
    limit: int | None = None
    validation: bool = False
    sweeps: int | None = None
    texts: int = 200
    max_tokens: int | None = None
    bert_encoder: Path | None = None
    train_: Sequence[str] = ()
    invented: bool = False
    endpoint: str | None = None
    model: str | None = None
    gguf: Path | None = None
    judge_endpoint: str | None = None
    judge_model: str | None = None
    judge_gguf: Path | None = None
    api_key_env: str | None = None
    base_training: str = "its training is not stated"
    threads: int | None = None
    seed: int = 0


def evaluate_bundle(bundle: Path, run: Run, out: Path, options: Options) -> str:
    """Measure and write the report; what the store in `out` holds already is not measured again.

    Raises:
        ExportError: an experiment or variant that is not known, or a bundle of another run.
    """
    unknown = set(options.only) - set(EXPERIMENTS)
    if unknown:
        raise ExportError(f"unknown experiments {sorted(unknown)}; known: {', '.join(EXPERIMENTS)}")
    _check_pair(bundle, run)
    out.mkdir(parents=True, exist_ok=True)
    with alone(run.folder):
        names = [*VARIANTS, *FACETS] if "all" in options.train_ else list(options.train_)
        make_variants(run, bundle, names)
        bundles = {TRAINED: bundle, BASE: base_bundle(run, bundle), **made(run, bundle)}
    writer = _ledger(options.endpoint, options.model, options.gguf, options.api_key_env, _replies(run))
    plan = _plan(run, options)
    with (
        Bench(run, bundles, threads=options.threads, writer=writer, seed=options.seed) as bench,
        ValueStore(out / "values.jsonl") as store,
    ):
        asked = [EXPERIMENTS[name](bench) for name in options.only or EXPERIMENTS]
        asked = [e for e in asked if len(e.trials) > 1]
        measure_people(bench, store, plan)
        measure(bench, store, asked, plan)
        people = about_people(bench, store, plan)
        tables = [collect(bench, store, experiment, plan) for experiment in asked]
        shares = {} if options.only else gating(bench, plan.cases).rows
    facts = _facts(bundle, run, plan, options, bundles, shares)
    write_report(out, bench, plan, [*tables, *_derived(tables, people)], people, facts)
    if options.invented:
        from copersona.export.evaluation.command.control import control

        control(run, out, options)
    return f"{out / 'report.md'}"


def _check_pair(bundle: Path, run: Run) -> None:
    manifest = open_manifest(bundle)
    row = manifest.file("graph")
    if row is None or row.sha256 != sha256(run.path("graph.sqlite")):
        raise ExportError(f"{bundle}: its graph is not the one in {run.folder}; give the run that it was packed from")
    ours, theirs = asdict(run.settings.train), manifest.settings["training"]
    differs = sorted(
        [f"training {name}" for name in ours.keys() - WHEN if theirs[name] != ours[name]]
        + ["context"] * (read_context(manifest.settings["context"]) != run.settings.context)
        + ["quantize"] * (manifest.settings["export"]["quantize"] != run.settings.quantize)
    )
    if differs:
        raise ExportError(
            f"{bundle}: {run.folder} has other settings by now ({', '.join(differs)}), what is retrained would have "
            "those; finish the export, or give the run its settings back"
        )


def _ledger(endpoint: str | None, name: str | None, gguf: Path | None, key: str | None, folder: Path) -> Ledger | None:
    """The model at an endpoint or in a GGUF, its answers remembered in the folder; None for none given."""
    if not endpoint and not gguf:
        return None
    if bool(endpoint) != bool(name):
        raise ExportError("an endpoint needs the name of its model, and a model's name an endpoint")
    settings = ModelSettings(endpoint, None if gguf is None else str(gguf.resolve()), api_key_env=key)
    return open_ledger(settings, name or local_name(gguf or Path()), folder)


def _replies(run: Run) -> Path:
    """Where models' answers about people are kept: with the run, since reports hold no text."""
    folder = run.path("variants")
    folder.mkdir(exist_ok=True)
    return folder


def _plan(run: Run, options: Options) -> Plan:
    everybody = cases(run, options.limit, validation=options.validation)
    tokens = options.max_tokens or run.settings.train.answer_tokens
    judged = _replies(run) / "judge"
    judge = _ledger(options.judge_endpoint, options.judge_model, options.judge_gguf, options.api_key_env, judged)
    swept = spread(everybody, options.sweeps)
    return Plan(
        everybody,
        frozenset(case.person for case in swept),
        frozenset(case.person for case in spread(swept, options.texts)) if options.texts else frozenset(),
        Sampling(max_tokens=tokens, seed=options.seed),
        TextMetrics(options.bert_encoder or Path(run.settings.encoder)) if options.texts else None,
        None if judge is None else Judge(judge),
    )


def _derived(tables: Sequence[Table], people: Any) -> list[Table]:
    """Tables that are cuts of others: new people alone, the near twin, and groups of people."""
    found = []
    new = {person for person, row in people.items() if row["new"]}
    for table in tables:
        if table.experiment.name in ("methods", "cold") and len(new) >= 2:
            title = f"{table.experiment.title}: the {len(new)} new people alone"
            found.append(restricted(table, new, f"{table.experiment.name}, new people", title))
        if table.experiment.name == "twins":
            found.append(near_against_far(table))
        if table.experiment.name == "methods":
            found += [one for cut in CUTS if (one := grouped(table, people, cut))]
    return found


def _facts(
    bundle: Path,
    run: Run,
    plan: Plan,
    options: Options,
    bundles: Mapping[str, Path],
    gating: Mapping[str, Mapping[str, float]],
) -> Facts:
    manifest = open_manifest(bundle)
    settings = asdict(run.settings)
    for private in ("histories", "base", "encoder", "workers", "model", "metadata"):
        settings.pop(private)
    settings["keep"] = run.settings.keep is not None
    packages = ("copersona", "torch", "transformers", "peft", "numpy", "onnxruntime")
    base = Path(run.settings.base)
    return Facts(
        bundle=manifest.bundle_id,
        dataset=", ".join(Path(name).name for name in run.settings.histories),
        people=len(plan.cases),
        new_people=sum(case.new for case in plan.cases),
        limit=options.limit,
        validation=options.validation,
        profiles_by=run.settings.profiles_model,
        base=Base(model_name(base), parameters(base), options.base_training, run.settings.quantize),
        training=_training(run),
        settings=settings,
        seed=options.seed,
        versions={name: version(name) for name in packages} | {"engine": build_info()},
        variants=results(run, tuple(bundles)),
        hashes=_hashes(run, bundles),
        gating=gating,
    )


def _hashes(run: Run, bundles: Mapping[str, Path]) -> dict[str, str]:
    """Of what was measured: the bundle of each model, the weights that all began from, and who was asked what."""
    rows = {f"bundle {name}": open_manifest(folder).bundle_id for name, folder in bundles.items()}
    rows |= {f"weights of the base {i}": value for i, value in enumerate(weight_hashes(Path(run.settings.base)), 1)}
    return rows | {name: sha256(run.path(name)) for name in ("encoder.onnx", "histories.jsonl", "splits.json")}


def _training(run: Run) -> str:
    """What the run's own training came to, in words."""
    path = run.path("done") / "train.json"
    if not path.is_file():
        return "trained by this run"
    report = json.loads(path.read_text(encoding="utf-8")).get("report", {})
    return f"{report.get('steps', '?')} steps over {report.get('targets', '?')} targets of this population"


def parameters(base: Path) -> int:
    """Numbers in the weights of a model folder."""
    from safetensors import safe_open

    total = 0
    for path in sorted(base.glob("*.safetensors")):
        with safe_open(path, framework="np") as tensors:
            total += sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    return total
