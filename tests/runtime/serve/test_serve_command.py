"""`copersona serve` as a process: started, asked, stopped by a signal, killed, and refused in one line."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .running import add_people, until


def start(*arguments: str, home: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "COPERSONA_HOME": str(home), "COPERSONA_THREADS": "1"}
    command = [sys.executable, "-c", "from copersona.runtime.cli.main import main; main()", "serve", *arguments]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@contextmanager
def started(bundle: Path, home: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server's process, ready, and its port."""
    process = start(str(bundle), "--port", "0", home=home)
    try:
        assert process.stderr is not None
        first = process.stderr.readline()
        assert first.startswith("http://127.0.0.1:"), first
        port = int(first.split(":")[2].split("/")[0])
        assert process.stderr.readline().strip() == f"token: in {home / 'serve.token'}"  # no terminal: not in a log
        assert process.stderr.readline() == "ready\n"
        yield process, port
    finally:
        process.kill()
        process.communicate()


def get(port: int, path: str, token: str | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers={} if token is None else {"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_it_starts_answers_and_stops_cleanly(random_bundle: Path, tmp_path: Path, name: str) -> None:
    add_people(tmp_path)
    with started(random_bundle, tmp_path) as (process, port):
        token = (tmp_path / "serve.token").read_text().strip()
        assert get(port, "/health") == (200, b'{"status":"ok"}')
        assert get(port, "/v1/models")[0] == 401
        assert b"copersona:ana" in get(port, "/v1/models", token)[1]
        process.send_signal(getattr(signal, name))
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "stopped\n")


def test_after_a_kill_it_starts_again_with_the_same_token(random_bundle: Path, tmp_path: Path) -> None:
    add_people(tmp_path)
    with started(random_bundle, tmp_path) as (process, port):
        token = (tmp_path / "serve.token").read_text().strip()
        process.kill()
    with started(random_bundle, tmp_path) as (_, port):
        assert b"copersona:ana" in get(port, "/v1/models", token)[1]


def test_a_sealed_store_is_served_by_its_passphrase(random_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("sqlcipher3")
    pytest.importorskip("cryptography")
    from copersona.runtime.people.sealing import seal

    add_people(tmp_path)
    seal(tmp_path / "people.sqlite", "correct horse battery")
    assert "the people store is sealed" in refused(str(random_bundle), "--port", "0", home=tmp_path)
    reader, writer = os.pipe()
    os.write(writer, b"correct horse battery\n")
    os.close(writer)
    code = "from copersona.runtime.cli.main import main; main()"
    command = [sys.executable, "-c", code, "--passphrase-fd", str(reader), "serve", str(random_bundle), "--port", "0"]
    environment = {**os.environ, "COPERSONA_HOME": str(tmp_path), "COPERSONA_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, pass_fds=[reader])
    try:
        assert process.stderr is not None
        port = int(process.stderr.readline().split(":")[2].split("/")[0])
        assert process.stderr.readline().startswith("token: ")
        assert process.stderr.readline() == "ready\n"
        token = (tmp_path / "serve.token").read_text().strip()
        assert b"copersona:ana" in get(port, "/v1/models", token)[1]
    finally:
        process.kill()
        process.communicate()
        os.close(reader)


def refused(*arguments: str, home: Path) -> str:
    """The one line of a call that ends with 1."""
    process = start(*arguments, home=home)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert out == ""
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    return line


def test_what_cannot_be_served_is_one_line(random_bundle: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"port {port} of 127.0.0.1 is taken" in refused(str(random_bundle), "--port", port, home=tmp_path)
    assert "--listen-beyond-this-machine" in refused(str(random_bundle), "--host", "0.0.0.0", home=tmp_path)
    assert "expected a bundle" in refused(str(tmp_path / "none"), "--port", "0", home=tmp_path)
    (tmp_path / "people.sqlite").write_bytes(b"no database at all" * 99)
    assert "people.sqlite" in refused(str(random_bundle), "--port", "0", home=tmp_path)


def test_nothing_that_is_imported_without_serving_needs_the_extra() -> None:
    code = (
        "import sys; from copersona import runtime; import copersona.runtime.cli.main; "
        "print([m for m in ('starlette', 'uvicorn', 'asyncio') if m in sys.modules and m != 'asyncio'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_the_extra_the_line_says_what_to_install(random_bundle: Path, tmp_path: Path) -> None:
    code = (
        "import sys, importlib.util as u; found = u.find_spec; "
        "sys.modules.update(starlette=None, uvicorn=None); "
        "import copersona.runtime.cli.serve as s; s.find_spec = lambda name: None; "
        f"from copersona.runtime.cli.main import main; main(['serve', {str(random_bundle)!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "COPERSONA_HOME": str(tmp_path)},
    )
    assert done.returncode == 1
    assert done.stderr == "error: starlette and uvicorn are not installed; run: pip install 'copersona[serve]'\n"


def test_a_clients_socket_in_the_middle_of_a_request_does_not_hold_up_the_end(
    random_bundle: Path, tmp_path: Path
) -> None:
    with started(random_bundle, tmp_path) as (process, port), socket.create_connection(("127.0.0.1", port)) as half:
        half.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: loc")
        until(lambda: get(port, "/health")[0] == 200)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "stopped\n")
