"""Makes a program close itself to other processes of its user as its first act.

The binary's bootloader stays as the parent of the runtime, with the environment that both were
started with, and so with the master key: /proc/PID/environ shows it to every process of the user,
including apps. PR_SET_DUMPABLE (prctl(2)) prevents that, but a process can set it only for itself,
and an exec undoes it. The bootloader is already compiled. So a few instructions are added to it,
which make that one call and continue where the program used to begin:

    ELF header        e_entry leads to the new instructions
    segment of code   longer by them; they lie in what pads it up to the next one
"""

import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

_PR_SET_DUMPABLE = 4  # linux/prctl.h
_LOAD, _EXECUTE = 1, 1  # PT_LOAD, PF_X; elf.h has the names and the layout
_MACHINE_AT, _ENTRY_AT, _TABLE_AT, _TABLE_SIZE_AT = 18, 24, 32, 54
_FILE_SIZE_AT, _MEMORY_SIZE_AT = 32, 40  # in an entry of the table
_ALIGN_BYTES = 16


class NoRoom(Exception):
    """The program is not built as this code assumes."""


class _Segment(NamedTuple):
    """A part of the file that is loaded. `at` is the position of its entry in the table."""

    at: int
    flags: int
    offset: int
    address: int
    file_size: int
    memory_size: int


def closing(program: bytes) -> bytes:
    """The same program, but it closes itself at its start. Raises NoRoom."""
    if program[:6] != b"\x7fELF\x02\x01":
        raise NoRoom("it is no ELF file of 64 bits with the least byte first")
    [machine] = struct.unpack_from("<H", program, _MACHINE_AT)
    [entry] = struct.unpack_from("<Q", program, _ENTRY_AT)
    if machine not in _CODE:
        raise NoRoom(f"its machine, {machine} of ELF's list, is not known here")
    segment, following = _code_segment(program, entry)
    address = _aligned(segment.address + segment.memory_size)
    code = _CODE[machine](address, entry)
    offset = segment.offset + address - segment.address
    page_bytes = _PAGE_BYTES[machine]
    if (
        segment.file_size != segment.memory_size
        or following.address // page_bytes * page_bytes < address + len(code)
        or following.offset < offset + len(code)
        or any(program[offset : offset + len(code)])
    ):
        raise NoRoom("nothing pads its code")
    made = bytearray(program)
    made[offset : offset + len(code)] = code
    struct.pack_into("<Q", made, _ENTRY_AT, address)
    size = address + len(code) - segment.address
    for at in (_FILE_SIZE_AT, _MEMORY_SIZE_AT):
        struct.pack_into("<Q", made, segment.at + at, size)
    return bytes(made)


def _code_segment(program: bytes, entry: int) -> tuple[_Segment, _Segment]:
    """The segment that the program begins in, and the one after it."""
    segments = sorted(_segments(program), key=lambda each: each.address)
    for segment, following in pairwise(segments):
        is_there = segment.address <= entry < segment.address + segment.memory_size
        if is_there and segment.flags & _EXECUTE:
            return segment, following
    raise NoRoom("it begins in no segment that has another one behind it")


def _segments(program: bytes) -> Iterator[_Segment]:
    [table] = struct.unpack_from("<Q", program, _TABLE_AT)
    size, count = struct.unpack_from("<HH", program, _TABLE_SIZE_AT)
    for at in range(table, table + size * count, size):
        kind, flags, offset, address, _, file_size, memory_size = struct.unpack_from(
            "<IIQQQQQ", program, at
        )
        if kind == _LOAD:
            yield _Segment(at, flags, offset, address, file_size, memory_size)


def _aligned(address: int) -> int:
    return -(-address // _ALIGN_BYTES) * _ALIGN_BYTES


# The instructions, at `address`. What the loader gives the program must stay unchanged: rdx and the
# stack on x86-64, x0 and the stack on ARM. A system call changes rax, rcx and r11, or x0.


def _x86_64(address: int, entry: int) -> bytes:
    call = b"".join(
        (
            b"\xb8" + struct.pack("<I", 157),  # mov eax, prctl
            b"\xbf" + struct.pack("<I", _PR_SET_DUMPABLE),  # mov edi, PR_SET_DUMPABLE
            b"\x31\xf6",  # xor esi, esi
            b"\x0f\x05",  # syscall
        )
    )
    jump_bytes = 5
    distance = entry - (address + len(call) + jump_bytes)
    return call + b"\xe9" + struct.pack("<i", distance)  # jmp entry


def _aarch64(address: int, entry: int) -> bytes:
    call = (
        0xAA0003E9,  # mov x9, x0
        0xD2800000 | 167 << 5 | 8,  # mov x8, prctl
        0xD2800000 | _PR_SET_DUMPABLE << 5,  # mov x0, PR_SET_DUMPABLE
        0xD2800001,  # mov x1, 0
        0xD4000001,  # svc 0
        0xAA0903E0,  # mov x0, x9
    )
    distance = entry - (address + 4 * len(call))
    jump = 0x14000000 | distance // 4 & 0x03FFFFFF  # b entry
    return struct.pack("<7I", *call, jump)


_CODE = {62: _x86_64, 183: _aarch64}  # by e_machine
_PAGE_BYTES = {62: 0x1000, 183: 0x10000}  # the largest that such a system may have
