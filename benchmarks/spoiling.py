"""How a small good file is spoiled, by a generator of random numbers: bytes, JSON, protobuf, and files with lengths.

Each way takes what was seen in the good file when it was read (spans of values, a tree of fields), so that lengths can
be made right afterwards and a change is met deep inside a parser, not by its first look.
"""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Sequence

NUMBERS = (0, 1, 2, 3, 7, 8, 31, 32, 63, 64, 127, 128, 255, 256, 4096, 2**16, 2**20, 2**24, 2**31 - 1, 2**31, 2**32 - 1,
           2**40, 2**48, 2**62, 2**63 - 1, 2**63, 2**64 - 1)  # fmt: skip
JSON_VALUES = (
    "null", "true", "false", "0", "-0", "-1", "1", "2", "0.5", "1e308", "-1e308", "1e999", "1e-999", "NaN", "Infinity",
    "-Infinity", "9" * 19, "9" * 400, "-" + "9" * 5_000, "18446744073709551616", "1.5", "01", "1_000", "0x1f", "[]",
    "{}", "[[]]", '[{"a":1}]', '{"a":{}}', '""', '"1"', '" "', '"-1"', '"nan"', '"a\\nb"', '"\\u0000"', '"\\ud800"',
    '"\\udfff\\ud800"', '"\\u202eb"', '"\\u001b[2J"', '"\u2028"', '"' + "x" * 5_000 + '"', '"\\x41"', '"unended',
    '"../../etc/passwd"', '"/dev/stdin"', '"con"', '"\\ufeff"', "[" * 60 + "]" * 60, "[" * 3_000, '{"a":' * 2_000,
    '{"a":1,"a":2}', "[" + "0," * 300 + "0]", "'a'", "// no", ",", ":", "", "}", "]", "{", "[", '"', "\\", "\x00",
)  # fmt: skip
LITERALS = (
    "None", "True", "1j", "-1", "1.5", "(1,)", "()", "(2,)*9", "[1]", "{}", "{1,2}", "'<f4'", "'<f8'", "'|O'", "b'x'",
    "9" * 400, "9" * 5_000, "(" * 60, "(" * 300 + ")" * 300, "-" * 300 + "1", "~1", "1+1", "1-1j", "lambda: 0",
    "f'{x}'", "__import__('os')", "'\\x00'", "'\\ud800'", "{**{}}", "{[]: 1}", "{'descr': 1}", "...", "''", "", ",",
    "\x00", "\n", "#", "\\", "(3, 2, 4)", "(True, 3)", "(2.0, 3)", "1e999", "0x10", "1_0", "'a' 'b'", "u'x'", "nan",
)  # fmt: skip
TEXTS = (b"", b"\x00", b"\xff", b"\xed\xa0\x80", b"\n", b"a" * 70, b"a" * 2_000, "é\u202e".encode(), b"<0x0A>", b"%s%n")


def bytes_spoiled(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """One to four changes that know nothing of the format: bits, numbers, pieces moved, cut or of another file."""
    content = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        at, kind = draw.randrange(len(content) + 1), draw.randrange(8)
        size = draw.choice((1, 2, 4, 8, 16, 64))
        if kind == 0 and at < len(content):
            content[at] ^= 1 << draw.randrange(8)
        elif kind == 1 and at < len(content):
            content[at] = draw.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, draw.randrange(256)))
        elif kind == 2:
            width = draw.choice((2, 4, 8))
            content[at : at + width] = number(draw, width)
        elif kind == 3:
            start = draw.randrange(len(content) + 1)
            content[at : at + size] = content[start : start + size]
        elif kind == 4:
            other = draw.choice(others)
            start = draw.randrange(len(other) + 1)
            content[at:at] = other[start : start + size]
        elif kind == 5:
            del content[at : at + size]
        elif kind == 6 and draw.random() < 0.2:
            del content[at:]
        else:
            content[at:at] = bytes(draw.choice(TEXTS))
    return bytes(content)


def number(draw: random.Random, width: int) -> bytes:
    """An extreme number, or one beside it, in so many bytes, little-endian."""
    value = draw.choice(NUMBERS) + draw.choice((0, 0, 0, 1, -1))
    return struct.pack("<Q", value % 2**64)[:width]


# -- text with values in it ---------------------------------------------------------------------------------------


def json_spans(text: str) -> list[tuple[int, int]]:
    """Where values stand in a text of JSON or of a Python literal: strings, numbers, words, and whole brackets."""
    found, open_at = list[tuple[int, int]](), list[int]()
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'|[\w.+-]+|[\[({]|[\])}]', text):
        if match[0] in "[({":
            open_at.append(match.start())
        elif match[0] in "])}":
            found.append((open_at.pop(), match.end()))
        else:
            found.append(match.span())
    return found


def text_spoiled(
    draw: random.Random, text: str, spans: Sequence[tuple[int, int]], values: Sequence[str] = JSON_VALUES
) -> str:
    """One or two values replaced by hostile ones, by one that stands elsewhere, doubled or taken out."""
    for _ in range(draw.choice((1, 1, 1, 2))):
        start, end = draw.choice(spans)
        kind = draw.randrange(8)
        if kind < 5:
            new = draw.choice(values)
        elif kind == 5:
            first, last = draw.choice(spans)
            new = text[first:last]
        elif kind == 6:
            new = f"{text[start:end]},{text[start:end]}"
        else:
            new = ""
            end += text[end : end + 1] == ","
        text = text[:start] + new + text[end:]
        spans = [span for span in spans if span[1] <= start] or [(0, len(text))]  # what stands behind it has moved
    return text


# -- protobuf -----------------------------------------------------------------------------------------------------

Field = tuple[int, int, object]
"""Number, wire type, and a number, bytes, or a list of Fields."""


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:
            return value, at


def tree(data: bytes, kind: str, fields: dict[str, dict[int, tuple[str, str]]]) -> list[Field]:
    """The fields of a good message, those that are messages themselves as lists; `fields` as the reader has them."""
    found, at = list[Field](), 0
    while at < len(data):
        key, at = read_varint(data, at)
        field, wire = key >> 3, key & 7
        if wire == 0:
            value, at = read_varint(data, at)
            found.append((field, wire, value))
            continue
        size, at = read_varint(data, at) if wire == 2 else ((8 if wire == 1 else 4), at)
        inside, at = data[at : at + size], at + size
        below = fields[kind].get(field, ("", ""))[1].rstrip("*")
        found.append((field, wire, tree(inside, below, fields) if below in fields and wire == 2 else inside))
    return found


def written(message: Sequence[Field]) -> bytes:
    """The bytes of a message, lengths made right."""
    out = bytearray()
    for field, wire, value in message:
        out += varint(field << 3 | wire)
        if isinstance(value, int):
            out += varint(value)
        else:
            inside = written(value) if isinstance(value, list) else value
            assert isinstance(inside, bytes)
            out += (varint(len(inside)) if wire == 2 else b"") + inside
    return bytes(out)


def tree_spoiled(draw: random.Random, message: list[Field], texts: Sequence[bytes]) -> list[Field]:
    """One field somewhere changed, doubled, moved or taken out; `texts` are names that other fields have."""
    if not message:
        return [(draw.randrange(1, 30), 0, draw.choice(NUMBERS))]
    place = draw.randrange(len(message))
    field, wire, value = message[place]
    made, kind = list(message), draw.randrange(10)
    if isinstance(value, list) and draw.random() < 0.85:
        made[place] = (field, wire, tree_spoiled(draw, value, texts))
    elif kind == 0:
        del made[place]
    elif kind == 1:
        made.insert(draw.randrange(len(made) + 1), message[place])
    elif kind == 2:
        made[place] = (draw.randrange(1, 32), wire, value)
    elif kind == 3:
        made[place] = draw.choice(message)
    elif isinstance(value, int):
        made[place] = (field, wire, draw.choice((*NUMBERS, *range(12), -1, -2, -(2**63))))
    elif isinstance(value, bytes):
        new = draw.choice((draw.choice(texts), draw.choice(TEXTS), value * 2, value[:-1], _numbers(draw, value)))
        made[place] = (field, wire, new if wire == 2 else (new + bytes(8))[: len(value)])
    else:
        made[place] = (field, wire, draw.choice(TEXTS))
    return made


def _numbers(draw: random.Random, value: bytes) -> bytes:
    """The bytes with one aligned number of them replaced."""
    width = 8 if len(value) % 8 == 0 else 4 if len(value) % 4 == 0 else 1
    at = draw.randrange(max(len(value) // width, 1)) * width
    return value[:at] + number(draw, width) + value[at + width :]
