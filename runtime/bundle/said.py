"""What a manifest says beside its files: the settings that the runtime reads, each checked before it is used."""

from __future__ import annotations

from collections.abc import Mapping

from copersona.runtime.bundle.manifest import AGAIN, MANIFEST, Manifest
from copersona.runtime.common.errors import BundleError
from copersona.runtime.filecheck.values import line, lines, mapped, number, whole
from copersona.runtime.profile.language import ENGLISH, Languages
from copersona.runtime.prompt.settings import read_context

DEFAULT_CONTEXT = 2_048
MOST_CONTEXT = 1 << 20  # tokens; `parts` looks at the memory that they need
MOST_SHAPE = 1 << 31
NAMES = ("base", "encoder", "architecture", "like")
"""Settings that are shown."""


def check_settings(manifest: Manifest) -> None:
    """Raises BundleError where a setting that is read is not of its kind, or out of bounds."""
    settings = manifest.settings
    try:
        for name in ("facets", "peers", "width", "hidden"):
            whole(name, getattr(manifest.shapes, name), 1, MOST_SHAPE)
        context_length(manifest)
        languages(manifest)
        for name in NAMES:
            if settings.get(name) is not None:
                line(name, settings[name], 1_000, blank=True)
        for name, value in mapped("parity", settings.get("parity", {})).items():
            number(line("a check's name", name, 200), value)
        line("created", manifest.created, 100)
    except ValueError as error:
        raise BundleError(f"{MANIFEST}: {error}; {AGAIN}") from None
    try:
        context = settings.get("context", {})
        if not isinstance(context, Mapping):
            raise ValueError("they are no object")
        read_context(context)
    except (TypeError, ValueError) as error:
        raise BundleError(f"{MANIFEST}: context settings are not known here ({error}); update copersona") from None


def languages(manifest: Manifest) -> Languages:
    """The languages that its parts serve; English where the manifest is of before they were named.

    Raises:
        BundleError: they are not said as they must be.
    """
    said = manifest.settings.get("languages", {"facets": [ENGLISH], "encoder": [ENGLISH]})
    try:
        found = mapped("languages", said)
        return Languages(*(lines(f"languages of {n}", found.get(n, []), 500, 40) for n in ("facets", "encoder")))
    except ValueError as error:
        raise BundleError(f"{MANIFEST}: {error}; {AGAIN}") from None


def context_length(manifest: Manifest) -> int:
    """Tokens of context that the base was trained on. Raises BundleError where it is no such number."""
    try:
        return whole("context_length", manifest.settings.get("context_length", DEFAULT_CONTEXT), 1, MOST_CONTEXT)
    except ValueError as error:
        raise BundleError(f"{MANIFEST}: {error}; {AGAIN}") from None
