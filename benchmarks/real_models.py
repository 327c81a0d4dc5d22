"""What a GGUF that people have becomes as a base: its tokens, its logits, what they cost.

    python benchmarks/real_models.py FILE.gguf [FILE.gguf ...] [--json OUT]

* tokens: the rebuilt tokenizer against llama.cpp on 5,000 strings of the tests (code, emoji, all scripts, digits, white
  space, control tokens as text), after the runtime's normalisation
* logits: float32, torch against llama.cpp, 200 positions of English and of random ids behind a
  random soft prompt, a random LoRA merged
* seconds and megabytes of dequantising (once, into the cache) and of merging and quantising
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
import time
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np

from copersona.export.convert.file_tokens import FileTokens
from copersona.export.convert.gguf import load_causal_lm
from copersona.export.convert.gguf_base import BASE, base_folder
from copersona.export.convert.lora import convert_lora
from copersona.export.measure.parity import torch_logits
from copersona.export.steps.pipeline import PeakMemory
from copersona.runtime.assemble.merge import make_model, merge
from copersona.runtime.engine.engine import Engine

STRINGS, POSITIONS, SOFT = 5_000, 200, 20
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PROSE = Path(__file__).parent.parent / "docs" / "architecture.md"
TEXTS = Path(__file__).parent.parent / "tests" / "export" / "convert" / "test_models.py"


def strings() -> list[str]:
    """The strings that the tests compare tokenizers on."""
    spec = importlib.util.spec_from_file_location("strings_of_the_tests", TEXTS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: list[str] = module.texts(STRINGS, seed=11)
    return found


def tokens(gguf: Path, folder: Path) -> dict[str, float]:
    """Share of strings with equal tokens, and how many strings."""
    ours, rows = FileTokens(folder / "tokenizer.json"), strings()
    with Engine(gguf, n_ctx=64) as engine:
        same = [engine.tokenize(t) == ours.tokenize(unicodedata.normalize("NFC", t)) for t in rows]
    return {"strings": len(rows), "tokens equal": float(np.mean(same))}


def adapted(folder: Path, adapter: Path) -> Any:
    """The base with a random LoRA, in values that float16 can hold; the LoRA is saved to `adapter`."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    model = get_peft_model(load_causal_lm(folder), LoraConfig(r=16, lora_alpha=32, target_modules=TARGETS))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.01)
            if "lora_" in name:
                weight.copy_(weight.half().float())
    model.save_pretrained(str(adapter))
    return model.eval()


def logits(folder: Path, work: Path) -> dict[str, float]:
    """How far torch and llama.cpp are apart in float32, and what merging and quantising cost."""
    import torch

    model = adapted(folder, work / "adapter")
    lora = convert_lora(work / "adapter", folder, work / "lora.safetensors")
    rng = np.random.default_rng(5)
    soft = rng.normal(0, 0.05, (SOFT, model.config.hidden_size)).astype(np.float32)
    tokens_of = FileTokens(folder / "tokenizer.json").tokenize
    inputs = {
        "English": tokens_of(PROSE.read_text(encoding="utf-8"))[:POSITIONS],
        "random ids": rng.integers(300, 20_000, POSITIONS).tolist(),
    }
    theirs = {name: torch_logits(model, soft, ids, torch) for name, ids in inputs.items()}
    del model
    merge(folder / BASE, lora, work / "full.gguf")
    with Engine(work / "full.gguf", n_ctx=512, exact=True) as engine:
        ours = {name: engine.logits(soft, ids) for name, ids in inputs.items()}
    (work / "full.gguf").unlink()
    with PeakMemory() as peak:
        begun = time.monotonic()
        make_model(folder / BASE, lora, work / "model.gguf", "q8_0")
        seconds = time.monotonic() - begun
    found = {}
    for name in inputs:
        found[f"{name}: max abs logit difference"] = float(np.abs(ours[name] - theirs[name]).max())
        found[f"{name}: spread of the logits"] = float(theirs[name].std())
        found[f"{name}: argmax agreement"] = float((ours[name].argmax(1) == theirs[name].argmax(1)).mean())
    return found | {
        "merging and quantising, s": seconds,
        "peak of this process meanwhile, MB": peak.megabytes,
        "model, MB": (work / "model.gguf").stat().st_size / 1e6,
    }


def measured(gguf: Path) -> dict[str, float]:
    """All figures of one file."""
    begun = time.monotonic()
    with PeakMemory() as peak:
        folder = base_folder(str(gguf))
    row = {
        "as a folder, s (less where the cache has it)": time.monotonic() - begun,
        "peak meanwhile, MB": peak.megabytes,
        **tokens(gguf, folder),
    }
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        return row | logits(folder, Path(work))


def main() -> None:
    """Read the command line, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = {path.name: measured(path) for path in given.files}
    for name, row in found.items():
        print(name)
        for key, value in row.items():
            print(f"  {key:<45}{value:>14.6g}")
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
