"""Exports of a person's own, large and made up, through `people import`; and what the rules for junk leave out.

    python benchmarks/importers.py sizes --mbox 2000 --chatgpt 500 --bundle assets/demo/bundle
    python benchmarks/importers.py rules ../shared/data

`sizes` writes an mbox and a ChatGPT export of so many megabytes, imports each in a process of its own, and once more a
copy that is cut in its last record: then nothing may be kept. Printed are seconds of CPU and by the clock, the most
memory that was resident, and the lines of progress. `rules` counts what each rule leaves out of texts that people
wrote, and how many of the same with some words changed are told as nearly the same.
"""

from __future__ import annotations

import base64
import json
import lzma
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from copersona.runtime.importing.junk import NearDuplicates, junk
from copersona.runtime.people.store import PeopleStore

WORDS = (
    "the a and but so with without after before again never always quite rather very garden kitchen train bicycle rain "
    "lamp bread river window ladder market letter winter summer morning engine concert island harbour museum bridge "
    "walked found lost cooked painted mended planted carried asked forgot climbed waited opened bought sold heard "
    "old new small large quiet noisy green yellow cheap warm cold broken honest clever neighbour cousin teacher"
).split()
EVERY_OWN = 8  # one mail of so many is one's own
ATTACHED = 20  # one of so many has a file
TIME = 1_500_000_000
CHANGED = (0.05, 0.1, 0.2, 0.4)  # shares of the words of a text that are changed
MEGABYTE = 1_000_000
CUT = 40  # bytes that the end of a cut export lacks


def said(draw: random.Random, words: int) -> str:
    """A text of so many words, some of them never seen before."""
    found = draw.choices(WORDS, k=words)
    found[words // 2] += f"{draw.randrange(1 << 30):x}".translate(str.maketrans("0123456789", "ghijklmnop"))
    return " ".join(found).capitalize() + "."


def mails(size: int) -> Iterator[str]:
    """Mails of Gmail until they are `size` bytes."""
    draw, made, number = random.Random(size), 0, 0
    while made < size:
        number += 1
        own = number % EVERY_OWN == 0
        sender, label = ("ana@example.org", "Sent") if own else (f"person{number % 997}@example.com", "Inbox")
        stamp = time.gmtime(TIME + number * 600)
        head = (
            f"From {number}@xxx {time.strftime('%a %b %d %H:%M:%S +0000 %Y', stamp)}\nX-Gmail-Labels: {label}\n"
            f"From: {sender}\nSubject: {said(draw, 5)}\nDate: {time.strftime('%a, %d %b %Y %H:%M:%S +0000', stamp)}\n"
        )
        body = f"{said(draw, 60)}\n\nOn Monday, Bob <bob@example.com> wrote:\n> {said(draw, 40)}\n\n-- \nAna\n"
        if number % ATTACHED == 0:
            packed = base64.encodebytes(draw.randbytes(draw.randrange(2_000_000))).decode()
            head += 'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="m"\n'
            body = f"--m\nContent-Type: text/plain\n\n{body}\n--m\nContent-Transfer-Encoding: base64\n"
            body += f"Content-Type: application/zip\n\n{packed}\n--m--\n"
        mail = f"{head}\n{body}\n"
        made += len(mail)
        yield mail


def conversations(size: int) -> Iterator[str]:
    """An array of ChatGPT's conversations until it is `size` bytes."""
    draw, made, number = random.Random(size), 0, 0
    while made < size:
        number += 1
        mapping: dict[str, object] = {"root": {"id": "root", "parent": None, "children": ["0"], "message": None}}
        turns = draw.randrange(2, 60)
        for turn in range(turns):
            content = {"content_type": "text", "parts": [said(draw, 60 if turn % 2 == 0 else 250)]}
            role = "user" if turn % 2 == 0 else "assistant"
            stamp = TIME + number * 600 + turn
            message = {"author": {"role": role}, "create_time": stamp, "content": content, "recipient": "all"}
            above = "root" if turn == 0 else str(turn - 1)
            mapping[str(turn)] = {"id": str(turn), "parent": above, "children": [str(turn + 1)], "message": message}
        body = {
            "title": said(draw, 4),
            "mapping": mapping,
            "current_node": str(turns - 1),
            "conversation_id": str(number),
        }
        text = ("[" if number == 1 else ",\n") + json.dumps(body)
        made += len(text)
        yield text
    yield "]"


def command(*words: object) -> None:
    """Run a command as at a terminal, in this process."""
    from copersona.runtime.cli.main import main

    main([str(word) for word in words], standalone_mode=False)


def measured(what: str, home: Path, *words: object) -> int:
    """Run a command in a process of its own and print what it took; its exit status."""
    call = [sys.executable, __file__, "--step", *map(str, words)]
    start = time.monotonic()
    done = subprocess.run(call, capture_output=True, text=True, env={**os.environ, "COPERSONA_HOME": str(home)})
    clock = time.monotonic() - start
    lines = done.stderr.splitlines()
    took = next((json.loads(line[6:]) for line in lines if line.startswith("took: ")), {"cpu": 0, "resident": 0})
    print(f"{what:<40}{took['cpu']:7.1f} s CPU {clock:7.1f} s {took['resident'] / 1e6:7.0f} MB resident", flush=True)
    shown = [line for line in lines if "reading bytes" in line or line.startswith("error")]
    for line in [*shown[:2], *shown[-1:]] if len(shown) > 3 else shown:
        print(f"    {line[:150]}")
    for line in done.stdout.splitlines()[:8]:
        print(f"    {line[:150]}")
    return done.returncode


def kept(home: Path) -> int:
    with PeopleStore(home / "people.sqlite") as store:
        return sum(row.interactions for row in store.listed())


@click.group()
def main() -> None:
    """Large exports, and the rules for junk."""


@main.command()
@click.option("--mbox", type=int, default=2000, help="Megabytes of mail.")
@click.option("--chatgpt", type=int, default=500, help="Megabytes of conversations.")
@click.option("--bundle", type=click.Path(path_type=Path, exists=True), default=Path("assets/demo/bundle"))
@click.option("--only-read", is_flag=True, help="Read them, keep nothing, and no bundle is opened.")
def sizes(mbox: int, chatgpt: int, bundle: Path, only_read: bool) -> None:
    """Import large exports, whole and cut; of 0 megabytes, none."""
    makers = (
        ("all.mbox", mails, mbox, ("--me", "ana@example.org", "--person", "ana")),
        ("conversations.json", conversations, chatgpt, ("--person", "ana", "--prompts")),
    )
    for name, make, size, told in makers:
        if not size:
            continue
        with tempfile.TemporaryDirectory() as folder:
            home, path = Path(folder) / "home", Path(folder) / name
            given = ("people", "import", bundle, path, *told)
            with path.open("w", encoding="utf-8") as file:
                file.writelines(make(size * MEGABYTE))
            print(f"{name}: {path.stat().st_size / 1e6:,.0f} MB")
            measured("  dry run", home, *given, "--dry-run")
            if only_read:
                continue
            one = Path(folder) / "one.jsonl"
            one.write_text('{"person": "bob", "output": "It hums."}\n', encoding="utf-8")
            measured("  one text, and the bundle checked", home, "people", "import", bundle, one)
            measured("  import", home, *given)
            measured("  import again", home, *given)
            print(f"    {kept(home):,} texts kept")
            if name.endswith(".json"):
                os.truncate(path, path.stat().st_size - CUT)
                measured("  forgotten", home, "people", "forget", "ana")
                status = measured("  import of what was cut", home, *given)
                print(f"    status {status}, {kept(home):,} texts kept")


def written(data: Path) -> Iterator[tuple[str, str]]:
    """Name of each data set and a text of it."""
    with lzma.open(data / "english_blog_text.jsonl.xz", "rt", encoding="utf-8") as file:
        for number, line in enumerate(file):
            if number >= 20_000:
                break
            yield "blogs", next(value for value in json.loads(line).values() if isinstance(value, str))
    for name in ("amazon2014_musical_instruments", "amazon2014_digital_music_part"):
        with (data / f"{name}.jsonl").open(encoding="utf-8") as file:
            for line in file:
                yield name, json.loads(line).get("reviewText", "")


@main.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True))
def rules(data: Path) -> None:
    """Count what each rule leaves out of texts that people wrote, and near-duplicates that are told."""
    found: dict[str, Counter[str]] = {}
    near: dict[str, NearDuplicates] = {}
    texts: list[str] = []
    for name, text in written(data):
        if text.strip():
            why = junk(text) or ("nearly the same" if near.setdefault(name, NearDuplicates()).seen(text) else "taken")
            found.setdefault(name, Counter())[why] += 1
            texts.append(text)
    for name, counts in found.items():
        total = sum(counts.values())
        print(f"{name}: {total:,} texts")
        for why, count in counts.most_common():
            print(f"    {count:>7,}  {count / total:8.3%}  {why}")
    draw = random.Random(0)
    for share in CHANGED:
        told, tried = 0, draw.sample([text for text in texts if len(text.split()) >= 10], 2_000)
        for text in tried:
            words = text.split()
            for place in draw.sample(range(len(words)), max(1, round(share * len(words)))):
                words[place] = draw.choice(WORDS)
            pair = NearDuplicates()
            pair.seen(text)
            told += pair.seen(" ".join(words))
        print(f"{share:.0%} of the words changed: {told / len(tried):.1%} of {len(tried):,} told as nearly the same")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--step"]:
        try:
            command(*sys.argv[2:])
        finally:
            used = resource.getrusage(resource.RUSAGE_SELF)
            body = {"cpu": used.ru_utime + used.ru_stime, "resident": used.ru_maxrss * 1024}
            print(f"took: {json.dumps(body)}", file=sys.stderr)
    else:
        main()
