"""Each test declares a class with ours and with `typing`, and expects the same of both."""

import copy
import pickle
import sys
import typing
from typing import Any

import pytest

from buntime.core.values import tuples


class Ours(tuples.NamedTuple):
    """A point."""

    x: int
    y: int = 2
    name: str = ""

    @property
    def far(self) -> bool:
        return self.x > 10


class Quick(tuples.QuickTuple):
    """A point."""

    x: int
    y: int = 2
    name: str = ""

    @property
    def far(self) -> bool:
        return self.x > 10


class Theirs(typing.NamedTuple):
    """A point."""

    x: int
    y: int = 2
    name: str = ""

    @property
    def far(self) -> bool:
        return self.x > 10


@pytest.fixture(params=[Ours, Quick, Theirs])
def point(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_fields_are_given_by_position_or_by_name(point: Any) -> None:
    """A missing field has its default."""
    assert point(1) == point(x=1) == point(1, 2, "") == (1, 2, "")
    assert point(1, name="a") == point(name="a", x=1) == (1, 2, "a")
    assert (point(1).x, point(1).y, point(11).far) == (1, 2, True)


@pytest.mark.parametrize(
    ("args", "given"),
    [((), {}), ((), {"y": 1}), ((1, 2, "", 4), {}), ((1,), {"x": 1}), ((1,), {"z": 1})],
    ids=["nothing", "too-few", "too-many", "twice", "unknown"],
)
def test_what_a_class_does_not_take_is_refused(
    point: Any, args: tuple[Any, ...], given: dict[str, Any]
) -> None:
    """Other arguments are refused, as with a function."""
    with pytest.raises(TypeError):
        point(*args, **given)


@pytest.mark.parametrize(("args", "given"), [((), {}), ((1, 2, "", 4), {}), ((1,), {"x": 1})])
def test_a_quick_one_refuses_as_that_of_typing(args: Any, given: dict[str, Any]) -> None:
    """In the same words: its constructor is a function with the fields as parameters."""
    told = []
    kinds: list[Any] = [Quick, Theirs]
    for kind in kinds:
        with pytest.raises(TypeError) as caught:
            kind(*args, **given)
        told.append(str(caught.value).replace(kind.__name__, "Point"))
    assert told[0] == told[1]
    assert "x" in told[0] or "4" in told[0]


def test_it_is_a_tuple(point: Any) -> None:
    """It equals a tuple of any class, and has no attributes beyond its fields."""
    assert len({point(1), point(1, 2, ""), (1, 2, "")}) == 1
    x, *_ = point(1)
    assert (x, sorted([point(2), point(1)])[0], isinstance(point(1), tuple)) == (
        1,
        (1, 2, ""),
        True,
    )
    with pytest.raises(AttributeError):
        point(1).x = 2
    with pytest.raises(AttributeError):
        point(1).other = 2
    assert not hasattr(point(1), "__dict__")


def test_what_a_named_tuple_knows_of_itself(point: Any) -> None:
    """It knows its fields and defaults, and can be shown, matched, changed and copied."""
    assert (point._fields, point._field_defaults) == (("x", "y", "name"), {"y": 2, "name": ""})
    assert repr(point(1)) == f"{point.__name__}(x=1, y=2, name='')"
    assert point(1)._asdict() == {"x": 1, "y": 2, "name": ""}
    assert point(1)._replace(name="a") == point._make([1, 2, "a"])
    assert type(point(1)._replace(x=3)) is point
    for made in (
        copy.copy(point(1)),
        copy.deepcopy(point(1)),
        pickle.loads(pickle.dumps(point(1))),
    ):
        assert (made, type(made)) == (point(1), point)
    match point(1):
        case Ours(x, y) | Quick(x, y) | Theirs(x, y):
            assert (x, y) == (1, 2)
        case _:
            pytest.fail("it does not match")
    with pytest.raises((TypeError, ValueError)):
        point(1)._replace(z=3)


def test_a_class_may_be_derived_and_say_how_it_is_shown() -> None:
    """A derived class has the same fields."""

    class Place(Ours):
        def __repr__(self) -> str:
            return "a place"

    assert repr(Place(1)) == "a place"
    assert Place(1) == Ours(1)


def test_a_field_without_a_default_stands_before_those_that_have_one() -> None:
    """The error is raised when the class is declared."""
    with pytest.raises(TypeError, match="y has no default"):
        type(Ours)("Bad", (tuples.NamedTuple,), {"__annotations__": {"x": int, "y": int}, "x": 1})


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated at once")
def test_names_that_are_not_defined_yet() -> None:
    """From 3.14 on, annotations may name what is defined below, or only for type checkers."""
    body = "class Node(NamedTuple):\n    of: Below\n    next: Node | None = None\n"
    names: dict[str, Any] = {"NamedTuple": tuples.NamedTuple}
    exec(compile(body, "node", "exec", dont_inherit=True), names)
    node = names["Node"]
    assert node._fields == ("of", "next")
    assert node(1) == (1, None)
    assert node(1).of == 1
