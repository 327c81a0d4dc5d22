"""The base model's tokenizer: byte-level BPE behind Qwen2's pre-tokenizer, with ChatML control tokens.

Trained on the training text only. The pre-tokenizer is one that llama.cpp knows by name, so that a GGUF tokenizes as
`tokenizer.json` does.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from copersona.export.common.files import replacing
from copersona.export.convert.pre_tokenizers import named

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def train_tokenizer(texts: Iterable[str], size: int, path: Path) -> int:
    """Train on `texts`, write `tokenizer.json` to `path`, return the number of its tokens (at most `size`)."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    qwen2 = named("qwen2")
    assert qwen2 is not None
    tokenizer.pre_tokenizer = qwen2.build()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    with replacing(path) as part:
        tokenizer.save(str(part))
    return int(tokenizer.get_vocab_size())


def save_for_transformers(tokenizer_file: Path, folder: Path) -> None:
    """The tokenizer with its configuration and chat template, as transformers and the GGUF writer read them."""
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(
        tokenizer_file=str(tokenizer_file),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
    )
    fast.save_pretrained(folder)
