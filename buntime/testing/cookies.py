"""Keeps the cookies that an app sets, and sends them back, as a browser does."""

from collections.abc import Iterator, MutableMapping
from email.utils import parsedate_to_datetime
from time import time


class Cookies(MutableMapping[str, str]):
    """Cookies by name; those of an app have the path that it gave them.

    One that a test sets itself, `client.cookies["theme"] = "dark"`, is sent with each request.
    """

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, str]] = {}  # name -> (value, path)

    def take(self, line: str, target: str) -> None:
        """Keep, or forget, the cookie of a Set-Cookie in the answer to a request for `target`."""
        pair, *attributes = line.split(";")
        name, _, value = (part.strip() for part in pair.partition("="))
        given = dict(_attribute(attribute) for attribute in attributes)
        path = given.get("path", "")
        if not path.startswith("/"):
            path = target.partition("?")[0].rpartition("/")[0] or "/"
        if _is_over(given):
            self._kept.pop(name, None)
        else:
            self._kept[name] = (value, path)

    def line_for(self, target: str) -> str:
        """The Cookie field for a request, "" if there is none to send."""
        path = target.partition("?")[0]
        return "; ".join(
            f"{name}={value}"
            for name, (value, below) in self._kept.items()
            if _is_below(path, below)
        )

    def __getitem__(self, name: str) -> str:
        return self._kept[name][0]

    def __setitem__(self, name: str, value: str) -> None:
        self._kept[name] = (value, "/")

    def __delitem__(self, name: str) -> None:
        del self._kept[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def __repr__(self) -> str:
        return f"Cookies({dict(self)!r})"


def _attribute(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip()


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder if folder.endswith("/") else folder + "/")


def _is_over(attributes: dict[str, str]) -> bool:
    if "max-age" in attributes:
        age = attributes["max-age"]
        return age.startswith("-") or age.strip("0") == ""
    try:
        return parsedate_to_datetime(attributes["expires"]).timestamp() <= time()
    except (KeyError, ValueError):  # none, or none that can be read
        return False
