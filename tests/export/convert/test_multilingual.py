"""Encoders of the kinds that serve many languages, with random weights: from the folder to a bundle that is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from copersona.export.convert.encoder import convert_encoder, encoder_languages, encoder_parity
from copersona.runtime import open_bundle
from copersona.runtime.common.errors import ExportError
from copersona.runtime.profile.encoder import Encoder
from copersona.runtime.profile.facets import read_schema, schema_to_json
from copersona.runtime.profile.language import language_of, measured_languages

from ...charsmap import charsmap
from ...conftest import DEMO, quiet
from ...random_models import qwen2
from ...runtime.cli.conftest import call
from ...small_bundle import small_bundle

pytestmark = pytest.mark.export

TEXTS = {
    "en": "I walked to the market and bought two apples, bread and cheese. The bread was warm, and I ate it at once. ",
    "zh": "我今天早上走到市场，买了两个苹果、一条面包和一些奶酪。面包还是热的，所以我马上就把它吃了。",
    "hi": "आज सुबह मैं बाज़ार गया और दो सेब, एक रोटी और थोड़ा पनीर ख़रीदा। रोटी अभी गरम थी, इसलिए मैंने उसे तुरंत खा लिया। ",
    "ar": "مشيت هذا الصباح إلى السوق واشتريت تفاحتين ورغيف خبز وبعض الجبن. كان الخبز دافئا فأكلته على الفور. ",
    "th": "เช้านี้ฉันเดินไปตลาดและซื้อแอปเปิลสองลูก ขนมปังหนึ่งก้อน และชีสเล็กน้อย ขนมปังยังอุ่นอยู่ฉันเลยกินทันที ",
}
SCRIPTS = ("LATIN", "CJK", "DEVANAGARI", "ARABIC", "THAI")
SPANISH = "Esta mañana fui al mercado y compré dos manzanas, pan y queso. El pan estaba caliente y me lo comí. "
GERMAN = "Heute Morgen ging ich zum Markt und kaufte zwei Äpfel, Brot und Käse. Das Brot war warm, ich aß es sofort. "
CARD = "---\nlanguage: [multilingual, ar, en, hi, th, es]\nlanguage_bcp47: [zh-cn, zh-tw]\n---\n# An encoder\n"
WIDE = {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)} | {"\u3000": " ", "ﷺ": "صلى الله عليه وسلم"}
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
LOUD = {"initializer_range": 0.1}  # by 0.02, as they are by default, all texts are nearly the same vector


def lines() -> list[str]:
    """Pieces of the texts in another order each, to train tokenizers on."""
    draw = np.random.default_rng(0)
    return ["".join(draw.permutation(list(text))) + text for text in TEXTS.values() for _ in range(20)]


def word_pieces(folder: Path, inputs: Sequence[str] = INPUTS) -> int:
    """Multilingual WordPiece as BERT has it, cased; the number of its tokens."""
    from tokenizers import BertWordPieceTokenizer
    from tokenizers.processors import BertProcessing
    from transformers import PreTrainedTokenizerFast

    tokenizer = BertWordPieceTokenizer(lowercase=False, strip_accents=False)
    tokenizer.train_from_iterator(lines(), vocab_size=900, min_frequency=1, show_progress=False)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    ids = [(names[kind], tokenizer.token_to_id(names[kind])) for kind in ("sep_token", "cls_token")]
    tokenizer._tokenizer.post_processor = BertProcessing(*ids)
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer._tokenizer, **names, model_input_names=list(inputs)
    ).save_pretrained(folder)
    return int(tokenizer.get_vocab_size())


def pieces(folder: Path) -> int:
    """Unigram as XLM-R has it: a table of characters, blanks as a sign; the number of its tokens."""
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import Unigram
    from tokenizers.processors import TemplateProcessing
    from tokenizers.trainers import UnigramTrainer
    from transformers import PreTrainedTokenizerFast

    tokenizer, special = Tokenizer(Unigram()), ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Precompiled(charsmap(WIDE)), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    tokenizer.train_from_iterator(
        lines(), UnigramTrainer(vocab_size=600, special_tokens=special, unk_token="<unk>", show_progress=False)
    )
    around = TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>",
                                special_tokens=[("<s>", 0), ("</s>", 2)])  # fmt: skip
    tokenizer.post_processor = around
    names = {"bos_token": "<s>", "cls_token": "<s>", "sep_token": "</s>", "eos_token": "</s>", "unk_token": "<unk>",
             "pad_token": "<pad>", "mask_token": "<mask>"}  # fmt: skip
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names, model_input_names=list(INPUTS[:2]))
    fast.save_pretrained(folder)
    return len(fast)


def labse(folder: Path) -> None:
    from transformers import BertConfig, BertModel

    BertModel(BertConfig(vocab_size=word_pieces(folder), **SIZES, **LOUD)).save_pretrained(folder)


def distiluse(folder: Path) -> None:
    from transformers import DistilBertConfig, DistilBertModel

    sizes = {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128}
    DistilBertModel(DistilBertConfig(vocab_size=word_pieces(folder, INPUTS[:2]), **sizes, **LOUD)).save_pretrained(
        folder
    )


def e5(folder: Path) -> None:
    from transformers import XLMRobertaConfig, XLMRobertaModel

    config = XLMRobertaConfig(
        vocab_size=pieces(folder), **SIZES, **LOUD, max_position_embeddings=514, type_vocab_size=1, pad_token_id=1
    )
    XLMRobertaModel(config).save_pretrained(folder)


KINDS: dict[str, tuple[Callable[[Path], None], str, str]] = {
    "LaBSE": (labse, "cls", "dense and normalised"),
    "distiluse": (distiluse, "mean", "dense"),
    "multilingual-e5": (e5, "mean", "normalised"),
}


def folder_of(kind: str, folder: Path) -> Path:
    """A sentence-transformers folder of random weights, with a card as such models have."""
    import torch
    from sentence_transformers import SentenceTransformer, models

    make, pooling, more = KINDS[kind]
    torch.manual_seed(1)
    make(folder / "parts")
    words = models.Transformer(str(folder / "parts"))
    modules: list[torch.nn.Module] = [words, models.Pooling(64, pooling_mode=pooling)]
    modules += [models.Dense(64, 48)] if "dense" in more else []
    modules += [models.Normalize()] if "normalised" in more else []
    SentenceTransformer(modules=modules, device="cpu").save(str(folder / "encoder"))
    (folder / "encoder" / "README.md").write_text(CARD, encoding="utf-8")
    return folder / "encoder"


def sentences() -> list[str]:
    wide = "Ｔｈｅ\u3000ｂｒｅａｄ， ﷺ  two  blanks 🎸"
    return [*TEXTS.values(), *(text[:60] for text in TEXTS.values()), wide, "", TEXTS["zh"] * 9]


@pytest.mark.parametrize("kind", KINDS)
def test_a_multilingual_encoder_goes_from_its_folder_to_answers(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COPERSONA_HOME", str(tmp_path / "home"))
    with quiet():
        source = folder_of(kind, tmp_path)
        convert_encoder(source, tmp_path / "encoder.onnx", tmp_path / "encoder_tokenizer.json")
        figures = encoder_parity(
            source, Encoder(tmp_path / "encoder.onnx", tmp_path / "encoder_tokenizer.json"), sentences()
        )
    assert figures["mean"] >= 0.985, figures
    assert figures["min"] >= 0.95, figures

    people = {code: [f"{n} {text}" for n in range(8)] for code, text in TEXTS.items()}
    languages = {"facets": measured_languages(people.values()), "encoder": encoder_languages(source)}
    facets = tmp_path / "facets.json"
    facets.write_text(schema_to_json(replace(read_schema(DEMO / "facets.json"), scripts=SCRIPTS)), encoding="utf-8")
    bundle = small_bundle(
        tmp_path / "bundle", qwen2(tmp_path / "model.gguf"), facets, encoder=tmp_path, languages=languages
    )
    with open_bundle(bundle) as session:
        vectors = np.stack([session.bundle.encoder.encode(text) for text in TEXTS.values()])
    assert float((vectors @ vectors.T - np.eye(len(TEXTS))).max()) < 0.995  # no two are all unknown tokens

    people |= {"es": [f"{n} {SPANISH}" for n in range(6)], "de": [f"{n} {GERMAN}" for n in range(6)]}
    history = tmp_path / "history.jsonl"
    rows = [{"person": name, "output": text} for name, texts in people.items() for text in texts]
    history.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = call("people", "import", bundle, history)
    assert done.exit_code == 0, done.output
    both, one = sorted(done.stderr.splitlines(), key=len, reverse=True)
    assert both.startswith("note: de (de): the measured facets and the encoder of this bundle are made for ")
    assert one.startswith("note: es (es): the measured facets of this bundle are made for ")
    for name in people:
        asked = call("ask", bundle, "--person", name, TEXTS.get(name, SPANISH)[:20], "--max-tokens", 2, "--threads", 1)
        assert asked.exit_code == 0, asked.output
        assert asked.stderr.startswith("note: ") == (name not in TEXTS)


def test_what_a_card_and_a_population_say_of_languages_are_the_same_codes(tmp_path: Path) -> None:
    def said(front: str) -> tuple[str, ...]:
        (tmp_path / "README.md").write_text(f"---\n{front}\n---\n# A card\n", encoding="utf-8")
        return encoder_languages(tmp_path)

    assert said("language: en") == ("en",)
    assert said("language: multilingual") == said("license: mit") == ()
    assert said("language:\n- multilingual\n- pt-BR\n- no\n- zh-cn\n- zh-tw\n- pt") == ("pt", "no", "zh")
    assert said("language: [de]\nlanguage_bcp47: zh_CN") == ("de", "zh")
    assert said("language: no") == ("no",)
    assert said("language: 5") == said("language:\n  en: fr") == said("language: [many languages, '']") == ()
    assert {code: language_of([text * 6]) for code, text in TEXTS.items()} == {code: code for code in TEXTS}
    assert language_of(["Jeg gikk til markedet i morges og kjøpte to epler. Brødet var varmt. " * 4]) == "no"
    people = [[TEXTS["th"]] * 3] * 8 + [[TEXTS["en"]] * 3] * 5 + [[SPANISH] * 3] + [["ok"]] * 9
    assert measured_languages(people) == ("th", "en")
    assert measured_languages([["ok"]]) == ()


def test_a_tokenizer_that_no_bundle_may_hold_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with quiet():
        source = folder_of("LaBSE", tmp_path)
        body = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
        body["normalizer"] = {"type": "Prepend", "prepend": "x" * 999}
        (source / "tokenizer.json").write_text(json.dumps(body), encoding="utf-8")
        with pytest.raises(ExportError, match=r"no bundle may hold.*Prepend"):
            convert_encoder(source, tmp_path / "encoder.onnx", tmp_path / "encoder_tokenizer.json")
