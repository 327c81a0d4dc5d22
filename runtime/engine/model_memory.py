"""What a model needs of memory beside its file, estimated from what the file says."""

from __future__ import annotations

from copersona.runtime.engine.llama_context import BATCH, OUTPUTS
from copersona.runtime.filecheck.gguf_check import GgufFacts


def context_memory(facts: GgufFacts, length: int) -> int:
    """Bytes for keys and values in float16, and for the scores of one batch in float32."""
    tokens, heads = min(length, facts.context), facts.heads or max(facts.width // 64, 1)
    keys = facts.width // heads * (facts.kv_heads or heads)
    return tokens * (4 * facts.layers * keys + 4 * BATCH * heads)


def computing_memory(facts: GgufFacts) -> int:
    """Bytes of one batch's rows between layers, and of its logits, in float32."""
    return 4 * (16 * BATCH * facts.width + 2 * OUTPUTS * facts.vocabulary)
