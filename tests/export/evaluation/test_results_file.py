"""The figures of a report as a file: read back as written, the same bytes twice; those of the docs give its figures."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from copersona.export.evaluation.report.results_file import NAME, read_results, write_results

pytestmark = pytest.mark.export

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs" / "evaluation"
RESULTS = {
    "dataset": "Ünïcode.jsonl",
    "comparisons": [{"difference": -0.000123, "smallest": None, "people": 2}],
    "values": {"methods": {"CoPersona": {"n00000": {"bits per byte": 1.53763}, "n00001": {"bits per byte": 0.1}}}},
}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_results(tmp_path, RESULTS)
    assert read_results(tmp_path) == RESULTS
    assert [path.name for path in tmp_path.iterdir()] == [NAME]
    assert json.loads(gzip.decompress((tmp_path / NAME).read_bytes())) == RESULTS


def test_the_same_results_are_the_same_bytes_anywhere_and_at_any_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_results(tmp_path / "one", RESULTS)
    monkeypatch.setattr("time.time", lambda: 1.0)
    write_results(tmp_path / "another", RESULTS)
    first = (tmp_path / "one" / NAME).read_bytes()
    assert first == (tmp_path / "another" / NAME).read_bytes()
    assert first[3:8] == bytes(5)  # no flags, so no name, and no time


def test_every_report_of_the_docs_has_its_results() -> None:
    reports = sorted(path.parent for path in DOCS.glob("*/report.md"))
    assert reports
    for folder in reports:
        results = read_results(folder)
        assert f"{results['people']} people of {results['dataset']}" in (folder / "report.md").read_text()
        assert all(results["values"].values())


def test_two_reports_are_compared_as_the_docs_say() -> None:
    text = (DOCS / "README.md").read_text()
    (snippet,) = re.findall(r"python - <<'END'\n(.*?)\n    END", text, re.DOTALL)
    code = re.sub("^    ", "", snippet, flags=re.MULTILINE)
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    first, second = run.stdout.splitlines()
    figures = [
        [float(value) for value in re.search(r"mean=(\S+), low=(\S+), high=(\S+),", line).groups()]  # type: ignore[union-attr]
        for line in (first, second)
    ]
    mean, low, high = figures[0]
    assert f"{mean:.4f} [{low:.4f}, {high:.4f}] more than with facets first" in text
    mean, low, high = figures[1]  # the docs say by how much the other costs more
    assert f"apart by {-mean:.4f} [{-high:.4f}, {-low:.4f}] over the same".replace("-", "−") in text
