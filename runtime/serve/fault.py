"""What a client is told when a request is refused: a status and one line, in the form that OpenAI's clients read."""

from __future__ import annotations

from typing import Any

from copersona.runtime.common.errors import (
    BadRevision,
    CoPersonaError,
    HistoryError,
    ModelRefused,
    PersonError,
    PersonThere,
    RevisedMeanwhile,
    UnknownConversation,
    UnknownFacet,
    UnknownPerson,
    UnknownText,
)
from copersona.runtime.common.terminal import one_line
from copersona.runtime.prompt.conversation import TooLong

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
LONGEST = 400  # characters of a message


class Fault(CoPersonaError):
    """A refusal. `param` is the field that is at fault, `code` a word for programs, `after` seconds to wait."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None, after: int | None = None
    ) -> None:
        super().__init__(one_line(message, LONGEST))
        self.status, self.param, self.code, self.after = status, param, code, after

    def body(self) -> dict[str, Any]:
        """The JSON of it."""
        kind = TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """What tells clients whether and when to try again; they would repeat every fault of the server's."""
        found = {}
        if self.after is not None:
            found["Retry-After"] = str(self.after)
        elif self.status >= 500:
            found["X-Should-Retry"] = "false"
        if self.status == 401:
            found["WWW-Authenticate"] = "Bearer"
        return found


def fault_of(error: Exception) -> Fault:
    """What a client is told of an error. Of one that was not foreseen only its kind: its text may be of a person's."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, UnknownPerson):
        return unknown_person(error)
    if isinstance(error, UnknownConversation):
        return Fault(404, str(error), code="conversation_not_found")
    if isinstance(error, UnknownText | UnknownFacet):
        return Fault(404, str(error), code="text_not_found" if isinstance(error, UnknownText) else "facet_not_found")
    if isinstance(error, RevisedMeanwhile | PersonThere):
        return Fault(409, str(error), code="revised" if isinstance(error, RevisedMeanwhile) else "person_exists")
    if isinstance(error, HistoryError | BadRevision):
        return Fault(400, str(error))
    if isinstance(error, PersonError):
        return Fault(503, str(error), code="store_unavailable", after=2)
    if isinstance(error, TooLong):
        return Fault(400, str(error), param="messages", code="context_length_exceeded")
    if isinstance(error, ModelRefused):
        return Fault(400, str(error))
    if isinstance(error, CoPersonaError):
        return Fault(500, str(error))
    return Fault(500, f"the server failed at this request ({type(error).__name__})", code="internal_error")


def unknown_person(error: UnknownPerson) -> Fault:
    """That nobody of that name is here, with close names, and without where the store is."""
    said, _, hint = str(error).partition("; ")
    hint = hint if hint.startswith("did you mean") else "GET /v1/models lists who is here"
    return Fault(404, f"{said}; {hint}", code="person_not_found")
