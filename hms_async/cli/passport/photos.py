"""Passport photos for the demo: real files, made without an imaging library."""

import random
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["jpeg", "png", "truncated", "outage"]

_EVERY_12TH: dict[int, Kind] = {4: "png", 8: "truncated", 11: "outage"}
_OUTAGES = 2
_BLOCK = 8  # a JPEG is made of squares of 8 by 8 pixels
_END = b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class Upload:
    """A citizen's photo, as the portal hands it over.

    Attributes:
        request: The request it belongs to, such as REQ-123.
        file: Where it is.
        kind: What is the matter with it, which only the demo knows.
        outages: How many attempts will find that the face service is away.
    """

    request: str
    file: Path
    kind: Kind
    outages: int


def write_photos(folder: Path, count: int, *, sam: int) -> list[Upload]:
    """Write the photos of `count` citizens into a folder.

    Args:
        folder: Where to; it is made.
        count: How many.
        sam: Number of the citizen with the good camera; the photo is fine and large.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_write(folder, number, large=number == sam) for number in range(1, count + 1)]


def _write(folder: Path, number: int, *, large: bool) -> Upload:
    request = f"REQ-{number:03}"
    kind: Kind = "jpeg" if large else _EVERY_12TH.get(number % 12, "jpeg")
    chance = random.Random(number)  # noqa: S311  # the same photos in every run
    if kind == "png":
        data = png(chance)
    else:
        size = (96, 120) if large else (chance.randint(14, 30), chance.randint(18, 36))
        data = jpeg(portrait(*size, chance), comment=request)
    if kind == "truncated":
        data = data[: len(data) * chance.randint(40, 80) // 100]
    file = folder / f"{request}.jpg"
    file.write_bytes(data)
    return Upload(request, file, kind, _OUTAGES if kind == "outage" else 0)


def portrait(columns: int, rows: int, chance: random.Random) -> list[list[int]]:
    """Return a face in grey squares: hair, two eyes, a mouth."""
    skin, back = chance.randint(120, 210), chance.randint(225, 250)

    def shade(x: float, y: float) -> int:
        if ((x - 0.5) / 0.32) ** 2 + ((y - 0.52) / 0.4) ** 2 > 1:
            return back
        eye = abs(y - 0.45) < 0.04 and abs(abs(x - 0.5) - 0.14) < 0.06  # noqa: PLR2004  # a face
        mouth = abs(y - 0.72) < 0.03 and abs(x - 0.5) < 0.12  # noqa: PLR2004  # a face
        return 40 if eye or mouth or y < 0.25 else skin + chance.randint(-8, 8)  # noqa: PLR2004

    return [
        [shade((column + 0.5) / columns, (row + 0.5) / rows) for column in range(columns)]
        for row in range(rows)
    ]


def jpeg(blocks: Sequence[Sequence[int]], *, comment: str = "") -> bytes:
    """Return a baseline JPEG, each block of which has one shade of grey from 0 to 255.

    Source: ITU-T T.81 (JPEG), with only the DC coefficient of each block.
    """
    height, width = len(blocks) * _BLOCK, len(blocks[0]) * _BLOCK
    # Sizes of differences 0 to 8 as codes of 4 bits; "no more coefficients" as one bit, 0.
    dc_table = bytes([0x00, 0, 0, 0, 9, *[0] * 12, *range(9)])
    ac_table = bytes([0x10, 1, *[0] * 15, 0x00])
    return b"".join(
        [
            b"\xff\xd8",  # SOI
            _segment(0xE0, b"JFIF\0\x01\x01\0\0\x01\0\x01\0\0"),
            _segment(0xFE, comment.encode()),
            _segment(0xDB, b"\0" + bytes([8] * 64)),  # divided by 8, a mean shade is one DC step
            _segment(0xC0, struct.pack(">BHHBBBB", 8, height, width, 1, 1, 0x11, 0)),
            _segment(0xC4, dc_table),
            _segment(0xC4, ac_table),
            _segment(0xDA, b"\x01\x01\0\0\x3f\0"),
            _scan(shade for row in blocks for shade in row),
            _END,
        ]
    )


def png(chance: random.Random) -> bytes:
    """Return a small grey PNG."""
    side = chance.randint(24, 64)
    rows = b"".join(b"\0" + chance.randbytes(side) for _ in range(side))
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)),
            _chunk(b"IDAT", zlib.compress(rows)),
            _chunk(b"IEND", b""),
        ]
    )


def fault_of(data: bytes) -> str | None:
    """Return why these bytes are not a whole JPEG, or `None` if they are one."""
    if data.startswith(b"\x89PNG"):
        return "not a JPEG (PNG data)"
    if not data.startswith(b"\xff\xd8"):
        return "not a JPEG"
    return None if data.endswith(_END) and b"\xff\xc0" in data else "truncated"


def _scan(shades: Iterator[int]) -> bytes:
    bits: list[str] = []
    before = 128
    for shade in shades:
        step, before = shade - before, shade
        size = abs(step).bit_length()
        bits.append(f"{size:04b}")
        if size:  # a negative number is written as its one's complement
            bits.append(f"{step if step > 0 else step + (1 << size) - 1:0{size}b}")
        bits.append("0")
    stream = "".join(bits)
    stream += "1" * (-len(stream) % 8)
    return int(stream, 2).to_bytes(len(stream) // 8).replace(b"\xff", b"\xff\0")


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
