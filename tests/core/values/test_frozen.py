"""Each test declares a class with `frozen` and with `dataclass`, and expects the same of both."""

from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from typing import Any

import pytest

from buntime.core.values.frozen import frozen

Declare = Callable[[type[Any]], type[Any]]


@pytest.fixture(params=[frozen(), dataclass(frozen=True)], ids=["frozen", "dataclass"])
def point(request: pytest.FixtureRequest) -> type[Any]:
    declare: Declare = request.param

    class Point:
        """A point."""

        x: int
        y: int = 2
        names: list[str] = field(default_factory=list, repr=False, compare=False)
        more: list[str] = field(default_factory=list, repr=False, hash=False)
        far: bool = field(init=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "far", self.x > 10)

    return declare(Point)


def test_fields_are_given_by_position_or_by_name(point: type[Any]) -> None:
    """A missing field has its default, and a factory makes a new one for each value."""
    assert [(each.x, each.y) for each in (point(1), point(1, 3), point(y=3, x=1))] == [
        (1, 2),
        (1, 3),
        (1, 3),
    ]
    one, other = point(1), point(1)
    one.names.append("a")
    assert (one.names, other.names) == (["a"], [])


@pytest.mark.parametrize(
    ("args", "given"),
    [
        ((), {}),
        ((1, 2, [], [], True), {}),
        ((1,), {"x": 1}),
        ((1,), {"z": 1}),
        ((1,), {"far": True}),
    ],
    ids=["too-few", "too-many", "twice", "unknown", "made"],
)
def test_what_a_class_does_not_take_is_refused(
    point: type[Any], args: tuple[Any, ...], given: dict[str, Any]
) -> None:
    """Other arguments are refused, as with a function."""
    with pytest.raises(TypeError):
        point(*args, **given)


def test_values_compare_hash_and_show_by_their_fields(point: type[Any]) -> None:
    """Excluded fields do not count, and values of another class differ."""
    assert point(1, names=["a"]) == point(1)
    assert hash(point(1, names=["a"])) == hash(point(1))
    assert point(1) not in (point(3), point(1, more=["a"]))
    assert point(1) != (1, 2, False)
    assert repr(point(1)).endswith("Point(x=1, y=2, far=False)")


def test_nothing_of_a_value_can_be_changed(point: type[Any]) -> None:
    """Attributes can be neither set nor removed, whether such a field exists or not."""
    value = point(1)
    for name in ("x", "other"):
        with pytest.raises(FrozenInstanceError):
            setattr(value, name, 5)
        with pytest.raises(FrozenInstanceError):
            delattr(value, name)


def test_functions_of_dataclasses_take_the_values(point: type[Any]) -> None:
    """`replace` calls `__post_init__` again."""
    moved = replace(point(1, names=["a"]), x=11)
    assert asdict(moved) == {"x": 11, "y": 2, "names": ["a"], "more": [], "far": True}
    assert [each.name for each in fields(point)] == ["x", "y", "names", "more", "far"]


def test_fields_may_be_given_by_name_alone_in_any_order() -> None:
    """A field without a default may follow one that has a default."""

    @frozen(kw_only=True)
    class Named:
        x: int = 1
        y: int

    assert Named(y=2) == Named(x=1, y=2)
    with pytest.raises(TypeError, match="0 values by position"):
        Named(1, 2)  # type: ignore[misc]  # what is tested


def test_values_without_eq_are_themselves() -> None:
    """They compare and hash by identity."""

    @frozen(eq=False)
    class Same:
        x: int

    assert Same(1) != Same(1)
    assert len({Same(1), Same(1)}) == 2


def test_what_a_class_says_itself_stays() -> None:
    """A class's own methods are kept, so that a value can hide its secrets."""

    @frozen()
    class Secret:
        text: str

        def __repr__(self) -> str:
            return "Secret(...)"

    assert repr(Secret("x")) == "Secret(...)"
