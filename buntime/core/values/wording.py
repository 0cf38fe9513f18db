"""Words of error messages: what came, and what was perhaps meant."""

from collections.abc import Iterable

_TEXT_CHARS = 60  # of a faulty value are shown; what is wrong is seen in these or not at all
_WORD_CHARS = 40  # longer is no slip of a known word, and the distance takes square time


def shown(value: object) -> str:
    """A faulty value on one line: `"soon"` -> `"'soon'"`, True -> "true", [1] -> "a list"."""
    match value:
        case str():
            return repr(value if len(value) <= _TEXT_CHARS else value[: _TEXT_CHARS - 1] + "…")
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int() if abs(value) >= 10**18:
            return "a huge number"
        case int() | float():
            return str(value)
        case list():
            return "a list"
        case dict():
            return "a mapping"
    return f"a {type(value).__name__}"


def suggestion(word: str, known: Iterable[str]) -> str:
    """`"; did you mean timeout?"`, or nothing where no known word is near."""
    meant = nearest(word, known)
    return f"; did you mean {meant}?" if meant else ""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The word of `known` that `word` is a slip of, or None: `"idle_timout"` -> `"idleTimeout"`.

    Case and punctuation do not count; a third of the letters may differ. `difflib` would do this
    too, and cost each start of the program 4 ms.
    """
    plain = _plain(word)
    if not 0 < len(plain) <= _WORD_CHARS:
        return None
    distances = {candidate: _distance(plain, _plain(candidate)) for candidate in known}
    best = min(distances, key=distances.__getitem__, default=None)
    return best if best is not None and distances[best] <= len(plain) // 3 else None


def _plain(word: str) -> str:
    return "".join(letter for letter in word.lower() if letter.isalnum())


def _distance(left: str, right: str) -> int:
    """How many letters to insert, delete, replace, or swap with the next (Levenshtein, OSA)."""
    rows = [list(range(len(right) + 1))]
    for i, ours in enumerate(left):
        row = [i + 1]
        for j, theirs in enumerate(right):
            row.append(min(rows[i][j + 1] + 1, row[j] + 1, rows[i][j] + (ours != theirs)))
            if i and j and ours == right[j - 1] and left[i - 1] == theirs:
                row[-1] = min(row[-1], rows[i - 1][j - 1] + 1)
        rows.append(row)
    return rows[-1][-1]
