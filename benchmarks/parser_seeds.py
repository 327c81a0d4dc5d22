"""The small good files that `parsers.py` spoils, each of a form that its parser takes."""

from __future__ import annotations

import base64
import gzip
import importlib.util
import io
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import gguf
import numpy as np

from copersona.runtime.assemble.pinned import PinnedBase
from copersona.runtime.assemble.probe import Probe
from copersona.runtime.bundle.manifest import SIGNATURE, FileRow, Manifest, Shapes, bundle_id
from copersona.runtime.common.tensors import rows_of, safetensors_chunks
from copersona.runtime.filecheck.gguf_tensors import Sizes, required
from copersona.runtime.profile.facets import Facet, FacetSchema, Feature, schema_to_json

TESTS = Path(__file__).parent.parent / "tests"
VOCABULARY = ["a", "b", "ab", "<|im_start|>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
DIGEST = "0123456789abcdef" * 4


def from_tests(name: str) -> ModuleType:
    """A module of the tests that imports none of them."""
    spec = importlib.util.spec_from_file_location(f"tests_{name}", TESTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


# -- models and arrays --------------------------------------------------------------------------------------------


def ggufs() -> list[bytes]:
    """A model of each architecture that is trained, one layer of width 4, and one of another architecture."""
    return [_gguf("qwen2"), _gguf("qwen3"), _gguf("llama"), _gguf("mamba")]


def _gguf(architecture: str) -> bytes:
    by_scores = architecture == "llama"
    tokens = ["a", *BYTES] if by_scores else VOCABULARY
    types = [1] + [6] * 256 if by_scores else [1, 1, 1, 3]
    with tempfile.TemporaryDirectory() as folder:
        writer = gguf.GGUFWriter(Path(folder) / "model", architecture)
        sizes = {"block_count": 1, "context_length": 64, "embedding_length": 4, "feed_forward_length": 4,
                 "attention.head_count": 2, "attention.head_count_kv": 1}  # fmt: skip
        for key, size in sizes.items():
            writer.add_uint32(f"{architecture}.{key}", size)
        writer.add_float32(f"{architecture}.attention.layer_norm_rms_epsilon", 1e-6)
        writer.add_float32(f"{architecture}.rope.freq_base", 10_000.0)
        writer.add_file_type(7)
        writer.add_string("tokenizer.ggml.model", "llama" if by_scores else "gpt2")
        writer.add_string("tokenizer.ggml.pre", "default" if by_scores else "qwen2")
        writer.add_array("tokenizer.ggml.tokens", tokens)
        writer.add_array("tokenizer.ggml.token_type", types)
        if by_scores:
            writer.add_array("tokenizer.ggml.scores", [0.5] * len(tokens))
        writer.add_array("tokenizer.ggml.merges", ["a b"])
        writer.add_uint32("tokenizer.ggml.eos_token_id", 2)
        writer.add_string("tokenizer.chat_template", "{{ messages }}")
        writer.add_string("general.license", "apache-2.0")
        known = architecture if architecture in ("qwen2", "qwen3", "llama") else "qwen3"
        for name, shape in required(known, Sizes(1, 4, 4, 2, 2, 4, len(tokens))).items():
            writer.add_tensor(name, np.zeros(shape[::-1], np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return (Path(folder) / "model").read_bytes()


def encoders() -> list[bytes]:
    """Small graphs in whose sizes each kind of operator has a part."""
    made = from_tests("onnx_files")
    graphs: list[bytes] = [made.sized(case) for case in made.SIZES]
    return [made.mean_encoder(3, 2), *graphs]


def tensors() -> list[bytes]:
    """Safetensors files of few numbers."""
    one = {"a": np.zeros((2, 3), np.float32), "b": np.zeros(4, np.float32)}
    half = {"scale": np.zeros((), np.float16), "weights": np.zeros((3, 1, 2), np.float16)}
    return [
        b"".join(safetensors_chunks(rows_of(one, "F32"), {"made": "by a test"})),
        b"".join(safetensors_chunks(rows_of(half, "F16"))),
        b"".join(safetensors_chunks([])),
    ]


SHAPE = (3, 2, 4)


def arrays() -> list[bytes]:
    """An .npy file of SHAPE, in both versions of the format."""
    found = []
    for version in ((1, 0), (2, 0)):
        file = io.BytesIO()
        np.lib.format.write_array(file, np.zeros(SHAPE, np.float32), version)
        found.append(file.getvalue())
    return found


# -- what is JSON -------------------------------------------------------------------------------------------------


def manifests() -> list[str]:
    """Manifests of a trained, a thin and a training-free bundle."""
    roles = ("facets", "encoder", "encoder_tokenizer", "graph", "peers", "anchors", "card", "personalizer", "model")
    files = tuple(FileRow(f"{role}.x", role, number, DIGEST) for number, role in enumerate(roles))
    lora = (*files[:-1], FileRow("lora.x", "lora", 9, DIGEST))
    context = {"recent": 2, "matched": 3, "peers": 3, "budget": 256, "matcher": "bm25", "show": "outputs"}
    turn = {"open": [1, 2], "close": [3]}
    turns = {"first": turn, "system": turn, "user": turn, "assistant": turn, "answer": [1], "end": 3,
             "system_role": True, "alternates": False}  # fmt: skip
    whole = [asdict(FileRow(f"{role}.npy", role, 3, DIGEST)) for role in ("peers", "anchors", "personalizer")]
    base = asdict(PinnedBase("base.gguf", DIGEST, 10, "llama", "mit", "a package"))
    probe = asdict(Probe((1, 2, 3), (1, 2), (0.5, 1.5), 1.0))
    model = {"path": "model.gguf", "role": "model", "bytes": 3, "sha256": DIGEST}
    thin = {"base": base, "quantize": "q8_0", "probe": probe, "model": model, "whole": whole}
    plain = {"context": context, "context_length": 512, "turns": turns, "base": "small", "encoder": "other",
             "profiler": 1, "parity": {"a check": 0.5}, "languages": {"facets": ["en"], "encoder": []}}  # fmt: skip
    free = tuple(row for row in files if row.role != "personalizer")
    return [
        _manifest(files, Shapes(2, 7, 8, 3, 4, 16), plain),
        _manifest(lora, Shapes(2, 7, 8, 3, 4, 16), {**plain, "thin": thin}),
        _manifest(free, Shapes(2, 7, 8, 3, 0, 16), {"like": "other", "architecture": "mamba"}),
    ]


def _manifest(files: tuple[FileRow, ...], shapes: Shapes, settings: dict[str, Any]) -> str:
    return Manifest(1, bundle_id(files), "2026-01-01T00:00:00+00:00", files, shapes, settings).to_json()


def facets() -> list[str]:
    """A schema of an ordinal and a categorical facet."""
    schema = FacetSchema(
        (
            Facet("length", "how long", "ordinal", ("short", "long"), "count", ("w",), (1.0,), (0.0,), ("a", "b")),
            Facet("topic", "of what", "categorical", ("one", "two"), "see", ("w", "v"), (1.0, -0.5)),
        ),
        (
            Feature("w", "words", 0.1, 1.0, 1.0, ("word", "other")),
            Feature("v", "more", 0.0, 2.0, 0.5, ("more",)),
        ),
        0.5,
    )
    return [schema_to_json(schema)]


def tokenizers() -> list[str]:
    """A WordPiece, a BPE and a Unigram tokenizer of few tokens."""
    word: dict[str, Any] = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": 0, "content": "[UNK]", "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True}],
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                       "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}],
                           "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {}},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": {"[UNK]": 0, "a": 1, "##b": 2}},
    }  # fmt: skip
    several = {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}
    scored = {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.5]], "byte_fallback": False}
    pairs = {"type": "BPE", "vocab": {"[UNK]": 0, "a": 1, "b": 2, "ab": 3}, "merges": [["a", "b"]]}
    bodies = [word, {**word, "model": scored, "normalizer": several}, {**word, "model": pairs, "decoder": None}]
    return [json.dumps(body) for body in bodies]


# -- signatures ---------------------------------------------------------------------------------------------------


def signatures() -> list[bytes]:
    """A signature of the first manifest with name and key, a plain one, a public and a secret key. The pair is the same
    each time, and nobody's."""
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from minisign import SecretKey

    from copersona.runtime.bundle.signature import sign

    public = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()
    body = b"Ed" + bytes(2) + b"B2" + bytes(48) + b"nobody's" + bytes(32) + public + bytes(32)
    secret, manifest = SecretKey.from_base64(base64.b64encode(body)), Manifest.from_json(manifests()[0])
    with tempfile.TemporaryDirectory() as folder:
        sign(Path(folder), manifest, secret, "acme/guitars")
        signed = (Path(folder) / SIGNATURE).read_bytes()
    plain = bytes(secret.sign(manifest.to_json().encode(), trusted_comment="timestamp:1", prehash=False))
    return [signed, plain, bytes(secret.get_public_key()), bytes(secret)]


# -- histories ----------------------------------------------------------------------------------------------------


HISTORIES: dict[str, list[dict[str, Any]]] = {
    "jsonl": [{"person": "ann", "output": "Good sound.", "input": "Review", "time": 1_600_000_000, "item": "amp",
               "title": "Fine", "rating": 4.5, "words": ["loud"]},
              {"person": "bob", "output": "Not mine.", "time": "2024-03-01T10:00:00+02:00"}],
    "amazon2014": [{"reviewerID": "A1", "asin": "B1", "reviewText": "It &amp; works<br />", "overall": 5.0,
                    "summary": "ok", "unixReviewTime": 1_400_000_000}],
    "amazon2023": [{"user_id": "A2", "text": "Warm.", "timestamp": 1_600_000_000_000, "parent_asin": "B2",
                    "title": "t", "rating": 3.0},
                   {"user_id": "A3", "history": [{"review_full": "x y", "timestamp_ms": 1_600_000_000_000,
                    "parent_asin": "B3", "review_title": "t", "rating": 2, "product": {"title": "Amp"}}],
                    "heldout": {"review_full": "z"}}],
    "dpl": [{"user_id": "A4", "profile": [{"text": "one", "timestamp": 1_600_000_000, "asin": "B4", "rating": 1}],
             "data": {"text": "two", "title": "t", "rating": 5}}],
    "lamp": [{"id": "10", "input": "Generate a headline for the following article: x", "output": "y", "user_id": 7,
              "profile": [{"id": "1", "text": "a", "title": "b", "date": "2020-01-01"}, {"text": "c", "score": "4"},
                          {"abstract": "d", "title": "e", "year": 2019}]}],
    "longlamp": [{"reviewerId": "R", "input": "Generate the review", "output": "long", "profile": [
        {"reviewText": "a", "overall": "5.0", "description": "d", "summary": "s"},
        {"content": "c", "summary": "q"}, {"abstract": "x", "title": "y", "year": "2001"}]}],
    "requests": [{"id": "1", "person": "ann", "input": "Write."}, {"id": "2", "person": None, "input": "More."}],
    "metadata": [{"asin": "B1", "title": "Amp", "description": ["Product Description", "loud"], "categories": []},
                 {"parent_asin": "B2", "title": "Pick", "description": "thin", "rating_number": 4}],
}  # fmt: skip
GOLDS = {"task": "LaMP_4", "golds": [{"id": "10", "output": "gold"}]}


def packed(text: bytes) -> bytes:
    return gzip.compress(text, 1, mtime=0)
