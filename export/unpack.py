"""The language model of a bundle as a Hugging Face folder again, to train on from it where its base is not at hand.

The weights are what the device has: with LoRA merged, and as exact as the bundle's quantisation.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from copersona.export.files import replacing_folder, write_text
from copersona.export.gguf import check_base
from copersona.runtime.bundle import verify
from copersona.runtime.errors import ExportError
from copersona.runtime.gguf_check import check_gguf
from copersona.runtime.manifest import Manifest

MODEL = "model.gguf"


def unpack_model(bundle: Path, out: Path) -> Path:
    """Write the model and tokenizer of `bundle` to the folder `out`, which must not be there; float32.

    Raises:
        BundleError: the bundle is damaged.
        ExportError: `out` is there, or the model is not one that a run can train on.
    """
    if out.exists():
        raise ExportError(f"{out}: is there already; give a folder that is not")
    manifest = verify(bundle, full=True)
    check_gguf(bundle / MODEL)
    with replacing_folder(out) as part:
        _save(bundle, part)
        for path in bundle.glob("LICEN[SC]E*"):
            shutil.copyfile(path, part / path.name)
        write_text(part / "README.md", _card(manifest))
        check_base(part)
    return out


def _save(bundle: Path, folder: Path) -> None:
    """Model and tokenizer by transformers, dequantised; the end of a turn is the model's, not the tokenizer class's."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

    try:
        model = AutoModelForCausalLM.from_pretrained(str(bundle), gguf_file=MODEL, dtype=torch.float32)
        read = AutoTokenizer.from_pretrained(str(bundle), gguf_file=MODEL)
    except (OSError, ValueError, KeyError) as error:
        raise ExportError(f"{bundle / MODEL}: cannot be loaded by transformers ({error})") from error
    model.save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=read.backend_tokenizer,
        eos_token=read.convert_ids_to_tokens(model.config.eos_token_id),
        pad_token=read.pad_token,
        chat_template=read.chat_template,
    ).save_pretrained(folder)


def _card(manifest: Manifest) -> str:
    base, quantize = manifest.settings["base"], manifest.settings["export"]["quantize"]
    return f"""# The language model of the bundle {manifest.bundle_id[:12]}

Unpacked to train on from it: {base} with the LoRA of that bundle merged, as exact as {quantize}.
The terms are the bundle's.
"""
