"""Stages of work in a process of its own: each is told before it begins, so that the one at which it fails is known."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from copersona.runtime.common.apart import asked, run_apart
from copersona.runtime.common.errors import CoPersonaError
from copersona.runtime.common.memory import free_memory
from copersona.runtime.common.terminal import in_line

SECONDS = 20.0  # of computing, where files are small
SPEED = 5e6  # bytes of files for which there is a second more, on a slow processor
LIBRARIES = 1 << 30  # bytes of address space that all libraries together take, and as much again
SHARE = 0.8  # of the memory that is free, which may be needed
TO_DO = "it was not loaded here; get it anew, and if it stays so, tell who made it"


def run_stages(
    module: str, body: Mapping[str, Any], where: str, error: type[CoPersonaError], *, size: int, beside: int
) -> None:
    """Have a module do its stages (`tell_stages`) in a process of its own, `run_apart`, on files of `size` bytes, with
    which as many as `beside` are needed.

    Raises:
        CoPersonaError: of the kind `error`, one line that names `where` and the stage: what it was refused for, or that
            the process crashed, did not end or took too much memory; or that more is needed than is free.
        ModelError: no process can be had.
    """
    needed, free = size + beside, free_memory()
    if free is not None and needed > SHARE * free:
        raise error(
            f"{where}: needs {needed >> 20:,} MB of memory, more than {SHARE:g} of the {free >> 20:,} MB that are "
            "free; end other programs, or use a smaller model"
        )
    seconds, memory = SECONDS + size / SPEED, LIBRARIES + needed + 2 * size  # files are read, unpacked and packed anew
    ended = run_apart(module, body, seconds=seconds, memory=memory)
    lines = ended.out.decode("utf-8", "surrogateescape").split("\n")
    said = dict(line.partition(" ")[::2] for line in lines)  # of each kind the last
    if ended.code == 0 and "whole" in said:
        return
    stage, why = said.get("stage", "start"), said.get("refused")
    if ended.code == 0 and why is not None:
        raise error(why if why.startswith(where) else f"{where}: {stage}: {why}")
    raise error(f"{where}: {stage}: {ended.how}, loaded apart within {seconds:.0f} s and {memory >> 20:,} MB; {TO_DO}")


def tell_stages(work: Callable[[Mapping[str, Any]], Iterator[str]]) -> None:
    """The other side: do the work that is asked, whose stages come from an iterator, each before it is done.

    What libraries print goes to stderr: what is told stands alone on stdout.
    """
    body = asked()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="surrogateescape")
    os.dup2(2, 1)

    def tell(kind: str, what: str = "") -> None:
        print(kind, in_line(what), file=out, flush=True)

    try:
        for stage in work(body):
            tell("stage", stage)
    except CoPersonaError as error:
        tell("refused", str(error))
    else:
        tell("whole")
