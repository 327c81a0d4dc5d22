"""What a guard is made for: the bundle of a run, or any bundle with the histories of people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from copersona.export.guard.people import Person, of_files, of_run
from copersona.export.run.run import Run
from copersona.runtime.bundle.manifest import bundle_id
from copersona.runtime.bundle.opened import Bundle
from copersona.runtime.bundle.verify import open_manifest
from copersona.runtime.common.errors import ExportError

GUARD = "guard"  # role of the guard's file in a bundle, and the folder of its work


@dataclass(frozen=True, slots=True)
class Options:
    """What `copersona export guard` was asked for. Without a run, `histories` are files of what people wrote, in
    `format`, and `out` is where the work is kept; `enrolled` has the pseudonyms of who is a peer of the bundle."""

    questions: tuple[Path, ...]
    people: int = 160
    bundle: Path | None = None
    histories: tuple[Path, ...] = ()
    format: str = "jsonl"
    enrolled: Mapping[str, str] = field(default_factory=dict)
    out: Path | None = None
    evaluate: bool = False
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A bundle, the folder where answers are kept, and where its people come from."""

    bundle: Path
    folder: Path
    run: Run | None
    options: Options

    @classmethod
    def of(cls, target: Path, options: Options) -> Source:
        """The source of a run folder or of a bundle.

        Raises:
            ExportError: neither of them, or a bundle without histories and a folder for the work.
        """
        run = Run.open(target) if (target / "settings.json").is_file() else None
        if run is None and not (options.histories and options.out):
            raise ExportError(f"{target}: no run folder; of a bundle give --histories FILE and --out FOLDER too")
        bundle = target if run is None else options.bundle or run.bundle
        home = options.out or target
        manifest = open_manifest(bundle)
        if run is not None and manifest.population_id != open_manifest(run.bundle).population_id:
            raise ExportError(f"{bundle}: a bundle of another population than {run.bundle}; give its own run")
        without = bundle_id(tuple(row for row in manifest.files if row.role != GUARD))
        folder = home / GUARD / without[:12]
        folder.mkdir(parents=True, exist_ok=True)
        return cls(bundle, folder, run, options)

    def people(self, bundle: Bundle) -> list[Person]:
        """Everyone who can be asked, by hash."""
        if self.run is not None:
            return of_run(self.run)
        given = self.options
        return of_files(bundle, given.histories, given.format, given.enrolled)
