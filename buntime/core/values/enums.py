"""`Enum` and `StrEnum` like those of `enum`, but declared in a fifth of the time: a start-up
declares thirty.

Their members are plain attributes, hashed by identity or as strings, so that looking one up, and
what is found by it, costs no call of a function either.

    class State(Enum):             State.OPEN.name == "OPEN", State.OPEN.value == 1
        OPEN = auto()              State(1) is State.OPEN
        CLOSED = auto()            [*State] == [State.OPEN, State.CLOSED]

Members are what the body assigns, except functions, properties and names that begin and end with
two underscores. There are no aliases, flags, or enumerations that are derived from others.
"""

from typing import TYPE_CHECKING

__all__ = ["Enum", "StrEnum", "auto"]

if TYPE_CHECKING:
    from enum import Enum, StrEnum, auto
else:

    class auto:  # noqa: N801  # as in enum
        """Stands for the member's place in its enumeration, from 1."""

    class _Declaring(type):
        """Creates a class and its members from its body."""

        def __new__(mcs, name, bases, namespace):
            values = {
                key: value
                for key, value in namespace.items()
                if key[:2] != "__" and not hasattr(value, "__get__")
            }
            by_value = {}
            body = {key: value for key, value in namespace.items() if key not in values}
            made = type.__new__(mcs, name, bases, {**body, "_by_value": by_value})
            for place, (key, value) in enumerate(values.items(), 1):
                value = place if type(value) is auto else value
                if value in by_value:
                    raise TypeError(f"{name}.{key} has the value of {by_value[value]!r}")
                member = by_value[value] = made._make(value)
                member.name, member.value = key, value
                type.__setattr__(made, key, member)
            return made

        def __call__(cls, value):
            try:
                return cls._by_value[value]
            except (KeyError, TypeError):  # TypeError: it cannot be hashed
                raise ValueError(f"{value!r} is not a valid {cls.__qualname__}") from None

        def __getitem__(cls, name):
            found = cls.__dict__[name]
            if type(found) is not cls:
                raise KeyError(name)
            return found

        def __iter__(cls):
            return iter(cls._by_value.values())

        def __len__(cls):
            return len(cls._by_value)

        def __contains__(cls, value):
            return type(value) is cls or value in cls._by_value

        def __setattr__(cls, name, value):
            if isinstance(cls.__dict__.get(name), cls):
                raise AttributeError(f"cannot reassign member {name!r}")
            type.__setattr__(cls, name, value)

    class _Member:
        """What members of both kinds have in common."""

        def __repr__(self):
            return f"<{type(self).__name__}.{self.name}: {self.value!r}>"

        def __reduce__(self):
            return type(self), (self.value,)

        def __copy__(self):
            return self

        def __deepcopy__(self, _):
            return self

    class Enum(_Member, metaclass=_Declaring):
        """The base class of enumerations."""

        _make = classmethod(lambda cls, _: object.__new__(cls))

        def __str__(self):
            return f"{type(self).__name__}.{self.name}"

    class StrEnum(_Member, str, metaclass=_Declaring):
        """The base class of enumerations whose members are strings."""

        _make = classmethod(str.__new__)
