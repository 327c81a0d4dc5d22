"""Makes the pages that come from the code: commands.md, api.md and the picture of the house.

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

DOCS = Path(__file__).resolve().parent
RUNTIME = DOCS.parent / "runtime"
ORDER = (
    "common", "history", "filecheck", "engine", "chat", "profile", "persona", "prompt", "bundle", "people", "session",
    "batch", "demo", "cli",
)  # fmt: skip
ROUTE = ("cli", "session", "bundle", "people", "prompt", "engine")  # a test counts them by a trace
WIDTH = 100  # columns of help texts
MADE = "<!-- made by docs/generate.py; change the code instead -->"


def pages() -> dict[Path, str]:
    """Each page's path and what it must hold."""
    return {DOCS / "commands.md": commands(), DOCS / "api.md": api(), DOCS / "house.svg": house()}


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
            groups["Functions"].append(entry("###", signature(name, found), found))
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
    parts = [entry("###", name if issubclass(found, Exception) else signature(name, found), found)]
    for member, value in members(found):
        if isinstance(value, property) or hasattr(value, "func"):
            getter = value.fget if isinstance(value, property) else value.func
            parts.append(entry("####", f"{name}.{member}", getter))
        elif inspect.isfunction(value):
            parts.append(entry("####", signature(f"{name}.{member}", value, skip=1), value))
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


def signature(name: str, found: Any, skip: int = 0) -> str:
    """`name(parameters) -> result`, as it is written."""
    given = inspect.signature(found)
    rest = given.replace(parameters=list(given.parameters.values())[skip:])
    return f"{name}{rest}".replace("'", "").replace(" -> None", "")


def entry(level: str, title: str, found: Any) -> str:
    return f"{level} `{title}`\n\n{prose(inspect.getdoc(found) or '')}".rstrip()


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


# -- the picture ------------------------------------------------------------------------------------------------------

ROW, TOP, LEFT, BOX = 44, 64, 190, 560
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#333}.name{font-weight:600}.small{font-size:11px;fill:#777}"
    ".box{fill:#fafafa;stroke:#ddd}.route{fill:#eaf2fb;stroke:#5b8fc9}.step{fill:#2f6db0;font-weight:600;stroke:#fff;stroke-width:5;paint-order:stroke}"
    ".arrow{fill:none;stroke:#9aa5b1;stroke-width:1;opacity:.45}.way{fill:none;stroke:#2f6db0;stroke-width:2}"
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
    middle = {name: TOP + ROW * place + 17 for place, name in enumerate(ORDER)}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 {height}" width="900" height="{height}">',
        f'<style>{STYLE}</style><rect width="900" height="{height}" fill="#fff"/>',
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
    """A curve on the right from an importer up to what it imports."""
    x, reach = LEFT + BOX, 12 + (start - end) * 0.22
    return f'<path class="arrow" d="M{x},{start} C{x + reach:.0f},{start} {x + reach:.0f},{end} {x},{end}"/>'


def way(start: int, end: int) -> str:
    """A curve on the left: one step of a request, led by the session."""
    reach = 30 + abs(start - end) * 0.25
    return f'<path class="way" d="M{LEFT},{start} C{LEFT - reach:.0f},{start} {LEFT - reach:.0f},{end} {LEFT},{end}"/>'


def room(name: str, y: int) -> str:
    """A package's box: its name, how many files, the first sentence of its contract."""
    folder = RUNTIME / name
    contract = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    line = textwrap.shorten(contract.split("\n")[0], 82, placeholder=" ...")
    files = len(list(folder.glob("*.py"))) - 1
    kind = "box route" if name in ROUTE else "box"
    step = f'<text x="{LEFT - 16}" y="{y + 5}" class="step">{ROUTE.index(name) + 1}</text>' if name in ROUTE else ""
    return (
        f'<rect x="{LEFT}" y="{y - 17}" width="{BOX}" height="34" rx="5" class="{kind}"/>{step}'
        f'<text x="{LEFT + 12}" y="{y + 5}" class="name">{name}</text>'
        f'<text x="{LEFT + 92}" y="{y + 4}" class="small">{escape(line)}</text>'
        f'<text x="{LEFT + BOX - 12}" y="{y + 4}" class="small" text-anchor="end">{files}</text>'
    )


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
