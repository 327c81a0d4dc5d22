"""What a text can hold that a terminal would obey, or that hides what is there: by name, as data."""

from __future__ import annotations

SEQUENCES = {
    # CSI
    "colour": "\x1b[38;5;213mred",
    "clear": "\x1b[2J",
    "cursor to the top": "\x1b[1;1H",
    "cursor up and over what was there": "\x1b[3A\x1b[2Kevil",
    "scroll region": "\x1b[5;6r",
    "another screen": "\x1b[?1049h",
    "mouse reports": "\x1b[?1003h\x1b[?1006h",
    "bracketed paste off": "\x1b[?2004l",
    "keyboard protocol": "\x1b[>31u",
    "report of the cursor": "\x1b[6n",
    "device attributes": "\x1b[c\x1b[>c\x1b[=c",
    "report of the title": "\x1b[21t",
    "window to an icon": "\x1b[2t",
    "insert and delete": "\x1b[5@\x1b[5P\x1b[5L",
    "repeat": "x\x1b[9999b",
    # other escapes
    "reset": "\x1bc",
    "save and restore": "\x1b7\x1b8",
    "double height": "\x1b#3",
    "character set": "\x1b(0lqk\x1b(B",
    "keypad": "\x1b=\x1b>",
    "escape at the end": "\x1b",
    # OSC, closed by BEL, by ST and not at all
    "window title": "\x1b]0;owned\x07",
    "window title, ST": "\x1b]2;owned\x1b\\",
    "window title, open": "\x1b]2;owned",
    "link": "\x1b]8;;http://x.invalid\x1b\\text\x1b]8;;\x1b\\",
    "clipboard": "\x1b]52;c;aGk=\x07",
    "read the clipboard": "\x1b]52;c;?\x07",
    "palette": "\x1b]4;1;rgb:00/00/00\x1b\\",
    "colour query": "\x1b]11;?\x1b\\",
    "notification": "\x1b]9;owned\x07\x1b]777;notify;a;b\x07",
    "working folder": "\x1b]7;file:///tmp\x07",
    "shell marks": "\x1b]133;C\x07",
    "iTerm2 file": "\x1b]1337;File=inline=1:aGk=\x07",
    # strings of a device
    "DCS query": "\x1bP$qm\x1b\\",
    "sixel": "\x1bPq#0;2;0;0;0~\x1b\\",
    "macro": "\x1bP1;0;0!z1b5b63\x1b\\\x1b[1*z",
    "user keys": "\x1bP1;1|17/636c\x1b\\",
    "tmux passthrough": "\x1bPtmux;\x1b\x1b]0;owned\x07\x1b\\",
    "kitty graphics": "\x1b_Gf=24,s=1,v=1;AAAA\x1b\\",
    "APC": "\x1b_owned\x1b\\",
    "PM": "\x1b^owned\x1b\\",
    "SOS": "\x1bXowned\x1b\\",
    "screen title": "\x1bkowned\x1b\\",
    # C1 in eight bits
    "8-bit CSI": "\x9b31m",
    "8-bit OSC": "\x9d0;owned\x9c",
    "8-bit DCS": "\x90q\x9c",
    "8-bit APC": "\x9fGowned\x9c",
    "8-bit PM": "\x9eowned\x9c",
    "8-bit SOS": "\x98owned\x9c",
    "8-bit index": "\x84\x8d\x85",
    # C0
    "bell": "\x07",
    "backspaces": "safe\x08\x08\x08\x08evil",
    "carriage return": "safe\revil",
    "vertical tab and form feed": "a\x0bb\x0cc",
    "shift out and in": "\x0elqk\x0f",
    "enquiry": "\x05",
    "flow control": "\x13\x11",
    "cancel": "\x1b[3\x18m\x1a",
    "null": "a\x00b",
    "delete": "a\x7fb",
    # what Unicode has for it
    "right to left": "\u202egnp.exe",
    "embeddings": "\u202ax\u202by\u202dz\u202c",
    "isolates": "\u2066a\u2067b\u2068hidden\u2069",
    "marks": "a\u200eb\u200fc\u061cd",
    "zero width": "ad\u200bm\u2060i\ufeffn",
    "joiners between letters": "ad\u200dm\u200cin",
    "variation selectors": "a\ufe01\ufe02b\U000e0101\U000e0155",
    "tag characters": "a\U000e0041\U000e0042\U000e007f",
    "soft hyphen": "ad\u00admin",
    "line and paragraph separators": "one\u2028two\u2029three",
    "next line": "one\x85two",
    "annotation": "\ufff9shown\ufffahidden\ufffb",
    "fillers": "a\u3164b\u115fc\u1160d\uffa0",
    "invisible operators": "a\u2061\u2062\u2063\u2064b",
    "deprecated forms": "a\u206ab\u206f",
    "joiner of graphemes": "a\u034fb",
    "musical beams": "a\U0001d173b\U0001d17a",
    "Mongolian selectors": "a\u180bb\u180e",
    "Khmer vowels": "a\u17b4b\u17b5",
}

NEW_LINE = "end\nerror: all is lost"
"""A text that begins a line of its own, and reads like ours."""

OBEYED = frozenset(map(chr, [*range(0x20), *range(0x7F, 0xA0)])) - {"\n", "\t"}
"""What a terminal acts on, but for the end of a line."""

HIDDEN = frozenset(c for text in SEQUENCES.values() for c in text if ord(c) > 0x9F)
"""All of the above that Unicode has for it."""

NAME = "".join(
    SEQUENCES[name] for name in ("right to left", "isolates", "zero width", "variation selectors", "fillers")
)
"""As much of it as a person's name may hold."""
