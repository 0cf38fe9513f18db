"""`@frozen`: a frozen dataclass that is quick to declare, since a start-up declares dozens.

`dataclasses.dataclass` writes the methods of each class as text and compiles it, which takes 0.5 ms
per class. Here all classes share the same functions, which loop over the fields. In return,
creating a value takes some microseconds more: whatever is created for each request is a NamedTuple.
Everything else is as with a dataclass: `field`, `replace`, `fields` and `asdict` are those of
`dataclasses`.
"""

from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, NoReturn, TypeVar, dataclass_transform

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(*, kw_only: bool = False, eq: bool = True) -> Callable[[type[_T]], type[_T]]:
    """`@frozen()` for a class with annotated fields; without `eq` its values compare by identity.

    Methods that the class defines itself are kept, and `__post_init__` is called.
    """

    def made(cls: type[_T]) -> type[_T]:
        dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(cls)
        rows = fields(cls)  # type: ignore[arg-type]  # it is a dataclass by now
        methods = {
            "__init__": _initializer(rows),
            "__repr__": _representer([row.name for row in rows if row.repr]),
            "__setattr__": _refuse,
            "__delattr__": _refuse,
            **(_comparers(rows) if eq else {}),
        }
        for name, method in methods.items():
            if name not in vars(cls):
                setattr(cls, name, method)
        return cls

    return made


def _initializer(rows: Sequence[Field[Any]]) -> Callable[..., None]:
    rows = tuple(row for row in rows if row.init)
    names = tuple(row.name for row in rows)
    all_of_them = frozenset(names)
    positional = [row.name for row in rows if not row.kw_only]
    put = object.__setattr__

    def __init__(self: Any, /, *args: Any, **given: Any) -> None:  # noqa: N807  # it becomes one
        if len(args) > len(positional):
            raise TypeError(f"{type(self).__name__} takes {len(positional)} values by position")
        for name, value in zip(positional, args, strict=False):
            if name in given:
                raise TypeError(f"{type(self).__name__} is given {name} twice")
            given[name] = value
        if given.keys() != all_of_them:
            if unknown := given.keys() - all_of_them:
                raise TypeError(f"{type(self).__name__} has no field {', '.join(unknown)}")
            given |= {row.name: _default(self, row) for row in rows if row.name not in given}
        for name in names:
            put(self, name, given[name])
        if hasattr(self, "__post_init__"):
            self.__post_init__()

    return __init__


def _default(value: Any, row: Field[Any]) -> Any:
    if row.default is not MISSING:
        return row.default
    if row.default_factory is not MISSING:
        return row.default_factory()
    raise TypeError(f"{type(value).__name__} is not given {row.name}")


def _representer(names: list[str]) -> Callable[[Any], str]:
    def __repr__(self: Any) -> str:  # noqa: N807  # the same
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__qualname__}({shown})"

    return __repr__


def _comparers(rows: Sequence[Field[Any]]) -> dict[str, Callable[..., Any]]:
    compared = attrgetter(*(row.name for row in rows if row.compare))
    hashed = attrgetter(*(row.name for row in rows if row.compare and row.hash is not False))

    def __eq__(self: Any, other: object) -> Any:  # noqa: N807  # the same
        return compared(self) == compared(other) if type(other) is type(self) else NotImplemented

    def __hash__(self: Any) -> int:  # noqa: N807  # the same
        return hash(hashed(self))

    return {"__eq__": __eq__, "__hash__": __hash__}


def _refuse(self: object, name: str, *_: object) -> NoReturn:
    raise FrozenInstanceError(f"{type(self).__name__}.{name} cannot be changed")
