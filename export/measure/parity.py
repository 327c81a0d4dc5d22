"""What must agree before a bundle is packed: numpy and torch, GGUF and torch, tokens, neighbours, encoder.

Each check returns plain figures; `failures` says which of them miss their bar.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from copersona.export.convert.encoder import encoder_parity
from copersona.export.convert.file_tokens import FileTokens
from copersona.export.population.profile import State
from copersona.export.run.run import Run
from copersona.export.run.situations import read_centring, run_graph
from copersona.runtime.common.arrays import F32
from copersona.runtime.common.composed import composed
from copersona.runtime.engine.chat_template import model_turns
from copersona.runtime.engine.engine import Engine
from copersona.runtime.persona.neighbors import PER_FACET, facet_edges
from copersona.runtime.persona.persona import Persona, make_persona
from copersona.runtime.persona.personalizer import Personalizer, load_personalizer
from copersona.runtime.profile.segments import sentences_of

BARS = {
    "personalizer max abs difference": (1e-5, "most"),
    "model F32 max logit difference, of their spread": (1e-4, "most"),
    "model F32 argmax agreement": (1.0, "least"),
    "tokens equal": (1.0, "least"),
    "neighbours equal": (1.0, "least"),
    "encoder mean cosine": (0.985, "least"),
}
POSITIONS = 200

Agreement = dict[str, float]


def failures(figures: Agreement) -> list[str]:
    """Checks that miss their bar, one line each."""
    missed = []
    for name, (bar, side) in BARS.items():
        value = figures[name]
        if not (value <= bar if side == "most" else value >= bar):
            missed.append(f"{name} is {value:g}, must be at {side} {bar:g}")
    return missed


def shipped_personalizer(run: Run) -> Personalizer:
    """The best personalizer of a run, as the runtime loads it."""
    settings, schema = run.settings.train, run.schema
    config = base_config(run)
    width = int(np.load(run.path("anchors.npy"), mmap_mode="r").shape[1])
    return load_personalizer(
        run.path("train") / "best" / "personalizer.safetensors",
        facets=len(schema),
        width=width,
        soft_tokens=settings.soft_tokens,
        model_width=int(config["hidden_size"]),
    )


def base_config(run: Run) -> dict[str, Any]:
    """config.json of the base model."""
    config: dict[str, Any] = json.loads((Path(run.settings.base) / "config.json").read_text(encoding="utf-8"))
    return config


def sample_personas(run: Run, count: int) -> list[Persona]:
    """Personas of training people at validation, spread over all of them."""
    step = max(len(run.people) // count, 1)
    centring, done = read_centring(run), []
    with run_graph(run) as graph:
        for person in run.people[::step][:count]:
            profile = run.profiles[State(person, run.splits[person].seen)]
            done.append(make_persona(profile, centring, graph, own_row=graph.row(run.pseudonyms[person])))
    return done


def check_personalizer(run: Run, personas: Sequence[Persona]) -> Agreement:
    """Numpy against its torch twin on real personas and on nobody."""
    import torch
    from safetensors.torch import load_file

    from copersona.export.training.personalizer import PersonalizerShape, TorchPersonalizer, batch_personas
    from copersona.runtime.persona.neighbors import SHARED

    numpy_twin = shipped_personalizer(run)
    facets, width = numpy_twin.layer_means.shape
    sizes = PersonalizerShape(
        facets, width, len(numpy_twin.graph_bias), len(numpy_twin.hidden_bias), numpy_twin.soft_tokens, numpy_twin.width
    )
    twin = TorchPersonalizer(sizes, numpy_twin.layer_means, 1.0).eval()
    twin.load_state_dict(load_file(run.path("train") / "best" / "personalizer.safetensors"))
    inputs = [*(p.inputs for p in personas), None]
    with torch.no_grad():
        theirs = twin(batch_personas(inputs, sizes, SHARED, torch.device("cpu"))).numpy()
    ours = np.stack([numpy_twin.soft_prompt(one) for one in inputs])
    return {"personalizer max abs difference": float(np.abs(ours - theirs).max())}


def check_model(run: Run, personas: Sequence[Persona], texts: Sequence[str]) -> Agreement:
    """Merged GGUF in F32 (exact) and as shipped against the trained torch model, soft prompt in front, 200
    positions."""
    import torch
    from peft import PeftModel

    from copersona.export.convert.gguf import load_causal_lm

    personalizer = shipped_personalizer(run)
    base = load_causal_lm(Path(run.settings.base))
    trained = PeftModel.from_pretrained(base, str(run.path("train") / "best" / "adapter")).eval()
    tokens = [t for text in texts for t in run.layout.answer(text)][:POSITIONS]
    worst, agree, shipped = 0.0, [], []
    with (
        Engine(run.path("model-f32.gguf"), n_ctx=512, exact=True) as exact,
        Engine(run.path("model.gguf"), n_ctx=512) as packed,
    ):
        for persona in personas[:3]:
            soft = personalizer.soft_prompt(persona.inputs)
            theirs = torch_logits(trained, soft, tokens, torch)
            ours = exact.logits(soft, tokens)
            worst = max(worst, float(np.abs(ours - theirs).max() / max(theirs.std(), 1.0)))
            agree.append(float((ours.argmax(1) == theirs.argmax(1)).mean()))
            shipped.append(float((packed.logits(soft, tokens).argmax(1) == theirs.argmax(1)).mean()))
    return {
        "model F32 max logit difference, of their spread": worst,
        "model F32 argmax agreement": float(np.mean(agree)),
        "shipped model argmax agreement": float(np.mean(shipped)),
    }


def torch_logits(model: Any, soft: F32, tokens: Sequence[int], torch: Any) -> F32:
    """Logits at the token positions, after the soft prompt. (T, V) float32."""
    with torch.no_grad():
        embedded = model.get_input_embeddings()(torch.tensor([list(tokens)]))
        inputs = torch.cat([torch.from_numpy(soft)[None], embedded], dim=1)
        logits: F32 = model(inputs_embeds=inputs).logits[0, len(soft) :].float().numpy()
    return logits


def check_tokens(run: Run, texts: Sequence[str]) -> Agreement:
    """Engine against `tokenizer.json`, on texts of the run, on text that looks like control tokens or markup, and in
    the turns that each derives from the chat template."""
    ours = FileTokens(Path(run.settings.base) / "tokenizer.json")
    hard = [
        *texts,
        "<|im_end|>\n<|im_start|>system",
        "<tool_call></think>",
        "naïve café — “quoted” 漢字 🎸 e\u0301",
        "  tabs\t and   spaces ",
    ]
    with Engine(run.path("model.gguf"), n_ctx=64) as engine:
        same = [engine.tokenize(t) == ours.tokenize(composed(t)) for t in hard]
        same.append(model_turns(engine) == run.layout.turns)
    return {"tokens equal": float(np.mean(same)), "texts tokenised": float(len(same))}


def check_neighbors(run: Run, count: int = 1000) -> Agreement:
    """Neighbours from the stored vectors against the stored adjacency, ties of 1e-6 aside."""
    with run_graph(run) as graph:
        rows = np.arange(min(count, len(graph.labels)), dtype=np.int32)
        vectors = np.ascontiguousarray(graph.peers[:, rows].transpose(1, 0, 2))
        found = facet_edges(vectors, graph.labels[rows], graph.peers, graph.labels, exclude=rows)
        stored = [graph.stored_edges(r, PER_FACET).weight[0] for r in rows.tolist()]
        same = [bool(np.abs(ours - theirs).max() <= 1e-6) for ours, theirs in zip(found.weight, stored, strict=True)]
    return {"neighbours equal": float(np.mean(same)), "people compared": float(len(same))}


def check_encoder(run: Run, count: int) -> Agreement:
    """The shipped encoder against sentence-transformers, one sentence at a time."""
    figures = encoder_parity(Path(run.settings.encoder), run.encoder, sample_sentences(run, count))
    return {
        "encoder mean cosine": figures["mean"],
        "encoder least cosine": figures["min"],
        "sentences": figures["sentences"],
    }


def sample_sentences(run: Run, count: int) -> list[str]:
    """Sentences of training people, spread over all of them."""
    texts = [item.output for p in run.people for item in run.training_histories[p]]
    found = [s for text in texts for s in sentences_of(text)]
    return found[:: max(len(found) // count, 1)][:count]


def all_checks(run: Run, *, sentences: int = 100) -> Agreement:
    """Every check of a run that is ready to be packed."""
    personas = sample_personas(run, 50)
    texts = [item.output for person in run.people[:50] for item in run.training_histories[person][:2]]
    return {
        **check_personalizer(run, personas),
        **check_model(run, personas, texts),
        **check_tokens(run, texts),
        **check_neighbors(run),
        **check_encoder(run, sentences),
    }
