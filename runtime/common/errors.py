"""Every error that copersona raises on purpose.

CoPersonaError
├── HistoryError     a file of interactions or requests that cannot be read
│   ├── TooLarge     more than is read of one file
│   └── UnknownKind  a file of no kind that is read here
├── FacetError       a facet schema or profile that does not hold together
├── BundleError      a bundle that is missing, cut, changed, mixed or too new
├── ModelError       a language model or encoder that cannot be loaded or used
│   ├── ModelBusy    a call that may go well if it is made again
│   └── ModelRefused this very request is refused, or its answer is none
│       └── ModelSilent  the model answers, but not with a text
├── PersonError      a person that the store does not know, or knows already
└── ExportError      a step of an export that cannot go on

A message says what, where (file and line), which two things disagree, and what to do.
"""

from __future__ import annotations

from copersona.runtime.common.terminal import in_line


class CoPersonaError(Exception):
    """Base of all errors raised on purpose. Its message is one line, whatever stands in the names that it repeats."""

    def __init__(self, message: str = "") -> None:
        super().__init__(in_line(message))


class HistoryError(CoPersonaError):
    """A file of interactions or requests cannot be read."""


class TooLarge(HistoryError):
    """A file is, or unpacks to, more than is read of one."""


class UnknownKind(HistoryError):
    """A file is of no kind that is read here."""


class FacetError(CoPersonaError):
    """A facet schema or a facet profile does not hold together."""


class BundleError(CoPersonaError):
    """A bundle is missing, cut, changed, mixed from two exports, or newer than this version."""


class ModelError(CoPersonaError):
    """A language model or an encoder cannot be loaded or used."""


class ModelBusy(ModelError):
    """A call that failed for a reason that may pass; `after` is how many seconds the server asks to wait."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class ModelRefused(ModelError):
    """The model refuses this very request, or what it answers is no answer; others may go well."""


class ModelSilent(ModelRefused):
    """The model answers, but not with a text; another try may go well."""


class PersonError(CoPersonaError):
    """The store does not know this person."""


class UnknownPerson(PersonError):
    """Nobody of that name is in the people store. The message may list names that are close: it is for the terminal."""


class UnknownConversation(PersonError):
    """The person has no conversation of that id; whether somebody else has is not said."""


class UnknownText(PersonError):
    """The person has no text of that digest; whether somebody else has is not said."""


class UnknownFacet(PersonError):
    """There is no facet of that name. The message may list names that are close."""


class BadRevision(PersonError):
    """What a person wants changed cannot be: words that are none, a quote that stands nowhere, nothing to undo."""


class RevisedMeanwhile(PersonError):
    """What is to be changed was changed since its writer last looked."""


class PersonThere(PersonError):
    """Somebody of that name is in the people store already."""


class ExportError(CoPersonaError):
    """A step of an export cannot go on."""
