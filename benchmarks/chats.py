"""What kept chats cost: processor time of a search, a list and a deletion, and the size of the store.

    python benchmarks/chats.py [--messages 10000] [--words 100]

The texts are of invented words, the receipts as long as real ones are. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.conversations import Conversation, KeptMessage, new_id
from copersona.runtime.people.store import PeopleStore

TURNS = 20  # messages of a chat
RECEIPT = json.dumps({"facets": "x" * 5_000})


def spent(do: Callable[[], object]) -> float:
    """Milliseconds of processor time, the least of three."""
    found = []
    for _ in range(3):
        begun = time.process_time()
        do()
        found.append(time.process_time() - begun)
    return round(1_000 * min(found), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--words", type=int, default=100)
    asked = parser.parse_args()
    draw = random.Random(0)
    known = ["".join(draw.choices("aeioubdfgklmnprst", k=draw.randint(2, 9))) for _ in range(5_000)]

    def message(number: int) -> KeptMessage:
        text = " ".join(draw.choices(known, k=asked.words))
        return KeptMessage("assistant" if number % 2 else "user", text, 0.0, receipt=RECEIPT if number % 2 else None)

    with tempfile.TemporaryDirectory() as folder, PeopleStore(Path(folder) / "people.sqlite") as store:
        store.add([Interaction("ana", "x")])
        made = (
            (Conversation(new_id(), "ana", f"chat {n}", n, n), [message(k) for k in range(TURNS)])
            for n in range(asked.messages // TURNS)
        )
        store.import_conversations("ana", made)
        ids = [one.id for one in store.conversations("ana", limit=3)]
        found = {
            "store, MB": round(store.path.stat().st_size / 1e6, 1),
            "search that finds nothing, ms": spent(lambda: store.search_conversations("ana", "xyzzy", limit=50)),
            "search for a word of all, ms": spent(lambda: store.search_conversations("ana", known[0], limit=50)),
            "list of 50, ms": spent(lambda: store.conversations("ana", limit=50)),
            "delete one, ms": spent(lambda: store.delete_conversation("ana", ids.pop())),
        }  # fmt: skip
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
