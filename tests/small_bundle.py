"""A whole bundle of a megabyte, made in a moment without torch: few peers, a small encoder, random weights."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from copersona.runtime.bundle.guard import Guard, GuardFigures
from copersona.runtime.bundle.manifest import Shapes
from copersona.runtime.bundle.verify import open_manifest, write_manifest
from copersona.runtime.engine.engine import Engine
from copersona.runtime.engine.turns import chatml, turns_json
from copersona.runtime.filecheck.onnx_check import check_onnx
from copersona.runtime.persona.graph import APPLICATION_ID, TABLES
from copersona.runtime.persona.personalizer import tensor_shapes
from copersona.runtime.profile.facets import FacetProfile, FacetSchema, Reliability, profile_to_json, read_schema

from .onnx_files import mean_encoder

PEERS, ENCODER, SOFT, ROWS = 12, 8, 4, 64
WORDS = "the a i it was and sound guitar good bought warm after two weeks broke not what expected ##s ##ed".split()
ROLES = {
    "README.md": "card", "facets.json": "facets", "encoder.onnx": "encoder", "encoder_tokenizer.json":
    "encoder_tokenizer", "graph.sqlite": "graph", "peers.npy": "peers", "anchors.npy": "anchors",
    "arrays.safetensors": "arrays", "personalizer.safetensors": "personalizer", "model.gguf": "model",
}  # fmt: skip


def tokenizer() -> dict[str, object]:
    """WordPiece as BERT has it."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    ids = {name: number for number, name in enumerate([*special, *WORDS])}
    added = [
        {"id": ids[name], "content": name, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True}
        for name in special
    ]  # fmt: skip
    around = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
              {"SpecialToken": {"id": "[SEP]", "type_id": 0}}]  # fmt: skip
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing", "single": around,
            "pair": [*around, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {name: {"id": name, "ids": [ids[name]], "tokens": [name]} for name in special[2:]},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": ids},
    }  # fmt: skip


def small_bundle(
    out: Path, model: Path, facets: Path, *, encoder: Path | None = None, languages: Mapping[str, Sequence[str]] = {}
) -> Path:
    """The bundle, with a model and facets that are given; with `encoder`, a folder, one that the export wrote."""
    out.mkdir(parents=True)
    random, schema = np.random.default_rng(0), read_schema(facets)
    _write_encoder(out, encoder)
    width = check_onnx(out / "encoder.onnx").width + len(schema.features)
    shutil.copyfile(facets, out / "facets.json")
    shutil.copyfile(model, out / "model.gguf")
    (out / "README.md").write_text("# A small bundle of random weights, for tests\n")
    peers = random.normal(0, 1, (len(schema), PEERS, width)).astype(np.float32)
    np.save(out / "peers.npy", peers / np.linalg.norm(peers, axis=-1, keepdims=True))
    np.save(out / "anchors.npy", (peers / np.linalg.norm(peers, axis=-1, keepdims=True))[0])
    means = np.zeros((len(schema), width), np.float32)
    save_file({"means": means, "placeholder": means}, out / "arrays.safetensors")
    _write_graph(out / "graph.sqlite", schema)
    with Engine(model) as engine:
        hidden, turns = engine.width, turns_json(chatml(engine))
    sizes = tensor_shapes(len(schema), width, 8, 8, SOFT, hidden)
    weights = {name: random.normal(0, 0.1, size).astype(np.float32) for name, size in sizes.items()}
    save_file(weights, out / "personalizer.safetensors")
    settings = {
        "context": {"budget": 256, "recent": 2, "peers": 3}, "context_length": 512, "turns": turns, "base": "random",
        "encoder": "random", "profiler": 1, "parity": {"a check": 0.5},
    }  # fmt: skip
    settings |= {"languages": languages} if languages else {}
    write_manifest(out, ROLES, Shapes(len(schema), PEERS, width, 5, SOFT, hidden), settings)
    return out


def _write_encoder(out: Path, folder: Path | None) -> None:
    if folder is None:
        (out / "encoder.onnx").write_bytes(mean_encoder(ROWS, ENCODER))
        (out / "encoder_tokenizer.json").write_text(json.dumps(tokenizer()))
        return
    for name in ("encoder.onnx", "encoder_tokenizer.json"):
        shutil.copyfile(folder / name, out / name)


def _write_graph(path: Path, schema: FacetSchema) -> None:
    database = sqlite3.connect(path)
    database.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1; {TABLES}")
    one = [
        FacetProfile(name, f"{name}: short", ("a quote of theirs",), Reliability.STRONG, 0.9) for name in schema.names
    ]
    with database:
        database.executemany("INSERT INTO meta VALUES (?, ?)", [("threshold", "0.35"), ("per_facet", "5")])
        for row in range(PEERS):
            facets = [replace(facet, reliability=Reliability(3 - (row + m) % 2)) for m, facet in enumerate(one)]
            labels = "".join(str(int(facet.reliability)) for facet in facets)
            database.execute("INSERT INTO peers VALUES (?, ?, ?, ?)", (row, f"p{row}", labels, profile_to_json(facets)))
            database.execute("INSERT INTO edges VALUES (?, 0, 0, ?, 0.5, 0.4)", (row, (row + 1) % PEERS))
        database.execute("INSERT INTO items VALUES ('amp', ?)", (json.dumps({"loud": 4, "tubes": 3}),))
    database.close()


def random_guard(folder: Path, seed: int = 0, **changed: object) -> Guard:
    """A guard that fits the bundle, whose model has two layers; fields can be changed."""
    manifest, random = open_manifest(folder), np.random.default_rng(seed)
    mean, weights, vector = random.normal(0, 0.3, (3, manifest.shapes.hidden)).astype(np.float32)
    guard = Guard(
        base=manifest.settings["base"], layers=2, layer=0, mean=mean, scale=np.ones_like(mean), weights=weights,
        vector=vector, bias=0.1, gamma=0.5, tau=0.5, figures=GuardFigures(0.9, 0.5, 0.6, 150, 140, "made up"),
    )  # fmt: skip
    return replace(guard, **changed)  # type: ignore[arg-type]
