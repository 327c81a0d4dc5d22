"""Five answers of everyone in the demo to its request, by fixed seeds and not chosen: assets/demo/answers.md.

python benchmarks/demo_answers.py [--bundle BUNDLE] [--out FILE]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from copersona.runtime.common.terminal import one_line
from copersona.runtime.demo.data import REQUEST, Demo, demo_bundle
from copersona.runtime.engine.sampling import Sampling
from copersona.runtime.session.session import open_bundle

SEEDS = range(5)
LONGEST = 96  # tokens, as in the demo
OUT = Path(__file__).resolve().parent.parent / "assets" / "demo" / "answers.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args()
    with open_bundle(demo_bundle(asked.bundle)) as session, Demo(session) as demo:
        parts = [head(session.manifest.bundle_id)]
        for person in (*demo.people, None):
            samplings = [Sampling(max_tokens=LONGEST, seed=seed) for seed in SEEDS]
            answers = [demo.answer(REQUEST, person, sampling).finish().text for sampling in samplings]
            parts.append(f"## {person or 'Nobody'}\n")
            parts.append("\n".join(f"{n}. {quoted(answer)}" for n, answer in enumerate(answers)) + "\n")
    asked.out.write_text("\n".join(parts), encoding="utf-8")
    print(asked.out)


def head(bundle: str) -> str:
    request = "\n".join(f"    {line}" for line in REQUEST.split("\n"))
    return (
        "# Five answers a person\n\n"
        f"What `python benchmarks/demo_answers.py` gives with the bundle {bundle[:12]}: everyone answers the\n"
        f"demo's request by the seeds 0 to 4, up to {LONGEST} tokens, good or bad. Nothing is left out or chosen.\n\n"
        f"{request}\n"
    )


def quoted(text: str) -> str:
    """A model's text as one line of Markdown in which nothing is markup."""
    shown = one_line(text, 1_000)
    for sign in "\\`*_{}[]<>#|~!":
        shown = shown.replace(sign, f"\\{sign}")
    return shown


if __name__ == "__main__":
    main()
