"""Files of a run folder: what was written is read back, whatever people wrote."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from copersona.export.run.run import read_profiles, write_profiles
from copersona.runtime.profile.facets import FacetProfile, Profile, Reliability

pytestmark = pytest.mark.export


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r", "\n"])
def test_profiles_with_line_separators_of_any_kind_are_read_back(separator: str, tmp_path: Path) -> None:
    facet = FacetProfile("tone", f"tone{separator}calm", (f"one{separator}two",), Reliability.STRONG, 0.5)
    one = Profile((facet,), np.zeros((1, 3), np.float32), np.ones(2, np.float32))
    write_profiles(tmp_path / "profiles", [one, one])
    found = read_profiles(tmp_path / "profiles")
    assert [profile.facets for profile in found] == [(facet,), (facet,)]
