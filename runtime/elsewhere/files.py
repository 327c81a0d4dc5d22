"""A person of a bundle as files for programs that know nothing of us, and what each of them loses against the runtime.

What is in them is private: own texts, and a soft prompt or a state made of them. They are for the owner alone.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Literal

from copersona.runtime.common.errors import ModelError
from copersona.runtime.common.files import write_whole
from copersona.runtime.elsewhere.rows import word, write_rows
from copersona.runtime.elsewhere.slot import write_slot
from copersona.runtime.elsewhere.written import Writing, jinja, modelfile
from copersona.runtime.engine.turns import TurnTokens
from copersona.runtime.history.interactions import clean_text
from copersona.runtime.people.known import Known
from copersona.runtime.prompt.layout import CAUTION, CUT, INSTRUCTION
from copersona.runtime.session.session import Session

Kind = Literal["text", "gguf-rows", "llama-slot"]
KINDS: tuple[Kind, ...] = ("text", "gguf-rows", "llama-slot")

ALL_LOSE = (
    "Earlier texts that are like a request are not looked up: the same facets and latest texts stand before each.",
    "Nothing decides whether a request has to do with the person: they are always recalled.",
    "What the person writes from now on changes nothing: export again.",
)
LOSES: dict[Kind, tuple[str, ...]] = {
    "text": ("The soft prompt is not there.", "Own texts stand in the instruction, not as turns.", *ALL_LOSE),
    "gguf-rows": ("The rows are rounded as the model's words are.", *ALL_LOSE),
    "llama-slot": ("It fits this model file and this build of llama.cpp, without flash attention.", *ALL_LOSE),
}


def write_files(session: Session, known: Known, kind: Kind, folder: Path) -> list[Path]:
    """Write them into a new folder, closed to others; the paths. What a failure leaves is removed.

    Raises:
        ModelError: the folder is there already, cannot be written, or the model cannot be written in this way.
    """
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise ModelError(f"{folder}: {error.strerror or error}; name a folder that is not there") from None
    try:
        {"text": _text, "gguf-rows": _rows, "llama-slot": _slot}[kind](session, known, folder)
        lost = "".join(f"* {line}\n" for line in LOSES[kind])
        name = known.name or "A person"
        _put(folder / "README.md", f"# {name}, as {kind}\n\n{_HOW[kind]}\n\nLost against the runtime:\n\n{lost}")
        return sorted(folder.iterdir())
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise ModelError(f"{folder}: {error.strerror or error}") from None
        raise


def system_prompt(session: Session, known: Known) -> str:
    """Facets, peers and latest texts of a person in words, for any program that takes an instruction. Each text is cut
    to an equal share of the prompt's budget, as the runtime's are."""
    fixed = session.prepared(known).fixed
    shown = (*fixed.pinned, *fixed.recent)
    share = session.context.budget // max(len(shown), 1)
    facets = [f"{facet.summary}." for facet in known.persona.facets]
    peers = [CAUTION, *(peer.text for peer in fixed.peers)] if fixed.peers else []
    texts = [f"\nWritten earlier:\n{_shortened(session, one.output, share)}" for one in shown]
    return "\n".join([INSTRUCTION, *facets, *peers, *texts]) + "\n"


def _shortened(session: Session, text: str, most: int) -> str:
    tokens = session.layout.text(text)
    return clean_text(text) if len(tokens) <= most else session.engine.detokenize(tokens[:most]) + CUT


def beginning(session: Session, known: Known) -> list[int]:
    """The tokens of a person's prompt before any request."""
    segments = session.layout.complete(session.prepared(known).fixed, "").segments
    return [token for segment in segments if segment.name != "request" for token in segment.tokens]


def _text(session: Session, known: Known, folder: Path) -> None:
    _put(folder / "system.txt", system_prompt(session, known))


def _rows(session: Session, known: Known, folder: Path) -> None:
    writing, turns = Writing(session.engine.vocabulary), session.layout.turns
    prefix = "".join(map(word, range(len(known.soft)))) + writing.text(beginning(session, known))
    as_text = writing.turns(turns)
    template, unsaid = jinja(prefix, as_text), _unsaid(writing, turns)
    write_rows(session.bundle.path("model"), known.soft, unsaid, template, folder / "model.gguf")
    os.chmod(folder / "model.gguf", 0o600)
    _put(folder / "Modelfile", modelfile("model.gguf", prefix, as_text))


def _slot(session: Session, known: Known, folder: Path) -> None:
    writing, turns = Writing(session.engine.vocabulary), session.layout.turns
    tokens = beginning(session, known)
    prefix = writing.text([turns.end] * len(known.soft) + tokens)
    write_slot(session.engine, known.soft, tokens, turns.end, folder / "persona.slot")
    _put(folder / "template.jinja", jinja(prefix, writing.turns(turns)))


def _unsaid(writing: Writing, turns: TurnTokens) -> int:
    """A control token that opens a turn, which no answer holds."""
    found = next(filter(writing.is_control, (*turns.user.open, *turns.first.open)), None)
    if found is None:
        raise ModelError("no control token opens a turn of this model, so no word can be kept from being said")
    return found


def _put(path: Path, text: str) -> None:
    write_whole(path, [text.encode("utf-8")], 0o600)


_HOW: dict[Kind, str] = {
    "text": "Give `system.txt` to any program as the instruction (system prompt).",
    "gguf-rows": "    ollama create persona -f Modelfile && ollama run persona\n"
    "    llama-server -m model.gguf --jinja\n\n"
    "LM Studio and llamafile open `model.gguf` as any other; its chat template begins with the person.",
    "llama-slot": "    llama-server -m MODEL.gguf --jinja --chat-template-file template.jinja --flash-attn off "
    "--parallel 1 --slot-save-path .\n"
    "    curl -d '{\"filename\": \"persona.slot\"}' 'http://127.0.0.1:8080/slots/0?action=restore'\n\n"
    "MODEL.gguf is `model.gguf` of the bundle; of a thin one, of what `copersona bundle assemble` makes of it.",
}
