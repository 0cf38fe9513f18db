"""Reads a YAML file that is one mapping, and knows the line of each key.

JSON and simple lines that YAML reads the same way are read here: importing YAML's own reader takes
a seventh of a start-up. Everything else goes to that reader, first of all what is wrong, so that
error messages come from there.
"""

from codecs import BOM_UTF8
from collections.abc import Collection

from buntime.core.apps.entry import DocumentError, Entry
from buntime.core.apps.jsondocument import NotPlain, read_json
from buntime.core.apps.linesdocument import read_lines

__all__ = ["DocumentError", "Entry", "read_document", "read_items"]


def read_document(
    data: bytes,
    *,
    size_max_bytes: int,
    verbatim: Collection[str] = (),
    levels: int = 1,
    lists: Collection[str] = (),
    hides_values: bool = False,
) -> dict[str, Entry]:
    """`b"ttl: 30\\n"` -> `{"ttl": Entry(30, line=1)}`; an empty file is an empty mapping.

    Under the keys in `verbatim` every scalar stays the text that was written: `1.10`, not 1.1. In
    the first `levels` of mappings each key comes with its line: with 2, `b"a: {b: 1}"` is `{"a":
    Entry({"b": Entry(1, 1)}, 1)}`. So does each item of the lists under the keys in `lists`, and
    each key of the mappings in them. With `hides_values` no message shows any part of a value,
    which may be a secret. Raises DocumentError.
    """
    text = _decode(data, size_max_bytes)
    if text.startswith("{") and not lists:
        try:
            made: dict[str, Entry] = read_json(text, levels)
            if all(_is_text(made[key].value) for key in verbatim if key in made):
                return made
        except NotPlain:
            pass
    lines = read_lines(text, verbatim)
    if lines is not None:
        return lines
    # YAML's reader takes 20 ms to import.
    from buntime.core.apps.yamldocument import read_yaml

    return read_yaml(text, verbatim=verbatim, levels=levels, lists=lists, hides_values=hides_values)


def read_items(data: bytes, *, size_max_bytes: int) -> list[Entry]:
    """A list of mappings: `b"- {name: ann}"` -> `[Entry({"name": Entry("ann", 1)}, 1)]`.

    Every scalar except null stays the text that was written, such as `1e3` or a timestamp. No
    message shows any part of a value. Raises DocumentError.
    """
    text = _decode(data, size_max_bytes)
    # As above.
    from buntime.core.apps.yamldocument import read_yaml_items

    return read_yaml_items(text)


def _decode(data: bytes, size_max_bytes: int) -> str:
    if len(data) > size_max_bytes:
        raise DocumentError(f"the file is larger than {size_max_bytes // 1024} KiB")
    data = data.removeprefix(BOM_UTF8)
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise DocumentError("not UTF-8; save the file in this encoding", line) from exc


def _is_text(value: object) -> bool:
    """Whether a value, and everything in it, is the text that was written, or null."""
    match value:
        case Entry(inner, _):
            return _is_text(inner)
        case dict():
            return all(map(_is_text, value.values()))
        case list():
            return all(map(_is_text, value))
    return value is None or isinstance(value, str)
