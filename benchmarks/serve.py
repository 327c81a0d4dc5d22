"""What the server costs and gives: first token against the library, several at once against one by one and against
llama-cpp-python's own server on the same file, and two minutes of more clients than it has room for.

    python benchmarks/serve.py BUNDLE PERSON [--clients 8] [--seconds 120]

PERSON is one of the people store. Every server is a process of its own; ratios are taken in turns, so that what else
the machine does meets both sides alike. The other server needs `pip install "llama-cpp-python[server]"`, copersona does
not; without these packages that ratio is null. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from copersona import runtime
from copersona.runtime.engine.llama import default_threads
from copersona.runtime.serve.key import read_token, token_path

SUBJECTS = (
    "good strings", "a loud drum", "the strap broke", "my son's first guitar", "cheap but fine", "a tuner that drifts",
    "picks for years", "not what was shown",
)  # fmt: skip
TOKENS = 48
LEAVE = 5  # in the storm, one request in so many is left after its first text


@dataclass(frozen=True)
class Server:
    """A server's process, asked as OpenAI's is."""

    process: subprocess.Popen[str]
    port: int
    token: str

    def ask(self, number: int, **fields: Any) -> tuple[int, http.client.HTTPResponse, http.client.HTTPConnection]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        messages = [{"role": "user", "content": request(number)}]
        body = {"messages": messages, "temperature": 0.8, "top_p": 0.95, "seed": number, **fields}
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, response, connection

    def first(self, model: str, number: int, tokens: int = 4, *, leave: bool = False) -> float:
        """Seconds to the first text of a stream, which is then read to its end or left; 0 where it is refused."""
        start = time.perf_counter()
        status, response, connection = self.ask(number, model=model, stream=True, max_tokens=tokens)
        while status == 200 and (b'"content":"' not in (line := response.readline()) or b'"content":""' in line):
            if not line:
                raise SystemExit("a stream without a text")
        found = time.perf_counter() - start
        if not leave:
            response.read()
        response.close()
        connection.close()
        return found if status == 200 else 0.0

    def whole(self, model: str, number: int) -> tuple[int, int]:
        """Status and tokens of a whole answer."""
        status, response, connection = self.ask(number, model=model, max_tokens=TOKENS)
        body = json.loads(response.read())
        connection.close()
        return status, body["usage"]["completion_tokens"] if status == 200 else 0

    def memory(self) -> int:
        """Resident bytes, where the system says."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def request(number: int) -> str:
    """One of several, so that nobody's prompt is read already because another one asked the same."""
    return f"Write a review.\nTitle: {SUBJECTS[number % len(SUBJECTS)]}"


def ours(bundle: Path, batch: int, threads: int) -> Server:
    """`copersona serve`, once it is ready."""
    code = "from copersona.runtime.cli.main import main; main()"
    options = ["--port", "0", "--batch", str(batch), "--queue", "64", "--threads", str(threads)]
    call = [sys.executable, "-c", code, "serve", str(bundle), *options]
    process = subprocess.Popen(call, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    port = int(process.stderr.readline().split(":")[2].split("/")[0])
    process.stderr.readline()
    if process.stderr.readline() != "ready\n":
        raise SystemExit("the server did not start")
    return Server(process, port, read_token(token_path(), make=False))


def theirs(model: Path, context: int, threads: int) -> Server | None:
    """llama-cpp-python's server, once it answers; None without its packages."""
    if not all(map(find_spec, ("fastapi", "sse_starlette", "starlette_context", "pydantic_settings"))):
        return None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {"model": model, "port": port, "n_ctx": context, "n_threads": threads, "n_threads_batch": threads,
               "interrupt_requests": False, "verbose": False}  # fmt: skip
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    process = subprocess.Popen(
        [sys.executable, "-m", "llama_cpp.server", *words],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    made = Server(process, port, "none")
    while process.poll() is None:
        try:
            made.whole("copersona-plain", 0)
            return made
        except OSError:
            time.sleep(0.2)
    raise SystemExit("llama_cpp.server did not start")


def first_tokens(server: Server, bundle: Path, person: str, rounds: int, threads: int) -> dict[str, float]:
    """Seconds to the first token, in turns: the library's call, recalling where it is relevant as the server does, and
    always; the server's, as the person and as nobody."""
    found: dict[str, list[float]] = {"library": [], "library, always recalled": [], "server": [], "nobody": []}
    with runtime.open_bundle(bundle, threads=threads) as session, runtime.PeopleStore() as people:
        for seed in range(rounds + 2):
            took = []
            for mode in ("relevant", "always"):
                start = time.perf_counter()
                known, sampling = session.person(people, person), runtime.Sampling(max_tokens=4, seed=seed)
                next(iter(session.answer(request(seed), known, sampling, mode=mode)))
                took.append(time.perf_counter() - start)
            took += [server.first(model, seed) for model in (f"copersona:{person}", "copersona-plain")]
            if seed >= 2:  # before, prefixes are read
                for name, value in zip(found, took, strict=True):
                    found[name].append(value)
    return {name: statistics.median(values) for name, values in found.items()}


def all_at_once(server: Server, models: Sequence[str]) -> tuple[float, int]:
    """Seconds and tokens of one answer of each model, all asked at the same moment."""
    tokens: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n, model=model: tokens.append(server.whole(model, n)[1]))
        for n, model in enumerate(models)
    ]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start, sum(tokens)


def at_once(server: Server, other: Server | None, models: Sequence[str], rounds: int) -> dict[str, Any]:
    """In turns: seconds of the same answers one by one and at once, and tokens a second of both servers at once."""
    found: dict[str, list[float]] = {"one by one, s": [], "at once, s": [], "tokens a s": [], "other's tokens a s": []}
    for _ in range(rounds):
        start = time.perf_counter()
        for n, model in enumerate(models):
            server.whole(model, n)
        found["one by one, s"].append(time.perf_counter() - start)
        seconds, tokens = all_at_once(server, models)
        found["at once, s"].append(seconds)
        found["tokens a s"].append(tokens / seconds)
        if other is not None:
            seconds, tokens = all_at_once(other, models)
            found["other's tokens a s"].append(tokens / seconds)
    return {name: statistics.median(values) if values else None for name, values in found.items()}


def storm(server: Server, person: str, clients: int, seconds: float) -> dict[str, Any]:
    """Many clients for some time, some of whom leave: how it went, and memory after a quarter of the time and at the
    end; then how long one answer takes where all have gone."""
    end, statuses = time.monotonic() + seconds, list[str]()

    def client(number: int) -> None:
        seed = number
        while time.monotonic() < end:
            seed += clients
            model = f"copersona:{person}" if seed % 3 else "copersona-plain"
            if seed % LEAVE:
                status = str(server.whole(model, seed)[0])
            else:
                status = "left" if server.first(model, seed, TOKENS, leave=True) else "429"
            statuses.append(status)
            if status == "429":
                time.sleep(0.5)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    time.sleep(seconds / 4)
    early = server.memory()
    for thread in threads:
        thread.join()
    late, start = server.memory(), time.perf_counter()
    server.whole("copersona-plain", 0)
    alone = time.perf_counter() - start
    counts = {status: statuses.count(status) for status in sorted(set(statuses))}
    return {"statuses": counts, "memory early": early, "memory late": late, "one afterwards, s": alone}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("person")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--threads", type=int, default=default_threads())
    asked = parser.parse_args()
    models = [f"copersona:{asked.person}" if n % 2 else "copersona-plain" for n in range(asked.clients)]
    server = ours(asked.bundle, asked.clients, asked.threads)
    other = theirs(asked.bundle / "model.gguf", 2_048, asked.threads)
    try:
        first = first_tokens(server, asked.bundle, asked.person, 4 * asked.rounds, asked.threads)
        many = at_once(server, other, models, asked.rounds)
        rush = storm(server, asked.person, 4 * asked.clients, asked.seconds) if asked.seconds else None
    finally:
        for one in filter(None, (server, other)):
            one.stop()
    theirs_ = many["other's tokens a s"]
    ratios = {
        "first token, server / library": first["server"] / first["library"],
        "first token, relevant / always": first["library"] / first["library, always recalled"],
        "first token, person / nobody": first["server"] / first["nobody"],
        "one by one / at once": many["one by one, s"] / many["at once, s"],
        "tokens a second, ours / llama_cpp.server": many["tokens a s"] / theirs_ if theirs_ else None,
        "memory, late / early": rush["memory late"] / rush["memory early"] if rush else None,
    }
    print(json.dumps({"ratios": ratios, "first token, s": first, "answers": many, "storm": rush}, indent=1))


if __name__ == "__main__":
    main()
