"""The first load of a bundle: whatever a part does there, it is one line here; and a receipt spares the second one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner
from gguf import GGUFReader

from copersona import runtime
from copersona.runtime.assemble.training_free import training_free
from copersona.runtime.bundle.verify import open_manifest, write_manifest
from copersona.runtime.cli.main import main
from copersona.runtime.common.errors import BundleError, ModelError
from copersona.runtime.session import first_load, load_receipt
from copersona.runtime.session.load_receipt import LoadReceipt
from copersona.runtime.session.session import open_bundle

from ...conftest import DEMO
from ...random_models import ARCHITECTURES, qwen2
from ...small_bundle import ROLES, small_bundle

LIBRARIES = ("llama-cpp-python", "onnxruntime", "tokenizers")
PLACE = load_receipt.folder  # before the tests' own takes its place
Broken = Callable[[str], None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    return small_bundle(folder / "bundle", qwen2(folder / "model.gguf"), DEMO / "facets.json")


@pytest.fixture
def bundle(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "bundle"))


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of the test's own, on which nothing was loaded before."""
    monkeypatch.setenv("COPERSONA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(load_receipt, "folder", PLACE)


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Broken:
    """Have first loads run after code that breaks a part, there alone."""

    def broken(code: str) -> None:
        (tmp_path / "code").mkdir(exist_ok=True)
        after = "from copersona.runtime.common.stages import tell_stages\ntell_stages(trial._stages)\n"
        (tmp_path / "code" / "broken_trial.py").write_text(f"{BEFORE}{code}\n{after}")
        monkeypatch.syspath_prepend(tmp_path / "code")
        monkeypatch.setattr(first_load, "TRIAL", "broken_trial")

    return broken


BEFORE = """
import os, time
import numpy as np
from copersona.runtime.engine.engine import Engine
from copersona.runtime.engine.llama_context import LlamaContext
from copersona.runtime.engine.sequences import Sequences
from copersona.runtime.profile import encoder
from copersona.runtime.session import session, trial
def crash(*_, **__): os.kill(os.getpid(), 11)
def eat(*_, **__): return bytearray(1 << 36)
def wait(*_, **__):
    while True: pass
def panic(*_, **__): raise type("PanicException", (BaseException,), {})("it panicked")
"""


def refused(bundle: Path) -> str:
    """The one line that an opening ends with."""
    with pytest.raises(BundleError) as caught:
        open_bundle(bundle)
    line = str(caught.value)
    assert line.startswith(str(bundle))
    assert "\n" not in line
    return line


def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first loads from now on, all of which go well."""
    seen: list[str] = []
    monkeypatch.setattr(
        "copersona.runtime.common.stages.run_stages", lambda module, body, where, *_, **__: seen.append(where)
    )
    return seen


FAULTS = {
    "a crash in the tokenizer": ("trial.read_tokenizer = crash", "encoder's tokenizer: ends the process by SIGSEGV"),
    "a crash in the encoder": ("encoder.Encoder.encode = crash", "encoder: ends the process by SIGSEGV"),
    "a crash in an answer": ("Sequences.begin = crash", "answer: ends the process by SIGSEGV"),
    "memory for the personalizer": (
        "session.Session.personalizer = property(eat)", "personalizer: fails (MemoryError), loaded apart within"
    ),
    "a panic in Rust": ("trial.read_tokenizer = panic", "encoder's tokenizer: fails (PanicException: it panicked)"),
    "a vector that is not finite": (
        "encoder.Encoder._run = lambda self, text: np.full(self.width, np.nan, np.float32)", "none of 8 finite numbers"
    ),
    "logits that are not finite": (
        "LlamaContext.logits = lambda self, row: np.full(self.vocabulary_size, np.nan, 'f4')", "answer: the logits"
    ),
    "an end that says nothing": ("Engine.__init__ = lambda *_, **__: os._exit(0)", "model: fails"),
    "words that are no protocol": (
        "Engine.__init__ = lambda *_, **__: (os.write(1, b'\\xff\\nwhole\\n'), os.write(2, b'x'), os._exit(3))",
        "model: fails",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_a_part_that_fails_is_one_line_that_names_it(case: str, bundle: Path, broken: Broken) -> None:
    code, said = FAULTS[case]
    broken(code)
    assert said in refused(bundle)
    assert not PLACE().exists()  # no receipt


def test_a_part_that_does_not_end_is_stopped_and_named(
    bundle: Path, broken: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken("session.Session.know = wait")
    monkeypatch.setattr("copersona.runtime.common.stages.SECONDS", 2.0)
    assert "prompt: does not end, loaded apart within 2 s" in refused(bundle)


def test_a_bundle_that_needs_more_than_is_free_is_not_loaded(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("copersona.runtime.common.stages.free_memory", lambda: 1 << 20)
    assert "more than 0.8 of the 1 MB that are free" in refused(bundle)
    monkeypatch.setattr("copersona.runtime.common.stages.free_memory", lambda: None)  # a system that does not say
    open_bundle(bundle).close()


def ways(bundle: Path, tmp_path: Path) -> Iterator[list[str]]:
    history, requests = tmp_path / "history.jsonl", tmp_path / "requests.jsonl"
    history.write_text('{"person": "ana", "output": "I like it."}\n')
    requests.write_text('{"id": "1", "input": "Write a review."}\n')
    yield ["ask", str(bundle), "Write a review."]
    yield ["generate", str(bundle), str(requests), str(tmp_path / "answers.jsonl")]
    yield ["demo", "--bundle", str(bundle), "--once"]
    yield ["serve", str(bundle), "--port", "0"]
    yield ["people", "import", str(bundle), str(history)]
    yield ["bundle", "verify", str(bundle)]


def test_promise_first_load_is_apart(bundle: Path, broken: Broken, tmp_path: Path) -> None:
    """Whichever way a bundle comes in, the process that a part of it ends is another one."""
    broken("Engine.__init__ = crash")
    assert "model: ends the process by SIGSEGV" in refused(bundle)
    for command in ways(bundle, tmp_path):
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 1, command
        *before, line = done.stderr.strip().splitlines()
        assert "model: ends the process by SIGSEGV" in line, command
        assert len(before) == (2 if command[0] == "serve" else 0)  # its address and token are said at once
        assert done.stdout == ""
    doctor = CliRunner().invoke(main, ["doctor", str(bundle)])
    assert "model: ends the process by SIGSEGV" in doctor.output


# -- the receipt ------------------------------------------------------------------------------------------------------


def test_the_second_opening_loads_nothing_apart(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = loads(monkeypatch)
    for _ in range(3):
        open_bundle(bundle).close()
    assert seen == [str(bundle)]
    (receipt,) = PLACE().iterdir()
    assert receipt.stat().st_mode & 0o777 == 0o600
    assert PLACE().stat().st_mode & 0o777 == 0o700
    open_bundle(bundle, full=True).close()  # and who asks for a full check has it loaded again
    assert len(seen) == 2


def test_a_copy_of_the_bundle_is_known_by_what_it_holds(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = loads(monkeypatch)
    open_bundle(bundle).close()
    open_bundle(shutil.copytree(bundle, bundle.parent / "copy")).close()
    assert len(seen) == 1


def other_version(patch: pytest.MonkeyPatch, bundle: Path) -> None:
    patch.setattr(load_receipt, "_versions", lambda: ["tokenizers-0.0.1.dist-info"])


def other_build(patch: pytest.MonkeyPatch, bundle: Path) -> None:
    patch.setattr(load_receipt, "_build", lambda: [("libllama.so", 1, 2)])


def other_trial(patch: pytest.MonkeyPatch, bundle: Path) -> None:
    patch.setattr(load_receipt, "VERSION", load_receipt.VERSION + 1)


def other_file(patch: pytest.MonkeyPatch, bundle: Path) -> None:
    manifest = open_manifest(bundle)
    (bundle / "README.md").write_text("# Another one\n")
    write_manifest(bundle, ROLES, manifest.shapes, manifest.settings)


def other_setting(patch: pytest.MonkeyPatch, bundle: Path) -> None:
    manifest = open_manifest(bundle)
    write_manifest(bundle, ROLES, manifest.shapes, {**manifest.settings, "context_length": 511})


def receipt_of(bundle: Path) -> Path:
    return LoadReceipt(open_manifest(bundle)).path


def damaged(patch: pytest.MonkeyPatch, bundle: Path) -> None:
    receipt_of(bundle).write_bytes(receipt_of(bundle).read_bytes().replace(b"tokenizers", b"tokenizerz"))


def others_may_write(patch: pytest.MonkeyPatch, bundle: Path) -> None:
    receipt_of(bundle).chmod(0o622)


def a_link(patch: pytest.MonkeyPatch, bundle: Path) -> None:
    path = receipt_of(bundle)
    path.symlink_to(path.rename(path.with_name("elsewhere")))


def a_folder(patch: pytest.MonkeyPatch, bundle: Path) -> None:
    receipt_of(bundle).unlink()
    receipt_of(bundle).mkdir()


def a_pipe(patch: pytest.MonkeyPatch, bundle: Path) -> None:
    receipt_of(bundle).unlink()
    os.mkfifo(receipt_of(bundle), 0o600)


CHANGES = (other_version, other_build, other_trial, other_file, other_setting, damaged, others_may_write, a_link,
           a_folder, a_pipe)  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_no_receipt_of_just_this_loads_again(
    change: Callable[[pytest.MonkeyPatch, Path], None], bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = loads(monkeypatch)
    for _ in range(2):
        open_bundle(bundle).close()
    assert len(seen) == 1
    change(monkeypatch, bundle)
    open_bundle(bundle).close()
    assert len(seen) == 2


def test_a_receipt_that_cannot_be_written_is_no_error(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = loads(monkeypatch)
    PLACE().parent.mkdir()
    PLACE().write_text("a file where the folder would be")
    for _ in range(2):
        open_bundle(bundle).close()
    assert len(seen) == 2


def test_the_libraries_are_known_as_they_are_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {f"{name.replace('-', '_')}-{version(name)}.dist-info" for name in LIBRARIES}
    assert versions <= set(load_receipt._versions())
    files = {name for name, _, _ in load_receipt._build()}
    assert {name.split("/")[0] for name in files} == {"llama_cpp", "onnxruntime", "tokenizers"}
    assert any("libllama" in name for name in files)
    (tmp_path / "libllama.so").write_bytes(b"built by hand")
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(tmp_path))
    assert [row[:2] for row in load_receipt._build() if "llama" in row[0]] == [("llama_cpp/libllama.so", 13)]


def test_a_program_may_trust_what_it_made(bundle: Path, broken: Broken) -> None:
    broken("Engine.__init__ = crash")
    with runtime.open_bundle(bundle, trusted=True, threads=1) as session:
        assert session.answer("Write.", None, runtime.Sampling(max_tokens=2)).finish().receipt.pieces
    assert not PLACE().exists()


# -- models of which no table is known --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training-free bundle."""
    folder = tmp_path_factory.mktemp("free")
    training_free(qwen2(folder / "a.gguf"), whole, folder / "bundle", context=512, changes={"request_tokens": 64})
    return folder / "bundle"


@pytest.fixture
def free(good: Path, tmp_path: Path) -> Callable[[Path], Path]:
    """A training-free bundle with another model in it than the one that it was made with, hashes made right."""

    def made(model: Path) -> Path:
        out = Path(shutil.copytree(good, tmp_path / "free"))
        manifest = open_manifest(out)
        (out / "model.gguf").unlink()
        shutil.copyfile(model, out / "model.gguf")
        write_manifest(out, {row.path: row.role for row in manifest.files}, manifest.shapes, manifest.settings)
        return out

    return made


ABORTS = {
    "half a rotation": ({"qwen2.rope.dimension_count": 15}, "GGML_ASSERT"),
    "a norm that is none": ({"qwen2.attention.layer_norm_rms_epsilon": -1.0}, "GGML_ASSERT"),
    "experts that are not there": ({"qwen2.expert_used_count": 4}, "GGML_ASSERT"),
    "rotations without end": ({"qwen2.rope.freq_base": 0.0}, "not finite"),
}


@pytest.mark.parametrize("case", ABORTS)
def test_what_llama_cpp_makes_of_other_models_is_found_out_elsewhere(
    case: str, whole: Path, free: Callable[[Path], Path], tmp_path: Path
) -> None:
    """Each of these ends the process, or makes numbers that are none, by a value that no check of the form knows."""
    keys, said = ABORTS[case]
    model = qwen2(tmp_path / "other.gguf", **keys)
    assert said in refused(free(model))
    with pytest.raises(ModelError, match=said) as caught:
        training_free(model, whole, tmp_path / "new")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_weights_that_are_not_finite_are_found_out_elsewhere(free: Callable[[Path], Path], tmp_path: Path) -> None:
    model = qwen2(tmp_path / "other.gguf")
    reader = GGUFReader(model, "r+")
    next(tensor for tensor in reader.tensors if tensor.name == "output_norm.weight").data[:] = float("nan")
    reader.data.flush()
    assert "finite" in refused(free(model))


@pytest.mark.parametrize("name", ["mamba", "lfm2"])
def test_a_model_of_no_known_table_is_told_and_tried(name: str, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "free"
    training_free(ARCHITECTURES[name](tmp_path / "model.gguf"), whole, out, context=512, changes={"request_tokens": 64})

    def shown() -> str:
        return CliRunner().invoke(main, ["bundle", "show", str(out)]).stdout

    assert f"the tensors and settings of the model ({name}), of which the form alone is checked" in shown()
    assert "first load by these libraries on this machine: was not done" in shown()
    open_bundle(out).close()
    assert "first load by these libraries on this machine: went well" in shown()


def test_a_model_that_fails_on_this_machine_ends_no_assembling(whole: Path, tmp_path: Path) -> None:
    """`bundle from` as a command, where an abort would leave no line at all."""
    model, out = qwen2(tmp_path / "model.gguf", **{"qwen2.rope.dimension_count": 15}), tmp_path / "new"
    done = CliRunner().invoke(main, ["bundle", "from", str(model), "--like", str(whole), "--out", str(out)])
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"error: {model}: model: ends the process by SIGABRT")
