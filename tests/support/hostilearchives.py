"""Archives that nobody should unpack, built by hand if a library refuses to make them."""

import gzip
import io
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable

Header = dict[str, object]  # attributes of tarfile.TarInfo


def tar(*members: tuple[str, Header] | tuple[str, Header, bytes], **options: object) -> bytes:
    """A tar.gz with members of these names, header attributes and contents."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1, **options) as archive:  # type: ignore[call-overload]
        for name, header, *content in members:
            info = tarfile.TarInfo(name)
            data = content[0] if content else b""
            info.size = len(data)
            for attribute, value in header.items():
                setattr(info, attribute, value)
            archive.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def zipped(*members: tuple[str, bytes] | tuple[str, bytes, int], method: int = 8) -> bytes:
    """A zip of these names, contents and modes."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name, data, *mode in members:
            info = zipfile.ZipInfo(name)
            info.filename = name
            info.external_attr = (mode[0] if mode else 0o100644) << 16
            info.compress_type = method
            archive.writestr(info, data)
    return packed.getvalue()


def patched(archive: bytes, before: bytes, after: bytes) -> bytes:
    """Replace each `before` in the archive with `after`."""
    assert before in archive
    return archive.replace(before, after)


def raw_tar(*blocks: bytes, ends: bool = True) -> bytes:
    """A tar.gz of these blocks as they are."""
    return gzip.compress(b"".join(blocks) + bytes(1024 if ends else 0), 1)


def block(name: str = "a", size: int = 0, kind: bytes = b"0", **more: object) -> bytes:
    """One header."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    for attribute, value in more.items():
        setattr(info, attribute, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def pax(kind: bytes = b"x", **fields: str) -> bytes:
    """An extended header, and its content."""
    text = b""
    for key, value in fields.items():
        record = f" {key.replace('_', '.')}={value}\n".encode("utf-8", "surrogateescape")
        length = len(record) + len(str(len(record) + 3))
        text += str(length).encode() + record
    return block("pax", len(text), kind) + text.ljust(-(-len(text) // 512) * 512, b"\0")


def bomb_of_overlaps() -> bytes:
    """A zip with many entries that all are the same packed bytes."""
    body = zlib.compress(bytes(1_000_000), 9)[2:-4]
    crc = zlib.crc32(bytes(1_000_000))
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, crc, len(body), 1_000_000, 1, 0)
    data, directory = local + b"a" + body, b""
    for each in range(100):
        name = f"{each:03}".encode()
        directory += (
            struct.pack(
                "<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 0, crc, len(body), 1_000_000,
                len(name), 0, 0, 0, 0, 0, 0,
            )
            + name
        )  # fmt: skip
    return (
        data
        + directory
        + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 100, 100, len(directory), len(data), 0)
    )


def many_entries(count: int) -> bytes:
    """A zip with this many empty files, whose directory announces only one."""
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    directory = b"".join(
        struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0)
        + b"%06d" % each
        for each in range(count)
    )
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(directory), len(local), 0)
    return local + directory + end


def many_members(count: int) -> bytes:
    """A tar.gz with this many empty files."""
    first = bytearray(block("00000000"))
    blocks = []
    base = sum(first[:148]) + 8 * 32 + sum(first[156:])
    for each in range(count):
        name = b"%08d" % each
        first[:8] = name
        first[148:156] = b"%06o\0 " % (base - 8 * 48 + sum(name))
        blocks.append(bytes(first))
    return raw_tar(*blocks)


def lying_zip(**sizes: int) -> bytes:
    """A zip with one file of a megabyte, whose headers give another size."""
    packed = zipped(("app.py", bytes(1_000_000)))
    size = struct.pack("<L", 1_000_000)
    return patched(packed, size, struct.pack("<L", sizes["size"]))


def zip64_of(size: int) -> bytes:
    """A zip whose one file has this size according to its zip64 fields."""
    extra = struct.pack("<HHQ", 1, 8, size)
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 45, 0, 8, 0, 0, 0, 2, 0xFFFFFFFF, 1, len(extra))
    data = local + b"a" + extra + b"\x03\x00"
    directory = (
        struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 45, 45, 0, 8, 0, 0, 0, 2, 0xFFFFFFFF,
            1, len(extra), 0, 0, 0, 0, 0,
        )
        + b"a"
        + extra
    )  # fmt: skip
    return (
        data
        + directory
        + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(directory), len(data), 0)
    )


def zip64_end(count: int) -> bytes:
    """A zip whose zip64 end record announces a directory with this many entries."""
    packed = many_entries(count)
    end, rest = packed[-22:], packed[:-22]
    size, offset = struct.unpack("<LL", end[12:20])
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, size, offset)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(rest), 1)
    small = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 46, offset, 0)
    return rest + record + locator + small


def cut(archive: bytes, share: float) -> bytes:
    """The beginning of an archive."""
    return archive[: int(len(archive) * share)]


def noise(size: int) -> bytes:
    return random.Random(1).randbytes(size)


LINK, HARD = {"type": tarfile.SYMTYPE}, {"type": tarfile.LNKTYPE}
FIFO, DEVICE, BLOCKS = {"type": b"6"}, {"type": b"3", "devmajor": 1}, {"type": b"4"}
APP = ("app.py", {}, b"app = 1\n")
WHOLE_TAR = tar(APP, ("data.bin", {}, noise(100_000)))
WHOLE_ZIP = zipped(("app.py", b"app = 1\n"), ("data.bin", noise(100_000)))


def link(name: str, target: str) -> tuple[str, Header]:
    return name, {**LINK, "linkname": target}


def hard(name: str, target: str) -> tuple[str, Header]:
    return name, {**HARD, "linkname": target}


def cuts(of: str, archive: bytes, code: str, shares: Iterable[float]) -> "Corpus":
    return {
        f"{of} cut at {share}": (lambda share=share: cut(archive, share), code) for share in shares
    }


Corpus = dict[str, tuple[Callable[[], bytes], str]]

TARS: Corpus = {
    "slip": (lambda: tar(APP, ("../../x", {}, b"x")), "archive_path_parent"),
    "slip in the middle": (lambda: tar(("a/../../x", {}, b"x")), "archive_path_parent"),
    "absolute": (lambda: tar(("/tmp/x", {}, b"x")), "archive_path_absolute"),
    "slip by pax": (lambda: raw_tar(pax(path="../x"), block(size=0)), "archive_path_parent"),
    "slip by pax of all": (
        lambda: raw_tar(pax(b"g", path="../x"), block(size=0)),
        "archive_path_parent",
    ),
    "slip by a long name": (
        lambda: raw_tar(
            block("././@LongLink", 200, b"L"), (b"../" * 50).ljust(512, b"\0"), block()
        ),
        "archive_path_parent",
    ),
    "link out": (lambda: tar(link("a", "/etc")), "archive_link_out"),
    "link up": (lambda: tar(link("d/a", "../../etc")), "archive_link_out"),
    "link up in a single folder": (lambda: tar(link("d/a", "../x")), "archive_link_out"),
    "link down and up": (lambda: tar(link("a", "b/../../x")), "archive_link_out"),
    "two links that lead out together": (
        lambda: tar(APP, link("a/b/s", "../.."), link("t", "a/b/s/../x")),
        "archive_link_out",
    ),
    "link by pax": (
        lambda: raw_tar(pax(linkpath="/etc/passwd"), block("a", kind=b"2", linkname="b")),
        "archive_link_out",
    ),
    "link by a long name": (
        lambda: raw_tar(
            block("././@LongLink", 200, b"K"), (b"../" * 50).ljust(512, b"\0"), block(kind=b"2")
        ),
        "archive_link_out",
    ),
    "through a link": (lambda: tar(link("a", "b"), ("a/x", {}, b"x")), "archive_parent"),
    "in the place of a link": (lambda: tar(link("a", "b"), ("a", {}, b"x")), "archive_duplicate"),
    "through a file": (lambda: tar(("a", {}, b"x"), ("a/x", {}, b"x")), "archive_parent"),
    "hard link out": (lambda: tar(hard("a", "/etc/passwd")), "archive_path_absolute"),
    "hard link up": (lambda: tar(hard("a", "../x")), "archive_path_parent"),
    "hard link to a link": (lambda: tar(link("b", "c"), hard("a", "b")), "archive_link_out"),
    "named pipe": (lambda: tar(("a", FIFO)), "archive_bad_member"),
    "device": (lambda: tar(("a", DEVICE)), "archive_bad_member"),
    "device of blocks": (lambda: tar(("a", BLOCKS)), "archive_bad_member"),
    "unknown type": (lambda: raw_tar(block(kind=b"Z")), "archive_bad_member"),
    "set-uid": (lambda: tar(("a", {"mode": 0o4755}, b"x")), "archive_set_id"),
    "set-gid folder": (lambda: tar(("a", {"mode": 0o2755, "type": b"5"})), "archive_set_id"),
    "bomb": (lambda: raw_tar(block("a", 60_000_000), bytes(60_000_000)), "archive_ratio"),
    "bomb of headers": (lambda: raw_tar(*[pax(comment="x" * 400)] * 900), "archive_damaged"),
    "bomb of headers for one member": (
        lambda: raw_tar(*[pax(comment="x" * 60_000)] * 5, block()),
        "archive_damaged",
    ),
    "bomb of attributes of all": (
        lambda: raw_tar(pax(b"g", **{f"a{each:05}": "" for each in range(1001)}), block()),
        "archive_damaged",
    ),
    "bomb of attributes": (
        lambda: raw_tar(*[pax(comment="x" * 60_000) + block("./", kind=b"5")] * 700),
        "archive_too_many_files",
    ),
    "bomb behind the end": (lambda: raw_tar(block(), bytes(60_000_000)), "archive_ratio"),
    "huge size": (lambda: raw_tar(block("a", 8 << 40)), "archive_too_large"),
    "huge size by pax": (
        lambda: raw_tar(pax(size="9" * 18), block("a", 1), bytes(512)),
        "archive_too_large",
    ),
    "size below zero by pax": (
        lambda: raw_tar(pax(size="-512"), block("a", 1), bytes(512)),
        "archive_damaged",
    ),
    "endless digits by pax": (
        lambda: raw_tar(block("pax", 6656, b"x"), b"9" * 6600 + b" path=b\n".ljust(56), block("a")),
        "archive_damaged",
    ),
    "huge long name": (lambda: raw_tar(block("././@LongLink", 1 << 33, b"L")), "archive_damaged"),
    "huge pax": (lambda: raw_tar(block("pax", 1 << 33, b"x")), "archive_damaged"),
    "size that lies": (
        lambda: raw_tar(block("a", 4096), block("b"), ends=False),
        "archive_damaged",
    ),
    "sparse of GNU": (
        lambda: raw_tar(block("a", 0, b"S")[:483] + b"77777777777\0" + block()[495:]),
        "archive_damaged",
    ),
    "sparse by pax": (
        lambda: raw_tar(pax(GNU_sparse_size="99999999999", GNU_sparse_numblocks="0"), block("a")),
        "archive_bad_member",
    ),
    "sparse by pax, with a map": (
        lambda: raw_tar(pax(GNU_sparse_map="0,1,99999999999,1"), block("a", 2), bytes(512)),
        "archive_bad_member",
    ),
    "two cases": (lambda: tar(("A.py", {}), ("a.py", {})), "archive_case_clash"),
    "two cases of folders": (lambda: tar(("A/x", {}), ("a/y", {})), "archive_case_clash"),
    "two forms of Unicode": (
        lambda: tar(("caf\u00e9", {}), ("cafe\u0301", {})),
        "archive_unicode_clash",
    ),
    "newline": (lambda: tar(("a\nb", {})), "archive_bad_name"),
    "escapes": (lambda: tar(("a\x1b[31mb", {})), "archive_bad_name"),
    "no UTF-8": (
        lambda: tar(("a\udcff", {}), format=tarfile.GNU_FORMAT, errors="surrogateescape"),
        "archive_bad_name",
    ),
    "backslashes": (lambda: tar(("..\\..\\x", {})), "archive_bad_name"),
    "twice": (lambda: tar(("a", {}, b"1"), ("./a", {}, b"2")), "archive_duplicate"),
    "25,000 files": (lambda: many_members(25_000), "archive_too_many_files"),
    "many folders": (
        lambda: tar(*[("/".join([f"{each}", *"abcdefgh" * 5]), {}) for each in range(600)]),
        "archive_too_many_files",
    ),
    "long path": (lambda: tar(("a/" * 2000 + "b", {})), "archive_bad_name"),
    "deep path": (lambda: tar(("a/" * 100 + "b", {})), "archive_bad_name"),
    "no end": (lambda: raw_tar(block("app.py"), ends=False), "archive_damaged"),
    "broken header": (
        lambda: raw_tar(block("app.py"), b"x" * 512, block("b")),
        "archive_damaged",
    ),
    "wrong checksum": (
        lambda: WHOLE_TAR[:-8] + b"\0\0\0\0" + WHOLE_TAR[-4:],
        "archive_damaged",
    ),
    "something behind": (lambda: WHOLE_TAR + b"garbage", "archive_damaged"),
    "gzip of no tar": (lambda: gzip.compress(b"hello" * 1000), "archive_damaged"),
    "gzip of nothing": (lambda: gzip.compress(b""), "archive_damaged"),
    **cuts("tar", WHOLE_TAR, "archive_damaged", (0.0001, 0.005, 0.5, 0.99, 0.99997)),
}

ZIPS: Corpus = {
    "slip": (lambda: zipped(("../../x", b"x")), "archive_path_parent"),
    "a file's header with a name of 64kb": (
        lambda: (
            (whole := zipped(("a", b"\xff" * 99_999), method=0))[:26] + b"\xff\xff" + whole[28:]
        ),
        "archive_damaged",
    ),
    "absolute": (lambda: zipped(("/etc/x", b"x")), "archive_path_absolute"),
    "drive": (lambda: zipped(("C:/x", b"x")), "archive_path_absolute"),
    "backslashes": (lambda: zipped(("..\\..\\x", b"x")), "archive_bad_name"),
    "link out": (lambda: zipped(("a", b"/etc/passwd", 0o120777)), "archive_link_out"),
    "link up": (lambda: zipped(("a", b"../x", 0o120777)), "archive_link_out"),
    "link of a megabyte": (lambda: zipped(("a", b"x" * 1_000_000, 0o120777)), "archive_link_out"),
    "link of no UTF-8": (lambda: zipped(("a", b"\xff", 0o120777)), "archive_bad_name"),
    "through a link": (
        lambda: zipped(("a", b"b", 0o120777), ("a/x", b"x")),
        "archive_parent",
    ),
    "named pipe": (lambda: zipped(("a", b"", 0o010644)), "archive_bad_member"),
    "device": (lambda: zipped(("a", b"", 0o020644)), "archive_bad_member"),
    "socket": (lambda: zipped(("a", b"", 0o140644)), "archive_bad_member"),
    "set-uid": (lambda: zipped(("a", b"x", 0o104755)), "archive_set_id"),
    "bomb": (lambda: zipped(("a", bytes(15_000_000))), "archive_ratio"),
    "bomb of many": (
        lambda: zipped(*[(f"{each}", bytes(1_000_000)) for each in range(20)]),
        "archive_ratio",
    ),
    "bomb of overlaps": (bomb_of_overlaps, "archive_overlap"),
    "size that lies, small": (lambda: lying_zip(size=10), "archive_damaged"),
    "size that lies, large": (lambda: lying_zip(size=2_000_000), "archive_damaged"),
    "size by zip64": (lambda: zip64_of(1 << 62), "archive_too_large"),
    "size by zip64, smaller": (lambda: zip64_of(1_000), "archive_damaged"),
    "two cases": (lambda: zipped(("A", b""), ("a", b"")), "archive_case_clash"),
    "two forms of Unicode": (
        lambda: zipped(("caf\u00e9", b""), ("cafe\u0301", b"")),
        "archive_unicode_clash",
    ),
    "newline": (lambda: zipped(("a\nb", b"")), "archive_bad_name"),
    "NUL": (lambda: patched(zipped(("aXb", b"")), b"aXb", b"a\0b"), "archive_bad_name"),
    "twice": (
        lambda: patched(zipped(("a1", b"1"), ("a2", b"2")), b"a2", b"a1"),
        "archive_duplicate",
    ),
    "25,000 files": (lambda: many_entries(25_000), "archive_too_many_files"),
    "25,000 files by zip64": (lambda: zip64_end(25_000), "archive_too_many_files"),
    "encrypted": (
        lambda: patched(
            patched(zipped(("a", b"x")), b"PK\3\4\x14\0\0\0", b"PK\3\4\x14\0\1\0"),
            b"PK\1\2\x14\x03\x14\0\0\0",
            b"PK\1\2\x14\x03\x14\0\1\0",
        ),
        "archive_encrypted",
    ),
    "bzip2": (lambda: zipped(("a", b"x"), method=zipfile.ZIP_BZIP2), "archive_method"),
    "lzma": (lambda: zipped(("a", b"x"), method=zipfile.ZIP_LZMA), "archive_method"),
    "other name inside": (
        lambda: zipped(("a1", b"")).replace(b"a1", b"a2", 1),
        "archive_damaged",
    ),
    "wrong checksum": (
        lambda: patched(WHOLE_ZIP, struct.pack("<L", zlib.crc32(b"app = 1\n")), b"\1\2\3\4"),
        "archive_damaged",
    ),
    **cuts("zip", WHOLE_ZIP, "archive_damaged", (0.1, 0.5, 0.99, 0.9999)),
}

OTHERS: Corpus = {
    "nothing": (lambda: b"", "archive_unknown"),
    "text": (lambda: b"hello", "archive_unknown"),
    "xz": (lambda: b"\xfd7zXZ\0" + bytes(100), "archive_unknown"),
    "tar without gzip": (lambda: gzip.decompress(WHOLE_TAR), "archive_unknown"),
}
