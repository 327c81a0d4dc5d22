"""Every family of base models that can be exported, against torch and the `tokenizers` library; and what is refused."""

from __future__ import annotations

import functools
import json
import random
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from copersona.export.convert.file_tokens import FileTokens
from copersona.export.convert.gguf import check_base, load_causal_lm, supported, write_gguf
from copersona.export.convert.gguf_tokenizer import BYTES
from copersona.export.convert.pre_tokenizers import named
from copersona.export.convert.unpack import SIZES, dequantise
from copersona.export.steps.steps import check_inputs
from copersona.runtime.common.errors import ExportError, ModelError
from copersona.runtime.engine.engine import Engine, quantize
from copersona.runtime.filecheck.gguf_check import check_gguf

pytestmark = pytest.mark.export

STRINGS = 5_000  # compared for each family of tokenizers
TURNS = ["<|im_start|>", "<|im_end|>"]
MARKUP = ["<tab>", "<tool_call>", "</tool_call>", "<|fim_prefix|>", "[x]"]
BLANKS = "\n" * 5
ADDED = [*MARKUP, BLANKS]
"""Tokens that are no control tokens: what people write becomes those of blanks alone."""

# Text, in all the ways in which tokenizers are known to differ

SPACES = [
    " ",
    "  ",
    "   ",
    " " * 7,
    " " * 16,
    "\n",
    "\n\n",
    "\r\n",
    "\t",
    " \n ",
    "\u00a0",
    "\u2003",
    "\u3000",
    "\u2028",
]
WORDS = """the guitar strings I'll THEY'RE it's don't 'S 'd naïve café Zoë straße œuvre Ελληνικά привет мир שלום مرحبا
हिन्दी ไทย 吉他很好听 ギター 기타 日本語 ſ's K'll ǅ ﬁ x² ½ ① ٣٤٥ 1234567890 3.14 007 e\u0301 n\u0303 A\u030a ệ
\u1112\u1161\u11ab""".split()
CODE = """def f(x): return {x:[1,2]} for(int i=0;i<n;++i) a->b != c && (d||e) <div class="a"> </p> #include r"\\w+" ==
=== // /* */ $HOME ${x} http://a.b/c?d=e&f=%20g @dec λx.x `code` ```py \\n ____ ---- ...... !!!! ~~ ::""".split()
EMOJI = [
    "😀",
    "👨‍👩‍👧‍👦",
    "🇩🇪",
    "👍🏽",
    "❤️",
    "🎸🎸",
    "☃",
    "🏴‍☠️",
    "™",
    "\u200b",
    "\u200d",
    "\ufeff",
    "\x00",
    "\x07",
    "▁",
    "Ġ",
    "\ufffd",
]
CONTROL = [
    *TURNS,
    "<s>",
    "</s>",
    "<unk>",
    "<0x41>",
    "<0x0A>",
    "<|begin_of_text|>",
    "<|endoftext|>",
    "[PAD999]",
    *ADDED,
]
RANGES = [
    (32, 127),
    (161, 0x250),
    (0x370, 0x500),
    (0x4E00, 0x4E80),
    (0x3040, 0x3100),
    (0xAC00, 0xAC80),
    (0x1F300, 0x1F650),
]


def texts(count: int, seed: int) -> list[str]:
    """Strings of words, code, signs of all scripts, control tokens as text and white space, the same for a seed."""
    rng = random.Random(seed)

    def sign() -> str:
        return chr(rng.randrange(*rng.choice(RANGES)))

    pools: list[Callable[[], str]] = [
        *(functools.partial(rng.choice, pool) for pool in (WORDS, WORDS, CODE, EMOJI, SPACES, SPACES, CONTROL)),
        lambda: "".join(sign() for _ in range(rng.randint(1, 6))),
        lambda: rng.choice(WORDS)[: rng.randint(1, 4)] * rng.randint(1, 5),
        lambda: str(rng.randrange(10 ** rng.randint(1, 9))),
    ]
    glue = ["", " ", " "]
    return ["".join(rng.choice(pools)() + rng.choice(glue) for _ in range(rng.randint(1, 12))) for _ in range(count)]


# Folders of a tokenizer and a model of random weights


def save_tokenizer(tokenizer: Any, folder: Path, **special: str) -> None:
    from transformers import PreTrainedTokenizerFast

    template = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", chat_template=template, **special
    )
    fast.save_pretrained(folder)


def byte_level(folder: Path, pre: str) -> None:
    """BPE on bytes as Qwen, Llama 3, SmolLM and GPT-2 have it, trained on `texts`."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE(ignore_merges=pre == "llama-bpe"))
    tokenizer.pre_tokenizer = named(pre).build()
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1_100, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(texts(1_500, 1), trainer)
    tokenizer.add_special_tokens(["<|begin_of_text|>", *TURNS])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in ADDED])
    begin = [("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))]
    tokenizer.post_processor = processors.TemplateProcessing("<|begin_of_text|> $A", special_tokens=begin)
    save_tokenizer(tokenizer, folder, bos_token="<|begin_of_text|>")


def sentence_pieces(folder: Path, prefix: bool = True) -> None:
    """BPE with byte fallback, laid out as transformers converts Llama 2: all pairs that make a piece are merges."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.Metaspace("▁", "always")
    trainer = trainers.BpeTrainer(vocab_size=1_000, limit_alphabet=150, show_progress=False)
    plain = [text for text in texts(1_500, 1) if not any(sign in text for sign in ("\0", *CONTROL))]
    learner.train_from_iterator(plain, trainer)
    learned = sorted(learner.get_vocab().items(), key=lambda item: item[1])
    pieces = [piece for piece, _ in learned if len(piece) > 1] + ["▁▁", "▁▁▁▁", "▁▁▁", "▁" * 8]
    listed = [
        "<unk>",
        "<s>",
        "</s>",
        *BYTES,
        *dict.fromkeys(pieces),
        *(piece for piece, _ in learned if len(piece) == 1),
    ]
    vocabulary = {piece: i for i, piece in enumerate(listed)}
    assert "▁" in vocabulary
    merges = []
    for piece in dict.fromkeys(pieces):
        pairs = [(piece[:at], piece[at:]) for at in range(1, len(piece))]
        pairs = [pair for pair in pairs if pair[0] in vocabulary and pair[1] in vocabulary]
        merges += sorted(pairs, key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
    model = models.BPE(vocabulary, merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>")
    tokenizer = Tokenizer(model)
    steps = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    tokenizer.normalizer = normalizers.Sequence(steps if prefix else steps[1:])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>", *TURNS])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in ADDED])
    save_tokenizer(tokenizer, folder, bos_token="<s>", unk_token="<unk>")


TOKENIZERS: dict[str, Callable[[Path], None]] = {
    "qwen2": lambda folder: byte_level(folder, "qwen2"),
    "llama-bpe": lambda folder: byte_level(folder, "llama-bpe"),
    "smollm": lambda folder: byte_level(folder, "smollm"),
    "gpt-2": lambda folder: byte_level(folder, "gpt-2"),
    "pieces": sentence_pieces,
    "pieces without prefix": lambda folder: sentence_pieces(folder, prefix=False),
}
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "Qwen2 untied": ("Qwen2", "qwen2", {"tie_word_embeddings": False}),
    "Qwen3 tied": ("Qwen3", "qwen2", {"tie_word_embeddings": True, "head_dim": 128}),
    "Qwen3 untied": ("Qwen3", "qwen2", {"tie_word_embeddings": False, "head_dim": 64}),
    "Llama untied": ("Llama", "llama-bpe", {"tie_word_embeddings": False, "rope_theta": 500_000.0}),
    "Llama of SmolLM": ("Llama", "smollm", {"tie_word_embeddings": True}),
    "Llama of GPT-2": ("Llama", "gpt-2", {"tie_word_embeddings": True}),
    "Llama tied": ("Llama", "pieces", {"tie_word_embeddings": True}),
    "Llama with biases": ("Llama", "pieces without prefix", {"attention_bias": True, "head_dim": 128}),
}


def make_model(folder: Path, family: str, changes: dict[str, Any]) -> None:
    import torch
    import transformers

    tokens = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    rows = max([*tokens["model"]["vocab"].values(), *(token["id"] for token in tokens["added_tokens"])]) + 5
    config = getattr(transformers, f"{family}Config")(
        vocab_size=rows, hidden_size=256, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=512, max_position_embeddings=512, initializer_range=0.05, bos_token_id=None,
        eos_token_id=None, pad_token_id=None, **changes,
    )  # fmt: skip
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}ForCausalLM")(config)
    with torch.no_grad():  # biases of zero and norms of one would hide a mistake in writing them
        for name, weight in model.named_parameters():
            if weight.ndim == 1:
                weight.copy_(torch.randn_like(weight) * 0.1 + (1.0 if "norm" in name else 0.0))
    model.save_pretrained(folder, safe_serialization=True)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a model of MODELS, with its float32 GGUF as `model.gguf` in it; made when first asked for."""
    made = tmp_path_factory.mktemp("models")

    @functools.cache
    def tokenizer(name: str) -> Path:
        folder = made / f"tokenizer {name}"
        TOKENIZERS[name](folder)
        return folder

    @functools.cache
    def base(name: str) -> Path:
        family, kind, changes = MODELS[name]
        folder = Path(shutil.copytree(tokenizer(kind), made / name))
        make_model(folder, family, changes)
        write_gguf(folder, folder / "model.gguf", "f32")
        return folder

    return base


def torch_logits(folder: Path, soft: Any, ids: list[int]) -> Any:
    import torch

    model = load_causal_lm(folder)
    with torch.no_grad():
        rows = model.get_input_embeddings()(torch.tensor([ids]))
        return model(inputs_embeds=torch.cat([torch.from_numpy(soft)[None], rows], 1)).logits[0, len(soft) :].numpy()


def some_input(seed: int) -> tuple[Any, list[int]]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.1, (20, 256)).astype(np.float32), rng.integers(300, 1_000, 180).tolist()


# What is written equals what was read


@pytest.mark.parametrize("name", MODELS)
def test_logits_after_a_soft_prompt_equal_torch(bases: Callable[[str], Path], name: str) -> None:
    folder = bases(name)
    check_base(folder)
    soft, ids = some_input(5)
    expected = torch_logits(folder, soft, ids)
    with Engine(folder / "model.gguf", n_ctx=256, threads=1, exact=True) as engine:
        found = engine.logits(soft, ids)
    worst = float(np.abs(found - expected).max())
    print(f"{name}: {worst:.1e} of {expected.std():.2f}")  # noqa: T201
    assert worst <= 1e-4
    assert (found.argmax(-1) == expected.argmax(-1)).all()
    assert expected.std() > 0.1


@pytest.mark.parametrize("name", [name for name, (_, kind, _) in MODELS.items() if "pieces" not in kind])
def test_a_gguf_is_the_same_folder_again(bases: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    folder, back = bases(name), tmp_path / "back"
    back.mkdir()
    dequantise(folder / "model.gguf", back)
    ours, theirs = FileTokens(folder / "tokenizer.json"), FileTokens(back / "tokenizer.json")
    for text in texts(STRINGS, seed=3):
        composed = unicodedata.normalize("NFC", text)  # as all text comes from the runtime
        assert ours.tokenize(composed) == theirs.tokenize(composed), repr(text)
    soft, ids = some_input(6)
    np.testing.assert_array_equal(torch_logits(back, soft, ids), torch_logits(folder, soft, ids))


def test_what_cannot_be_read_back_is_said(
    bases: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ExportError, match="by pieces"):
        dequantise(bases("Llama tied") / "model.gguf", tmp_path)
    monkeypatch.setitem(SIZES, "rope_theta", "no.such.key")
    with pytest.raises(ExportError, match=r"has no 'qwen2\.no\.such\.key'"):
        dequantise(bases("Qwen2 untied") / "model.gguf", tmp_path)


@pytest.mark.parametrize("kind", ["f16", "q8_0", "q4_k_m"])
@pytest.mark.parametrize("name", MODELS)
def test_smaller_kinds_load_and_stay_close(bases: Callable[[str], Path], tmp_path: Path, name: str, kind: Any) -> None:
    folder, path = bases(name), tmp_path / "small.gguf"
    if kind == "f16":
        write_gguf(folder, path, kind)
    else:
        quantize(folder / "model.gguf", path, kind)
    assert check_gguf(path).quantisation == kind.upper()
    soft, ids = some_input(6)
    with Engine(folder / "model.gguf", n_ctx=256, threads=1) as full, Engine(path, n_ctx=256, threads=1) as small:
        exact, found = full.score(soft, ids[:1], ids[1:]), small.score(soft, ids[:1], ids[1:])
    off = float(np.abs(found - exact).mean())
    print(f"{name} {kind}: {off:.1e}")  # noqa: T201
    assert off < {"f16": 0.01, "q8_0": 0.1, "q4_k_m": 1.0}[kind]


@pytest.mark.parametrize("name", ["Qwen2 untied", "Llama untied", "Llama tied", "Llama with biases"])
def test_tokens_equal_the_original_tokenizer(bases: Callable[[str], Path], name: str) -> None:
    folder = bases(name)
    original = FileTokens(folder / "tokenizer.json")
    lengths = 0
    with Engine(folder / "model.gguf", n_ctx=32, threads=1) as engine:
        for text in [*texts(STRINGS, 2), *SPACES, *WORDS, *CODE, *EMOJI, *CONTROL, "", "x" * 3_000 + " " * 3_000]:
            expected = original.tokenize(unicodedata.normalize("NFC", text))
            assert engine.tokenize(text) == expected, repr(text)
            lengths += len(expected)
        for turn in TURNS:
            assert engine.control(turn) == original.control(turn)
            assert engine.control(turn) not in engine.tokenize(turn)
        assert engine.is_end(engine.control("<|im_end|>"))
        for token in MARKUP:
            for text in (token, f"a{token}b", f"I said {token} twice{token}{token}", f"<{token}>", f"\n{token}\n"):
                assert original.control(token) not in engine.tokenize(text)
                assert engine.tokenize(text) == original.tokenize(text), repr(text)
                assert engine.detokenize(engine.tokenize(text)).removeprefix(" ") == text
        assert original.control(BLANKS) in engine.tokenize(f"a{BLANKS}b")
    assert lengths > 15 * STRINGS


def test_special_tokens_and_template_are_carried_over(bases: Callable[[str], Path]) -> None:
    import gguf

    for name, begin in (("Llama untied", "<|begin_of_text|>"), ("Llama tied", "<s>")):
        fields = gguf.GGUFReader(bases(name) / "model.gguf")
        tokens = fields.get_field("tokenizer.ggml.tokens").contents()
        assert tokens[fields.get_field("tokenizer.ggml.bos_token_id").contents()] == begin
        assert tokens[fields.get_field("tokenizer.ggml.eos_token_id").contents()] == "<|im_end|>"
        assert fields.get_field("tokenizer.ggml.add_bos_token").contents() == (begin != "<s>")
        assert "<|im_start|>" in str(check_gguf(bases(name) / "model.gguf").chat_template)
    assert tokens[fields.get_field("tokenizer.ggml.unknown_token_id").contents()] == "<unk>"
    assert fields.get_field("tokenizer.ggml.token_type").contents()[:4] == [2, 3, 3, 6]


def test_pieces_come_back_as_text(bases: Callable[[str], Path]) -> None:
    with Engine(bases("Llama with biases") / "model.gguf", n_ctx=32, threads=1) as engine:
        for text in texts(200, 3):
            if "▁" not in text:
                assert engine.detokenize(engine.tokenize(text)) == unicodedata.normalize("NFC", text)


# What is refused


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(path.read_text(encoding="utf-8"))
    edit(value)
    path.write_text(json.dumps(value), encoding="utf-8")


CONFIGS: dict[str, tuple[dict[str, Any], str]] = {
    "experts": ({"num_local_experts": 8}, "num_local_experts is 8, experts are not supported; use a dense model"),
    "architecture": ({"architectures": ["MambaForCausalLM"]}, "architecture MambaForCausalLM is not one of Qwen2"),
    "nothing": ({"architectures": None}, "architecture None is not one of"),
    "rope": ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope of the type 'llama3'"),
    "rope 5": ({"rope_parameters": {"rope_type": "yarn"}}, "rope of the type 'yarn'"),
    "window": ({"sliding_window": 128}, "sliding_window 128 is in use"),
    "layers": ({"layer_types": ["sliding_attention", "full_attention"]}, "only full attention"),
    "act": ({"hidden_act": "gelu"}, "hidden_act is 'gelu'"),
    "mlp": ({"mlp_bias": True}, "mlp_bias is True"),
    "packed": ({"quantization_config": {"bits": 4}}, "before they were quantised"),
    "size": ({"hidden_size": "256"}, "is missing 'hidden_size'"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_what_a_config_may_not_say(bases: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    changes, message = CONFIGS[name]
    folder = bases("Llama untied")
    config = json.loads((folder / "config.json").read_text())
    supported(config)
    with pytest.raises(ExportError) as caught:
        supported({**config, **changes})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


FILES: dict[str, tuple[str, str, Callable[[dict[str, Any]], object], str]] = {
    "unknown pattern": (
        "Llama untied", "tokenizer.json",
        lambda t: t["pre_tokenizer"]["pretokenizers"][0]["pattern"].update({"Regex": r"\w+"}),
        "its pre-tokenizer is none that llama.cpp has",
    ),
    "merges not ignored": (
        "Llama untied", "tokenizer.json", lambda t: t["model"].update(ignore_merges=False),
        "ignore_merges is False, but llama.cpp's llama-bpe has True",
    ),
    "control word": (
        "Llama untied", "tokenizer.json",
        lambda t: t["added_tokens"].append({"id": 1_104, "content": "stop", "special": True, "lstrip": False,
                                            "rstrip": False, "single_word": False, "normalized": False}),
        "control token 'stop' is one word",
    ),
    "stripping": (
        "Llama untied", "tokenizer.json",
        lambda t: next(a for a in t["added_tokens"] if a["content"] == "<tab>").update(lstrip=True),
        "'<tab>' is lstrip",
    ),
    "unigrams": ("Llama tied", "tokenizer.json", lambda t: t["model"].update(type="Unigram"), "found Unigram"),
    "dropout": ("Llama tied", "tokenizer.json", lambda t: t["model"].update(dropout=0.1), "dropout is 0.1"),
    "words": (
        "Llama tied", "tokenizer.json",
        lambda t: t.update(normalizer=None, pre_tokenizer={"type": "Metaspace", "replacement": "▁"}),
        "normalizers [] with the pre-tokenizer Metaspace are not supported",
    ),
    "other order": ("Llama tied", "tokenizer.json", lambda t: t["model"]["merges"].append(t["model"]["merges"][0]),
                    "stand at two places"),
    "merges left out": ("Llama tied", "tokenizer.json", lambda t: t["model"]["merges"].pop(), "are not merged to"),
    "bytes left out": ("Llama tied", "tokenizer.json", lambda t: t["model"]["vocab"].pop("<0x00>"), "256 bytes"),
    "control token from text": (
        "Llama tied", "tokenizer.json",
        lambda t: t["added_tokens"].append({**t["added_tokens"][0], "id": t["model"]["vocab"]["th"], "content": "th"}),
        "control token 'th' is also what text is merged to",
    ),
    "no merges": ("Llama tied", "tokenizer.json", lambda t: t["model"].pop("merges"), "is missing 'merges'"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_what_a_tokenizer_may_not_say(bases: Callable[[str], Path], tmp_path: Path, name: str) -> None:
    base, file, edit, message = FILES[name]
    folder = Path(shutil.copytree(bases(base), tmp_path / "base"))
    change(folder / file, edit)
    with pytest.raises(ExportError) as caught:
        check_base(folder)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_for_sentence_vectors_is_refused(bases: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bases("Qwen3 tied"), tmp_path / "base"))
    (folder / "1_Pooling").mkdir()
    with pytest.raises(ExportError, match="1_Pooling"):
        check_base(folder)


def test_an_export_checks_its_base_first(bases: Callable[[str], Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(bases("Llama tied"), tmp_path / "base"))
    run: Any = SimpleNamespace(settings=SimpleNamespace(base=str(folder), encoder=str(tmp_path), thin=False))
    with pytest.raises(ExportError, match="no sentence-transformers folder"):
        check_inputs(run)
    change_json(folder / "config.json", num_experts=4)
    with pytest.raises(ExportError, match="num_experts is 4"):
        check_inputs(run)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ExportError, match=r"tokenizer\.json missing"):
        check_inputs(run)


def test_files_that_would_end_llama_are_refused(bases: Callable[[str], Path], tmp_path: Path) -> None:
    data = (bases("Llama tied") / "model.gguf").read_bytes()
    path = tmp_path / "bad.gguf"
    for old, new, message in (
        (b"<0x41>", b"<0y41>", "marked as a byte"),
        (b"tokenizer.ggml.scores", b"tokenizer.ggml.scorez", r"tokenizer\.ggml\.scores is missing"),
        (b"llama.attention.key_length", b"llama.attention.key_lengtx", "not a key that is supported for llama"),
    ):
        path.write_bytes(data.replace(old, new, 1))
        with pytest.raises(ModelError, match=message):
            check_gguf(path)
    at = data.index(b"tokenizer.ggml.scores") + len(b"tokenizer.ggml.scores") + 16
    path.write_bytes(data[:at] + np.array([np.nan], np.float32).tobytes() + data[at + 4 :])
    with pytest.raises(ModelError, match="not all finite"):
        check_gguf(path)
    at = data.index(b"tokenizer.ggml.token_type") + len(b"tokenizer.ggml.token_type") + 16
    path.write_bytes(data[: at + 4 * 70] + np.array([1], np.int32).tobytes() + data[at + 4 * 71 :])
    with pytest.raises(ModelError, match="has tokens for 255 bytes"):
        check_gguf(path)
