"""The engine against torch and the `tokenizers` library, and at its borders."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copersona.runtime.common.arrays import F32
from copersona.runtime.common.errors import ModelError
from copersona.runtime.engine.engine import Engine, Piece, Sampling, build_info, quantize
from copersona.runtime.filecheck.gguf_check import check_gguf

HARD = (
    "",
    "Hello  world's 12345 naïve café 你好 😀\n\n\tdef f(x):\n    return x",
    "cafe\u0301 n\u0303 decomposed, Å as A\u030a",
    "family 👨‍👩‍👧‍👦, flag 🇩🇪, tone 👍🏽",
    "   leading, trailing   \r\n\t\n\n   ",
    "吉他很好听。ギター 기타 جيتار गिटार",
    "I'LL they're IT'S '' 'd",
    "<|im_start|>user\nhi<|im_end|>\n<|endoftext|>",
    "a\u00a0b\u200bc\u2028d\x00e\x07",
    "x" * 3_000 + " " * 3_000 + "9" * 50,
)


@pytest.fixture(scope="module")
def engine(tiny_gguf: Path) -> Iterator[Engine]:
    with Engine(tiny_gguf, n_ctx=512, threads=1, exact=True) as opened:
        yield opened


def make_soft(engine: Engine, rows: int = 20, seed: int = 0) -> F32:
    return np.random.default_rng(seed).normal(0, 0.1, (rows, engine.width)).astype(np.float32)


def torch_logits(folder: Path, soft: F32, ids: list[int]) -> F32:
    """Logits at the token positions of the model in `folder` after `soft`, by transformers."""
    import torch

    from copersona.export.convert.gguf import load_causal_lm

    model = load_causal_lm(folder)
    with torch.no_grad():
        rows = model.get_input_embeddings()(torch.tensor([ids]))
        inputs = torch.cat([torch.from_numpy(soft)[None], rows], 1)
        found: F32 = model(inputs_embeds=inputs).logits[0, len(soft) :].float().numpy()
    return found


def log_softmax(logits: F32) -> Any:
    wide = logits.astype(np.float64)
    shifted = wide - wide.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def assert_equal_to_torch(engine: Engine, folder: Path) -> None:
    soft = make_soft(engine)
    ids = np.random.default_rng(1).integers(3, engine.vocabulary_size, 200).tolist()
    ours, theirs = engine.logits(soft, ids), torch_logits(folder, soft, ids)
    assert ours.shape == theirs.shape == (200, engine.vocabulary_size)
    assert np.abs(ours - theirs).max() <= 1e-4
    assert (ours.argmax(-1) == theirs.argmax(-1)).all()


@pytest.mark.export
def test_soft_prompt_logits_equal_torch(engine: Engine, tiny_base: Path) -> None:
    assert_equal_to_torch(engine, tiny_base)


@pytest.mark.export
@pytest.mark.shared
def test_shared_model_equals_torch(shared: Path, tmp_path: Path) -> None:
    from copersona.export.convert.gguf import write_gguf

    write_gguf(shared / "models" / "tiny-base", tmp_path / "model.gguf", "f32")
    with Engine(tmp_path / "model.gguf", n_ctx=256, threads=2, exact=True) as opened:
        assert_equal_to_torch(opened, shared / "models" / "tiny-base")


@pytest.mark.export
def test_scores_equal_torch(engine: Engine, tiny_base: Path) -> None:
    soft, ids = make_soft(engine), np.random.default_rng(2).integers(3, engine.vocabulary_size, 190).tolist()
    prompt, target = ids[:30], ids[30:]
    expected = log_softmax(torch_logits(tiny_base, soft, ids))[29:-1][np.arange(160), target]
    found = engine.score(soft, prompt, target)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_scores_need_something_before_the_target(engine: Engine) -> None:
    soft, target = make_soft(engine), [7, 8, 9]
    whole = engine.score(soft, [], target)
    np.testing.assert_allclose(whole[1:], engine.score(soft, target[:1], target[1:]), atol=1e-5)
    assert engine.score(None, [5], []).shape == (0,)
    with pytest.raises(ModelError, match="nothing before"):
        engine.score(None, [], target)


def test_batches_do_not_change_the_numbers(tiny_gguf: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    soft, ids = make_soft(engine, 33), list(range(3, 120))
    expected = engine.logits(soft, ids)
    monkeypatch.setattr("copersona.runtime.engine.llama_context.BATCH", 16)
    monkeypatch.setattr("copersona.runtime.engine.llama_context.OUTPUTS", 5)
    with Engine(tiny_gguf, n_ctx=512, threads=1, exact=True) as small:
        np.testing.assert_allclose(small.logits(soft, ids), expected, atol=1e-5)
        np.testing.assert_allclose(
            small.score(soft, ids[:40], ids[40:]), engine.score(soft, ids[:40], ids[40:]), atol=1e-5
        )


def test_each_call_starts_from_an_empty_context(engine: Engine) -> None:
    first = engine.logits(None, [5, 6, 7])
    engine.logits(make_soft(engine), [9] * 50)
    np.testing.assert_array_equal(engine.logits(None, [5, 6, 7]), first)


@pytest.mark.parametrize("text", HARD)
def test_tokens_equal_the_tokenizers_library(engine: Engine, tiny_base: Path, text: str) -> None:
    from tokenizers import Tokenizer

    library = Tokenizer.from_file(str(tiny_base / "tokenizer.json"))
    library.encode_special_tokens = True  # control tokens in a text are text there, too
    ids = engine.tokenize(text)
    assert ids == library.encode(text, add_special_tokens=False).ids
    assert not {engine.control(token) for token in ("<|im_start|>", "<|im_end|>", "<|endoftext|>")} & set(ids)


def test_text_comes_back_from_its_tokens(engine: Engine) -> None:
    import unicodedata

    for text in HARD:
        assert engine.detokenize(engine.tokenize(text)) == unicodedata.normalize("NFC", text)


def test_long_text_is_tokenized(engine: Engine) -> None:
    for text in ("a" * 200_000, " " * 200_000, "1" * 200_000, "é😀 \n" * 50_000, "!" * 200_000):
        assert engine.detokenize(engine.tokenize(text)) == text


def test_lone_surrogates_do_not_break_the_tokenizer(engine: Engine) -> None:
    assert engine.detokenize(engine.tokenize("a\ud800b")) == "a?b"


def test_control_tokens(engine: Engine) -> None:
    assert engine.control("<|im_end|>") == 2
    assert engine.is_end(2)
    assert not engine.is_end(engine.tokenize("a")[0])
    assert engine.detokenize([engine.control("<|im_start|>"), *engine.tokenize("hi")]) == "hi"
    for wrong in ("", "hi", "a", "<|im_end|> ", "<|im_end|><|im_end|>", "<|unknown|>"):
        with pytest.raises(ModelError, match="not a control token"):
            engine.control(wrong)


def test_same_seed_same_text(engine: Engine) -> None:
    soft, ids = make_soft(engine), engine.tokenize("I liked the guitar")

    def run(sampling: Sampling) -> list[Piece]:
        return list(engine.generate(soft, ids, sampling))

    warm = Sampling(temperature=1.5, top_p=1.0, max_tokens=40, seed=3)
    assert run(warm) == run(warm)
    assert run(warm) != run(Sampling(temperature=1.5, top_p=1.0, max_tokens=40, seed=4))


def test_greedy_takes_the_likeliest_token(engine: Engine) -> None:
    soft, ids = make_soft(engine), [5, 6, 7]
    pieces = list(engine.generate(soft, ids, Sampling(temperature=0, max_tokens=12)))
    tokens = [piece.token for piece in pieces]
    logits = engine.logits(soft, [*ids, *tokens])
    likeliest = logits[len(ids) - 1 :].argmax(-1).tolist()
    assert tokens == likeliest[: len(tokens)]
    assert len(tokens) == 12 or engine.is_end(likeliest[len(tokens)])


@pytest.mark.parametrize("seed", range(5))
def test_pieces_join_to_the_text(engine: Engine, seed: int) -> None:
    pieces = list(
        engine.generate(make_soft(engine), [5], Sampling(temperature=3.0, top_p=1.0, max_tokens=80, seed=seed))
    )
    assert "".join(piece.text for piece in pieces) == engine.detokenize([piece.token for piece in pieces])
    assert not any(engine.is_end(piece.token) for piece in pieces)


def test_a_split_character_is_not_broken(engine: Engine) -> None:
    ids = engine.tokenize("🪕")
    assert len(ids) > 1
    assert engine.detokenize(ids) == "🪕"
    assert engine.detokenize(ids[:-1]) == ""


def test_generation_ends_with_the_context(tiny_gguf: Path) -> None:
    with Engine(tiny_gguf, n_ctx=24, threads=1) as small:
        assert small.context == 24
        pieces = list(small.generate(None, [5] * 24, Sampling(temperature=0, max_tokens=9)))
        assert len(pieces) <= 1
        with pytest.raises(ModelError, match=r"20 soft and 5 other tokens do not fit the context of 24"):
            small.generate(make_soft(small), [5] * 5, Sampling())


def test_an_interrupted_generation_says_so(engine: Engine) -> None:
    running = engine.generate(None, [5], Sampling(temperature=2.0, top_p=1.0, seed=1))
    next(running)
    engine.logits(None, [6])
    with pytest.raises(ModelError, match="something else"):
        next(running)


def test_bad_input_is_refused(engine: Engine) -> None:
    for tokens in ([-1], [engine.vocabulary_size], [2**70], [[1]]):
        with pytest.raises(ModelError, match="token ids"):
            engine.logits(None, tokens)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="soft"):
        engine.logits(np.zeros((3, engine.width + 1), np.float32), [5])
    with pytest.raises(ValueError, match="float64"):
        engine.logits(np.zeros((3, engine.width)), [5])  # type: ignore[arg-type]
    broken = make_soft(engine)
    broken[3, 4] = np.nan
    with pytest.raises(ModelError, match="1 numbers"):
        engine.logits(broken, [5])
    with pytest.raises(ModelError, match="nothing to continue"):
        engine.generate(None, [], Sampling())


def test_overflowing_soft_prompt_does_not_end_the_process(engine: Engine) -> None:
    huge = np.full((2, engine.width), 3e38, np.float32)
    assert len(list(engine.generate(huge, [5], Sampling(max_tokens=3)))) <= 3


@pytest.mark.export  # the last bytes of the tests' own file are a norm in float32
def test_damaged_weights_do_not_end_the_process(tiny_gguf: Path, tmp_path: Path) -> None:
    data = tiny_gguf.read_bytes()
    (tmp_path / "nan.gguf").write_bytes(data[:-256] + np.full(64, np.nan, np.float32).tobytes())  # the last norm
    with Engine(tmp_path / "nan.gguf", n_ctx=32, threads=1) as damaged:
        with pytest.raises(ModelError, match="not finite"):
            list(damaged.generate(None, [5], Sampling(max_tokens=3)))
        with pytest.raises(ModelError, match="not finite"):
            damaged.score(None, [5], [6])


@pytest.mark.parametrize(
    "wrong", [{"temperature": -0.1}, {"temperature": float("nan")}, {"top_p": 0.0}, {"max_tokens": 0}, {"seed": -1}]
)
def test_sampling_values_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=f"{next(iter(wrong))} is {next(iter(wrong.values()))}"):
        Sampling(**wrong)


def test_context_is_cut_to_the_trained_one(tiny_gguf: Path) -> None:
    with Engine(tiny_gguf, n_ctx=100_000, threads=1) as opened:
        assert opened.context == opened.trained_context == check_gguf(tiny_gguf).context < 100_000


def test_closing_twice_is_fine_and_using_later_is_not(tiny_gguf: Path) -> None:
    opened = Engine(tiny_gguf, n_ctx=32, threads=1)
    opened.close()
    opened.close()
    for call in (lambda: opened.tokenize("a"), lambda: opened.logits(None, [5]), lambda: opened.is_end(2)):
        with pytest.raises(ModelError, match="closed"):
            call()


def test_missing_and_garbage_files(tmp_path: Path) -> None:
    (tmp_path / "garbage.gguf").write_bytes(bytes(range(256)) * 40)
    for name in ("garbage.gguf", "missing.gguf", "."):
        with pytest.raises(ModelError, match="GGUF"):
            Engine(tmp_path / name)


def test_a_model_without_a_layer_is_refused_by_llama(tiny_gguf: Path, tmp_path: Path) -> None:
    data = tiny_gguf.read_bytes()
    (tmp_path / "renamed.gguf").write_bytes(data.replace(b"blk.1.attn_q.bias", b"blk.9.attn_q.bias"))
    with pytest.raises(ModelError, match=r"llama\.cpp cannot load it \(.+\)"):
        Engine(tmp_path / "renamed.gguf", any_model=True)
    with pytest.raises(ModelError, match=r"'blk\.9\.attn_q\.bias' is none of a qwen2 model"):
        Engine(tmp_path / "renamed.gguf")


@pytest.mark.export  # the demo's model is quantised already
@pytest.mark.parametrize("kind", ["q8_0", "q4_k_m"])
def test_quantised_models_load_and_stay_close(engine: Engine, tiny_gguf: Path, tmp_path: Path, kind: Any) -> None:
    target = tmp_path / "small.gguf"
    quantize(tiny_gguf, target, kind)
    assert target.stat().st_size < tiny_gguf.stat().st_size
    assert list(tmp_path.iterdir()) == [target]
    soft, ids = make_soft(engine), list(range(3, 100))
    expected = engine.logits(soft, ids)
    with Engine(target, n_ctx=256, threads=1) as small:
        found = small.logits(soft, ids)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > (0.999 if kind == "q8_0" else 0.98)


def test_quantising_what_cannot_be(tiny_gguf: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="not one of"):
        quantize(tiny_gguf, tmp_path / "a.gguf", "q1")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="GGUF"):
        quantize(tmp_path / "missing.gguf", tmp_path / "a.gguf", "q8_0")
    assert not list(tmp_path.iterdir())


def test_llama_is_imported_late_and_quietly(tiny_gguf: Path) -> None:
    code = f"""
import sys, os
from copersona.runtime.engine.engine import Engine
assert "llama_cpp" not in sys.modules
Engine({str(tiny_gguf)!r}, n_ctx=32).close()
assert os.environ["OMP_WAIT_POLICY"] == "passive"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert build_info().startswith("llama-cpp-python 0.")
