"""Each parser of what comes in: how its small good files are spoiled, and how one is read."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
import re
import struct
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import parser_seeds as seeds
import spoiling as spoil

from copersona.runtime.assemble.thin import read_thin
from copersona.runtime.bundle.manifest import SIGNATURE, FileRow, Manifest, bundle_id
from copersona.runtime.bundle.parts import manifest_turns
from copersona.runtime.bundle.said import check_settings
from copersona.runtime.bundle.signature import parsed, signer
from copersona.runtime.bundle.verify import open_manifest
from copersona.runtime.filecheck.array_check import check_npy, read_tensor_shapes
from copersona.runtime.filecheck.gguf_any import _AnyCheck, check_any_gguf
from copersona.runtime.filecheck.gguf_check import Check, check_gguf, checked
from copersona.runtime.filecheck.onnx_check import check_onnx
from copersona.runtime.filecheck.onnx_reader import _FIELDS
from copersona.runtime.filecheck.tokenizer_check import check_tokenizer
from copersona.runtime.history.formats import read_metadata
from copersona.runtime.history.importers import FORMATS, history_line, request_lines, stream_history
from copersona.runtime.profile.facets import read_schema


@dataclass(frozen=True, slots=True)
class Parser:
    """`spoil` makes the bytes of a file of this name, `read` reads it as the runtime does."""

    file: str
    spoil: Callable[[random.Random], bytes]
    read: Callable[[Path, random.Random], object]


# -- JSON ---------------------------------------------------------------------------------------------------------

Text = tuple[str, list[tuple[int, int]]]


def _texts(found: Sequence[str]) -> list[Text]:
    return [(text, spoil.json_spans(text)) for text in found]


def _encoded(draw: random.Random, text: str) -> bytes:
    content = text.encode("utf-8", "surrogatepass")
    return spoil.bytes_spoiled(draw, content, [content]) if draw.random() < 0.1 else content


def _json(found: Sequence[str]) -> Callable[[random.Random], bytes]:
    texts = _texts(found)
    return lambda draw: _encoded(draw, spoil.text_spoiled(draw, *draw.choice(texts)))


def _manifest(found: Sequence[str]) -> Callable[[random.Random], bytes]:
    """Nine of ten have hashes and a form that fit what they say."""
    texts = _texts(found)

    def make(draw: random.Random) -> bytes:
        text = spoil.text_spoiled(draw, *draw.choice(texts))
        if draw.random() < 0.9:
            text = _sealed(text)
        return _encoded(draw, text)

    return make


def _sealed(text: str) -> str:
    try:
        body = json.loads(text)
        body.pop("sha256")
        rows = [FileRow(**row) for row in body["files"]]
        body["bundle_id"] = bundle_id(tuple(rows))
    except Exception:
        return text
    plain = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    body["sha256"] = hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def _read_manifest(path: Path, draw: random.Random) -> None:
    manifest = open_manifest(path.parent)
    check_settings(manifest)
    if manifest.thin:
        read_thin(manifest)
    manifest.population_id  # noqa: B018 - as `bundle show` says it
    manifest_turns(manifest, 64)


# -- histories ----------------------------------------------------------------------------------------------------


def _histories() -> Callable[[random.Random], bytes]:
    found = {name: _texts([json.dumps(row) for row in rows]) for name, rows in seeds.HISTORIES.items()}

    def make(draw: random.Random) -> bytes:
        lines = [text for text, _ in found[draw.choice(tuple(found))]]
        at, name = draw.randrange(len(lines)), next(key for key in found if found[key][0][0] == lines[0])
        lines[at] = spoil.text_spoiled(draw, *found[name][at])
        form = draw.randrange(10)
        if form == 0:
            lines = [f"[{', '.join(lines)}]"]
        content = _encoded(draw, draw.choice(("\n", "\n", "\r\n", "\n\n", " ")).join(lines))
        if form == 1:
            content = seeds.packed(content)
            return spoil.bytes_spoiled(draw, content, [content]) if draw.random() < 0.5 else content
        return (b"\xef\xbb\xbf" if form == 2 else b"") + content

    return make


def _read_history(path: Path, draw: random.Random) -> None:
    """Of each as many as there are: mostly in the format whose keys it has, now and then in another one."""
    start, names = path.read_bytes()[:200], (*FORMATS, "requests", "metadata")
    likely = next((name for name in names if _key(name) in start), "jsonl")
    name = likely if draw.random() < 0.8 else draw.choice(names)
    if name == "requests":
        for _ in request_lines(path):
            pass
    elif name == "metadata":
        read_metadata(path, skip_bad=draw.random() < 0.5)
    else:
        for one in stream_history([path], name, skip_bad=draw.random() < 0.7):
            history_line(one)


@functools.cache
def _key(name: str) -> bytes:
    first = seeds.HISTORIES[name][0]
    return json.dumps(dict([next(iter(first.items()))]))[1:-1].encode()


# -- binary files -------------------------------------------------------------------------------------------------


class _Seen(Check):
    """Notes where the header was read, and how many bytes at once."""

    taken: list[tuple[int, int]]

    def take(self, count: int) -> int:
        start = super().take(count)
        type(self).taken.append((start, count))
        return start


class _SeenAny(_Seen, _AnyCheck):
    pass


def _ggufs() -> Callable[[random.Random], bytes]:
    """Numbers and texts of the header, lengths kept right or not; or any bytes."""
    found, places = seeds.ggufs(), list[list[tuple[int, int]]]()
    for content in found:
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            check = _SeenAny if b"mamba" in content[:100] else _Seen
            check.taken = []
            checked(file.name, check)
        places.append(check.taken)

    def make(draw: random.Random) -> bytes:
        at = draw.randrange(len(found))
        content, known = bytearray(found[at]), places[at]
        if draw.random() < 0.2:
            return spoil.bytes_spoiled(draw, bytes(content), found)
        for _ in range(draw.choice((1, 1, 2))):
            start, size = draw.choice(known)
            if size in (1, 2, 4, 8) and draw.random() < 0.9:
                content[start : start + size] = spoil.number(draw, size)
            elif draw.random() < 0.5 and start >= 8:
                new = draw.choice((*spoil.TEXTS, bytes(content[slice(*_span(draw.choice(known)))])))
                content[start - 8 : start + size] = struct.pack("<Q", len(new)) + new
                break  # what stands behind it has moved
            else:
                other, length = draw.choice(known)
                content[start : start + size] = (bytes(content[other : other + length]) + bytes(size))[:size]
        return bytes(content)

    return make


def _span(place: tuple[int, int]) -> tuple[int, int]:
    return place[0], place[0] + place[1]


def _read_gguf(path: Path, draw: random.Random) -> None:
    check_any_gguf(path) if draw.random() < 0.4 else check_gguf(path)


def _encoders() -> Callable[[random.Random], bytes]:
    found = seeds.encoders()
    trees = [spoil.tree(content, "model", _FIELDS) for content in found]
    assert [spoil.written(one) for one in trees] == found
    from copersona.runtime.filecheck.onnx_operators import OPERATORS

    texts = [name.encode() for name in OPERATORS] + [name.encode() for name in (
        "input_ids", "attention_mask", "s", "t", "n", "m", "y", "one", "three", "tokens", "table",
        "sentence_embedding", "axis", "keepdims", "to", "value", "perm", "If", "com.microsoft")]  # fmt: skip

    def make(draw: random.Random) -> bytes:
        if draw.random() < 0.1:
            return spoil.bytes_spoiled(draw, draw.choice(found), found)
        made = draw.choice(trees)
        for _ in range(draw.choice((1, 1, 2, 3))):
            made = spoil.tree_spoiled(draw, made, texts)
        return spoil.written(made)

    return make


def _tensors() -> Callable[[random.Random], bytes]:
    """A header of JSON with its length before it, right or not, and data."""
    found = seeds.tensors()
    sizes = [int.from_bytes(content[:8], "little") for content in found]
    texts = _texts([content[8 : 8 + size].decode() for content, size in zip(found, sizes, strict=True)])

    def make(draw: random.Random) -> bytes:
        at = draw.randrange(len(found))
        if draw.random() < 0.15:
            return spoil.bytes_spoiled(draw, found[at], found)
        header = _encoded(draw, spoil.text_spoiled(draw, *texts[at]))
        length = struct.pack("<Q", len(header)) if draw.random() < 0.9 else spoil.number(draw, 8)
        return length + header + found[at][8 + sizes[at] :]

    return make


def _arrays() -> Callable[[random.Random], bytes]:
    """A header of a Python literal with its length before it, right or not, and data."""
    found = seeds.arrays()
    starts = [10 if content[6] == 1 else 12 for content in found]
    ends = [content.index(b"\n") + 1 for content in found]
    headers = [found[at][starts[at] : ends[at]].decode() for at in range(len(found))]
    spans = [spoil.json_spans(text) for text in headers]

    def make(draw: random.Random) -> bytes:
        at = draw.randrange(len(found))
        if draw.random() < 0.15:
            return spoil.bytes_spoiled(draw, found[at], found)
        values = draw.choice((spoil.LITERALS, spoil.LITERALS, spoil.JSON_VALUES))
        header = _encoded(draw, spoil.text_spoiled(draw, headers[at], spans[at], values))
        width = starts[at] - 8
        length = len(header).to_bytes(4, "little")[:width] if draw.random() < 0.9 else spoil.number(draw, width)
        return found[at][:8] + length + header + found[at][ends[at] :]

    return make


# -- signatures ---------------------------------------------------------------------------------------------------


def _signatures() -> Callable[[random.Random], bytes]:
    """Any bytes, and words of the comment changed."""
    found = seeds.signatures()

    def make(draw: random.Random) -> bytes:
        content = draw.choice((found[0], found[0], *found))
        if draw.random() < 0.5:
            return spoil.bytes_spoiled(draw, content, found)
        at = [match.span() for match in re.finditer(rb"[^\s:]+", content)]
        start, end = draw.choice(at)
        other = content[slice(*draw.choice(at))]
        return content[:start] + draw.choice((*spoil.TEXTS, b"\x1b[2J", b"\t", b"key:", other)) + content[end:]

    return make


@functools.cache
def _signed() -> Manifest:
    return Manifest.from_json(seeds.manifests()[0])


def _read_signature(path: Path, draw: random.Random) -> None:
    os.environ["COPERSONA_HOME"] = str(path.parent)
    kind = draw.randrange(8)
    if kind < 6:
        signer(path.parent, _signed())
    elif kind == 6:
        signer(path.parent, _signed(), by=str(path))
    else:
        parsed(path, "SecretKey")


PARSERS: dict[str, Parser] = {
    "manifest": Parser("manifest.json", _manifest(seeds.manifests()), _read_manifest),
    "facets": Parser("facets.json", _json(seeds.facets()), lambda path, _: read_schema(path)),
    "tokenizer": Parser("tokenizer.json", _json(seeds.tokenizers()), lambda path, _: check_tokenizer(path, 4)),
    "gguf": Parser("model.gguf", _ggufs(), _read_gguf),
    "onnx": Parser("encoder.onnx", _encoders(), lambda path, _: check_onnx(path)),
    "safetensors": Parser("tensors.safetensors", _tensors(), lambda path, _: read_tensor_shapes(path)),
    "npy": Parser("array.npy", _arrays(), lambda path, _: check_npy(path, seeds.SHAPE)),
    "importers": Parser("history.jsonl", _histories(), _read_history),
}
if find_spec("minisign") is not None:
    PARSERS["signature"] = Parser(SIGNATURE, _signatures(), _read_signature)
