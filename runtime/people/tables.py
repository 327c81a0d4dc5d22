"""The tables of the people store, and the steps that bring an older store up to date.

Each step runs inside the store's own transaction, so that a kill leaves the old schema or the new one. `seq` grows with
every row that is added and breaks the ties of a history; `digest` makes an import idempotent.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from copersona.runtime.history.interactions import Interaction
from copersona.runtime.people.conversation_tables import add_conversations
from copersona.runtime.people.revision_tables import add_revisions

APPLICATION_ID = 0x436F5070  # "CoPp"
PRAGMAS = (
    "PRAGMA trusted_schema=OFF",
    "PRAGMA cell_size_check=ON",
    "PRAGMA mmap_size=0",
    "PRAGMA foreign_keys=ON",
    "PRAGMA secure_delete=ON",
    "PRAGMA temp_store=MEMORY",  # nothing of it in a folder for temporary files
    "PRAGMA synchronous=EXTRA",
)

INSERT = """
INSERT INTO interactions (person, digest, output, input, time, item, title, rating, words)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (person, digest) DO NOTHING
"""
GIVE_WORDS = """
UPDATE interactions SET words = ? WHERE person = ? AND digest = ? AND words <> ? AND (words = '[]' OR ?)
"""  # the last: whether they are a title, which stands in the place of words of other people and of an older title
HISTORY = """
SELECT output, input, time, item, title, rating, words FROM interactions
WHERE person = ? AND digest NOT IN (SELECT value FROM json_each(?))
ORDER BY time DESC, seq DESC LIMIT ?
"""  # the latest first; NULL comes last, in `order_history` first
THESE = """
SELECT digest, output, input, time, item, title, rating, words FROM interactions
WHERE person = ? AND digest IN (SELECT value FROM json_each(?))
"""
DIGESTS = """
SELECT digest FROM interactions WHERE person = ? AND digest NOT IN (SELECT value FROM json_each(?)) ORDER BY digest
"""
KEEP_VECTOR = """
INSERT OR IGNORE INTO vectors (person, encoder, text, vector)
SELECT name, ?, ?, ? FROM people WHERE name = ? AND last_revision = ifnull(?, last_revision)
"""  # nothing of someone who was forgotten meanwhile, nor what was made before they said or had forgotten something
KEEP_PERSONA = """
INSERT OR REPLACE INTO personas (person, population, key, sha256, texts, arrays)
SELECT name, ?, ?, ?, ?, ? FROM people WHERE name = ? AND last_revision = ifnull(?, last_revision)
"""
KEEP_REPLY = """
INSERT OR REPLACE INTO replies (person, key, reply)
SELECT name, ?, ? FROM people WHERE name = ? AND last_revision = ifnull(?, last_revision)
"""
KEEP_SOFT = """
INSERT OR REPLACE INTO soft_prompts (person, personalizer, key, sha256, soft)
SELECT name, ?, ?, ?, ? FROM people WHERE name = ? AND last_revision = ifnull(?, last_revision)
"""
CARRY_OVER = """
INSERT OR IGNORE INTO enrolments (population, person, peer)
SELECT ?, person, peer FROM bundle_enrolments WHERE bundle = ?
"""  # what was enrolled under the population itself is later, and stays
KEEP_OUTPUT = """
INSERT OR IGNORE INTO outputs (person, path) SELECT name, ? FROM people WHERE name = ?
"""
PEOPLE = """
SELECT name, count(seq), min(time), max(time) FROM people LEFT JOIN interactions ON person = name
WHERE name > ? GROUP BY name ORDER BY name LIMIT ?
"""
LISTED = """
SELECT name, (SELECT count(*) FROM interactions WHERE person = name),
  (SELECT peer FROM enrolments WHERE population = ? AND person = name)
FROM people WHERE name > ? ORDER BY name LIMIT ?
"""  # what an index holds: to know first and last times, each text would be read


class Written(NamedTuple):
    """How many interactions of a person there are, and the hash of what stands in them. Of one store, it says in which
    order they are as well: what is added comes last of its time, and nothing is ever taken out alone."""

    interactions: int
    sha256: str


class KeptPersona(NamedTuple):
    """What was computed of a person: the key of what it was made from, the hash of it all, texts as JSON, arrays as
    safetensors."""

    key: str
    sha256: str
    texts: str
    arrays: bytes


class KeptSoft(NamedTuple):
    """A soft prompt: the key of the persona that it is of, the hash of it all, (L, H) little-endian float32."""

    key: str
    sha256: str
    soft: bytes


def _initial(db: Any) -> None:
    """Version 1."""
    db.execute(f"PRAGMA application_id={APPLICATION_ID}")
    db["people"].create(
        {"name": str, "added": str}, pk="name", not_null={"added"}, defaults={"added": "CURRENT_TIMESTAMP"}
    )
    db.execute(
        """
        CREATE TABLE interactions (
            seq INTEGER PRIMARY KEY,
            person TEXT NOT NULL REFERENCES people (name) ON DELETE CASCADE,
            digest TEXT NOT NULL,
            output TEXT NOT NULL,
            input TEXT,
            time REAL,
            item TEXT,
            title TEXT,
            rating REAL,
            words TEXT NOT NULL
        )
        """
    )
    db["interactions"].create_index(["person", "digest"], unique=True)
    db["enrolments"].create({"bundle": str, "person": str, "peer": str}, pk=("bundle", "person"), not_null={"peer"})
    db["enrolments"].create_index(["person"])


def _replies(db: Any) -> None:
    """Version 2: what a language model answered about a person, forgotten with them."""
    db.execute(
        """
        CREATE TABLE replies (
            person TEXT NOT NULL REFERENCES people (name) ON DELETE CASCADE,
            key TEXT NOT NULL,
            reply TEXT NOT NULL,
            PRIMARY KEY (person, key)
        )
        """
    )


def _vectors(db: Any) -> None:
    """Version 3: vectors of a person's texts, by the hashes of the encoder and of the text."""
    db.execute(
        """
        CREATE TABLE vectors (
            person TEXT NOT NULL REFERENCES people (name) ON DELETE CASCADE,
            encoder TEXT NOT NULL,
            text TEXT NOT NULL,
            vector BLOB NOT NULL,
            PRIMARY KEY (person, encoder, text)
        )
        """
    )


def _personas(db: Any) -> None:
    """Version 4: what was computed of a person for a bundle, the latest only, under a key of what it was made from."""
    db.execute(
        """
        CREATE TABLE personas (
            person TEXT NOT NULL REFERENCES people (name) ON DELETE CASCADE,
            bundle TEXT NOT NULL,
            key TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            texts TEXT NOT NULL,
            arrays BLOB NOT NULL,
            PRIMARY KEY (person, bundle)
        )
        """
    )


def _populations(db: Any) -> None:
    """Version 5: people are enrolled, and their personas kept, under the population's id instead of a bundle's.

    A store cannot know which population a bundle id stands for: what was enrolled under one waits in a table of its own
    until that bundle is opened (`PeopleStore.carry_over`). Personas of before are computed again.
    """
    db.execute("DROP INDEX idx_enrolments_person")
    db.execute("ALTER TABLE enrolments RENAME TO bundle_enrolments")
    db["bundle_enrolments"].create_index(["person"])
    db["enrolments"].create(
        {"population": str, "person": str, "peer": str}, pk=("population", "person"), not_null={"peer"}
    )
    db["enrolments"].create_index(["person"])
    db.execute("DROP TABLE personas")
    db.execute(
        """
        CREATE TABLE personas (
            person TEXT NOT NULL REFERENCES people (name) ON DELETE CASCADE,
            population TEXT NOT NULL,
            key TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            texts TEXT NOT NULL,
            arrays BLOB NOT NULL,
            PRIMARY KEY (person, population)
        )
        """
    )
    db.execute(
        """
        CREATE TABLE soft_prompts (
            person TEXT NOT NULL REFERENCES people (name) ON DELETE CASCADE,
            personalizer TEXT NOT NULL,
            key TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            soft BLOB NOT NULL,
            PRIMARY KEY (person, personalizer)
        )
        """
    )


def _pending(db: Any) -> None:
    """Version 6: marks that the file is to be rewritten, and the files that were written of a person for its owner.

    A store that holds people is rewritten once: earlier versions could be killed before they had done it.
    """
    db.execute("CREATE TABLE pending (id INTEGER PRIMARY KEY)")
    db.execute("INSERT INTO pending SELECT 1 WHERE EXISTS (SELECT 1 FROM people)")
    db.execute(
        """
        CREATE TABLE outputs (
            person TEXT NOT NULL REFERENCES people (name) ON DELETE CASCADE,
            path BLOB NOT NULL,
            PRIMARY KEY (person, path)
        )
        """
    )


def _digests(db: Any) -> None:
    """Version 7: digests of the cleaned text: the same text in another form is no second interaction."""
    last = 0
    while rows := db.execute(ROWS, (last,)).fetchall():
        for seq, digest, person, *found in rows:
            made = from_row(person, tuple(found)).digest
            if made != digest and not db.execute(NEW_DIGEST, (made, seq)).rowcount:
                db.execute("DELETE FROM interactions WHERE seq = ?", (seq,))  # it is there in another form
        last = rows[-1][0]


def _by_time(db: Any) -> None:
    """Version 8: a person's latest texts are found without reading the others."""
    db.execute("CREATE INDEX interactions_by_time ON interactions (person, time)")


ROWS = """
SELECT seq, digest, person, output, input, time, item, title, rating, words FROM interactions
WHERE seq > ? ORDER BY seq LIMIT 1000
"""
NEW_DIGEST = "UPDATE OR IGNORE interactions SET digest = ? WHERE seq = ?"

MIGRATIONS: tuple[Callable[[Any], None], ...] = (
    _initial, _replies, _vectors, _personas, _populations, _pending, _digests, _by_time, add_conversations,
    add_revisions,
)  # fmt: skip
SCHEMA_VERSION = len(MIGRATIONS)


def row(interaction: Interaction) -> tuple[str | float | None, ...]:
    """The values of `INSERT`."""
    i = interaction
    words = json.dumps(i.words, ensure_ascii=False) if i.words else "[]"
    return (i.person, i.digest, i.output, i.input, i.time, i.item, i.title, i.rating, words)


def words_row(interaction: Interaction) -> tuple[str | bool, ...]:
    """The values of `GIVE_WORDS`. One entry is a title, unless it is a small word as other people's words are."""
    i = interaction
    words = json.dumps(i.words, ensure_ascii=False)
    titled = len(i.words) == 1 and (i.words[0] != i.words[0].lower() or " " in i.words[0])
    return (words, i.person, i.digest, words, titled)


def from_row(person: str, found: tuple[Any, ...]) -> Interaction:
    """One row of `HISTORY` as the interaction that it was."""
    output, given, time, item, title, rating, words = found
    return Interaction(person, output, given, time, item, title, rating, tuple(json.loads(words)))
