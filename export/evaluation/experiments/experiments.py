"""The experiments, in the order of the report. Those of trained variants are there when the variants are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any

from copersona.export.evaluation.bench.bench import TRAINED, Bench
from copersona.export.evaluation.bench.bits import BITS
from copersona.export.evaluation.experiments.trials import Experiment, Trial
from copersona.export.evaluation.methods.ablated import ABLATIONS
from copersona.export.evaluation.methods.cold import latest
from copersona.export.evaluation.methods.copersona import COPERSONA
from copersona.export.evaluation.methods.dpl import dpl
from copersona.export.evaluation.methods.lora import LORA, LORA_RAG
from copersona.export.evaluation.methods.method import Method
from copersona.export.evaluation.methods.non_perso import NON_PERSO
from copersona.export.evaluation.methods.pag import pag
from copersona.export.evaluation.methods.rag import RAG
from copersona.export.evaluation.methods.switched import EPISODES_ONLY, FACETS_ONLY, NOBODY, SWITCHED, TEXT_ONLY
from copersona.export.evaluation.methods.twins import ANYONE, RANKS
from copersona.runtime.engine.engine import Sampling

OWN = COPERSONA.name
TEMPERATURES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
SAMPLES = 3  # texts of a person whose agreement is looked at
CONFIDENCE = ("log-probability of own text", "agreement of samples")


def methods(bench: Bench) -> Experiment:
    from copersona.export.evaluation.methods.dep import DEP

    asked = [NON_PERSO, RAG, pag(bench), dpl(bench), DEP, LORA, LORA_RAG, NOBODY, COPERSONA]
    there = [m for m in asked if m.model in bench.bundles]
    return Experiment(
        "methods",
        "Methods (the paper's Tables 1 and 2)",
        (Trial("unigram reference", None), *(Trial(m.name, m, samples=1) for m in there)),
        OWN,
        "The same base, engine, prompt segments and decoding for all. Non-Perso, RAG, PAG and DPL run on the untrained "
        "base; the LoRA rows are trained for as many steps as CoPersona, so what is left between them is the persona.",
    )


def ablations(bench: Bench) -> Experiment:
    there = [a for a in (*ABLATIONS, LORA_RAG) if a.model in bench.bundles]
    return Experiment(
        "ablations",
        "Ablations, retrained (the paper's Table 5)",
        (Trial(OWN, COPERSONA, samples=1), *(Trial(m.name, m, samples=1) for m in there)),
        OWN,
        "Each row is trained anew for as many steps without the part that it names; LoRA with RAG is without both the "
        "soft prompt and facets and peers in text.",
        changes=True,
    )


def switched(bench: Bench) -> Experiment:
    return Experiment(
        "switched",
        "Trained parts switched off at inference",
        (Trial(OWN, COPERSONA), Trial(NOBODY.name, NOBODY), *(Trial(m.name, m) for m in SWITCHED)),
        OWN,
        "Nothing is retrained here: the model has learned with the part that is now missing.",
        sweep=True,
        changes=True,
    )


def _sweep(name: str, title: str, text: str, points: Mapping[str, Mapping[str, Any]], bench: Bench) -> Experiment:
    trained = asdict(bench.run.settings.context)
    first = next((label for label, c in points.items() if all(trained[k] == v for k, v in c.items())), None)
    trials = [Trial(label, COPERSONA, context) for label, context in points.items()]
    note = f" The bundle was trained with: {first}." if first else " The bundle was trained with another setting."
    return Experiment(name, title, trials, first or next(iter(points)), text + note, plot="bars", sweep=True)


def retrieval(bench: Bench) -> Experiment:
    context = bench.run.settings.context
    count = max(context.recent + context.matched, 1)
    points: dict[str, dict[str, Any]] = {
        "none": {"recent": 0, "matched": 0},
        "recency": {"recent": count, "matched": 0},
    }
    for matcher, label in (("bm25", "BM25"), ("dense", "dense"), ("blend", "blend")):
        points[label] = {"recent": 0, "matched": count, "matcher": matcher}
    text = f"Up to {count} of the person's own interactions, chosen in these ways; nothing is retrained."
    return _sweep("retrieval", "Retrieval of the own history (Table 5, last rows)", text, points, bench)


def show(bench: Bench) -> Experiment:
    points = {name: {"show": name} for name in ("outputs", "inputs", "both")}
    return _sweep("show", "What is shown of an interaction", "Nothing is retrained.", points, bench)


def place(bench: Bench) -> Experiment:
    context = bench.run.settings.context
    count = max(context.recent + context.matched, 2)
    halves = {"recent": count - count // 2, "matched": count // 2}  # so that there is a middle
    points: dict[str, dict[str, Any]] = {name: {"place": name, **halves} for name in ("first", "middle", "last")}
    text = "Half of the own history is the latest, half what matches the request; nothing is retrained."
    return _sweep("place", "Where facets and peers stand in the prompt", text, points, bench)


def peers(bench: Bench) -> Experiment:
    points = {str(count): {"peers": count} for count in range(4)}
    made = _sweep("peers", "Peers shown a facet (Figure 5)", "Nothing is retrained.", points, bench)
    return replace(made, plot="line")


def room(bench: Bench) -> Experiment:
    full = {name: getattr(bench.run.settings.context, name) for name in ("profile_tokens", "peer_tokens")}
    points = {
        "facets and peers": full,
        "half of each": {name: count // 2 for name, count in full.items()},
        "facets alone": {**full, "peer_tokens": 0},
        "peers alone": {**full, "profile_tokens": 0},
        "own texts alone": dict.fromkeys(full, 0),
        "own texts first": {**full, "served": "texts"},
    }
    points = {label: {"served": "facets", **point} for label, point in points.items()}
    text = "The prompt's budget is shared: what facets and peers do not take is own texts'. Nothing is retrained."
    return _sweep("room", "What facets and peers take of the prompt", text, points, bench)


def memory(bench: Bench) -> Experiment:
    trials = [Trial(m.name, m) for m in (COPERSONA, FACETS_ONLY, EPISODES_ONLY)]
    text = "What stands in the prompt: facet summaries (own and peers'), the person's own texts, or both."
    return Experiment("memory", "Facet summaries against episodes", trials, OWN, text, sweep=True)


def temperature(bench: Bench) -> Experiment:
    steps = [
        Trial(f"{t:.1f}", COPERSONA, sampling=Sampling(temperature=t), bits=False, samples=1) for t in TEMPERATURES
    ]
    text = "The bits of a text do not depend on it; only what is generated does."
    return Experiment(
        "temperature", "Decoding temperature (Figure 3)", steps, "0.8", text, metrics=(), plot="line", sweep=True
    )


def facets(bench: Bench) -> Experiment:
    counts = [n for n in range(3, 7) if f"facets-{n}" in bench.bundles or n == bench.run.settings.facets]
    made = [
        Trial(str(n), replace(COPERSONA, model=TRAINED if n == bench.run.settings.facets else f"facets-{n}"))
        for n in counts
    ]
    text = "Each number is a whole run of its own: facets, graph and training, with as many steps."
    against = str(bench.run.settings.facets)
    return Experiment("facets", "Number of facets (Figure 4)", made, against, text, plot="line", sweep=True)


def twins(bench: Bench) -> Experiment:
    ranks = [Trial(m.name, m, samples=SAMPLES, series="others, by likeness") for m in RANKS]
    anyone = Trial(ANYONE.name, ANYONE, samples=SAMPLES, series="at random")
    trials = [Trial("one's own", COPERSONA, samples=SAMPLES), *ranks, anyone]
    return Experiment(
        "twins",
        "When it misleads: someone else's persona",
        trials,
        "one's own",
        "Persona and context are replaced by another person's, ranked by likeness. Confidence is the mean "
        "log-probability of a token of the model's own texts (nats), and the agreement of samples (ROUGE-L between "
        "them). Misleading is: worse than a less similar one, and as confident.",
        metrics=(BITS, *CONFIDENCE),
        plot="line",
        sweep=True,
    )


COLD = (1, 2, 4, None)


def cold(bench: Bench) -> Experiment:
    trials = [Trial(NOBODY.name, NOBODY, least=4)]
    for count in COLD:
        label = "all" if count is None else str(count)
        whole = COPERSONA if count is None else Method(f"latest {label}", latest(count))
        trials.append(Trial(label, whole, least=4, series="whole"))
    for count in COLD:
        label = "all" if count is None else str(count)
        note = "soft prompt switched off"
        alone = (
            TEXT_ONLY if count is None else Method(f"latest {label}, text only", latest(count, soft=False), note=note)
        )
        trials.append(Trial(f"{label}, text only", alone, least=4, series="text only", point=label))
    text = "People with at least four earlier interactions, known by their latest ones alone."
    return Experiment("cold", "Cold start", trials, NOBODY.name, text, plot="line", sweep=True)


EXPERIMENTS: Mapping[str, Callable[[Bench], Experiment]] = {
    "methods": methods,
    "ablations": ablations,
    "switched": switched,
    "retrieval": retrieval,
    "memory": memory,
    "room": room,
    "peers": peers,
    "facets": facets,
    "show": show,
    "place": place,
    "temperature": temperature,
    "twins": twins,
    "cold": cold,
}
