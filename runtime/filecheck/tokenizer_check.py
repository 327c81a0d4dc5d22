"""Looks through an encoder's tokenizer before the `tokenizers` library does: parts that encoders have, none that a text
could grow or hang in, and no id that the encoder has no vector for.

The library ends in a panic, or takes the memory there is, over much that its own format allows: a replacement that is
longer than what it replaces, patterns, templates that repeat the text, ids out of range.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from copersona.runtime.common.errors import BundleError
from copersona.runtime.common.strict_json import strict_json
from copersona.runtime.filecheck.charsmap_check import check_charsmap

MAX_BYTES = 64 * 1024**2
MAX_TOKEN = 1_024  # characters of a token
MAX_WORD = 1_000  # characters of a word that WordPiece takes apart; it takes the square of it in time
MAX_ADDED = 16_384
MAX_PARTS = 8  # of a sequence of components
MAX_SPECIAL = 16  # tokens that stand around a text
SPACES = " {2,}"  # the one pattern that is known: it takes one pass

NORMALIZERS = (
    "BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "StripAccents", "Strip", "Nmt", "Precompiled",
    "Replace",
)  # fmt: skip
PRE_TOKENIZERS = (
    "BertPreTokenizer", "Whitespace", "WhitespaceSplit", "ByteLevel", "Metaspace", "Punctuation", "Digits",
)  # fmt: skip
DECODERS = ("WordPiece", "ByteLevel", "Metaspace", "BPEDecoder")
KEYS = {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder",
        "model"}  # fmt: skip


def check_tokenizer(path: Path, rows: int) -> None:
    """Check a `tokenizer.json` for an encoder that knows `rows` ids.

    Raises:
        BundleError: no JSON, a component or a size that is not known here, or an id that the encoder does not know.
    """
    try:
        if not 0 < (size := path.stat().st_size) <= MAX_BYTES:
            raise ValueError(f"{size:,} bytes, expected at most {MAX_BYTES:,}")
        body = strict_json(path.read_text(encoding="utf-8"))
        if not isinstance(body, dict) or not {"model"} <= set(body) <= KEYS:
            raise ValueError("it has other entries than a tokenizer")
        known = _vocabulary(_part(body["model"], ("WordPiece", "BPE", "Unigram")), rows)
        _added(body.get("added_tokens") or [], known, rows)
        _components(body.get("normalizer"), "normalizers", NORMALIZERS)
        _components(body.get("pre_tokenizer"), "pretokenizers", PRE_TOKENIZERS)
        if body.get("decoder") is not None:
            _part(body["decoder"], DECODERS)
        _around(body.get("post_processor"), rows)
        for name in ("truncation", "padding"):
            _of(body.get(name) or {}, dict, name)
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())[:300]
        raise BundleError(f"{path}: not a tokenizer that may be opened: {what}") from None


def _of(value: Any, kind: type, what: str) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{what} is {str(value)[:60]!r}")
    return value


def _part(body: Any, types: tuple[str, ...]) -> Mapping[str, Any]:
    """A component of one of these types."""
    kind = _of(body, dict, "a component").get("type")
    if kind not in types:
        raise ValueError(f"the component {str(kind)[:60]!r}, known are {', '.join(types)}")
    found: Mapping[str, Any] = body
    return found


# -- the model and its tokens -----------------------------------------------------------------------------------------


def _vocabulary(model: Mapping[str, Any], rows: int) -> dict[str, int]:
    """Ids by token. Raises ValueError."""
    if model["type"] == "Unigram":
        known = _scored(_of(model["vocab"], list, "vocab"))
        unknown = model.get("unk_id")
        if unknown is None or not 0 <= _of(unknown, int, "unk_id") < len(known):
            raise ValueError(f"unk_id is {unknown!r}, there are {len(known):,} tokens")
    else:
        known = _of(model["vocab"], dict, "vocab")
    if not 0 < len(known) <= rows:
        raise ValueError(f"{len(known):,} tokens, the encoder knows {rows:,}")
    for token, number in known.items():
        if type(number) is not int or not 0 <= number < rows or len(token) > MAX_TOKEN:
            raise ValueError(f"token {token[:60]!r} has the id {str(number)[:60]}, the encoder knows {rows:,}")
    if len(set(known.values())) != len(known):
        raise ValueError("two tokens have the same id")
    if model["type"] == "WordPiece":
        _word_pieces(model, known)
    if model["type"] == "BPE":
        _merges(model, known)
    return known


def _scored(vocabulary: list[Any]) -> dict[str, int]:
    known: dict[str, int] = {}
    for number, row in enumerate(vocabulary):
        token, score = _of(row, list, "a token")
        if not isinstance(token, str) or type(score) not in (int, float) or not abs(score) < 1e6 or token in known:
            raise ValueError(f"token {number} is {str(row)[:60]!r}, expected a text and its score, each once")
        known[token] = number
    return known


def _word_pieces(model: Mapping[str, Any], known: Mapping[str, int]) -> None:
    if model.get("unk_token") not in known:
        raise ValueError("unk_token is no token")
    if not 1 <= _of(model.get("max_input_chars_per_word", 100), int, "max_input_chars_per_word") <= MAX_WORD:
        raise ValueError(f"max_input_chars_per_word is out of 1 to {MAX_WORD:,}")
    if len(_of(model.get("continuing_subword_prefix", "##"), str, "continuing_subword_prefix")) > MAX_SPECIAL:
        raise ValueError("continuing_subword_prefix is too long")


def _merges(model: Mapping[str, Any], known: Mapping[str, int]) -> None:
    if model.get("dropout") is not None:
        raise ValueError("BPE by chance (dropout)")
    for name in ("continuing_subword_prefix", "end_of_word_suffix"):
        if len(_of(model.get(name) or "", str, name)) > MAX_SPECIAL:
            raise ValueError(f"{name} is too long")
    if model.get("unk_token") is not None and model["unk_token"] not in known:
        raise ValueError("unk_token is no token")
    for merge in _of(model["merges"], list, "merges"):
        parts = merge.split(" ") if isinstance(merge, str) else _of(merge, list, "a merge")
        if len(parts) != 2 or not all(isinstance(part, str) and part in known for part in parts):
            raise ValueError(f"a merge {str(merge)[:60]!r} that joins no two tokens")


def _added(rows_: Any, known: Mapping[str, int], rows: int) -> None:
    """Added tokens are of the vocabulary, or follow it without a hole: the library gives them ids of its own."""
    if len(_of(rows_, list, "added_tokens")) > MAX_ADDED:
        raise ValueError(f"{len(rows_):,} added tokens, expected at most {MAX_ADDED:,}")
    seen, following = set[str](), len(known)
    for row in rows_:
        content, number = _of(row["content"], str, "an added token"), _of(row["id"], int, "its id")
        if not 0 < len(content) <= MAX_TOKEN or content in seen:
            raise ValueError(f"the added token {content[:60]!r} is empty, too long or there twice")
        seen.add(content)
        expected = known.get(content, following)
        following += content not in known
        if number != expected or number >= rows:
            raise ValueError(
                f"the added token {content[:60]!r} has the id {number}, expected {expected} below {rows:,}"
            )


# -- what is done to a text -------------------------------------------------------------------------------------------


def _components(body: Any, many: str, types: tuple[str, ...]) -> None:
    """One component, a flat sequence of a few, or none."""
    if body is None:
        return
    parts = [body]
    if _of(body, dict, "a component").get("type") == "Sequence":
        parts = _of(body.get(many), list, many)
    if len(parts) > MAX_PARTS:
        raise ValueError(f"{len(parts)} components one after another, expected at most {MAX_PARTS}")
    for part in parts:
        _part(part, types)
        if part["type"] == "Replace":
            _replaced(part)
        if part["type"] == "Precompiled":
            check_charsmap(_of(part["precompiled_charsmap"], str, "a table of characters"))


def _replaced(part: Mapping[str, Any]) -> None:
    """A replacement must not make a text longer, nor look for a pattern of others."""
    pattern, content = _of(part["pattern"], dict, "a pattern"), _of(part["content"], str, "content")
    ((kind, sought),) = pattern.items()
    if kind == "String" and isinstance(sought, str) and 0 < len(sought) <= MAX_TOKEN:
        most = len(sought.encode())
    elif kind == "Regex" and sought == SPACES:
        most = len("▁".encode())
    else:
        raise ValueError(f"a replacement of {str(pattern)[:60]!r}, which is not known here")
    if len(content.encode()) > max(most, len("▁".encode())):
        raise ValueError(f"a replacement of {str(sought)[:60]!r} by something longer")


def _around(body: Any, rows: int) -> None:
    """What stands before and behind every text."""
    if body is None:
        return
    if _of(body, dict, "a component").get("type") == "Sequence":
        parts = _of(body.get("processors"), list, "processors")
        if len(parts) > 2 or any(_of(part, dict, "a component").get("type") == "Sequence" for part in parts):
            raise ValueError("a sequence of too much around a text")
        for part in parts:
            _around(part, rows)
        return
    kind = _part(body, ("TemplateProcessing", "BertProcessing", "RobertaProcessing", "ByteLevel"))["type"]
    if kind == "TemplateProcessing":
        _template(body, rows)
    elif kind != "ByteLevel":
        for name in ("sep", "cls"):
            token, number = _of(body[name], list, name)
            _id(_of(token, str, name), number, rows)


def _template(body: Mapping[str, Any], rows: int) -> None:
    specials = _of(body["special_tokens"], dict, "special_tokens")
    for name, row in specials.items():
        ids = _of(row["ids"], list, "ids")
        if not 0 < len(ids) == len(_of(row["tokens"], list, "tokens")) <= 2 or row["id"] != name:
            raise ValueError(f"the special token {name[:60]!r} stands for too much")
        for token, number in zip(row["tokens"], ids, strict=True):
            _id(_of(token, str, "a token"), number, rows)
    for name, texts in (("single", ["A"]), ("pair", ["A", "B"])):
        pieces = [_of(piece, dict, f"a part of {name}") for piece in _of(body[name], list, name)]
        found = sorted(piece["Sequence"]["id"] for piece in pieces if "Sequence" in piece)
        if len(pieces) > MAX_SPECIAL or found != texts:
            raise ValueError(f"a template in which the text does not stand once ({name})")
        for piece in pieces:
            ((kind, value),) = piece.items()
            if kind not in ("Sequence", "SpecialToken") or _of(value["type_id"], int, "type_id") not in (0, 1):
                raise ValueError(f"a template of parts that are not known ({name})")
            if kind == "SpecialToken" and value["id"] not in specials:
                raise ValueError(f"the special token {str(value['id'])[:60]!r} is not there")


def _id(token: str, number: Any, rows: int) -> None:
    if len(token) > MAX_TOKEN or not 0 <= _of(number, int, "an id") < rows:
        raise ValueError(f"token {token[:60]!r} has the id {number}, the encoder knows {rows:,}")
