"""How a base turns its queries and keys: by one angle and no scaling, said in one way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from copersona.runtime.common.errors import ExportError

TABLES = ("rope_parameters", "rope_scaling")  # of transformers 5, and of those before it
THETA = 10_000.0  # where a config says nothing


def rope_theta(config: Mapping[str, Any], where: Path | str) -> float:
    """The base of the angles. transformers 5 keeps it in `rope_parameters`, 4 beside the other keys.

    Raises:
        ExportError: rope scaling, or places that disagree.
    """
    said = dict(_said(config, where))
    if len(set(said.values())) > 1:
        found = " and ".join(f"{value:g} in {name}" for name, value in said.items())
        raise ExportError(f"{where}: rope_theta is {found}; leave one, that which the base was trained with")
    return next(iter(said.values()), THETA)


def check_rope(config: Mapping[str, Any], where: Path | str) -> None:
    """That the installed transformers turns by the angle that `rope_theta` gives, so that training and device agree.

    Raises:
        ExportError: as `rope_theta`; or the angle stands where these transformers do not look.
    """
    theta, installed = rope_theta(config, where), version("transformers")
    if int(installed.split(".")[0]) < 5 and theta != float(config.get("rope_theta") or THETA):
        raise ExportError(
            f"{where}: rope_theta {theta:g} stands in {TABLES[0]}, which transformers {installed} does not read; write "
            "it beside the other keys too, or install transformers 5"
        )


def _said(config: Mapping[str, Any], where: Path | str) -> Iterator[tuple[str, float]]:
    """Each place that names a base, and the base. Raises ExportError for scaling of any kind."""
    for name in TABLES:
        table = config.get(name) or {}
        if not isinstance(table, Mapping):
            raise ExportError(f"{where}: {name} is {table!r}, expected an object; use a base without rope scaling")
        for key in ("rope_type", "type"):
            if (kind := table.get(key, "default")) != "default":
                raise ExportError(
                    f"{where}: rope of the type {kind!r} is not supported; use a base without rope scaling"
                )
        for key, plain in (("factor", 1.0), ("partial_rotary_factor", 1.0)):
            if table.get(key, plain) != plain:
                raise ExportError(f"{where}: {name} has {key} {table[key]!r}, which is not supported; use another base")
        if table.get("rope_theta") is not None:
            yield name, _number(table["rope_theta"], f"{where}: rope_theta in {name}")
    if config.get("rope_theta") is not None:
        yield "the other keys", _number(config["rope_theta"], f"{where}: rope_theta")


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        raise ExportError(f"{what} is {value!r}, expected a number above 0")
    return float(value)
