"""What models are called here, and who is meant by a request: nobody is ever taken for somebody else.

copersona          the person whom `user`, `safety_identifier` or the header names; nobody where none does
copersona:ana      as ana
copersona-plain    as nobody
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote

from copersona.runtime.history.checks import check_person
from copersona.runtime.serve.fault import Fault

if TYPE_CHECKING:
    from starlette.requests import Request

MODEL = "copersona"
PLAIN = f"{MODEL}-plain"
ENCODER = f"{MODEL}-encoder"
HEADER = "X-Copersona-Person"


def model_of(person: str) -> str:
    """The model that answers as this person."""
    return f"{MODEL}:{person}"


def person_of(model: str, said: Mapping[str, str | None]) -> str | None:
    """The name of the person who is asked for, as the store would keep it; None is nobody. `said` has what other places
    say, the header's under its own name.

    Raises:
        Fault: the model is none of ours, or two places name two people.
    """
    if model == PLAIN:
        if said.get(HEADER):
            raise Fault(400, f"{PLAIN} is nobody, but {HEADER} names a person", param="model", code="person_ambiguous")
        return None
    names = {place: name for place, name in said.items() if name}
    if model.startswith(f"{MODEL}:"):
        names = {"model": model.removeprefix(f"{MODEL}:"), **names}
    elif model != MODEL:
        raise unknown_model(model)
    different = {_kept(name): place for place, name in reversed(names.items())}
    if len(different) > 1:
        found = " and ".join(f"{place} {name!r}" for name, place in list(different.items())[::-1])
        raise Fault(400, f"two people are named: {found}", param="user", code="person_ambiguous")
    return next(iter(different), None)


def _kept(name: str) -> str:
    """The form of a name that the store keeps."""
    try:
        return check_person(name)
    except ValueError as error:
        raise Fault(404, f"nobody is called so: {error}", code="person_not_found") from None


def unknown_model(model: str) -> Fault:
    """That there is no such model."""
    return Fault(
        404,
        f"no model {model[:80]!r} here; there are {MODEL}, {PLAIN}, and {MODEL}:PERSON for each person",
        param="model",
        code="model_not_found",
    )


def said_by(request: Request) -> dict[str, str | None]:
    """What the header says of the person; its value is UTF-8, or percent-encoded. Raises Fault."""
    found = [value for name, value in request.headers.raw if name == HEADER.lower().encode()]
    if len(found) > 1:
        raise Fault(400, f"the header {HEADER} is there twice", param=HEADER, code="person_ambiguous")
    try:
        return {HEADER: unquote(found[0].decode("utf-8"), errors="strict") if found else None}
    except UnicodeDecodeError:
        raise Fault(400, f"the header {HEADER} is not UTF-8", param=HEADER) from None
