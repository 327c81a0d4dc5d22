"""What the query of a request says of a file that is sent: the options of `people import`, by the same names with _."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from copersona.runtime.history.importers import FORMATS as HISTORIES
from copersona.runtime.importing.recognise import FORMATS as EXPORTS
from copersona.runtime.importing.wish import DATES, Wish
from copersona.runtime.serve.fault import Fault
from copersona.runtime.serve.fields import as_text

LONGEST = 400  # characters of a value
MOST_NAMES = 50
ONE = ("name", "format", "person", "dates", "zone", "enrolled_as", "digest")
MANY = ("me", "without")
FLAGS = ("prompts", "keep_junk", "skip_bad")


@dataclass(frozen=True, slots=True)
class Wished:
    """The wish; the file's `name`; the pseudonym of who took part in training; the digest of what was previewed."""

    wish: Wish
    name: str
    enrolled_as: str | None
    digest: str | None


def read_wished(request: Request) -> Wished:
    """The query of a request. Raises Fault."""
    query = request.query_params
    if unknown := sorted(set(query) - {*ONE, *MANY, *FLAGS}):
        raise Fault(400, f"{unknown[0][:80]} is not known", param=unknown[0][:80])
    one = {name: as_text(query.get(name, ""), name, LONGEST).strip() or None for name in ONE}
    many = {name: tuple(as_text(each, name, LONGEST) for each in query.getlist(name)[:MOST_NAMES]) for name in MANY}
    flags = {name: _flag(name, query.get(name, "")) for name in FLAGS}
    for name, known in (("format", {"auto", *EXPORTS, *HISTORIES}), ("dates", DATES)):
        if one[name] is not None and one[name] not in known:
            raise Fault(400, f"{name} is {one[name]!r}, expected one of {', '.join(sorted(known))}", param=name)
    said: dict[str, Any] = {"format": one["format"] or "auto", **many, **flags}
    said |= {name: one[name] for name in ("person", "dates", "zone")}
    return Wished(Wish(**said), one["name"] or "file", one["enrolled_as"], one["digest"])


def _flag(name: str, given: str) -> bool:
    if given not in ("", "true", "false"):
        raise Fault(400, f"{name} is {given[:30]!r}, expected true or false", param=name)
    return given == "true"
