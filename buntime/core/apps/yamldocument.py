"""Reads YAML text that is one mapping, or a list of mappings, and knows the line of each key, see
`document`.

It is strict where YAML's own loaders are not, because no mistake may go unseen: duplicate keys,
keys that are not text, anchors, merges and tags are errors. Nesting is limited before the tree is
built: the C loader is recursive, and 100,000 brackets would crash the whole process.
"""

import contextlib
from collections.abc import Collection, Iterator

import yaml

from buntime.core.apps.entry import DocumentError, Entry
from buntime.core.values.tuples import NamedTuple
from buntime.core.values.wording import shown

_DEPTH_MAX = 8

_LOADER: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_NO_ALIAS = "alphabetic or numeric"  # what both loaders expect after a * or &, as in */5 * * * *

_NO_TOKEN = "cannot start any token"  # what both say about a tab
_NO_BRACKET = "expected ',' or"


class _Reading(NamedTuple):
    """How a file is read, see `document.read_document`."""

    loader: yaml.SafeLoader
    verbatim: Collection[str]
    hides_values: bool


def read_yaml(
    text: str,
    *,
    verbatim: Collection[str],
    levels: int,
    lists: Collection[str],
    hides_values: bool,
) -> dict[str, Entry]:
    """As `read_document`, for any text."""
    with _document_errors(text):
        _check_structure(text, hides_values)
        reading = _Reading(_LOADER(text), verbatim, hides_values)
        return _document(reading, levels, lists)


def read_yaml_items(text: str) -> list[Entry]:
    """As `document.read_items`."""
    with _document_errors(text):
        _check_structure(text, hides_values=True)
        reading = _Reading(_LOADER(text), (), hides_values=True)
        root = reading.loader.get_single_node()
        if root is None or root.tag == f"{_TAG}null":
            return []
        if not isinstance(root, yaml.SequenceNode):
            raise DocumentError('expected a list: lines like "- name: ..."', _line(root))
        return [Entry(_with_lines(reading, each, 1, is_verbatim=True), _line(each))
                for each in root.value]  # fmt: skip


@contextlib.contextmanager
def _document_errors(text: str) -> Iterator[None]:
    """Turns errors from YAML's own reader into DocumentError."""
    try:
        yield
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line = mark.line + 1 if mark else 0
        problem = str(exc.problem or exc.context)
        if _NO_ALIAS in problem:
            problem += "; put text that begins with * or & in quotes"
        elif _NO_TOKEN in problem and _has_tab(text, line):
            problem = "the line begins with a tab; indent with spaces"
        elif _NO_BRACKET in problem:
            problem += "; close what was opened above"
        raise DocumentError(f"not valid YAML: {problem}", line) from exc
    except yaml.reader.ReaderError as exc:
        before = text.partition(chr(exc.character))[0]
        problem = f"the character U+{exc.character:04X} is not allowed in YAML"
        raise DocumentError(problem, before.count("\n") + 1) from exc


def _has_tab(text: str, line: int) -> bool:
    given = text.splitlines()[line - 1 : line]
    return bool(given) and "\t" in given[0][: len(given[0]) - len(given[0].lstrip())]


def _check_structure(text: str, hides_values: bool) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            raise DocumentError("anchors and aliases are not supported", _line(event))
        tag = getattr(event, "tag", None)
        if tag is not None:  # PyYAML fails in many ways on "!!bool x"
            such = "" if hides_values else f" such as {shown(tag)}"
            raise DocumentError(f"tags{such} are not supported", _line(event))
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEPTH_MAX:
            raise DocumentError("nested too deeply", _line(event))


def _document(reading: _Reading, levels: int, lists: Collection[str]) -> dict[str, Entry]:
    root = reading.loader.get_single_node()
    if root is None or root.tag == f"{_TAG}null":  # "---" alone gives the second
        return {}
    if not isinstance(root, yaml.MappingNode):
        raise DocumentError('expected lines like "timeout: 30s"', _line(root))
    found = {}
    for key, node in _pairs(root):
        if key.value in lists and isinstance(node, yaml.SequenceNode):
            value: object = [
                Entry(_with_lines(reading, item, 1, is_verbatim=False), _line(item))
                for item in node.value
            ]
        else:
            value = _with_lines(reading, node, levels - 1, key.value in reading.verbatim)
        found[key.value] = Entry(value, _line(key))
    return found


def _with_lines(reading: _Reading, node: yaml.Node, levels: int, is_verbatim: bool) -> object:
    if levels == 0 or not isinstance(node, yaml.MappingNode):
        return _value(reading, node, is_verbatim)
    return {
        key.value: Entry(_with_lines(reading, item, levels - 1, is_verbatim), _line(key))
        for key, item in _pairs(node)
    }


def _pairs(mapping: yaml.MappingNode) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    lines: dict[str, int] = {}
    for key, _ in mapping.value:
        if key.tag != f"{_TAG}str":
            name = f"the key {key.value}" if isinstance(key, yaml.ScalarNode) else "a key"
            raise DocumentError(f"{name} is not text; put it in quotes", _line(key))
        if key.value in lines:
            first = lines[key.value]
            raise DocumentError(
                f"{key.value} is given twice, first on line {first}; remove one", _line(key)
            )
        lines[key.value] = _line(key)
    return list(mapping.value)


def _value(reading: _Reading, node: yaml.Node, is_verbatim: bool) -> object:
    match node:
        case yaml.MappingNode():
            return {key.value: _value(reading, item, is_verbatim) for key, item in _pairs(node)}
        case yaml.SequenceNode():
            return [_value(reading, item, is_verbatim) for item in node.value]
    if is_verbatim and node.tag != f"{_TAG}null":
        return node.value
    try:
        return reading.loader.construct_object(node, deep=True)
    except ValueError as exc:  # YAML takes 2024-99-99 for a date, 0x_ for a number
        if reading.hides_values:  # the exception's text contains it too
            raise DocumentError("the value is not text; put it in quotes", _line(node)) from None
        raise DocumentError(f"{shown(node.value)}: {exc}; put it in quotes", _line(node)) from exc


def _line(part: yaml.Node | yaml.Event) -> int:
    return part.start_mark.line + 1 if part.start_mark else 0
