"""LoRA on the base without any persona, and with the person's own history in the prompt: what is due to training alone.

Same targets, steps and settings as the full method; no soft prompt in training or here.
"""

from __future__ import annotations

from dataclasses import replace

from copersona.export.evaluation.methods.non_perso import NON_PERSO
from copersona.export.evaluation.methods.rag import RAG

LORA = replace(NON_PERSO, name="LoRA, no persona", model="lora")
LORA_RAG = replace(RAG, name="LoRA with RAG", model="lora-rag")
