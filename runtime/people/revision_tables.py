"""The table of what people said about what is known of them, and the statements that read and write it."""

from __future__ import annotations

from typing import Any


def add_revisions(db: Any) -> None:
    """Version 10: revisions of a person, the last number that was given, and the mark of a text that was an answer.

    `last_revision` outlives revisions that are forgotten: no number is given twice. `forgot_at` is what it was when
    something of the person was last forgotten: what was made before may hold that.
    """
    db.execute(
        """
        CREATE TABLE revisions (
            person TEXT NOT NULL REFERENCES people (name) ON DELETE CASCADE,
            number INTEGER NOT NULL,
            time REAL NOT NULL,
            kind TEXT NOT NULL,
            about TEXT NOT NULL,
            target TEXT NOT NULL,
            words TEXT NOT NULL,
            undoes INTEGER,
            PRIMARY KEY (person, number)
        )
        """
    )
    db.execute("ALTER TABLE people ADD COLUMN last_revision INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE people ADD COLUMN forgot_at INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE interactions ADD COLUMN adopted INTEGER NOT NULL DEFAULT 0")


ROW = "SELECT number, time, kind, about, target, words, undoes FROM revisions WHERE person = ?"
REVISIONS = f"{ROW} ORDER BY number"
LAST = "SELECT last_revision FROM people WHERE name = ?"
NEXT = "UPDATE people SET last_revision = last_revision + 1 WHERE name = ?"
FORGOT = "UPDATE people SET last_revision = last_revision + 1, forgot_at = last_revision + 1 WHERE name = ?"
FORGOT_AT = """
SELECT forgot_at FROM people JOIN conversations ON person = name JOIN messages ON conversation = id WHERE number = ?
"""
INSERT_REVISION = """
INSERT INTO revisions (person, number, time, kind, about, target, words, undoes) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
SINCE = "SELECT max(number) FROM revisions WHERE person = ? AND about = ? AND target = ? AND number > ?"
FORGET_REVISIONS = "DELETE FROM revisions WHERE person = ? AND about = ? AND target = ?"
TEXT_ROW = "SELECT seq, digest, time, title, output, adopted FROM interactions WHERE person = ?"
LATEST_TEXTS = f"{TEXT_ROW} ORDER BY time DESC, seq DESC"
TEXTS_BEFORE = f"{TEXT_ROW} AND (time < ? OR (time = ? AND seq < ?) OR time IS NULL) ORDER BY time DESC, seq DESC"
UNTIMED_BEFORE = f"{TEXT_ROW} AND time IS NULL AND seq < ? ORDER BY seq DESC"
ADOPT = "UPDATE interactions SET adopted = 1 WHERE person = ? AND digest = ?"
DIGESTS_LIKE = "SELECT digest FROM interactions WHERE person = ? AND digest >= ? AND digest < ? ORDER BY digest LIMIT 2"
WHOLE_TEXTS = """
SELECT digest, adopted, output, input, time, item, title, rating, words FROM interactions WHERE person = ? ORDER BY seq
"""
OUTPUTS = "SELECT output FROM interactions WHERE person = ?"
MESSAGES = "SELECT text FROM messages JOIN conversations ON conversation = id WHERE person = ?"
RECEIPTS = """
SELECT number, receipt FROM messages JOIN conversations ON conversation = id WHERE person = ? AND receipt IS NOT NULL
"""
