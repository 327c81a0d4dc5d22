"""Every error that copersona raises on purpose.

CoPersonaError
├── HistoryError     a file of interactions or requests that cannot be read
├── FacetError       a facet schema or profile that does not hold together
├── BundleError      a bundle that is missing, cut, changed, mixed or too new
├── ModelError       a language model or encoder that cannot be loaded or used
├── PersonError      a person that the store does not know, or knows already
└── ExportError      a step of an export that cannot go on

A message says what, where (file and line), which two things disagree, and what to do.
"""

from __future__ import annotations


class CoPersonaError(Exception):
    """Base of all errors raised on purpose; its message is one line for the person at the terminal."""


class HistoryError(CoPersonaError):
    """A file of interactions or requests cannot be read."""


class FacetError(CoPersonaError):
    """A facet schema or a facet profile does not hold together."""


class BundleError(CoPersonaError):
    """A bundle is missing, cut, changed, mixed from two exports, or newer than this version."""


class ModelError(CoPersonaError):
    """A language model or an encoder cannot be loaded or used."""


class PersonError(CoPersonaError):
    """The store does not know this person."""


class ExportError(CoPersonaError):
    """A step of an export cannot go on."""
