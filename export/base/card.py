"""The model card of a base model made by the recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from copersona.export.base.pretrain import Pretraining

CARD = """---
license: other
language: en
---
# copersona demo base

A small language model trained from scratch by `copersona export base`, for research and demonstration, not for
commercial use. It writes fluent nonsense and knows next to no facts beside the questions that it learnt by heart.

| | |
| --- | --- |
| architecture | Qwen2: {layers} layers, width {width}, feed-forward {feed_forward}, tied embeddings |
| parameters | {parameters:,} |
| tokenizer | byte-level BPE, {vocabulary:,} entries, Qwen2's pre-tokenizer, ChatML |
| trained on | {tokens:,} of {planned:,} planned tokens, windows of {window:,} and at last {last_window:,} |
| seed | {seed} |

## Text and terms

| source | terms |
| --- | --- |
| Blog Authorship Corpus (Schler et al. 2006) | non-commercial research |
| Amazon reviews (McAuley et al. 2015; Hou et al. 2024) | research, with citation |
| WebQuestions (Berant et al. 2013) | CC BY 4.0 |

Of the reviews only what training people wrote before validation was used; new people, validation and test were not.
The weights were learnt from these texts: use them as the strictest of the terms says, for non-commercial research and
demonstration. Reviewers' and bloggers' words are not in this folder, but a model may repeat pieces of what it saw.
"""


TERMS = """\
Terms of these weights

These weights are for research and demonstration, not for commercial use.

They were learnt from the Blog Authorship Corpus (J. Schler, M. Koppel, S. Argamon, J. Pennebaker: Effects of Age and
Gender on Blogging, 2006), which may be used for non-commercial research; from Amazon reviews (J. McAuley et al. 2015;
Y. Hou et al. 2024), which are for research and to be cited; and from WebQuestions (J. Berant et al. 2013), under
CC BY 4.0. Whoever passes the weights on, changed or not, passes on this file with them.

The weights come as they are, without warranty of any kind. What they write is not true because they write it.
"""


def model_card(training: Pretraining, recipe: Any) -> str:
    """The card of the model as trained so far."""
    return CARD.format(
        layers=recipe.shape.layers,
        width=recipe.shape.width,
        feed_forward=recipe.shape.feed_forward,
        parameters=training.model.num_parameters(),
        vocabulary=training.model.config.vocab_size,
        tokens=training.tokens,
        planned=recipe.tokens,
        window=recipe.train.window,
        last_window=recipe.train.last_window,
        seed=recipe.train.seed,
    )
