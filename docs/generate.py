"""Makes the pages that come from the code: commands.md, api.md, importers.md and the picture of the house.

python docs/generate.py            write what changed
python docs/generate.py --check    end with 1 and name what is stale
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import click

from copersona import runtime
from copersona.runtime.cli.main import main as root
from copersona.runtime.importing.export import MAX_GIVEN, PROMPT_LEAST, PROMPT_MOST
from copersona.runtime.importing.junk import MIN_WORDS, REMEMBERED
from copersona.runtime.importing.recognise import FORMATS
from copersona.runtime.importing.source import MAX_FILES

DOCS = Path(__file__).resolve().parent
RUNTIME = DOCS.parent / "runtime"
ROUTE = ("cli", "session", "bundle", "people", "prompt", "engine")  # a test counts them by a trace
WIDTH = 100  # columns of help texts
MADE = "<!-- made by docs/generate.py; change the code instead -->"


def order() -> tuple[str, ...]:
    """The packages of the runtime in their order, which stands in tests/test_house.py alone."""
    tree = ast.parse((RUNTIME.parent / "tests" / "test_house.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "RUNTIME":
            return tuple(ast.literal_eval(node.value))
    raise SystemExit("tests/test_house.py: no RUNTIME, the order of the packages")


ORDER = order()


def pages() -> dict[Path, str]:
    """Each page's path and what it must hold."""
    made = {"commands.md": commands, "api.md": api, "importers.md": importers, "house.svg": house}
    return {DOCS / name: page() for name, page in made.items()}


def stale() -> list[Path]:
    """Pages that do not hold what the code says."""
    return [path for path, text in pages().items() if not path.is_file() or path.read_text(encoding="utf-8") != text]


# -- commands ---------------------------------------------------------------------------------------------------------


def walk(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """Full name and help of a command and of all below it."""
    given = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(command, parent, info_name=name, **given)
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            assert found is not None
            yield from walk(found, below, context)


def commands() -> str:
    """Help of every command."""
    found = list(walk(root, "copersona"))
    links = [f"- [`{path}`](#{path.replace(' ', '-')})" for path, _ in found]
    parts = [f"## {path}\n\n```\n{text.rstrip()}\n```" for path, text in found]
    head = (
        f"# Commands\n\n{MADE}\n\nThe `--help` of every command. What the options mean together: [guide.md](guide.md)."
    )
    return "\n\n".join([head, "\n".join(links), *parts]) + "\n"


# -- the public names -------------------------------------------------------------------------------------------------


def api() -> str:
    """Every public name with its docstring."""
    groups: dict[str, list[str]] = {"Classes": [], "Functions": [], "Errors": [], "Types": []}
    for name in runtime.__all__:
        found = getattr(runtime, name)
        if inspect.isclass(found):
            groups["Errors" if issubclass(found, Exception) else "Classes"].append(described(name, found))
        elif callable(found) and not hasattr(found, "__origin__"):
            groups["Functions"].append(entry("###", name, found, signature(name, found)))
        elif not isinstance(found, str):
            groups["Types"].append(
                f"### `{name}`\n\n`{str(found).replace('copersona.runtime.history.interactions.', '')}`"
            )
    told = f"{prose(runtime.__doc__ or '')}\n\n`runtime.__version__` is the installed version."
    head = f"# The Python API\n\n{MADE}\n\n{told}"
    parts = [f"## {title}\n\n" + "\n\n".join(entries) for title, entries in groups.items()]
    return "\n\n".join([head, *parts]) + "\n"


def described(name: str, found: type) -> str:
    """A class: how it is made, what it says of itself, and its own public members."""
    parts = [entry("###", name, found, "" if issubclass(found, Exception) else signature(name, found))]
    for member, value in members(found):
        if isinstance(value, property) or hasattr(value, "func"):
            getter = value.fget if isinstance(value, property) else value.func
            parts.append(entry("####", f"{name}.{member}", getter))
        elif inspect.isroutine(value):
            called, skip = getattr(value, "__func__", value), 0 if isinstance(value, staticmethod) else 1
            parts.append(entry("####", f"{name}.{member}", called, signature(member, called, skip)))
    return "\n\n".join(parts)


def members(found: type) -> Iterator[tuple[str, Any]]:
    """Public members that the project's own classes define and describe, the class's first."""
    seen: set[str] = set()
    for owner in found.__mro__:
        if owner.__module__.startswith("copersona"):
            for member, value in vars(owner).items():
                documented = getattr(getattr(value, "fget", None) or getattr(value, "func", value), "__doc__", None)
                if not member.startswith("_") and member not in seen and documented:
                    seen.add(member)
                    yield member, value


class Bare(str):
    """An annotation that is shown without quotes."""

    __repr__ = str.__str__


def bare(annotation: Any) -> Any:
    return Bare(annotation) if isinstance(annotation, str) else annotation


def signature(name: str, found: Any, skip: int = 0) -> str:
    """`name(parameters) -> result` as it is written; one parameter a line where that is long."""
    given = inspect.signature(found)
    parameters = [p.replace(annotation=bare(p.annotation)) for p in list(given.parameters.values())[skip:]]
    result = bare(given.return_annotation)
    line = str(given.replace(parameters=parameters, return_annotation=result)).removesuffix(" -> None")
    if len(name + line) <= WIDTH:
        return name + line
    rows = [str(p) for p in parameters]
    keywords = [place for place, p in enumerate(parameters) if p.kind is p.KEYWORD_ONLY]
    if keywords and not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        rows.insert(keywords[0], "*")
    end = str(inspect.Signature(return_annotation=result)).removeprefix("(").removesuffix(" -> None")
    return "\n".join([f"{name}(", *(f"    {row}," for row in rows), end])


def entry(level: str, title: str, found: Any, call: str = "") -> str:
    """A heading, how it is called, and the docstring."""
    shown = f"```python\n{call}\n```\n\n" if call else ""
    return f"{level} `{title}`\n\n{shown}{prose(inspect.getdoc(found) or '')}".rstrip()


def prose(text: str) -> str:
    """A docstring as Markdown: what stands under "Raises:" becomes a list, an example stays one."""
    lines: list[str] = []
    raising = False
    for line in inspect.cleandoc(text).splitlines():
        if line == "Raises:":
            raising = True
            lines += ["Raises:", ""]
        elif raising and line.startswith("    ") and not line.startswith("     "):
            what, _, why = line.strip().partition(": ")
            lines.append(f"- `{what}`: {why}")
        else:
            lines.append(f"  {line.strip()}" if raising and line.strip() else line)
    return "\n".join(lines)


# -- importers --------------------------------------------------------------------------------------------------------

IMPORTING = f"""\
`copersona people import BUNDLE PATH` reads what other programs give you of your own data. PATH is the file, folder or
zip as you downloaded it; nothing is unpacked to disk, and nothing leaves the machine. What it is of is told by what is
in it and said (`--format NAME` names it). `--dry-run` keeps nothing and shows how many texts there are, the first
ones, their span of time, and how many records gave none, by reason.

**Only what you wrote is evidence**; what it answers is kept as its input, up to {MAX_GIVEN:,} characters. Who you are
is told by the export, or inferred in a chat of two, or asked for: `--me` takes a name or an address, and may stand as
often as you have some. `--person` names the person to keep; without it the first `--me` does, or the export.

**What you typed to an assistant** says what you asked, not how you write. It is left out; `--prompts` takes prose of
{PROMPT_LEAST} to {PROMPT_MOST:,} characters, without code, quotes and what stands behind a colon, and it supports a
facet weakly at most.

**Left out of every text**: code between fences, lines that begin with >, links. **Left out as texts**, unless
`--keep-junk` is given: fewer than {MIN_WORDS} words, notices that a machine writes, texts of which more than half are
numbers and signs, lines that repeat as lyrics do, and what is nearly the same as one of the {REMEMBERED:,} texts
before it. What these rules leave out of what people wrote is measured ([measured.md](measured.md#importing)).

**Times**: which figure of 3/4/2023 is the day is inferred from all dates of the export; if they may be read both ways
it is refused until `--dates day-first` or `--dates month-first` settles it. A time without a zone is UTC, or in
`--zone`.

It is all or none, and importing the same again changes nothing. A record that cannot be read is counted and the next
one is read; a file that is cut, damaged or too large (as in [formats.md](formats.md), and at most {MAX_FILES:,}
files) ends the import in one line. Links in folders, and names in a zip that lead outside, are passed over and
counted."""


def importers() -> str:
    """What is read of each program's export."""
    rows = "\n".join(f"| {one.title} | `{one.name}` | {one.get} |" for one in FORMATS.values())
    table = f"| program | `--format` | what to give |\n| --- | --- | --- |\n{rows}"
    parts = [f"## {one.title}\n\n* **Yours**: {one.own}.\n* **Left out**: {one.left}." for one in FORMATS.values()]
    return "\n\n".join(["# Your own exports", MADE, IMPORTING, table, *parts]) + "\n"


# -- the picture ------------------------------------------------------------------------------------------------------

ROW, TOP, LEFT, BOX, TALL = 52, 66, 132, 640, 42
LETTERS = 72  # of a contract in a line: fits where system-ui is a wide font too
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#333}.name{font-weight:600}text.small{font-size:11px;fill:#666}"
    ".box{fill:#fafafa;stroke:#ddd}.route{fill:#eaf2fb;stroke:#5b8fc9}"
    ".step{fill:#2f6db0;font-weight:600;stroke:#fff;stroke-width:5;paint-order:stroke}"
    ".arrow{fill:none;stroke:#8d99a6;stroke-width:1;opacity:.5}.way{fill:none;stroke:#2f6db0;stroke-width:2}"
)
HEAD = (
    '<defs><marker id="head" viewBox="0 0 6 6" refX="6" refY="3" markerWidth="6" markerHeight="6" orient="auto">'
    '<path d="M0,0L6,3L0,6z" fill="#8d99a6"/></marker></defs>'
)


def imports() -> set[tuple[str, str]]:
    """Pairs of packages of which the first imports the second."""
    found = set()
    for path in sorted(RUNTIME.rglob("*.py")):
        package = path.relative_to(RUNTIME).parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if package in ORDER and isinstance(node, ast.ImportFrom) and node.module:
                parts = node.module.split(".")
                if parts[:2] == ["copersona", "runtime"] and len(parts) > 2 and parts[2] != package:
                    found.add((package, parts[2]))
    return found


def house() -> str:
    """The packages in their order, importers below; arrows on the right, the way of a request on the left."""
    height = TOP + ROW * len(ORDER) + 16
    middle = {name: TOP + ROW * place + TALL // 2 for place, name in enumerate(ORDER)}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 {height}" width="900" height="{height}">',
        f'<style>{STYLE}</style><rect width="900" height="{height}" fill="#fff"/>',
        HEAD,
        f'<text x="{LEFT}" y="24" class="name">runtime/: a package imports only from those above it</text>',
        f'<text x="{LEFT}" y="44" class="small">blue, numbered: the way of one ask to its first token; '
        "grey: who imports whom, common left out</text>",
        *(arrow(middle[one], middle[other]) for one, other in sorted(imports()) if other != "common"),
        *(way(middle[one], middle[other]) for one, other in zip(("session",) * 4, ROUTE[2:], strict=True)),
        way(middle["cli"], middle["session"]),
        *(room(name, middle[name]) for name in ORDER),
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def arrow(start: int, end: int) -> str:
    """A curve on the right: from the upper half of an importer's box to the lower half of what it imports."""
    x, start, end = LEFT + BOX, start - 7, end + 7
    out = x + 14 + (start - end) * 0.2
    return (
        f'<path class="arrow" marker-end="url(#head)" d="M{x},{start} C{out:.0f},{start} {out:.0f},{end} {x},{end}"/>'
    )


def way(start: int, end: int) -> str:
    """A curve on the left: one step of a request, led by the session."""
    reach = 30 + abs(start - end) * 0.25
    return f'<path class="way" d="M{LEFT},{start} C{LEFT - reach:.0f},{start} {LEFT - reach:.0f},{end} {LEFT},{end}"/>'


def room(name: str, y: int) -> str:
    """A package's box: its name, the first line of its contract, how many files."""
    folder = RUNTIME / name
    contract = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    lines = textwrap.wrap(contract.partition("\n")[0].replace("`", ""), LETTERS)
    first = y + 4 - 7 * (len(lines) - 1)
    told = "".join(small(LEFT + 92, first + 14 * place, line) for place, line in enumerate(lines))
    files = len(list(folder.glob("*.py"))) - 1
    kind = "box route" if name in ROUTE else "box"
    step = f'<text x="{LEFT - 16}" y="{y + 5}" class="step">{ROUTE.index(name) + 1}</text>' if name in ROUTE else ""
    return (
        f'<rect x="{LEFT}" y="{y - TALL // 2}" width="{BOX}" height="{TALL}" rx="5" class="{kind}"/>{step}'
        f'<text x="{LEFT + 12}" y="{y + 5}" class="name">{name}</text>{told}'
        + small(LEFT + BOX - 12, y + 4, f"{files} files", ' text-anchor="end"')
    )


def small(x: int, y: int, text: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}" class="small"{more}>{escape(text)}</text>'


def main() -> None:
    """Write the stale pages, or with --check name them."""
    found = stale()
    names = ", ".join(path.name for path in found)
    if "--check" in sys.argv[1:]:
        sys.exit(f"stale: {names}; run: python docs/generate.py" if found else 0)
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
    print(f"written: {names or 'nothing, all is current'}")


if __name__ == "__main__":
    main()
