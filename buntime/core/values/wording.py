"""Words for error messages: the value that came, and what was probably meant."""

from collections.abc import Iterable

_TEXT_CHARS = 60  # of a faulty value; an error that these do not show would not be seen anyway
_MANY = 20  # more names than this are no help beside the probable one
_WORD_CHARS = 40  # a longer word is no typo of a known one, and comparing takes quadratic time


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


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its noun: `(1, "fault")` -> `"1 fault"`, 2 -> `"2 faults"`, 0 -> `"no faults"`.

    `many` is for irregular plurals: `counted(2, "entry", "entries")`.
    """
    return f"1 {one}" if count == 1 else f"{count or 'no'} {many or one + 's'}"


def suggestion(word: str, known: Iterable[str]) -> str:
    """`"; did you mean timeout?"`, or nothing if no known word is close."""
    meant = nearest(word, known)
    return f"; did you mean {meant}?" if meant else ""


def unknown_key(key: str, known: Iterable[str], what: str = "key") -> str:
    """`"unknown key 'timout'; did you mean timeout? (allowed are timeout, ttl)"`.

    `what` is another word for the key, such as option. A long list is left out if one word is
    close.
    """
    known = tuple(known)
    meant = suggestion(key, known)
    if meant and len(known) > _MANY:
        return f"unknown {what} {shown(key)}{meant}"
    allowed = "there are none"
    if known:
        allowed = f"allowed {'is' if len(known) == 1 else 'are'} {', '.join(known)}"
    return f"unknown {what} {shown(key)}{meant} ({allowed})"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The word in `known` of which `word` is a typo, or None: `"idle_timout"` -> `"idleTimeout"`.

    Case and punctuation do not count; six letters of ten must agree, as difflib counts them.
    """
    # Imported here to save 1 ms at each start; only needed for a typo.
    from difflib import get_close_matches

    plain = _plain(word)
    if len(plain) > _WORD_CHARS:
        return None
    candidates = {_plain(candidate): candidate for candidate in known}
    return next((candidates[near] for near in get_close_matches(plain, candidates, n=1)), None)


def _plain(word: str) -> str:
    return "".join(letter for letter in word.lower() if letter.isalnum())
