"""Turns what apps print into lines of text, in bounded memory."""

# A longer line is cut into pieces: Docker also treats 16 KiB as one line.
LINE_BYTES = 16 * 1024


class LineSplitter:
    """Turns the bytes of an app's stdout or stderr into lines of text, however the bytes are split.

    A line longer than LINE_BYTES comes in pieces, so an app that never ends its line takes no more
    memory than that. Bytes that are not UTF-8 are written as `\\xff`.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._is_skipping = False  # until the end of a line that was partly skipped

    def feed(self, data: bytes) -> list[str]:
        """The lines that this piece of output completes, without their newlines."""
        if self._is_skipping:
            _, end, data = data.partition(b"\n")
            if not end:
                return []
            self._is_skipping = False
        *ended, rest = (self._rest + data).split(b"\n")
        lines: list[str] = []
        for line in ended:
            last = _cut_pieces(line, lines)
            lines.append(_decode(last.removesuffix(b"\r")))
        self._rest = _cut_pieces(rest, lines)
        return lines

    def skip(self, data: bytes) -> int:
        """Skip this piece of output; returns how many lines it ends, without creating them.

        The rest of a line that it cuts is skipped too, up to that line's end.
        """
        self._rest = b""
        self._is_skipping = not data.endswith(b"\n")
        return data.count(b"\n")

    def flush(self) -> list[str]:
        """The last line, if it has no newline; for the end of the output."""
        rest, self._rest = self._rest, b""
        return [_decode(rest)] if rest else []


def _cut_pieces(line: bytes, pieces: list[str]) -> bytes:
    """Move all but the last LINE_BYTES of a line to `pieces`; returns the rest."""
    while len(line) > LINE_BYTES:
        cut = LINE_BYTES
        # Not inside a character: 10xxxxxx continues one, with at most 3 such bytes per character.
        while cut > LINE_BYTES - 3 and line[cut] & 0xC0 == 0x80:
            cut -= 1
        pieces.append(_decode(line[:cut]))
        line = line[cut:]
    return line


def _decode(line: bytes) -> str:
    return line.decode("utf-8", errors="backslashreplace")
