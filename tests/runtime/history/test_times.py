"""Times as text become the moment that they name, or are refused; never another moment."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copersona.runtime.common.errors import HistoryError
from copersona.runtime.history.formats import moment
from copersona.runtime.history.importers import load_history

NOON = datetime(2023, 8, 8, 12, tzinfo=UTC).timestamp()
MIDNIGHT = datetime(2023, 8, 8, tzinfo=UTC).timestamp()
RIGHT = {
    "20230808120000Z": NOON, "20230808120000": NOON, "202308081200": NOON, "20230808140000+0200": NOON,
    "20230808235959": MIDNIGHT + 86_399, "20230808T120000Z": NOON, "20230808T12": NOON, "20230808": MIDNIGHT,
    "2023-08-08T12:00:00Z": NOON, "2023-08-08 12:00": NOON, "2023-08-08 12:00:00 +0200": NOON - 7_200,
    "2023-08-08T12:00:00.500": NOON + 0.5, "2023-W32-2": MIDNIGHT, "2023-08-08": MIDNIGHT, "1691496000": NOON,
    "1691496000.25": NOON + 0.25, "999999999": 999_999_999.0, "1609123151": 1_609_123_151.0,
}  # fmt: skip
REFUSED = (
    "1691496000000", "1609123151230", "2023080812", "2023", "202308", "20231508", "16091231", "20230808+0200",
    "2023-08-08+02:00", "2023-08-08-05:00", "2023-08-08x12:00", "20230808 120000", "20239999120000", "12:00", "",
    "2023-08-08T25:00", "1.691e9", "0x64d22d40", "２０２３-08-08", "nan", "inf", "1_691_496_000", "99999999999",
)  # fmt: skip


@pytest.mark.parametrize("text", RIGHT)
def test_a_time_as_text_is_the_moment_that_it_names(text: str) -> None:
    assert moment({"time": text}, "time") == RIGHT[text]


@pytest.mark.parametrize("text", REFUSED)
def test_a_time_that_names_none_or_two_moments_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^'time': "):
        moment({"time": text}, "time")


def test_keys_that_count_milliseconds_take_them_as_text_too_and_dates_as_dates() -> None:
    for key in ("timestamp", "timestamp_ms"):
        assert moment({key: "1609123151230"}, key) == 1_609_123_151.23
        assert moment({key: "2023-08-08T12:00"}, key) == NOON


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 12, 31, 23, 59, 59)).map(lambda d: d.replace(microsecond=0)),
    st.sampled_from(("%Y%m%d%H%M%S", "%Y%m%dT%H%M%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S")),
    st.integers(-14, 14),
)
def test_any_moment_written_in_any_form_and_zone_comes_back(when: datetime, form: str, hours: int) -> None:
    zone = timezone(timedelta(hours=hours))
    text = when.strftime(form)
    assert moment({"time": text}, "time") == when.replace(tzinfo=UTC).timestamp()
    assert moment({"time": f"{text}{hours:+03d}00"}, "time") == when.replace(tzinfo=zone).timestamp()


@given(st.from_regex(r"[0-9]{1,16}", fullmatch=True))
def test_figures_are_their_count_or_the_date_that_they_spell_or_refused(text: str) -> None:
    spelled = set()
    for form, length in (("%Y%m%d", 8), ("%Y%m%d%H%M", 12), ("%Y%m%d%H%M%S", 14)):
        try:
            found = datetime.strptime(text, form) if len(text) == length else None
        except ValueError:
            continue
        spelled |= {found.replace(tzinfo=UTC).timestamp()} if found else set()
    with contextlib.suppress(ValueError):
        assert moment({"time": text}, "time") in {float(text), *spelled}


@pytest.mark.shared
def test_the_cases_that_failed(shared: Path, tmp_path: Path) -> None:
    for line in (shared / "cases" / "times.jsonl").read_text(encoding="utf-8").splitlines():
        path = tmp_path / "one.jsonl"
        path.write_text(line, encoding="utf-8")
        text = json.loads(line)["time"]
        if text in ("1691496000000", "1609123151230"):
            with pytest.raises(HistoryError, match="are these milliseconds"):
                load_history([path])
        else:
            [one] = load_history([path]).interactions
            assert one.time == RIGHT[text]
