"""The tables of kept conversations, and the statements that read and write them. A person's go with the person."""

from __future__ import annotations

from typing import Any


def add_conversations(db: Any) -> None:
    """Version 9: conversations of a person, and their messages in the order in which they were written.

    A number of a message is never given twice (AUTOINCREMENT): an answer that is still being written when its
    conversation is cut must not go on in another's place.
    """
    db.execute(
        """
        CREATE TABLE conversations (
            id TEXT PRIMARY KEY,
            person TEXT NOT NULL REFERENCES people (name) ON DELETE CASCADE,
            title TEXT NOT NULL,
            created REAL NOT NULL,
            changed REAL NOT NULL
        )
        """
    )
    db.execute("CREATE INDEX conversations_by_change ON conversations (person, changed)")
    db.execute(
        """
        CREATE TABLE messages (
            number INTEGER PRIMARY KEY AUTOINCREMENT,
            conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
            role TEXT NOT NULL,
            text TEXT NOT NULL,
            time REAL NOT NULL,
            state TEXT NOT NULL,
            persona INTEGER NOT NULL,
            bundle TEXT NOT NULL,
            receipt TEXT
        )
        """
    )
    db.execute("CREATE INDEX messages_by_conversation ON messages (conversation, number)")
    db.execute("CREATE INDEX messages_being_written ON messages (number) WHERE state = 'writing'")


ROW = """
SELECT id, person, title, created, changed, (SELECT count(*) FROM messages WHERE conversation = id)
FROM conversations
"""
ONE = f"{ROW} WHERE person = ? AND id = ?"
LATEST = f"{ROW} WHERE person = ? ORDER BY changed DESC, id DESC LIMIT ?"
BEFORE = f"{ROW} WHERE person = ? AND (changed, id) < (?, ?) ORDER BY changed DESC, id DESC LIMIT ?"
MESSAGES = """
SELECT number, role, text, time, state, persona, bundle, receipt FROM messages WHERE conversation = ? ORDER BY number
"""
SEARCHED = """
SELECT c.id, c.title, m.number, m.role, m.text, m.time,
  m.number = (SELECT min(number) FROM messages WHERE conversation = c.id)
FROM conversations c JOIN messages m ON m.conversation = c.id
WHERE c.person = ? AND m.number < ? ORDER BY m.number DESC
"""
INSERT_CONVERSATION = "INSERT INTO conversations (id, person, title, created, changed) VALUES (?, ?, ?, ?, ?)"
INSERT_MESSAGE = """
INSERT INTO messages (conversation, role, text, time, state, persona, bundle, receipt) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
CUT = "DELETE FROM messages WHERE conversation = ? AND number >= ?"
CHANGED = "UPDATE conversations SET changed = max(changed, ?) WHERE id = ?"
SO_FAR = "UPDATE messages SET text = ? WHERE number = ? AND state = 'writing'"
END = "UPDATE messages SET text = ?, state = ?, receipt = ? WHERE number = ?"
END_ALL = "UPDATE messages SET state = 'stopped' WHERE state = 'writing'"
