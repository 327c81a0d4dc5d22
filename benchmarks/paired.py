"""Two bundles of one run compared on the same texts of the same people.

    copersona export measure RUN --people 400 --only "bits per byte"
    copersona export measure RUN --people 400 --only "bits per byte" --bundle OTHER
    python benchmarks/paired.py RUN/bits_per_byte.json RUN/bits_per_byte-ID.json

Bits per byte of the first minus the second, mean over people with its 95 % interval: as oneself, as nobody, as another.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from copersona.export.common.statistics import mean_interval

CONDITIONS = ("own", "nobody", "stranger")


def main() -> None:
    """Print the three lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    given = parser.parse_args()
    first, second = (json.loads(path.read_text(encoding="utf-8")) for path in (given.first, given.second))
    if first["new"] != second["new"]:
        sys.exit(f"{given.first} has {len(first['new'])} people, {given.second} has {len(second['new'])}, or others")
    for name in CONDITIONS:
        found = mean_interval(np.array(first[name]) - np.array(second[name]))
        print(f"{name}: {found['mean']:.4f} [{found['low']:.4f}, {found['high']:.4f}], {found['people']} people")


if __name__ == "__main__":
    main()
