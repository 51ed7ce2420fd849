"""Damage to files: cut, flipped, spliced, lost and repeated parts, and numbers that no writer would write."""

import io
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random

Damage = Callable[[bytes, Random, bytes], bytes]
WHOLE = (0, 1, 2, -1, 255, 256, 32767, 32768, 65535, 65536, 10**6, 10**9, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1)
# What stands before numbers in headers: boxes of mp4 and mov, chunks of AVI, PNG and JPEG, names in zip archives.
MARK_BYTES: tuple[bytes, ...] = (
    *(b"mvhd", b"tkhd", b"mdhd", b"elst", b"stts", b"ctts", b"stsc", b"stsz", b"stco", b"stss", b"avc1", b"hvc1"),
    *(b"apcn", b"mp4v", b"trak", b"moov", b"mdat", b"avcC", b"hvcC", b"colr", b"pasp"),
    *(b"avih", b"strh", b"strf", b"idx1", b"movi", b"00dc", b"IHDR", b"IDAT", b"pHYs", b"cICP", b"iCCP"),
    *(b"\xff\xc0", b"\xff\xc4", b"\xff\xdb", b"\xff\xda"),  # segments of JPEG
    *(
        b"\x1aE\xdf\xa3",
        b"\x16T\xaek",
        b"\x1fC\xb6u",
        b"\xe0\xbc",
        b"\xb0\x81",
        b"\xb0\x82",
        b"\xba\x81",
    ),  # of Matroska
    *(b"#\xe3\x83", b"*\xd7\xb1", b"D\x89", b"\xe7\x81", b"\xa3", b"\x53\xab", b"\x86"),
    *(b"\0\0\1", b"\0\0\0\1", b"\x47\x40", b"dataWindow", b"displayWindow", b"compression", b"channels"),
    *(b"PK\1\2", b"PK\3\4", b"PK\5\6"),
)
MARKS = re.compile(b"|".join(map(re.escape, MARK_BYTES)))
TOKENS = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null|\"[^\"]{0,40}\"|[\[\]{},:]|\n")
WORDS: tuple[bytes, ...] = (
    *(b"0", b"-1", b"1e999", b"-1e999", b"nan", b"NaN", b"inf", b"-Infinity", b"1e308", b"5e-324", b"1/0", b"0/0"),
    *(b"9" * 5000, b"1" + b"0" * 400, b"99999999999999999999", b"65536", b"1000000000", b"1.5", b"-0.0"),
    *(b"null", b"true", b"[]", b"{}", b'""', b'"x"', b"\0", b"\xff\xfe", b"\xc3", b"[" * 100000, b"\n" * 10, b""),
    *(b"1," * 5000, b"__import__('os')", b"\r", b"\xef\xbb\xbf", b"\xc2\xb2", b"\xd9\xa1", b"%s%n", b"1_0"),
)

OPCODES: tuple[bytes, ...] = (
    *(b"cos\nsystem\n(S'true'\ntR.", b"cbuiltins\neval\n(S'1'\ntR.", b"cbuiltins\nbytearray\n(J\xff\xff\xff\x7ftR"),
    *(
        b"c__builtin__\nbytearray\n(J\xff\xff\xff\x7ftR0",
        b"J\xff\xff\xff\x7f",
        b"\x8a\x08" + b"\xff" * 7 + b"\x7f",
        b"0",
    ),
    *(b"ctorch._utils\n_rebuild_tensor_v2\n", b"ctorch\nSize\n", b"R", b"Q", b"(", b"t", b"]", b"}", b"2", b"b", b"."),
    *(b"(t(tt" * 20, b"2\x86" * 40, b"\x8b\xff\xff\xff\x7f", b"\x8e" + b"\xff" * 8, b"\x8d" + b"\xff" * 7 + b"\x7f"),
)


def cut(data: bytes, random: Random, other: bytes) -> bytes:
    """Keep the beginning."""
    return data[: random.randrange(len(data) + 1)]


def flip(data: bytes, random: Random, other: bytes) -> bytes:
    """Flip up to 64 bits."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 16, 64)) if data else 0):
        changed[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(changed)


def splice(data: bytes, random: Random, other: bytes) -> bytes:
    """Go on with another file, from about the same place."""
    place = random.randrange(len(data) + 1)
    return data[:place] + other[max(0, place + random.randrange(-64, 65)) :]


def _block(data: bytes, random: Random) -> tuple[int, int]:
    begin = random.randrange(len(data) + 1)
    return begin, min(len(data), begin + random.choice((1, 4, 16, 188, 512, 1024, 4096)))


def lose(data: bytes, random: Random, other: bytes) -> bytes:
    """Leave out a block."""
    begin, end = _block(data, random)
    return data[:begin] + data[end:]


def repeat(data: bytes, random: Random, other: bytes) -> bytes:
    """Repeat a block."""
    begin, end = _block(data, random)
    return data[:end] + data[begin:end] * random.choice((1, 1, 7)) + data[end:]


def blank(data: bytes, random: Random, other: bytes) -> bytes:
    """Fill a block with zeros or ones."""
    begin, end = _block(data, random)
    return data[:begin] + random.choice((b"\0", b"\xff")) * (end - begin) + data[end:]


def number_anywhere(data: bytes, random: Random, other: bytes) -> bytes:
    """Write an odd number over some bytes, mostly near the beginning or the end, where headers are."""
    reach = random.choice((64, 512, 4096, len(data)))
    place = random.randrange(max(1, min(reach, len(data))))
    return _written(data, random.choice((place, place, max(0, len(data) - 1 - place))), random)


def number_in_header(data: bytes, random: Random, other: bytes) -> bytes:
    """Write an odd number a little behind a mark of a header."""
    marks = list(MARKS.finditer(data))
    if not marks:
        return number_anywhere(data, random, other)
    kinds = sorted({mark[0] for mark in marks})
    kind = random.choice(kinds)
    mark = random.choice([mark for mark in marks if mark[0] == kind])
    return _written(data, mark.end() + random.randrange(48), random)


def _written(data: bytes, place: int, random: Random) -> bytes:
    number, width = random.choice(WHOLE), random.choice((1, 2, 4, 4, 8))
    order = random.choice(("little", "big"))
    written = (number % (1 << 8 * width)).to_bytes(width, "little" if order == "little" else "big")
    return data[:place] + written + data[place + width :]


def no_number(data: bytes, random: Random, other: bytes) -> bytes:
    """Write NaN, infinity or a huge float over some, in half, single and double precision."""
    changed = bytearray(data)
    kind = random.choice("efd")
    value = random.choice((math.nan, math.inf, -math.inf, 6e4, -6e4))
    pattern = struct.pack("<" + kind, value)
    for _ in range(random.choice((1, 16, 256))):
        place = random.randrange(len(data) // 2, len(data) + 1) // len(pattern) * len(pattern)
        changed[place : place + len(pattern)] = pattern
    return bytes(changed[: len(data)])


def other_word(data: bytes, random: Random, other: bytes) -> bytes:
    """Replace, drop or repeat numbers, words and marks of a text."""
    for _ in range(random.choice((1, 1, 1, 3))):
        found = list(TOKENS.finditer(data, 0, 1 << 20))
        if not found:
            return data + random.choice(WORDS)
        token = random.choice(found)
        new = random.choice((*WORDS, token[0] * 2, found[random.randrange(len(found))][0]))
        data = data[: token.start()] + new + data[token.end() :]
    return data


def grow(data: bytes, random: Random, other: bytes) -> bytes:
    """Make it huge: 32 MiB of its own lines, of zeros or of digits."""
    length = 1 << 25
    filling = random.choice((data, b"\0", b"7", b"1 2\n", b"[", b"#\n"))
    return data + (filling or b"\0") * (length // max(1, len(filling)))


def inside_zip(data: bytes, random: Random, other: bytes) -> bytes:
    """Damage one entry of a checkpoint, and make a sound archive of it again: its checksums say nothing."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, zlib.error):
        return flip(data, random, other)
    entries = {name: content for name, content in entries.items() if name.strip("/")}
    if not entries:
        return flip(data, random, other)
    pickles = [name for name in entries if name.endswith("data.pkl")]
    name = random.choice(pickles if pickles and random.random() < 0.8 else sorted(entries))
    way = random.choice((flip, lose, repeat, blank, number_anywhere, number_anywhere, other_opcode, other_opcode, cut))
    entries[name] = way(entries[name], random, other)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", random.choice((zipfile.ZIP_STORED,) * 4 + (zipfile.ZIP_DEFLATED,))) as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)
    return made.getvalue()


def other_opcode(data: bytes, random: Random, other: bytes) -> bytes:
    """Put instructions of the pickle machine between others: calls, names, large objects."""
    place = random.randrange(len(data) + 1)
    return data[:place] + random.choice(OPCODES) + data[place:]


def inside_header(data: bytes, random: Random, other: bytes) -> bytes:
    """Damage the text that a safetensors file begins with, and state its length anew."""
    length = int.from_bytes(data[:8], "little")
    if length > len(data):
        return flip(data, random, other)
    way = random.choice((other_word, other_word, other_word, flip, cut))
    header = way(data[8 : 8 + length], random, other)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


BINARY: tuple[Damage, ...] = (
    *(cut, flip, flip, splice, lose, repeat, blank),
    *(number_anywhere, number_in_header, number_in_header),
)
TEXT: tuple[Damage, ...] = (*(other_word,) * 6, cut, flip, splice, lose, repeat, grow)
PICTURES: tuple[Damage, ...] = (*BINARY, no_number, no_number)
BY_KIND: dict[str, tuple[Damage, ...]] = {
    "clip": BINARY,
    "pictures": PICTURES,
    "text": TEXT,
    "json": (*TEXT, *(other_word,) * 6),
    "safetensors": (*BINARY, *(inside_header,) * 15),
    "checkpoint": (*BINARY, *(inside_zip,) * 20, other_opcode),
    "table": BINARY,
}


def damaged(data: bytes, kind: str, random: Random, other: bytes) -> tuple[bytes, str]:
    """Damage a file in one to three ways; return it, and their names."""
    ways = [random.choice(BY_KIND[kind]) for _ in range(random.choice((1, 1, 1, 2, 3)))]
    for way in ways:
        data = way(data, random, other)
    return data, "+".join(way.__name__ for way in ways)
