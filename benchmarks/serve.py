"""What the server costs and gives: first token against the library, several at once against one by one, memory.

    python benchmarks/serve.py BUNDLE PERSON [--clients 8] [--seconds 120]

PERSON is one of the people store. Everything is asked of one server in a process of its own; ratios are taken in turns,
so that what else the machine does meets both sides alike. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from copersona import runtime
from copersona.runtime.serve.key import read_token, token_path

REQUEST = "Write a review.\nTitle: good strings"
TOKENS = 48


class Server:
    """A server's process."""

    def __init__(self, bundle: Path, batch: int) -> None:
        code = "from copersona.runtime.cli.main import main; main()"
        call = [sys.executable, "-c", code, "serve", str(bundle), "--port", "0", "--batch", str(batch), "--queue", "64"]
        self.process = subprocess.Popen(call, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        self.port = int(self.process.stderr.readline().split(":")[2].split("/")[0])
        self.process.stderr.readline()
        if self.process.stderr.readline() != "ready\n":
            raise SystemExit("the server did not start")
        self.token = read_token(token_path(), make=False)

    def ask(self, **fields: Any) -> tuple[int, http.client.HTTPResponse, http.client.HTTPConnection]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        body = {"messages": [{"role": "user", "content": REQUEST}], "temperature": 0.8, **fields}
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, response, connection

    def first(self, model: str, seed: int) -> float:
        """Seconds to the first text of a stream."""
        start = time.perf_counter()
        _, response, connection = self.ask(model=model, seed=seed, stream=True, max_tokens=4)
        while b'"content":"' not in (line := response.readline()) or b'"content":""' in line:
            if not line:
                raise SystemExit("a stream without a text")
        found = time.perf_counter() - start
        response.read()
        connection.close()
        return found

    def whole(self, model: str, seed: int) -> tuple[int, int]:
        """Status and tokens of a whole answer of a fixed length."""
        long = {"type": "json_schema", "json_schema": {"schema": {"type": "string", "minLength": 1_000}}}
        status, response, connection = self.ask(model=model, seed=seed, max_tokens=TOKENS, response_format=long)
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


def first_tokens(server: Server, bundle: Path, person: str, rounds: int) -> dict[str, float]:
    """Seconds to the first token, in turns: the library's call and the server's, as the person and as nobody."""
    found: dict[str, list[float]] = {"library": [], "server": [], "nobody": []}
    with runtime.open_bundle(bundle) as session, runtime.PeopleStore() as people:
        for seed in range(rounds + 2):
            start = time.perf_counter()
            known = session.person(people, person)
            next(iter(session.answer(REQUEST, known, runtime.Sampling(max_tokens=4, seed=seed))))
            took = (time.perf_counter() - start, server.first(f"copersona:{person}", seed))
            nobody = server.first("copersona-plain", seed)
            if seed >= 2:  # before, prefixes are read
                for name, value in zip(found, (*took, nobody), strict=True):
                    found[name].append(value)
    return {name: statistics.median(values) for name, values in found.items()}


def at_once(server: Server, person: str, clients: int, rounds: int) -> dict[str, float]:
    """Seconds for as many answers as clients: one by one and at once, in turns."""
    seconds: dict[str, list[float]] = {"one by one": [], "at once": []}
    models = [f"copersona:{person}" if n % 2 else "copersona-plain" for n in range(clients)]
    for _ in range(rounds):
        start = time.perf_counter()
        for n, model in enumerate(models):
            server.whole(model, n)
        seconds["one by one"].append(time.perf_counter() - start)
        start = time.perf_counter()
        threads = [threading.Thread(target=server.whole, args=(model, n)) for n, model in enumerate(models)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds["at once"].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def storm(server: Server, person: str, clients: int, seconds: float) -> dict[str, Any]:
    """Many clients for some time: how it went, and memory after a quarter of the time and at the end."""
    end, statuses = time.monotonic() + seconds, list[int]()

    def client(number: int) -> None:
        seed = number
        while time.monotonic() < end:
            seed += clients
            status, _ = server.whole(f"copersona:{person}" if seed % 3 else "copersona-plain", seed)
            statuses.append(status)
            if status == 429:
                time.sleep(0.5)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    time.sleep(seconds / 4)
    early = server.memory()
    for thread in threads:
        thread.join()
    counts = {str(status): statuses.count(status) for status in sorted(set(statuses))}
    return {"statuses": counts, "memory early": early, "memory late": server.memory()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("person")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=120.0)
    asked = parser.parse_args()
    server = Server(asked.bundle, asked.clients)
    try:
        first = first_tokens(server, asked.bundle, asked.person, 4 * asked.rounds)
        many = at_once(server, asked.person, asked.clients, asked.rounds)
        rush = storm(server, asked.person, 4 * asked.clients, asked.seconds)
    finally:
        server.stop()
    ratios = {
        "first token, server / library": first["server"] / first["library"],
        "first token, person / nobody": first["server"] / first["nobody"],
        "one by one / at once": many["one by one"] / many["at once"],
        "memory, late / early": rush["memory late"] / rush["memory early"],
    }
    print(json.dumps({"ratios": ratios, "first token, s": first, "answers, s": many, "storm": rush}, indent=1))


if __name__ == "__main__":
    main()
