"""The persona graph's SQLite file: opened so that nothing in it can be changed or run, and read once from end to end.

What stands in it enters prompts, stores and arrays, so every value is checked to be of its kind: tables by their text,
peers and items one by one, edges by one count of those that cannot be.
"""

from __future__ import annotations

import functools
import os
import sqlite3
from pathlib import Path

from copersona.runtime.common.errors import BundleError, FacetError
from copersona.runtime.common.strict_json import strict_json
from copersona.runtime.filecheck.array_check import must_agree
from copersona.runtime.filecheck.values import all_different, line, mapped, number, whole, word
from copersona.runtime.persona.graph import APPLICATION_ID, TABLES
from copersona.runtime.persona.neighbors import PER_FACET
from copersona.runtime.profile.facets import profile_from_json

PRAGMAS = (
    "PRAGMA trusted_schema=OFF",
    "PRAGMA cell_size_check=ON",
    "PRAGMA mmap_size=0",
    "PRAGMA query_only=ON",
)
LIMITS = {
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LENGTH: 4 * 1024 * 1024,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 50,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 25_000,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
}
FUNCTIONS = ("count", "typeof", "abs")
MAX_SUMMARY = 1_000  # characters of what is said of a peer's facet
MAX_QUOTE = 400
MAX_WORDS = 64  # of an item
MOST_PEOPLE = 10**9
SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name"
BAD_EDGES = """
SELECT count(*) FROM edges WHERE typeof(peer) <> 'integer' OR typeof(facet) <> 'integer' OR typeof(rank) <> 'integer'
OR typeof(neighbor) <> 'integer' OR typeof(cosine) <> 'real' OR typeof(weight) <> 'real'
OR peer < 0 OR peer >= :peers OR neighbor < 0 OR neighbor >= :peers OR facet < 0 OR facet >= :facets
OR rank < 0 OR rank >= :ranks OR abs(cosine) > 1.01 OR abs(weight) > 1.01
"""


def open_graph_db(path: Path | str) -> sqlite3.Connection:
    """The bundle's graph, opened so that nothing in it can be changed or run; the caller closes it.

    Raises:
        BundleError: the file cannot be opened.
    """
    try:
        database = sqlite3.connect(
            f"{Path(path).absolute().as_uri()}?mode=ro&immutable=1",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise BundleError(f"{path}: cannot be opened ({error})") from None
    try:
        for pragma in PRAGMAS:
            database.execute(pragma)
        for limit, most in LIMITS.items():
            database.setlimit(limit, most)
        database.set_authorizer(_authorize)
    except sqlite3.Error as error:
        database.close()
        raise BundleError(f"{path}: no SQLite file that can be opened ({error})") from None
    return database


def _authorize(action: int, first: str | None, second: str | None, *_: object) -> int:
    """Reading, by the few functions that a check needs, and nothing else."""
    allowed = (
        action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ)
        or (action == sqlite3.SQLITE_FUNCTION and second in FUNCTIONS)
        or (action == sqlite3.SQLITE_PRAGMA and first == "quick_check")
    )
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def check_graph_db(path: Path, peers: int, names: tuple[str, ...] | None = None, ranks: int = PER_FACET) -> None:
    """A whole SQLite file of ours: header, size, pages, exactly our tables, and as many peers as expected, whose
    profiles are of the facets of these names, where they are given.

    Raises:
        BundleError: it is damaged, another database, or holds another number of peers or what cannot be.
    """
    _check_header(path)
    database = open_graph_db(path)
    try:
        found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise BundleError(f"{path}: damaged ({' '.join(found.split())[:300]}); fetch a whole copy")
        _check_tables(path, database)
        must_agree(path, "peers", database.execute("SELECT count(*) FROM peers").fetchone()[0], peers)
        _check_meta(database)
        if names is not None:
            _check_peers(database, names)
            _check_edges(database, peers, len(names), ranks)
        _check_items(database)
    except (sqlite3.Error, sqlite3.Warning, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: damaged, or no persona graph ({error}); fetch a whole copy") from None
    except (ValueError, FacetError, RecursionError) as error:
        raise BundleError(f"{path}: {error}; export the bundle again") from None
    finally:
        database.close()


@functools.cache
def _schema() -> dict[str, tuple[str, ...]]:
    """Our own tables and indices by name."""
    database = sqlite3.connect(":memory:")
    try:
        database.executescript(TABLES)
        return {row[1]: row for row in database.execute(SCHEMA)}
    finally:
        database.close()


def _check_tables(path: Path, database: sqlite3.Connection) -> None:
    found = {row[1]: row for row in database.execute(SCHEMA)}
    for name in sorted(found.keys() | _schema().keys(), key=str):
        if name not in found:
            raise BundleError(f"{path}: no such table: {name}; export the bundle again")
        if found[name] != _schema().get(name):
            kind = str(found[name][0])[:20]
            raise BundleError(f"{path}: holds the {kind} {str(name)[:60]!r}, expected plain tables only, as exported")


def _check_meta(database: sqlite3.Connection) -> None:
    for key, value in database.execute("SELECT key, value FROM meta"):
        if key not in ("threshold", "per_facet"):
            raise ValueError(f"meta holds {line('a key', key, 100)!r}, which is not known")
        number(key, float(line(key, value, 32)), -1, 100)


def _check_peers(database: sqlite3.Connection, names: tuple[str, ...]) -> None:
    rows = database.execute("SELECT row, pseudonym, labels, profile FROM peers ORDER BY row")
    for expected, (row, pseudonym, labels, profile) in enumerate(rows):
        where = f"peer {expected}"
        whole(f"the row of {where}", row, expected, expected)
        word(f"the pseudonym of {where}", pseudonym)
        facets = profile_from_json(line(f"the profile of {where}", profile, 4_000_000))
        if tuple(facet.facet for facet in facets) != names:
            raise ValueError(f"the profile of {where} is not of the {len(names)} facets in facets.json")
        said = "".join(str(int(facet.reliability)) for facet in facets)
        if labels != said:
            raise ValueError(f"the labels of {where} are {str(labels)[:60]!r}, its profile has {said!r}")
        for facet in facets:
            line(f"a summary of {where}", facet.summary, MAX_SUMMARY)
            for quote in facet.quotes:
                line(f"a quote of {where}", quote, MAX_QUOTE)
    all_different("the pseudonym", (str(found) for (found,) in database.execute("SELECT pseudonym FROM peers")))


def _check_edges(database: sqlite3.Connection, peers: int, facets: int, ranks: int) -> None:
    sizes = {"peers": peers, "facets": facets, "ranks": ranks}
    if wrong := database.execute(BAD_EDGES, sizes).fetchone()[0]:
        raise ValueError(f"{wrong:,} edges are none between {peers:,} peers in {facets} facets")


def _check_items(database: sqlite3.Connection) -> None:
    for item, words in database.execute("SELECT item, words FROM items"):
        if not isinstance(item, str):
            raise ValueError("an item is no text")
        counts = mapped("the words of an item", strict_json(line("the words of an item", words, 1_000_000)))
        if len(counts) > MAX_WORDS:
            raise ValueError(f"an item has {len(counts):,} words, expected at most {MAX_WORDS}")
        for name, people in counts.items():
            word("a word of an item", name)
            whole("the people who use a word", people, 0, MOST_PEOPLE)


def _check_header(path: Path) -> None:
    try:
        with open(path, "rb") as file:
            head, size = file.read(100), os.fstat(file.fileno()).st_size
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror or error})") from None
    if len(head) < 100 or head[:16] != b"SQLite format 3\x00":
        raise BundleError(f"{path}: no SQLite file; export the bundle again")
    page = int.from_bytes(head[16:18], "big")
    page, pages = 65536 if page == 1 else page, int.from_bytes(head[28:32], "big")
    if page < 512 or page & (page - 1):
        raise BundleError(f"{path}: a page size of {page}, expected a power of two from 512 to 65536")
    if head[18:20] != b"\x01\x01":
        raise BundleError(
            f"{path}: written with a write-ahead log, expected journal_mode DELETE; export the bundle again"
        )
    if int.from_bytes(head[68:72], "big") != APPLICATION_ID:
        raise BundleError(f"{path}: another program's database, expected a persona graph")
    must_agree(path, "bytes", size, page * pages)
