"""Secrets, as apps see them: `secret("STRIPE_KEY")`.

What the manifest names in `secrets` is there from the app's import on, as text. Where no worker of
Buntime's runs the code, as in its tests, the environment has them instead.
"""

from __future__ import annotations

import posix  # `os` is more than a worker's start needs

__all__ = ["keep", "secret"]

_kept: dict[str, str] = {}  # those of this process; of no function's locals, which tracebacks show


def secret(name: str) -> str:
    """Return the value of a secret: text, without a line end at its end.

    Raises LookupError where the app has no secret of that name.
    """
    value = _kept.get(name)
    if value is None:
        inherited = posix.environ.get(name.encode("utf-8", "surrogateescape"))
        if inherited is None:
            raise LookupError(
                f"the app has no secret {name}; name it in `secrets` of its manifest, and give its "
                "value by `buntime secrets set`"
            )
        return inherited.decode("utf-8", "surrogateescape")
    return value


def keep(values: dict[str, str]) -> None:
    """Have `secret` find these; the worker brings them, before the app is imported."""
    _kept.update(values)
