"""The base model as a Hugging Face folder: shape, first weights, and what `copersona export run --base` takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from copersona.export.base.card import TERMS
from copersona.export.base.tokenizer import save_for_transformers
from copersona.export.common.files import replacing_folder, write_text

LONGEST = 2_048


@dataclass(frozen=True, slots=True)
class Shape:
    """A Qwen2 with tied embeddings; heads are 64 wide."""

    width: int = 320
    layers: int = 6
    feed_forward: int = 896
    heads: int = 5
    kv_heads: int = 1
    vocabulary: int = 6_144


CPU = Shape()
GPU = Shape(width=512, layers=11, feed_forward=1_408, heads=8, kv_heads=2, vocabulary=8_192)


def new_model(shape: Shape, vocabulary: int, seed: int) -> Any:
    """A model of random weights; what writes into the residual stream starts at zero."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=vocabulary,
        hidden_size=shape.width,
        num_hidden_layers=shape.layers,
        intermediate_size=shape.feed_forward,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=LONGEST,
        max_window_layers=shape.layers,
        rope_theta=10_000.0,
        tie_word_embeddings=True,
        bos_token_id=None,
        pad_token_id=None,
        eos_token_id=2,
        use_cache=False,
    )
    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(config)
    for name, weight in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            nn.init.zeros_(weight)
    return model


def save_folder(model: Any, tokenizer_file: Path, folder: Path, card: str) -> None:
    """Write the folder whole or not at all."""
    with replacing_folder(folder) as part:
        model.config.use_cache = True
        model.save_pretrained(part, safe_serialization=True)
        model.config.use_cache = False
        save_for_transformers(tokenizer_file, part)
        write_text(part / "README.md", card)
        write_text(part / "LICENSE", TERMS)
