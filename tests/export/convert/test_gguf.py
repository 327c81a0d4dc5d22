"""The GGUF exporter: what it writes equals the folder it read, and what it cannot write exactly it refuses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from copersona.export.convert.gguf import load_causal_lm, write_gguf
from copersona.export.convert.lora import base_gguf, convert_lora
from copersona.runtime.assemble.merge import merge
from copersona.runtime.common.errors import ExportError
from copersona.runtime.engine.engine import Engine
from copersona.runtime.filecheck.gguf_check import check_gguf

pytestmark = pytest.mark.export


@pytest.fixture
def base(tiny_base: Path, tmp_path: Path) -> Path:
    """A copy of `tiny_base` that a test may change."""
    return Path(shutil.copytree(tiny_base, tmp_path / "base"))


@pytest.fixture(scope="module")
def adapter(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter of `tiny_base` that changes the logits visibly."""
    import torch
    from peft import LoraConfig, get_peft_model

    folder = tmp_path_factory.mktemp("adapter")
    torch.manual_seed(1)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(load_causal_lm(tiny_base), LoraConfig(r=4, lora_alpha=8, target_modules=targets))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.05)
            if "lora_" in name:
                weight.copy_(weight.half().float())  # as the training keeps them
    model.save_pretrained(folder)
    return folder


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def logits(path: Path, soft: Any, ids: list[int]) -> Any:
    with Engine(path, n_ctx=256, threads=1, exact=True) as engine:
        return engine.logits(soft, ids)


def some_input(width: int = 64) -> tuple[Any, list[int]]:
    rng = np.random.default_rng(5)
    return rng.normal(0, 0.1, (20, width)).astype(np.float32), rng.integers(3, 1_200, 200).tolist()


def test_merged_adapter_equals_peft(tiny_base: Path, adapter: Path, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel

    with base_gguf(tiny_base, tmp_path) as source:
        merge(source, convert_lora(adapter, tiny_base, tmp_path / "lora.safetensors"), tmp_path / "merged.gguf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lora.safetensors", "merged.gguf"]
    soft, ids = some_input()
    model = PeftModel.from_pretrained(load_causal_lm(tiny_base), adapter).eval()
    with torch.no_grad():
        rows = model.get_input_embeddings()(torch.tensor([ids]))
        expected = model(inputs_embeds=torch.cat([torch.from_numpy(soft)[None], rows], 1)).logits[0, 20:].numpy()
    found = logits(tmp_path / "merged.gguf", soft, ids)
    assert np.abs(found - expected).max() <= 1e-4
    assert (found.argmax(-1) == expected.argmax(-1)).all()
    write_gguf(tiny_base, tmp_path / "base.gguf", "f32")
    assert np.abs(logits(tmp_path / "base.gguf", soft, ids) - expected).max() > 0.1


def test_merging_what_does_not_fit(tiny_base: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for base_dir, adapter_dir in ((tiny_base, tmp_path / "empty"), (tmp_path / "empty", tiny_base)):
        with pytest.raises(ExportError) as caught:
            convert_lora(adapter_dir, base_dir, tmp_path / "lora.safetensors")
        assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_types_of_tokens_and_tensors(base: Path, tmp_path: Path) -> None:
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    plain = {**tokenizer["added_tokens"][0], "id": 1_200, "content": "<tab>", "special": False}
    tokenizer["added_tokens"].append(plain)
    (base / "tokenizer.json").write_text(json.dumps(tokenizer))
    write_gguf(base, tmp_path / "f16.gguf", "f16")
    fields = gguf.GGUFReader(tmp_path / "f16.gguf")
    types = fields.get_field("tokenizer.ggml.token_type").contents()
    kind = gguf.TokenType
    assert types[:4] == [kind.CONTROL, kind.CONTROL, kind.CONTROL, kind.NORMAL]
    assert types[len(vocabulary) :] == [kind.USER_DEFINED] + [kind.UNUSED] * 7
    assert fields.get_field("tokenizer.ggml.eos_token_id").contents() == 2
    assert fields.get_field("tokenizer.ggml.padding_token_id").contents() == 0
    for tensor in fields.tensors:
        assert tensor.tensor_type.name == ("F32" if len(tensor.shape) == 1 else "F16")
    assert check_gguf(tmp_path / "f16.gguf").quantisation == "F16"
    with Engine(tmp_path / "f16.gguf", n_ctx=32, threads=1) as engine:
        ids = engine.tokenize("a <tab> b")
        assert 1_200 not in ids  # it reads like markup, which text is not
        assert engine.detokenize(ids) == "a <tab> b"


def test_half_precision_stays_close(tiny_base: Path, tiny_gguf: Path, tmp_path: Path) -> None:
    write_gguf(tiny_base, tmp_path / "f16.gguf", "f16")
    soft, ids = some_input()
    assert np.abs(logits(tmp_path / "f16.gguf", soft, ids) - logits(tiny_gguf, soft, ids)).max() < 0.05


def test_sharded_weights_give_the_same_file(base: Path, tiny_gguf: Path, tmp_path: Path) -> None:
    model = load_causal_lm(base)
    (base / "model.safetensors").unlink()
    model.save_pretrained(base, max_shard_size="100KB", safe_serialization=True)
    assert len(list(base.glob("model-*.safetensors"))) > 1
    write_gguf(base, tmp_path / "sharded.gguf", "f32")
    soft, ids = some_input()
    np.testing.assert_array_equal(logits(tmp_path / "sharded.gguf", soft, ids), logits(tiny_gguf, soft, ids))


def test_untied_output_and_another_rope(base: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(base / "model.safetensors")
    weights["lm_head.weight"] = torch.randn(weights["model.embed_tokens.weight"].shape) * 0.1
    save_file(weights, base / "model.safetensors", {"format": "pt"})
    change_json(base / "config.json", tie_word_embeddings=False, rope_theta=77_000.0)
    write_gguf(base, tmp_path / "untied.gguf", "f32")
    soft, ids = some_input()
    model = load_causal_lm(base)
    with torch.no_grad():
        rows = model.get_input_embeddings()(torch.tensor([ids]))
        expected = model(inputs_embeds=torch.cat([torch.from_numpy(soft)[None], rows], 1)).logits[0, 20:].numpy()
    assert np.abs(logits(tmp_path / "untied.gguf", soft, ids) - expected).max() <= 1e-4


def test_files_of_transformers_5_read_the_same(base: Path, tmp_path: Path) -> None:
    config = json.loads((base / "config.json").read_text())
    theta = config.pop("rope_theta", None) or config.pop("rope_parameters")["rope_theta"]
    config.pop("rope_scaling", None)
    (base / "config.json").write_text(json.dumps({**config, "rope_theta": theta}))
    write_gguf(base, tmp_path / "four.gguf", "f32")
    parameters = {"rope_theta": theta, "rope_type": "default"}
    (base / "config.json").write_text(json.dumps({**config, "rope_parameters": parameters}))
    template = (base / "chat_template.jinja").read_text()
    write_gguf(base, tmp_path / "five.gguf", "f32")
    (base / "chat_template.jinja").unlink()
    change_json(base / "tokenizer_config.json", chat_template=[{"name": "default", "template": template}])
    write_gguf(base, tmp_path / "list.gguf", "f32")
    contents = {(tmp_path / name).read_bytes() for name in ("four.gguf", "five.gguf", "list.gguf")}
    assert len(contents) == 1


def edit_tokenizer(base: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    edit(tokenizer)
    (base / "tokenizer.json").write_text(json.dumps(tokenizer))


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "architecture": (
        lambda base: change_json(base / "config.json", architectures=["GemmaForCausalLM"]),
        "architecture GemmaForCausalLM is not one of Qwen2ForCausalLM",
    ),
    "rope": (
        lambda base: change_json(base / "config.json", rope_scaling={"rope_type": "yarn", "factor": 4.0}),
        "rope of the type 'yarn'",
    ),
    "window": (lambda base: change_json(base / "config.json", use_sliding_window=True), "use_sliding_window is True"),
    "head": (lambda base: change_json(base / "config.json", head_dim=32), "head_dim is 32, expected 16"),
    "rows": (lambda base: change_json(base / "config.json", vocab_size=900), "vocab_size is 900"),
    "layers": (lambda base: change_json(base / "config.json", num_hidden_layers=3), "missing or too many: blk.2."),
    "eos": (lambda base: change_json(base / "tokenizer_config.json", eos_token="<end>"), "eos_token '<end>' is not in"),
    "pattern": (
        lambda base: edit_tokenizer(
            base, lambda t: t["pre_tokenizer"]["pretokenizers"][0]["pattern"].update({"Regex": r"\w+"})
        ),
        "its pre-tokenizer is none that llama.cpp has",
    ),
    "steps": (
        lambda base: edit_tokenizer(base, lambda t: t["pre_tokenizer"]["pretokenizers"].pop()),
        "its pre-tokenizer is none that llama.cpp has",
    ),
    "normalizer": (
        lambda base: edit_tokenizer(base, lambda t: t.update({"normalizer": {"type": "Lowercase"}})),
        "normalizer Lowercase is not supported",
    ),
    "model": (lambda base: edit_tokenizer(base, lambda t: t["model"].update({"type": "Unigram"})), "found Unigram"),
    "weights": (lambda base: (base / "model.safetensors").unlink(), "model.safetensors: is missing"),
    "cut": (lambda base: (base / "model.safetensors").write_bytes(b"1234"), "or is damaged there"),
    "size": (
        lambda base: (base / "config.json").write_text('{"architectures": ["Qwen2ForCausalLM"]}'),
        "is missing 'num_attention_heads'",
    ),
    "config": (lambda base: (base / "config.json").unlink(), "config.json: cannot be read"),
    "JSON": (lambda base: (base / "tokenizer.json").write_text("{"), "tokenizer.json: cannot be read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_exact_is_refused(base: Path, tmp_path: Path, name: str) -> None:
    spoil, message = REFUSED[name]
    spoil(base)
    with pytest.raises(ExportError) as caught:
        write_gguf(base, tmp_path / "model.gguf", "f32")
    assert message in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_an_unknown_kind_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="expected f32 or f16"):
        write_gguf(tiny_base, tmp_path / "model.gguf", "q8_0")  # type: ignore[arg-type]
