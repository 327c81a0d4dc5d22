"""The pre-tokenizers of byte-level BPE that llama.cpp and the `tokenizers` library have alike.

llama.cpp knows each by a name ("tokenizer.ggml.pre"), `tokenizer.json` by its steps. One that is not here is refused,
by its name or by its steps: another split of the same text would give other tokens than the model was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_SIGNS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

Step = tuple[str, str | bool]
"""Split by a pattern, Digits (each by itself or not), or ByteLevel (with GPT-2's own split or not)."""


@dataclass(frozen=True, slots=True)
class PreTokenizer:
    """One of them. `whole`: a word that is in the vocabulary is taken as it is, without merging ("ignore_merges");
    `adds_bos`: what llama.cpp does where the file does not say; `aliases`: other names of the same."""

    name: str
    steps: tuple[Step, ...]
    whole: bool = False
    adds_bos: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def pattern(self) -> str | None:
        """What text is split by, where that is said by a pattern."""
        return next((str(value) for kind, value in self.steps if kind == "Split"), None)

    def build(self) -> Any:
        """The same as an object of the `tokenizers` library."""
        from tokenizers import Regex, pre_tokenizers

        made = []
        for kind, value in self.steps:
            if kind == "Split":
                made.append(pre_tokenizers.Split(Regex(str(value)), behavior="isolated", invert=False))
            elif kind == "Digits":
                made.append(pre_tokenizers.Digits(individual_digits=bool(value)))
            else:
                made.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=bool(value)))
        return made[0] if len(made) == 1 else pre_tokenizers.Sequence(made)


PRE_TOKENIZERS = (
    PreTokenizer(
        "qwen2",
        (("Split", _WORDS + r"\p{N}" + _SIGNS), ("ByteLevel", False)),
        aliases=("deepseek-r1-qwen", "stablelm2", "megrez"),
    ),
    PreTokenizer(
        "llama-bpe",
        (("Split", _WORDS + r"\p{N}{1,3}" + _SIGNS), ("ByteLevel", False)),
        whole=True,
        adds_bos=True,
        aliases=("llama3", "llama-v3", "falcon3", "pixtral", "midm-2.0", "lfm2"),
    ),
    PreTokenizer(
        "smollm",
        (("Digits", True), ("ByteLevel", True)),
        aliases=("starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"),
    ),
    PreTokenizer("gpt-2", (("ByteLevel", True),), aliases=("phi-2",)),
)


def named(name: str) -> PreTokenizer | None:
    """The one that llama.cpp knows by this name."""
    return next((one for one in PRE_TOKENIZERS if name == one.name or name in one.aliases), None)


def steps_of(body: Mapping[str, Any] | None) -> tuple[Step, ...] | None:
    """The steps of a `pre_tokenizer` in `tokenizer.json`; None where one of them is of another kind or form."""
    rows = [body] if body and body.get("type") != "Sequence" else (body or {}).get("pretokenizers") or []
    steps = [_step(row) for row in rows]
    return None if not steps or None in steps else tuple(step for step in steps if step is not None)


def _step(row: Mapping[str, Any]) -> Step | None:
    kind = row.get("type")
    if kind == "Split" and row.get("behavior") == "Isolated" and not row.get("invert"):
        pattern = row.get("pattern", {}).get("Regex")
        return None if pattern is None else ("Split", pattern)
    if kind == "Digits":
        return "Digits", bool(row.get("individual_digits"))
    if kind == "ByteLevel" and not row.get("add_prefix_space"):
        return "ByteLevel", bool(row.get("use_regex", True))
    return None
