"""An export that dies while it puts a file in its place leaves old or new files, and a rerun ends as if nothing was.

`benchmarks/kills.py` does the same to the whole command at random moments.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .test_repeat import dump, export

pytestmark = pytest.mark.export

DYING = """
import os, sys
from pathlib import Path
sys.path.insert(0, {repository!r})
from tests.test_repeat import export
replace, left = os.replace, {number}

def dying(source, target, **options):
    global left
    left -= 1
    if not left:
        os._exit(9)  # as a kill does: no cleaning up, nothing flushed
    replace(source, target, **options)

os.replace = dying
export(Path({folder!r}), Path({base!r}))
"""


@pytest.fixture(scope="module")
def undisturbed(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return dump(export(tmp_path_factory.mktemp("whole") / "run", tiny_base))


@pytest.mark.parametrize("number", [3, 8, 12, 16])
def test_promise_killed_export_ends_as_undisturbed(
    number: int, undisturbed: dict[str, bytes], tiny_base: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    repository = Path(__file__).resolve().parent.parent
    script = DYING.format(repository=str(repository), number=number, folder=str(folder), base=str(tiny_base))
    killed = subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONWARNINGS": "ignore"}, check=False)
    assert killed.returncode == 9, "it was to die, and to do so by the kill"
    before = {p.relative_to(folder) for p in folder.rglob("*") if p.is_file()}
    assert before, "nothing was written before the kill"
    whole = dump(export(folder, tiny_base))
    assert [name for name in undisturbed if whole[name] != undisturbed[name]] == []
    assert not [p for p in folder.rglob("*") if ".part" in p.name or ".old" in p.name]
