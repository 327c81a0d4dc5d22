"""The vocabulary of a Hugging Face folder as a GGUF carries it: texts, types, merges or scores, and the chat template.

Two families pass, each only where llama.cpp gives the same tokens for the same text: byte-level BPE with a
pre-tokenizer that llama.cpp knows by name, and SentencePiece-style BPE with byte fallback (Llama 2). The second has no
merges in a GGUF but a score for each piece, so the merges must be those of all pairs that make a piece, piece by piece;
the order of the pieces is then their score. Everything is read from `tokenizer.json`, which the training reads too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf

from copersona.export.convert.pre_tokenizers import PRE_TOKENIZERS, steps_of
from copersona.runtime.common.errors import ExportError
from copersona.runtime.engine.markup import is_markup

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
    "vocab.json", "merges.txt",
)  # fmt: skip

PREPEND = {"type": "Prepend", "prepend": "▁"}
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a GGUF says of a tokenizer; `merges` belong to the model "gpt2", `scores` and `space_prefix` to "llama"."""

    model: str
    pre: str
    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    scores: tuple[float, ...]
    space_prefix: bool
    adds_bos: bool
    special: Mapping[str, int]
    template: str | None

    @property
    def controls(self) -> dict[str, int]:
        """Ids of all tokens that a template writes as such, by how they are written: control tokens and markup."""
        control, added = gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED
        kinds = enumerate(zip(self.tokens, self.types, strict=True))
        return {token: i for i, (token, kind) in kinds if kind == control or (kind == added and is_markup(token))}


@dataclass(frozen=True, slots=True)
class _Files:
    """The JSON files of a tokenizer, as they are."""

    folder: Path
    tokenizer: dict[str, Any]
    config: dict[str, Any]

    @property
    def where(self) -> Path:
        return self.folder / "tokenizer.json"


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`.

    Raises:
        ExportError: there is none.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"{path}: cannot be read, {_first_line(error)}") from None
    if not isinstance(value, dict):
        raise ExportError(f"{path}: expected a JSON object, found {type(value).__name__}")
    return value


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def read_vocabulary(folder: Path, model_config: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary in `folder` for a model of `model_config["vocab_size"]` rows.

    Raises:
        ExportError: a file is missing, or llama.cpp would make other tokens of the same text.
        KeyError: a file lacks an entry that every tokenizer has.
    """
    files = _Files(folder, read_json(folder / "tokenizer.json"), read_json(folder / "tokenizer_config.json"))
    model = files.tokenizer["model"]
    if model.get("type") != "BPE":
        raise ExportError(f"{files.where}: only BPE is supported, found {model.get('type')}; use a base with BPE")
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            raise ExportError(f"{files.where}: {key} is {model[key]!r}, llama.cpp has no such thing; use another base")
    pieces = bool(model.get("byte_fallback"))
    pre = "default" if pieces else _pre_tokenizer(files)
    prefix = pieces and _space_prefix(files)
    ids, tokens, types = _tokens(files, int(model_config["vocab_size"]), pieces)
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    _check_control(files.where, tokens, types, {"".join(pair) for pair in pairs})
    special = {name: _special_id(files, model_config, name, ids) for name in ("bos", "eos", "pad")}
    if pieces:
        special["unk"] = ids.get(model.get("unk_token") or "")
    return Vocabulary(
        "llama" if pieces else "gpt2", pre, tuple(tokens), tuple(types),
        () if pieces else tuple(" ".join(pair) for pair in pairs),
        _scores(files.where, tokens, [(left, right) for left, right in pairs]) if pieces else (),
        prefix, _adds_bos(files), {name: token for name, token in special.items() if token is not None},
        _chat_template(files),
    )  # fmt: skip


def add_vocabulary(writer: Any, vocabulary: Vocabulary) -> None:
    """Add the keys of `vocabulary` to a `gguf.GGUFWriter`."""
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    if vocabulary.scores:
        writer.add_token_scores(vocabulary.scores)
    writer.add_token_types(vocabulary.types)
    if vocabulary.model == "gpt2":
        writer.add_token_merges(vocabulary.merges)
    writer.add_add_bos_token(vocabulary.adds_bos)
    for name, token in vocabulary.special.items():
        name = {"pad": "padding", "unk": "unknown"}.get(name, name)
        writer.add_uint32(f"tokenizer.ggml.{name}_token_id", token)
    if vocabulary.model == "llama":
        writer.add_add_space_prefix(vocabulary.space_prefix)
    if vocabulary.template:
        writer.add_chat_template(vocabulary.template)


# Byte-level BPE


def _pre_tokenizer(files: _Files) -> str:
    """llama.cpp's name of the pre-tokenizer; only exactly the pipelines that llama.cpp has are let through."""
    tokenizer, where = files.tokenizer, files.where
    normaliser = tokenizer.get("normalizer") or {"type": "NFC"}
    if normaliser.get("type") != "NFC":
        raise ExportError(f"{where}: normalizer {normaliser.get('type')} is not supported, only NFC or none")
    steps = steps_of(tokenizer.get("pre_tokenizer"))
    known = next((one for one in PRE_TOKENIZERS if one.steps == steps), None)
    if known is None:
        raise ExportError(
            f"{where}: its pre-tokenizer is none that llama.cpp has ({_short(tokenizer.get('pre_tokenizer'))}); "
            f"supported are those of {', '.join(one.name for one in PRE_TOKENIZERS)}"
        )
    if bool(tokenizer["model"].get("ignore_merges")) != known.whole:
        is_whole, has = not known.whole, known.whole
        raise ExportError(f"{where}: ignore_merges is {is_whole}, but llama.cpp's {known.name} has {has}")
    if known.whole:
        _check_control_words(files)
    return known.name


def _short(body: object) -> str:
    text = json.dumps(body)
    return text if len(text) <= 200 else f"{text[:200]} ..."


def _check_control_words(files: _Files) -> None:
    """llama.cpp looks up whole words among all tokens: no control token may be one word, or text would become it."""
    from tokenizers import Tokenizer

    try:
        pre_tokenizer = Tokenizer.from_file(str(files.where)).pre_tokenizer
    except Exception as error:  # the library has no class of its own
        raise ExportError(f"{files.where}: cannot be loaded, {_first_line(error)}") from None
    for token in files.tokenizer.get("added_tokens", []):
        if token.get("special") and len(pre_tokenizer.pre_tokenize_str(token["content"])) < 2:
            raise ExportError(f"{files.where}: control token {token['content']!r} is one word, text would become it")


# SentencePiece-style BPE


def _space_prefix(files: _Files) -> bool:
    """Whether a space goes before every text; only spaces as "▁" without a split into words are let through."""
    normaliser, pre = files.tokenizer.get("normalizer"), files.tokenizer.get("pre_tokenizer")
    steps = (normaliser.get("normalizers", [normaliser])) if normaliser else []
    if pre is None and steps in ([PREPEND, REPLACE], [REPLACE]):
        return PREPEND in steps
    plain = {"replacement": "▁", "prepend_scheme": "never", "split": False}
    if not steps and pre and pre.get("type") == "Metaspace" and all(pre.get(key) == plain[key] for key in plain):
        return False
    kinds = [step.get("type") for step in steps]
    raise ExportError(
        f"{files.where}: normalizers {kinds} with the pre-tokenizer {pre and pre.get('type')} are not supported with "
        "byte fallback; use a base with Prepend and Replace and no pre-tokenizer, as Llama 2 has them"
    )


def _scores(where: Path, tokens: list[str], pairs: list[tuple[str, str]]) -> tuple[float, ...]:
    """A score for each token: the earlier it is merged, the higher; exact where llama.cpp merges the same pairs.

    llama.cpp merges any two neighbours that together are a token, also a control token and also characters that are
    no token themselves; the merges must allow all of that, or that token could come out of a text here and not there.
    """
    order: dict[str, int] = {}
    last = None
    for left, right in pairs:
        if left + right != last:
            last = left + right
            if last in order:
                raise ExportError(f"{where}: merges of {last!r} stand at two places, which scores cannot say")
            order[last] = len(order)
    present, allowed = set(tokens), set(pairs)
    for token in tokens:
        for at in range(1, len(token)):
            left, right = token[:at], token[at:]
            meets = (at == 1 or left in present) and (len(right) == 1 or right in present)
            if meets and (left, right) not in allowed:
                raise ExportError(f"{where}: {left!r} and {right!r} are not merged to {token!r}, but by llama.cpp")
    return tuple(-1.0 - order.get(token, len(order) + i) for i, token in enumerate(tokens))


# Both


def _tokens(files: _Files, rows: int, pieces: bool) -> tuple[dict[str, int], list[str], list[int]]:
    """(ids by token, token texts by id, token types by id), filled up with unused tokens to `rows`."""
    added = {token["id"]: token for token in files.tokenizer.get("added_tokens", [])}
    own = files.tokenizer["model"]["vocab"]
    vocabulary = {**own, **{token["content"]: i for i, token in added.items()}}
    by_id = {i: token for token, i in vocabulary.items()}
    if max(by_id) >= rows or len(by_id) != len(vocabulary):
        raise ExportError(f"{files.folder}: {len(vocabulary)} tokens up to id {max(by_id)}, but vocab_size is {rows}")
    _check_added(files.where, added.values(), pieces)
    if pieces and not own.keys() >= set(BYTES):
        raise ExportError(f"{files.where}: byte fallback without a token for each of the 256 bytes")
    kind = gguf.TokenType
    types = [kind.NORMAL if i in by_id else kind.UNUSED for i in range(rows)]
    for i, token in added.items():
        types[i] = kind.CONTROL if token.get("special") else kind.USER_DEFINED
    if pieces:
        for text in BYTES:
            types[own[text]] = kind.BYTE
        if files.tokenizer["model"].get("unk_token") in own:
            types[own[files.tokenizer["model"]["unk_token"]]] = kind.UNKNOWN
    return vocabulary, [by_id.get(i, f"[PAD{i}]") for i in range(rows)], types


def _check_added(where: Path, added: Iterable[Mapping[str, Any]], pieces: bool) -> None:
    """Added tokens that are found in a text must be found as llama.cpp finds them: anywhere and as they are."""
    for token in added:
        flags = [name for name in ("lstrip", "rstrip", "single_word") if token.get(name)]
        if pieces and token.get("normalized", True):
            flags.append("normalized")
        if flags and not token.get("special"):  # special ones come from their ids alone
            raise ExportError(f"{where}: added token {token['content']!r} is {flags[0]}, which llama.cpp does not know")


def _check_control(where: Path, tokens: list[str], types: list[int], merged: set[str]) -> None:
    """A control token must come from its id alone: text that reads like it stays text."""
    for token, kind in zip(tokens, types, strict=True):
        if kind == gguf.TokenType.CONTROL and token in merged:
            raise ExportError(f"{where}: control token {token!r} is also what text is merged to; use another base")


def _special_id(files: _Files, model_config: Mapping[str, Any], name: str, ids: Mapping[str, int]) -> int | None:
    token = files.config.get(f"{name}_token")
    token = token.get("content") if isinstance(token, dict) else token
    if token is not None:
        if token not in ids:
            raise ExportError(f"{files.folder}: {name}_token {token!r} is not in the vocabulary")
        return ids[token]
    number = model_config.get(f"{name}_token_id")
    return number[0] if isinstance(number, list) else number


def _adds_bos(files: _Files) -> bool:
    """For other programs: copersona's own prompts never begin with this token."""
    said = files.config.get("add_bos_token")
    if said is not None:
        return bool(said)
    processor = files.tokenizer.get("post_processor") or {}
    templates = [p for p in processor.get("processors", [processor]) if p.get("type") == "TemplateProcessing"]
    return any("SpecialToken" in part for template in templates for part in template.get("single", [])[:1])


def _chat_template(files: _Files) -> str | None:
    """transformers 5 writes it to a file of its own; a list of named templates has one named "default"."""
    file = files.folder / "chat_template.jinja"
    if file.exists():
        return file.read_text(encoding="utf-8")
    template: Any = files.config.get("chat_template")
    if isinstance(template, list):
        template = next((entry["template"] for entry in template if entry.get("name") == "default"), None)
    return None if template is None else str(template)
