"""Likeness of a generated text to the true one: ROUGE, METEOR, BLEU, BERTScore. Descriptive with a small base.

What is kept of a text are figures: of BLEU the counts of a sentence, from which the corpus's BLEU is summed up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from copersona.export.common.files import weight_hashes
from copersona.export.convert.encoder import encoder_name
from copersona.runtime.common.arrays import F32
from copersona.runtime.common.errors import ExportError

TEXT_METRICS = ("ROUGE-1", "ROUGE-L", "METEOR", "BLEU", "BERTScore")
SHORT = {"ROUGE-1": "R-1", "ROUGE-L": "R-L", "METEOR": "MET.", "BLEU": "BL.", "BERTScore": "BS."}
ORDERS = 4
_BLEU = [*(f"BLEU correct {n}" for n in range(1, 5)), *(f"BLEU total {n}" for n in range(1, 5)),
         "BLEU length", "BLEU reference"]  # fmt: skip


class _NoSynonyms:
    """Stands for a WordNet that is not there: METEOR then matches by form and stem alone."""

    def synsets(self, word: str) -> list[Any]:
        return []


class TextMetrics:
    """Scores pairs of texts. `encoder` is a folder of a transformers encoder for BERTScore, None leaves it out.

    Raises:
        ExportError: the packages of the eval extra are not installed.
    """

    def __init__(self, encoder: Path | None) -> None:
        try:
            from rouge_score.rouge_scorer import RougeScorer
            from sacrebleu.metrics import BLEU
        except ImportError as error:
            raise ExportError(f"{error.name} is not installed; run: pip install 'copersona[eval]'") from None
        self._rouge = RougeScorer(["rouge1", "rougeL"], use_stemmer=False)
        self._bleu, self._corpus = BLEU(effective_order=True), BLEU()
        self._encoder = encoder

    def score(self, text: str, truth: str) -> dict[str, float]:
        """Figures of one generated text against the true one."""
        rouge = self._rouge.score(truth, text)
        sentence = self._bleu.sentence_score(text, [truth])
        counts = [*sentence.counts, *sentence.totals, sentence.sys_len, sentence.ref_len]
        row = {
            "ROUGE-1": float(rouge["rouge1"].fmeasure),
            "ROUGE-L": float(rouge["rougeL"].fmeasure),
            "METEOR": self._meteor(text, truth),
            "BLEU": float(sentence.score),
            **dict(zip(_BLEU, map(float, counts), strict=True)),
        }
        if self._encoder is not None:
            row["BERTScore"] = self._bert.score(text, truth)
        return row

    def alike(self, texts: Sequence[str]) -> float:
        """Agreement of samples: mean ROUGE-L over their pairs."""
        pairs = [self._rouge.score(a, b)["rougeL"].fmeasure for a, b in combinations(texts, 2)]
        return float(np.mean(pairs)) if pairs else float("nan")

    @cached_property
    def _wordnet(self) -> Any:
        """NLTK's WordNet where its data are on this machine."""
        import nltk
        from nltk.corpus import wordnet

        try:
            nltk.data.find("corpora/wordnet")
        except LookupError:
            try:
                nltk.data.find("corpora/wordnet.zip")
            except LookupError:
                return _NoSynonyms()
        return wordnet

    def _meteor(self, text: str, truth: str) -> float:
        from nltk.tokenize import wordpunct_tokenize
        from nltk.translate.meteor_score import single_meteor_score

        pair = wordpunct_tokenize(truth), wordpunct_tokenize(text)
        return float(single_meteor_score(*pair, wordnet=self._wordnet)) if all(pair) else 0.0

    @cached_property
    def _bert(self) -> BertScore:
        assert self._encoder is not None
        return BertScore(self._encoder)

    def signatures(self) -> dict[str, str]:
        """How each metric was computed, versions included."""
        self._bleu.sentence_score("a", ["a"])  # a signature names the number of references that were seen
        self._corpus.corpus_score(["a"], [["a"]])
        stages = "exact, stem" if isinstance(self._wordnet, _NoSynonyms) else "exact, stem, WordNet synonyms"
        rows = {
            "ROUGE-1, ROUGE-L": f"rouge-score {version('rouge-score')}, F measure, no stemmer",
            "METEOR": f"NLTK {version('nltk')}, stages: {stages}; tokens by wordpunct_tokenize",
            "BLEU": f"sacreBLEU; tables, of the corpus: {self._corpus.get_signature()}; "
            f"differences, mean of sentences: {self._bleu.get_signature()}",
        }
        if self._encoder is not None:
            which = f"{encoder_name(self._encoder)} ({', '.join(h[:12] for h in weight_hashes(self._encoder))})"
            rows["BERTScore"] = f"F1 by greedy matching, last layer of {which}, no idf, no rescaling"
        return rows


def corpus_bleu(rows: Sequence[dict[str, float]]) -> float:
    """BLEU of a corpus from the counts of its sentences, as sacreBLEU sums them (exponential smoothing)."""
    total = {name: sum(row[name] for row in rows) for name in _BLEU}
    log_precision, smooth = 0.0, 1.0
    for n in range(1, ORDERS + 1):
        correct, of = total[f"BLEU correct {n}"], total[f"BLEU total {n}"]
        if of == 0:
            return 0.0
        if correct == 0:
            smooth *= 2
            log_precision += math.log(1 / (smooth * of))
        else:
            log_precision += math.log(correct / of)
    if all(total[f"BLEU correct {n}"] == 0 for n in range(1, ORDERS + 1)):
        return 0.0
    length, reference = total["BLEU length"], total["BLEU reference"]
    brevity = 1.0 if length >= reference else math.exp(1 - reference / length)
    return 100 * brevity * math.exp(log_precision / ORDERS)


class BertScore:
    """BERTScore F1 (Zhang et al. 2020) with any local encoder: greedy cosine matching of token vectors.

    As the reference implementation does it: the sequence's first and last token can be matched but do not count.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoModel, AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        self._model = AutoModel.from_pretrained(str(folder), local_files_only=True).eval()
        self._limit = min(self._tokenizer.model_max_length, 512)

    def _vectors(self, text: str) -> F32:
        import torch

        inputs = self._tokenizer(text.strip(), return_tensors="pt", truncation=True, max_length=self._limit)
        with torch.no_grad():
            hidden = self._model(**inputs).last_hidden_state[0]
        rows: F32 = torch.nn.functional.normalize(hidden, dim=-1).numpy()
        return rows

    def score(self, text: str, truth: str) -> float:
        """F1 of one pair; 0 where one holds nothing that the encoder reads."""
        cosine = self._vectors(text) @ self._vectors(truth).T  # (tokens of the text, tokens of the truth)
        if min(cosine.shape) <= 2:
            return 0.0
        precision = float(cosine.max(axis=1)[1:-1].mean())
        recall = float(cosine.max(axis=0)[1:-1].mean())
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
