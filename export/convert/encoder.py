"""A sentence-transformers folder to the encoder that ships: ONNX through optimum, then int8 per channel.

Per channel is essential, and so is `reduce_range`, by which processors with and without VNNI give the same vectors. The
feed-forward outputs of the first half of the layers stay float: their inputs have outliers that eight bits cannot hold
(all-MiniLM-L6-v2 misses a mean cosine of 0.99 with them in int8; docs/measured.md has the figure without, for 5 MB).
"""

from __future__ import annotations

import contextlib
import json
import uuid
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from copersona.export.common.files import replacing, room_for, scratch
from copersona.export.common.hub import model_name
from copersona.export.convert.weight_files import check_weight_files
from copersona.runtime.common.errors import BundleError, ExportError
from copersona.runtime.filecheck.onnx_check import check_onnx
from copersona.runtime.filecheck.tokenizer_check import check_tokenizer
from copersona.runtime.profile.encoder import MAX_TOKENS, Encoder
from copersona.runtime.profile.language import plain_code

MORE: tuple[list[str], ...] = ([], ["Normalize"], ["Dense"], ["Dense", "Normalize"])
"""What may stand behind transformer and pooling, by the last part of the class of a module."""


def convert_encoder(source: Path, model: Path, tokenizer: Path) -> None:
    """Write `model` (int8 ONNX with pooling in its graph) and `tokenizer` from a sentence-transformers folder.

    Raises:
        ExportError: not such a folder, an encoder that is not supported, or the conversion fails.
    """
    check_encoder(source)
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from optimum.exporters.onnx import main_export

    with scratch(model.with_name("encoder.scratch")) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with room_for(folder):
                main_export(str(source), str(folder), task="feature-extraction", library_name="sentence_transformers")
        except ExportError:
            raise
        except Exception as error:  # optimum raises whatever its parts raise
            raise ExportError(
                f"{source}: optimum cannot convert this encoder ({str(error).splitlines()[0]})"
            ) from error
        _without_branches(folder / "model.onnx")
        with replacing(model) as part, _names_by_chance():
            quantize_dynamic(
                f"{folder}/model.onnx",
                str(part),
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
                nodes_to_exclude=_sensitive(folder / "model.onnx"),
            )
        with replacing(tokenizer) as part:
            part.write_bytes((folder / "tokenizer.json").read_bytes())
    try:
        check_tokenizer(tokenizer, check_onnx(model).rows)
    except BundleError as error:
        raise ExportError(f"{source}: an encoder that no bundle may hold ({error}); use another encoder") from None


def _without_branches(model: Path) -> None:
    """Take the first branch of each `If`, in the file: torch writes pooling by the first token as "squeeze where it is
    one", which it always is. A bundle's encoder holds no graphs inside operators."""
    import onnx

    whole = onnx.load(str(model))
    if not any(node.op_type == "If" for node in whole.graph.node):
        return
    nodes = []
    for node in whole.graph.node:
        if node.op_type != "If":
            nodes.append(node)
            continue
        branch = next(attribute.g for attribute in node.attribute if attribute.name == "then_branch")
        nodes += branch.node
        pairs = zip(branch.output, node.output, strict=True)
        nodes += [onnx.helper.make_node("Identity", [made.name], [name]) for made, name in pairs]
    del whole.graph.node[:]
    whole.graph.node.extend(nodes)
    onnx.save(whole, str(model))


@contextlib.contextmanager
def _names_by_chance() -> Iterator[None]:
    """Have onnx name its temporary files by chance: by its own way, `uuid1`, the C library looks at the numbers of the
    machine's network cards, through a socket, and keeps a clock in the system's folders."""
    by_card = uuid.uuid1
    uuid.uuid1 = lambda *_: uuid.uuid4()
    try:
        yield
    finally:
        uuid.uuid1 = by_card


def check_encoder(source: Path) -> None:
    """Refuse by name, before any work, what would not ship as it is.

    Raises:
        ExportError: no sentence-transformers folder, a pooling other than mean or first token, fewer positions than
            MAX_TOKENS, or no fast tokenizer.
    """
    missing = [n for n in ("modules.json", "config.json", "tokenizer.json") if not (source / n).is_file()]
    if missing:
        raise ExportError(
            f"{source}: no sentence-transformers folder ({', '.join(missing)} missing); give --encoder DIR"
        )
    modules = _json(source / "modules.json")
    kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] not in MORE:
        raise ExportError(
            f"{source}: its modules are {kinds}, expected Transformer, Pooling and perhaps Dense and Normalize"
        )
    pooling = _pooling(_json(source / modules[1]["path"] / "config.json"))
    if pooling not in ("mean", "cls"):
        raise ExportError(f"{source}: pools by {pooling}, supported are mean or cls; use another encoder")
    positions = _json(source / "config.json").get("max_position_embeddings", MAX_TOKENS)
    if positions < MAX_TOKENS:
        raise ExportError(f"{source}: has {positions} positions, {MAX_TOKENS} are needed; use another encoder")
    check_weight_files(source / str(modules[0].get("path") or ""))


def _pooling(config: dict[str, Any]) -> str:
    """The mode's name, in the form of sentence-transformers 5 or of those before it."""
    if "pooling_mode" in config:
        return str(config["pooling_mode"])
    modes = [name for name, on in config.items() if name.startswith("pooling_mode_") and on is True]
    return {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}.get("+".join(modes), "+".join(modes))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"{path}: cannot be read ({error})") from error


def _sensitive(model: Path) -> list[str]:
    """Feed-forward output products of the first half of the layers, by their names in graphs like BERT's and
    DistilBERT's."""
    import onnx

    names = [
        node.name for node in onnx.load(str(model), load_external_data=False).graph.node if node.op_type == "MatMul"
    ]
    outputs = [n for n in names if ("/output/dense/" in n and "/attention/" not in n) or "/ffn/lin2/" in n]
    return outputs[: len(outputs) // 2]


def encoder_parity(source: Path, encoder: Encoder, sentences: Sequence[str]) -> dict[str, float]:
    """Cosine of the shipped encoder, one text at a time, against sentence-transformers on the same sentences."""
    from sentence_transformers import SentenceTransformer

    original = SentenceTransformer(str(source), device="cpu")
    original.max_seq_length = min(MAX_TOKENS, original.max_seq_length or MAX_TOKENS)
    cosines = []
    for sentence in sentences:
        theirs = original.encode([sentence], normalize_embeddings=True, show_progress_bar=False)[0]
        cosines.append(float(encoder.encode(sentence) @ theirs))
    return {"mean": float(np.mean(cosines)), "min": float(np.min(cosines)), "sentences": len(cosines)}


def encoder_languages(source: Path) -> tuple[str, ...]:
    """Codes of the languages that the folder's model card names, as `language_of` tells them; none where it names none,
    or only "multilingual"."""
    from huggingface_hub import ModelCard

    card = source / "README.md"
    if not card.is_file():
        return ()
    try:
        said = ModelCard(card.read_text(encoding="utf-8"), ignore_metadata_errors=True).data.to_dict()
    except (ValueError, TypeError, UnicodeDecodeError):  # a card that is not written as cards are
        return ()
    codes: list[str] = []
    for key in ("language", "language_bcp47"):  # some name Chinese under the second alone
        found = said.get(key)
        tags = found if isinstance(found, list) else [] if found is None else [found]
        codes += [plain_code("no" if tag is False else str(tag)) for tag in tags]  # YAML reads no as false
    return tuple(code for code in dict.fromkeys(codes) if len(code) in (2, 3) and code.isalpha())


def encoder_name(source: Path) -> str:
    """The name that the folder gives the model, for the manifest."""
    name = _json(source / "config.json").get("_name_or_path")
    return str(name or model_name(source))
