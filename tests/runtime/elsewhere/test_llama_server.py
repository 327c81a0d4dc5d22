"""The files in an unmodified llama-server, built from the sources that llama-cpp-python brings.

Skipped where there is none; COPERSONA_LLAMA_SERVER names one that is not on the path.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from copersona.runtime.elsewhere.files import beginning, write_files
from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.known import Known
from copersona.runtime.session.session import Session, open_bundle

SERVER = os.environ.get("COPERSONA_LLAMA_SERVER") or shutil.which("llama-server")
pytestmark = pytest.mark.skipif(SERVER is None, reason="no llama-server: name one by COPERSONA_LLAMA_SERVER")
REQUEST = "Write a review.\nTitle: strings"
Ask = Any


@pytest.fixture(scope="module")
def session(random_bundle: Path) -> Iterator[Session]:
    with open_bundle(random_bundle) as opened:
        yield opened


@pytest.fixture(scope="module")
def known(session: Session) -> Known:
    return session.know(
        (Interaction("ana", "It is loud. My dog liked it."), Interaction("ana", "Too dear for what it is."))
    )


@contextmanager
def serving(model: Path, *options: str) -> Iterator[Ask]:
    """A server with this model; gives what asks it."""
    assert SERVER is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = ["-m", str(model), "--port", str(port), "--jinja", "--parallel", "1", "-c", "1024", *options]
    process = subprocess.Popen([SERVER, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(path: str, body: Any) -> Any:
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)

    try:
        for _ in range(600):
            try:
                ask("/tokenize", {"content": "a"})
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.1)
        yield ask
    finally:
        process.terminate()
        process.wait(30)


def expected(session: Session, known: Known) -> dict[int, float]:
    """The likeliest next tokens after a request, and their log-probabilities, by the runtime."""
    logits = session.engine.logits(known.soft, session.prompt(REQUEST, known).tokens, last=1)[0].astype(np.float64)
    logs = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
    return {int(token): float(logs[token]) for token in np.argsort(-logs)[:5]}


def likeliest(found: Any) -> dict[int, float]:
    return {one["id"]: one["logprob"] for one in found["completion_probabilities"][0]["top_logprobs"]}


def test_a_slot_goes_on_as_the_runtime_does(session: Session, known: Known, tmp_path: Path) -> None:
    write_files(session, known, "llama-slot", tmp_path / "ana")
    template = str(tmp_path / "ana" / "template.jinja")
    options = ("--flash-attn", "off", "--slot-save-path", str(tmp_path / "ana"), "--chat-template-file", template)
    with serving(session.bundle.path("model"), *options) as ask:
        restored = ask("/slots/0?action=restore", {"filename": "persona.slot"})
        text = ask("/apply-template", {"messages": [{"role": "user", "content": REQUEST}]})["prompt"]
        found = ask("/completion", {"prompt": text, "n_predict": 1, "n_probs": 5, "id_slot": 0, "cache_prompt": True})
    kept = len(known.soft) + len(beginning(session, known))
    assert restored["n_restored"] == kept
    assert found["timings"]["cache_n"] == kept
    assert likeliest(found) == pytest.approx(expected(session, known), abs=1e-3)


def test_rows_answer_as_the_runtime_does(session: Session, known: Known, tmp_path: Path) -> None:
    write_files(session, known, "gguf-rows", tmp_path / "ana")
    with serving(tmp_path / "ana" / "model.gguf", "--flash-attn", "off") as ask:
        text = ask("/apply-template", {"messages": [{"role": "user", "content": REQUEST}]})["prompt"]
        tokens = ask("/tokenize", {"content": text, "parse_special": True})["tokens"]
        found = likeliest(ask("/completion", {"prompt": text, "n_predict": 1, "n_probs": 5}))
    assert tokens[len(known.soft) :] == session.prompt(REQUEST, known).tokens
    wanted = expected(session, known)
    assert found.keys() == wanted.keys()
    apart = np.array([found[token] - wanted[token] for token in wanted])
    assert np.ptp(apart) < 1e-3  # the words that are new take the same share from each; of a real model's hardly any
    assert np.abs(apart).max() < 0.01
