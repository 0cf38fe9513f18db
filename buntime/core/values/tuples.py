"""`NamedTuple` like that of `typing`, but declared in a sixth of the time: a start-up declares 170.

That of `typing` compiles a constructor for each class and creates the class twice, 0.15 ms. Here
all classes share one constructor, which loops over the fields. Tuples that a request creates in
numbers are a `QuickTuple`: it has the constructor of `typing`, which is as fast as possible, even
with keyword arguments, but compiles one for each number of fields and gives a copy the names.
"""

import sys
from typing import TYPE_CHECKING, Any

__all__ = ["NamedTuple", "QuickTuple"]

if TYPE_CHECKING:
    from typing import NamedTuple
    from typing import NamedTuple as QuickTuple
else:
    from collections import _tuplegetter  # reads a field of any named tuple
    from functools import cache
    from types import FunctionType

    if sys.version_info >= (3, 14):
        import annotationlib  # dataclasses imports it, too

    def _annotated(namespace):
        """The names with an annotation in the body of a class, in their order.

        From Python 3.14 on the body has a function instead, which evaluates them (PEP 649).
        """
        if "__annotations__" in namespace or sys.version_info < (3, 14):
            return tuple(namespace.get("__annotations__", ()))
        annotate = annotationlib.get_annotate_from_class_namespace(namespace)
        if annotate is None:
            return ()
        try:
            return tuple(annotate(annotationlib.Format.VALUE))
        except NameError:  # one is defined below, or imported for type checkers alone
            form = annotationlib.Format.FORWARDREF
            return tuple(annotationlib.call_annotate_function(annotate, form))

    class _Declaring(type):
        """Creates a class from the fields in its body."""

        def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
            fields = () if tuple in bases else _annotated(namespace)
            defaults = {field: namespace[field] for field in fields if field in namespace}
            if fields:
                _check_order(name, fields, defaults)
                namespace |= {
                    field: _tuplegetter(index, field) for index, field in enumerate(fields)
                }
                if bases == (QuickTuple,):
                    namespace["__new__"] = _constructor(name, fields, defaults)
                namespace |= {
                    "_fields": fields,
                    "_field_defaults": defaults,
                    "__match_args__": fields,
                }
            return super().__new__(mcs, name, bases, {"__slots__": (), **namespace})

    class NamedTuple(tuple, metaclass=_Declaring):
        """The base class of named tuples."""

        _fields = ()
        _field_defaults = {}  # noqa: RUF012  # nobody writes to it

        def __new__(cls, /, *values, **named):
            if named or len(values) != len(cls._fields):
                values = _complete(cls, values, named)
            return tuple.__new__(cls, values)

        def __repr__(self):
            shown = ", ".join(map("{}={!r}".format, self._fields, self))
            return f"{type(self).__name__}({shown})"

        def __getnewargs__(self):
            return tuple(self)

        @classmethod
        def _make(cls, values):
            return cls(*values)

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def _replace(self, /, **changed):
            return type(self)(**(self._asdict() | changed))

    class QuickTuple(NamedTuple):
        """The base class of those that are created quickly."""

    def _constructor(name, fields, defaults):
        code = _constructor_of(len(fields)).replace(
            co_varnames=("_cls", *fields), co_name="__new__", co_qualname=f"{name}.__new__"
        )
        return FunctionType(code, {"_new": tuple.__new__}, "__new__", tuple(defaults.values()))

    @cache
    def _constructor_of(count):
        """The code of a constructor with so many fields."""
        names = "".join(f"_{number}, " for number in range(count))
        return eval(f"lambda _cls, {names}: _new(_cls, ({names}))").__code__


def _check_order(name: str, fields: tuple[str, ...], defaults: dict[str, Any]) -> None:
    without = [field for field in fields[len(fields) - len(defaults) :] if field not in defaults]
    if without:
        raise TypeError(f"{name}: {without[0]} has no default and comes after one that has")


def _complete(cls: Any, values: tuple[Any, ...], named: dict[str, Any]) -> list[Any]:
    """The values of all fields in order; raises TypeError as a function would."""
    fields = cls._fields
    if len(values) > len(fields):
        raise TypeError(f"{cls.__name__} takes {len(fields)} values, not {len(values)}")
    given = dict(zip(fields, values, strict=False))
    if twice := given.keys() & named:
        raise TypeError(f"{cls.__name__} is given {', '.join(sorted(twice))} twice")
    all_of_it = cls._field_defaults | given | named
    if unknown := all_of_it.keys() - set(fields):
        raise TypeError(f"{cls.__name__} has no field {', '.join(sorted(unknown))}")
    try:
        return [all_of_it[field] for field in fields]
    except KeyError as exc:
        raise TypeError(f"{cls.__name__} is not given {exc.args[0]}") from None
