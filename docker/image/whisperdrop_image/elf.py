"""Shared libraries without what only a debugger reads.

``strip`` would do it, but it is in no slim base image, and old ones break libraries that patchelf
has changed, as most of those in wheels are. A loader looks at segments alone; so segments are kept
byte for byte and moved together, and the sections outside of them, debugging information and
symbol tables, go. The format: https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html
"""

import struct
from dataclasses import dataclass, replace

_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SHARED = 3  # ET_DYN
_LOAD = 1  # PT_LOAD
_NO_BITS = 8  # SHT_NOBITS
_IN_MEMORY = 2  # SHF_ALLOC
_INFO_IS_SECTION = 0x40  # SHF_INFO_LINK
_NAMES = b".shstrtab\0"


@dataclass(frozen=True)
class _Segment:
    kind: int
    flags: int
    offset: int
    address: int
    physical: int
    size: int
    memory: int
    align: int


@dataclass(frozen=True)
class _Section:
    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry: int


def stripped(data: bytes) -> bytes | None:
    """``data`` as short as it gets; None where it is no such library, or gets no shorter."""
    if not data.startswith(_MAGIC):
        return None
    header = _HEADER.unpack_from(data)
    kind, segments_at, sections_at = header[1], header[5], header[6]
    segment_count, section_count, names_index = header[10], header[12], header[13]
    if kind != _SHARED or not section_count:
        return None
    segments = [
        _Segment(*_SEGMENT.unpack_from(data, segments_at + n * _SEGMENT.size))
        for n in range(segment_count)
    ]
    sections = [
        _Section(*_SECTION.unpack_from(data, sections_at + n * _SECTION.size))
        for n in range(section_count)
    ]
    moves = _moves(segments)
    table = _moved(moves, segments_at, segment_count * _SEGMENT.size)
    if table is None:
        return None
    body = bytearray(moves[-1][1] + moves[-1][2])
    for old, new, size in moves:
        body[new : new + size] = data[old : old + size]
    for number, segment in enumerate(segments):
        place = _moved(moves, segment.offset, segment.size) if segment.size else 0
        if place is None:
            return None
        _SEGMENT.pack_into(
            body,
            table + number * _SEGMENT.size,
            *vars(replace(segment, offset=place)).values(),
        )
    names = sections[names_index]
    found = _sections(sections, data[names.offset : names.offset + names.size], moves)
    if found is None:
        return None
    kept, strings = found
    names_at = len(body)
    body += strings
    body += bytes(-len(body) % 8)
    kept.append(_Section(0, 3, 0, 0, names_at, len(strings), 0, 0, 1, 0))
    new_header = [*header]
    new_header[5], new_header[6] = table, len(body)
    new_header[12], new_header[13] = len(kept), len(kept) - 1
    body += b"".join(_SECTION.pack(*vars(section).values()) for section in kept)
    _HEADER.pack_into(body, 0, *new_header)
    return bytes(body) if len(body) < len(data) else None


def _moves(segments: list[_Segment]) -> list[tuple[int, int, int]]:
    """Old place, new place and size of what is loaded; a place stays what it is modulo ``align``,
    which is what a loader asks for."""
    moves: list[tuple[int, int, int]] = []
    end = 0
    for segment in sorted((s for s in segments if s.kind == _LOAD), key=lambda s: s.offset):
        place = end + (segment.offset - end) % max(1, segment.align)
        moves.append((segment.offset, place, segment.size))
        end = place + segment.size
    return moves


def _moved(moves: list[tuple[int, int, int]], offset: int, size: int) -> int | None:
    """Where ``size`` bytes at ``offset`` are now; None if they are not loaded."""
    for old, new, length in moves:
        if old <= offset and offset + size <= old + length:
            return new + offset - old
    return None


def _sections(
    sections: list[_Section], names: bytes, moves: list[tuple[int, int, int]]
) -> tuple[list[_Section], bytes] | None:
    """The sections that are loaded, and their names; None if one of them lies astray."""
    stay = [n for n, s in enumerate(sections) if n == 0 or s.flags & _IN_MEMORY]
    number = {old: new for new, old in enumerate(stay)}
    strings = bytearray(_NAMES)
    kept = []
    for old in stay:
        section = sections[old]
        place = _moved(moves, section.offset, section.size)
        if section.kind == _NO_BITS or section.size == 0:
            place = 0
        if place is None:
            return None
        name = names[section.name : names.index(b"\0", section.name)] + b"\0"
        info = section.info
        if section.flags & _INFO_IS_SECTION:
            info = number.get(info, 0)
        kept.append(
            replace(
                section,
                name=len(strings),
                offset=place,
                link=number.get(section.link, 0),
                info=info,
            )
        )
        strings += name
    return kept, bytes(strings)
