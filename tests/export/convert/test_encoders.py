"""Sentence encoders of several families, pooled by mean and by the first token, as they ship against the originals."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from copersona.export.convert.encoder import convert_encoder, encoder_parity
from copersona.runtime.common.errors import ExportError
from copersona.runtime.filecheck.onnx_check import check_onnx
from copersona.runtime.profile.encoder import MAX_TOKENS, Encoder

from ...conftest import quiet
from ...tiny_tokenizer import training_text

pytestmark = pytest.mark.export

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}


def word_pieces(folder: Path, special: dict[str, str], inputs: Sequence[str] = INPUTS) -> int:
    """A WordPiece tokenizer as BERT, DistilBERT and MPNet have it; the number of its tokens."""
    from tokenizers import BertWordPieceTokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    tokenizer = BertWordPieceTokenizer(lowercase=True)
    names = list(special.values())
    tokenizer.train_from_iterator(training_text(), vocab_size=600, special_tokens=names, show_progress=False)
    start, end = special["cls_token"], special["sep_token"]
    ids = [(name, tokenizer.token_to_id(name)) for name in (start, end)]
    tokenizer._tokenizer.post_processor = TemplateProcessing(
        single=f"{start} $A {end}", pair=f"{start} $A {end} $B:1 {end}:1", special_tokens=ids
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer._tokenizer, **special, model_input_names=list(inputs)
    ).save_pretrained(folder)
    return int(tokenizer.get_vocab_size())


BERT = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
MPNET = {"cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>", "unk_token": "[UNK]", "mask_token": "<mask>"}


def bert(folder: Path) -> None:
    from transformers import BertConfig, BertModel

    tokens = word_pieces(folder, BERT)
    BertModel(BertConfig(vocab_size=tokens, **SIZES)).save_pretrained(folder)


def mpnet(folder: Path) -> None:
    from transformers import MPNetConfig, MPNetModel

    tokens = word_pieces(folder, MPNET, INPUTS[:2])
    MPNetModel(MPNetConfig(vocab_size=tokens, **SIZES, pad_token_id=1)).save_pretrained(folder)


def distilbert(folder: Path) -> None:
    from transformers import DistilBertConfig, DistilBertModel

    tokens = word_pieces(folder, BERT, INPUTS[:2])
    sizes = {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128}
    DistilBertModel(DistilBertConfig(vocab_size=tokens, **sizes)).save_pretrained(folder)


def xlm_roberta(folder: Path) -> None:
    """Counts its positions from the ids."""
    from transformers import XLMRobertaConfig, XLMRobertaModel

    tokens = word_pieces(folder, MPNET, INPUTS[:2])
    XLMRobertaModel(XLMRobertaConfig(vocab_size=tokens, **SIZES, pad_token_id=1)).save_pretrained(folder)


def encoder_folder(folder: Path, make: Callable[[Path], None], pooling: str, **settings: int) -> Path:
    """A sentence-transformers folder of random weights."""
    import torch

    torch.manual_seed(1)
    with quiet():
        from sentence_transformers import SentenceTransformer, models

        make(folder / "parts")
        words = models.Transformer(str(folder / "parts"), **settings)
        pool = models.Pooling(words.get_word_embedding_dimension(), pooling_mode=pooling)
        SentenceTransformer(modules=[words, pool], device="cpu").save(str(folder / "encoder"))
    return folder / "encoder"


def sentences() -> list[str]:
    return [*itertools.islice(training_text(), 0, 900, 30), "", "Zoë 吉他 🎸", "word " * 400]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("make", [bert, mpnet, distilbert, xlm_roberta], ids=lambda f: f.__name__)
def test_an_encoder_ships_as_it_was(make: Callable[[Path], None], pooling: str, tmp_path: Path) -> None:
    source = encoder_folder(tmp_path, make, pooling)
    model, tokenizer = tmp_path / "encoder.onnx", tmp_path / "encoder_tokenizer.json"
    with quiet():
        convert_encoder(source, model, tokenizer)
    check_onnx(model)
    encoder = Encoder(model, tokenizer)
    assert encoder.width == 64
    with quiet():
        figures = encoder_parity(source, encoder, sentences())
    assert figures["mean"] >= 0.985, figures
    same = np.stack([encoder.encode(text) for text in ("the guitar", "the guitar")])
    np.testing.assert_array_equal(same[0], same[1])


def test_pooling_matters_for_what_ships(tmp_path: Path) -> None:
    vectors = []
    for pooling in ("mean", "cls"):
        folder = tmp_path / pooling
        with quiet():
            convert_encoder(encoder_folder(folder, bert, pooling), folder / "e.onnx", folder / "t.json")
        vectors.append(Encoder(folder / "e.onnx", folder / "t.json").encode("the guitar is loud"))
    assert float(vectors[0] @ vectors[1]) < 0.98


def test_an_encoder_that_reads_less_than_we_show_it_is_refused(tmp_path: Path) -> None:
    def short(folder: Path) -> None:
        from transformers import BertConfig, BertModel

        tokens = word_pieces(folder, BERT)
        BertModel(BertConfig(vocab_size=tokens, max_position_embeddings=128, **SIZES)).save_pretrained(folder)

    source = encoder_folder(tmp_path, short, "mean")
    with pytest.raises(ExportError, match=rf"128 positions, {MAX_TOKENS} are needed"):
        convert_encoder(source, tmp_path / "e.onnx", tmp_path / "t.json")
    assert not (tmp_path / "e.onnx").exists()


def test_other_poolings_are_refused_by_name(tmp_path: Path) -> None:
    source = encoder_folder(tmp_path, bert, "max")
    with pytest.raises(ExportError, match=r"pools by max.* mean or cls"):
        convert_encoder(source, tmp_path / "e.onnx", tmp_path / "t.json")
