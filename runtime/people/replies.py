"""What a language model answered about a person, remembered in the store and forgotten with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from copersona.runtime.chat.ask import Reply

if TYPE_CHECKING:
    from copersona.runtime.people.kept import KeptWithPeople


class PersonReplies:
    """A person's answers of a language model (`ledger.Replies`), kept in the store and forgotten with the person."""

    def __init__(self, store: KeptWithPeople, person: str, revision: int | None = None) -> None:
        self._store, self._person, self._revision = store, person, revision

    def get(self, key: str) -> Reply | None:
        found = self._store.reply(self._person, key)
        return None if found is None else Reply(*json.loads(found))

    def put(self, key: str, reply: Reply) -> None:
        """Keep an answer. Raises PersonError where the person is not in the store."""
        self._store.keep_reply(self._person, key, json.dumps(reply), self._revision)
