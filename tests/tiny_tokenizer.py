"""The tokenizer of the tests' models, trained in a moment."""

from __future__ import annotations

import itertools
from typing import Any

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


WORDS = """
I you we they she my brother the drummer this teacher nobody everyone our neighbour José Zoë
liked returned bought played tuned recommended repaired hated ordered carried tested understood
guitar strings pedal amplifier microphone naïve café stand cable über 吉他 弦 🎸 tuner keyboard
ba ke lo mi nu pra ste tri vo za
la re ni do ku
n s rt ving ed
"""


def training_text() -> list[str]:
    """Sentences of real words, with accents, signs and code, then made-up words enough for a full vocabulary."""
    people, verbs, things, starts, middles, tails = map(str.split, WORDS.strip().splitlines())
    ends = ["because it's loud.", "and wouldn't again!", "for 25 dollars;", "yesterday\n", "def play(x):\n    return x"]
    sentences = itertools.islice(itertools.product(people, verbs, ["the"], things, ends), 0, None, 3)
    words = itertools.product(starts, middles, middles, tails)
    return [" ".join(sentence) for sentence in sentences] + [" " + "".join(word) for word in words]


def train_tokenizer() -> Any:
    """A byte-level BPE with Qwen2's pipeline."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(PATTERN), behavior="isolated", invert=False)
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1_200, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(training_text(), trainer)
    return tokenizer
