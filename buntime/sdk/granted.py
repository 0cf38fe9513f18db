"""Secrets, as apps see them: `secret("STRIPE_KEY")`.

The secrets that the manifest names are available, as text, from the app's import on. If the code
does not run in a Buntime worker, as in its tests, they come from the environment instead.
"""

from __future__ import annotations

import posix  # `os` is more than a worker's start needs

__all__ = ["keep", "secret"]

_kept: dict[str, str] = {}  # of this process; not in any function's locals, which tracebacks show


def secret(name: str) -> str:
    """Return the value of a secret: text, without a trailing newline.

    Raises LookupError if the app has no secret with that name.
    """
    value = _kept.get(name)
    if value is None:
        inherited = posix.environ.get(name.encode("utf-8", "surrogateescape"))
        if inherited is None:
            raise LookupError(
                f"the app has no secret {name}; name it in `secrets` of its manifest, and set "
                "its value with `buntime secrets set`"
            )
        return inherited.decode("utf-8", "surrogateescape")
    return value


def keep(values: dict[str, str]) -> None:
    """Make these available to `secret`; the worker calls this before the app is imported."""
    _kept.update(values)
