"""Requests that a chat's front end makes for itself, not the person: titles, tags, follow-ups, searches, memories.

They come on the same model as the chat. Nobody writes as themselves there, so they are answered as nobody.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from copersona.runtime.chat.ask import Message

OPENING = re.compile(
    r"""
    \#\#\#\ task:\s                                                      # Open WebUI, all of its own tasks
    | (please\ )?(generate|create|write|provide|give|suggest)\ (me\ )?an?\ ((very\ )?(concise|short|brief)\b)?
      [^.\n]{0,60}\b(title|subject\ line)\b[^.\n]{0,40}\b(chat|conversation|thread|discussion|dialogue)\b
    | (please\ )?(generate|suggest)\ (\d-\d|some|a\ few)\ [^.\n]{0,40}\b(tags|follow-up\ (questions|prompts))\b
    | (you\ (are|generate|create|write|will\ generate)\b[^.\n]{0,40}\btitles?\b[^.\n]{0,60}
      \b(chat|conversation|thread|user\ begins)) # Jan, LibreChat, chatbots by template
    | given\ the\ following[^\n]{0,80}\breply\ with\ a\ title\ for\ the\ chat\b # Continue
    | summari[sz]e\ (the|this)\ (chat|conversation|dialogue)[^.\n]{0,40}\b\d+\ (words|characters)\ or\ (fewer|less)
    | (analy[sz]e|review)\ the\ (chat\ history|conversation)[^.\n]{0,80}\b(search\ queries|memor(y|ies))\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""How such a request begins, in the system's turn or the last one."""
LOOKED_AT = 400  # characters


def is_side_task(messages: Sequence[Message]) -> bool:
    """Whether a front end asks for itself: it says so where its instructions or its only turn begin."""
    turns = [message for message in messages if message.role != "system"]
    system = [message for message in messages if message.role == "system"]
    heads = system[:1] + turns[-1:]
    return any(OPENING.match(message.content[:LOOKED_AT].lstrip()) for message in heads)
