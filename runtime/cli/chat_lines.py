"""Lines of a chat that begin with / and are no turn: other chats, other people, what is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from copersona.runtime.cli.streams import say
from copersona.runtime.common.errors import PersonError
from copersona.runtime.common.files import write_whole
from copersona.runtime.common.terminal import in_line, one_line
from copersona.runtime.people.conversation_files import export_json, export_markdown
from copersona.runtime.people.conversations import Conversation
from copersona.runtime.session.chatting import Chats

SHOWN = 20  # chats of a list
LAST = 2  # messages that are shown of a chat that is opened


class ChatLines:
    """What they do to the chats of a terminal. Everything is said on standard error, where no answer is."""

    def __init__(self, chats: Chats) -> None:
        self._chats = chats
        self._shown: list[str] = []  # ids of the last list
        self._known: dict[str, tuple[str, str, Callable[[str], None]]] = {
            "/new": ("", "begin another chat", self._new),
            "/list": ("", "this person's chats, the last one first", self._list),
            "/open": ("N", "go on with one of the list", self._open),
            "/search": ("WORDS", "chats in which all of these words stand", self._search),
            "/delete": ("[N]", "delete this chat, or one of the list, down to the bytes", self._delete),
            "/export": ("[FILE]", "this chat as Markdown, into FILE if one is given; into .json as JSON", self._export),
            "/person": ("NAME", "a new chat of another person", self._person),
            "/nobody": ("", "answer as nobody from here on, to compare; /person goes back", self._nobody),
            "/keep": ("[nothing]", "keep this chat from its beginning; or begin one that is not kept", self._keep),
            "/help": ("", "this list; a turn that begins with / is typed with //", self._help),
            "/quit": ("", "end; so does Ctrl-D", lambda _: None),
        }  # fmt: skip

    def run(self, line: str) -> bool:
        """Do what a line says; whether the chat goes on. Raises CoPersonaError, OSError."""
        name, _, rest = line.strip().partition(" ")
        if name not in self._known:
            raise PersonError(f"{one_line(name, 30)} is nothing that is known here; /help lists what is")
        self._known[name][2](rest.strip())
        return name != "/quit"

    def say_what_is_kept(self) -> None:
        """The first line of a chat: what is kept, where, and how it is erased."""
        chats = self._chats
        if chats.keeps:
            who = in_line(chats.person)
            say(
                f"kept with {who} in {in_line(chats.store.path)}; /delete erases this chat, `copersona people forget` "
                "all of them, `/keep nothing` begins one that is not kept",
                err=True,
            )
        elif chats.person is None:
            say("with nobody: nothing of this chat is kept; /person NAME changes that, /help lists more", err=True)
        else:
            say("nothing of this chat is kept; /keep changes that, /help lists more", err=True)

    def open_latest(self) -> None:
        """Go on with the chat that was last changed, if there is one."""
        if found := self._chats.store.conversations(self._whose(), limit=1):
            self._go_on(found[0].id)

    def _new(self, _: str) -> None:
        self._chats.begin()
        say("a new chat", err=True)

    def _list(self, _: str) -> None:
        found = self._chats.store.conversations(self._whose(), limit=SHOWN + 1)
        self._show(found[:SHOWN])
        if len(found) > SHOWN:
            say("  there are more; /search finds them, `copersona people chats list` lists all", err=True)

    def _search(self, words: str) -> None:
        found = self._chats.store.search_conversations(self._whose(), words)
        self._shown = list(dict.fromkeys(one.conversation for one in found))[:SHOWN]
        pieces = {one.conversation: one for one in reversed(found)}  # the latest of each
        for number, id_ in enumerate(self._shown, 1):
            say(f"{number:>3}  {in_line(pieces[id_].title)}: {one_line(pieces[id_].piece)}", err=True)
        if not found:
            say("nothing found", err=True)

    def _show(self, found: Sequence[Conversation]) -> None:
        self._shown = [one.id for one in found]
        for number, one in enumerate(found, 1):
            mark = "*" if one.id == self._chats.conversation else " "
            day = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.changed))
            say(f"{number:>3}{mark} {day}  {one.messages:>4} messages  {in_line(one.title)}", err=True)
        if not found:
            say("no chats yet", err=True)

    def _open(self, which: str) -> None:
        self._go_on(self._which(which))

    def _go_on(self, id_: str) -> None:
        one = self._chats.open(id_)
        say(f"going on with: {in_line(one.title)} ({one.messages} messages)", err=True)
        for message in self._chats.messages[-LAST:]:
            say(f"  {message.role}: {one_line(message.text)}", err=True)

    def _delete(self, which: str) -> None:
        chats = self._chats
        id_ = self._which(which) if which else chats.conversation
        if id_ is not None:
            left = chats.store.delete_conversation(self._whose(), id_)
            if left:
                say(f"pending: the file is to be rewritten ({in_line(left)}); the next command does it", err=True)
        if not which or id_ == chats.conversation:
            chats.begin()
        say("deleted", err=True)

    def _export(self, file: str) -> None:
        if not self._chats.messages:
            raise PersonError("nothing was said in this chat yet")
        path = Path(file).expanduser()
        write = export_json if path.suffix == ".json" else export_markdown
        pieces = write([self._chats.whole()])
        if not file:
            say("".join(pieces), nl=False)
            return
        if path.exists():
            raise PersonError(f"{file}: it is there already; name another file")
        write_whole(path, (piece.encode("utf-8") for piece in pieces), 0o600)
        say(f"written to {in_line(path)}", err=True)

    def _person(self, name: str) -> None:
        if not name and self._chats.person is not None:
            self._chats.persona = True
            say(f"answering as {in_line(self._chats.person)}", err=True)
            return
        self._chats.begin(name or self._whose())
        self.say_what_is_kept()

    def _nobody(self, _: str) -> None:
        self._chats.persona = False
        say("answering as nobody from here on", err=True)

    def _keep(self, what: str) -> None:
        if what not in ("", "nothing"):
            raise PersonError("say /keep or /keep nothing")
        if what:
            self._chats.begin(keep=False)
        else:
            self._whose()
            self._chats.keep()
        self.say_what_is_kept()

    def _help(self, _: str) -> None:
        for name, (argument, text, _run) in self._known.items():
            say(f"  {name + ' ' + argument:<18} {text}", err=True)

    def _which(self, which: str) -> str:
        """The id of a chat by its number in the last list, or by itself."""
        if which.isascii() and which.isdecimal() and len(which) < 6 and 1 <= int(which) <= len(self._shown):
            return self._shown[int(which) - 1]
        if len(which) == 32:
            return which
        raise PersonError(f"{one_line(which, 30)!r} is no number of the last list; /list or /search makes one")

    def _whose(self) -> str:
        """Whose chats these are. Raises PersonError for nobody's."""
        if self._chats.person is None:
            raise PersonError("nobody's chats are not kept; /person NAME says whose this is")
        return self._chats.person
