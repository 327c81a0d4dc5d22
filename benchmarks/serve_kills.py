"""Kill a server while chats run, again and again: what it acknowledged must be there, and it must start again soon.

    python benchmarks/serve_kills.py [--kills 100] [--chats 8] [--seed 0]

The bundle is the tests' own, of random weights; people and chats are in a store in a temporary folder that outlives
the kills. Each chat streams long answers in kept conversations. A message counts as acknowledged when the first chunk
of its answer came, an answer when its stream ended; SIGKILL comes at a random moment. Afterwards the store is read and
checked page by page. Prints one JSON object; ends with 1 when anything is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import statistics
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serve import Server, ours

from copersona.runtime.engine.llama import default_threads
from copersona.runtime.history.importers import read_history
from copersona.runtime.people.store import PeopleStore

ROOT = Path(__file__).resolve().parent.parent
TURNS = 3  # of a conversation, then a new one begins
TOKENS = 40  # of an answer at most
LONG = {"type": "json_schema", "json_schema": {"schema": {"type": "string", "minLength": 20, "maxLength": 400}}}


@dataclass
class Told:
    """What a client was told: of a message that it is kept, of its answer what came, and whether that was the end."""

    person: str
    conversation: str
    said: int
    answer: int
    text: str
    parts: list[str] = field(default_factory=list)
    whole: bool = False


def random_bundle(folder: Path) -> Path:
    """A bundle of the demo's people with a model of random weights."""
    sys.path.insert(0, str(ROOT))
    from tests import random_models

    model = random_models.qwen2(folder / "model.gguf")
    return Path(random_models.random_bundle(ROOT / "assets" / "demo" / "bundle", model, folder / "bundle"))


def chat(server: Server, person: str, number: int, told: list[Told]) -> None:
    """Turn after turn until the server is gone."""
    with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
        for turn in range(10_000):
            known = told[-1].conversation if turn % TURNS and told else "new"
            text = f"Message {turn} of chat {number}: {random.Random(f'{number} {turn}').random()}"
            status, response, _ = server.ask(
                turn, model=f"copersona:{person}", stream=True, max_tokens=TOKENS, response_format=LONG,
                messages=[{"role": "user", "content": text}], copersona={"conversation": known},
            )  # fmt: skip
            if status != 200:
                raise SystemExit(f"{status}: {response.read()!r}")
            for line in response:
                body: Any = json.loads(line[6:]) if line.startswith(b"data: {") else {}
                if told_of := body.get("copersona"):
                    if "finish_reason" in body["choices"][0] and body["choices"][0]["finish_reason"]:
                        told[-1].whole = True
                    else:
                        told.append(Told(person, told_of["conversation"], told_of["message"], told_of["answer"], text))
                elif body:
                    told[-1].parts.append(body["choices"][0]["delta"].get("content", ""))


def missing(store: PeopleStore, one: Told) -> list[str]:
    """What was acknowledged and is not there."""
    kept = {message.number: message for message in store.conversation(one.person, one.conversation)[1]}
    said, answer, text = kept.get(one.said), kept.get(one.answer), "".join(one.parts)
    found = []
    if said is None or said.text != one.text:
        found.append(f"message {one.said} of {one.conversation}")
    if answer is None or (one.whole and (answer.text != text or answer.state != "whole")):
        found.append(f"answer {one.answer} of {one.conversation}")
    return found


def started(bundle: Path, chats: int) -> tuple[Server, float, float]:
    """A server that is ready; seconds by the clock and of processor time until then."""
    begun = time.perf_counter()
    server = ours(bundle, chats, default_threads())
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return server, time.perf_counter() - begun, sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--chats", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    draw, clocks, processor, everything, lost, cut, behind = random.Random(asked.seed), [], [], [], [], 0, [0]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COPERSONA_HOME"] = str(Path(folder) / "home")
        bundle = random_bundle(Path(folder))
        with PeopleStore() as store:
            store.add(read_history(ROOT / "assets" / "demo" / "people.jsonl"))
            people = [row.name for row in store.people()]
        for kill in range(asked.kills):
            server, seconds, spent = started(bundle, asked.chats)
            if kill:
                clocks.append(seconds)
                processor.append(spent)
            told: list[list[Told]] = [[] for _ in range(asked.chats)]
            threads = [
                threading.Thread(target=chat, args=(server, people[n % len(people)], n, told[n]))
                for n in range(asked.chats)
            ]
            for thread in threads:
                thread.start()
            while not all(told) and any(thread.is_alive() for thread in threads):
                time.sleep(0.01)  # until each chat runs
            time.sleep(draw.uniform(0.0, 5.0))
            server.process.kill()
            server.process.wait()
            for thread in threads:
                thread.join()
            with PeopleStore() as store:
                store.check()
                for one in (one for chat_ in told for one in chat_):
                    lost += missing(store, one)
                    everything.append(one)
                    cut += not one.whole
                    if not one.whole:
                        kept = store.conversation(one.person, one.conversation)[1]
                        text = next((m.text for m in kept if m.number == one.answer), "")
                        behind.append(len("".join(one.parts)) - len(text))
            counted = f"{len(everything)} messages, {cut} answers cut, {len(lost)} lost"
            print(f"{kill + 1}: {counted}, ready after {seconds:.1f} s, {spent:.2f} of the processor", file=sys.stderr)
        with PeopleStore() as store:
            lost += [line for one in everything for line in missing(store, one)]
    counts = {"kills": asked.kills, "messages acknowledged": len(everything), "answers acknowledged":
              sum(one.whole for one in everything), "answers cut": cut, "lost": len(lost),
              "most characters of a cut answer that were told and not kept": max(behind)}  # fmt: skip
    again = {"median, s": statistics.median(clocks), "most, s": max(clocks), "processor, median, s":
             statistics.median(processor), "processor, most, s": max(processor)} if clocks else {}  # fmt: skip
    print(json.dumps({**counts, "started again": again, "what": lost[:20]}, indent=1))
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
