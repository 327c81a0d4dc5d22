"""Every importer on made-up exports in all variants: each own text is found, and nothing that others wrote."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from copersona.runtime.importing.recognise import FORMATS

from . import assistants, chats, mails_and_notes, networks  # noqa: F401  # their exports are entered in `variants`
from .reading import lay, read
from .texts import OTHER, OWN
from .variants import Variant, all_variants

VARIANTS = all_variants()
MARKS = re.compile(rf"\b{OWN}[a-z]{{2}}\b")


@pytest.mark.parametrize("form", ["folder", "zip"])
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda one: f"{one.format}: {one.name}")
def test_every_own_text_is_found_and_nothing_of_others(variant: Variant, form: str, tmp_path: Path) -> None:
    found, export = read(variant, lay(variant, tmp_path, form))
    assert export.format.name == variant.format
    texts = "\n".join(one.output for one in found)
    assert {mark.lower() for mark in MARKS.findall(texts.lower())} == set(variant.marks)
    assert OTHER not in texts.lower()
    assert not re.search(r"https?://|```|\ufeff|\u200e", texts)
    for mark, answered in (variant.answers or {}).items():
        [one] = [one for one in found if re.search(rf"\b{mark}\b", one.output, re.IGNORECASE)]
        assert answered in (one.input or "")
    assert sum(export.found.left.values()) + len(found) >= len(found)
    assert all(export.found.left)  # each reason has a name


@pytest.mark.parametrize("variant", [one for one in VARIANTS if one.marks], ids=lambda one: f"{one.format}: {one.name}")
def test_who_is_kept_has_a_name_and_each_text_an_input_and_a_time(variant: Variant, tmp_path: Path) -> None:
    found, export = read(variant, lay(variant, tmp_path))
    assert {one.person for one in found} == {export.person}
    assert export.found.taken == len(found)
    assert all(one.input or one.item or export.format.name == "amazon" for one in found)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda one: f"{one.format}: {one.name}")
def test_the_same_export_gives_the_same_interactions(variant: Variant, tmp_path: Path) -> None:
    path = lay(variant, tmp_path)
    first, second = read(variant, path)[0], read(variant, path)[0]
    assert [one.digest for one in first] == [one.digest for one in second]


def test_every_format_has_its_variants() -> None:
    assert {one.format for one in VARIANTS} == set(FORMATS)
