"""Proposed expectations put into a YAML's text: every other line stays as it is, comments too."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from pillars.config_data import Expectation
from pillars.data.expecting import MARK
from pillars.errors import ConfigInvalid


@dataclass(frozen=True)
class _Item:
    """One expectation of the text: its first line and the one after its last, from 0."""

    first: int
    end: int
    indent: int  # of its dash
    said: Expectation


def merge(name: str, text: str, proposed: Sequence[Expectation]) -> str:
    """`text` with the proposed expectations in its suite.

    Those of an earlier proposal (their note says so) are replaced where they stand, or go when nothing bears them any more. Where a
    person has declared a check of the same type for the same columns, theirs stays and nothing is added.

    Raises:
        ConfigInvalid: the suite stands in brackets and is not empty, so no line can be put into it.
    """
    root = yaml.compose(text)
    section = _child(root, "expectations")
    suite = _child(section, "suite")
    if isinstance(suite, yaml.SequenceNode) and suite.flow_style and suite.value:
        raise ConfigInvalid(name, ["expectations.suite stands in brackets; write each check on a line of its own, then propose again"])
    items = [_item(node) for node in suite.value] if isinstance(suite, yaml.SequenceNode) else []
    declared = {identity(item.said) for item in items if not item.said.note.startswith(MARK)}
    wanted = {identity(e): e for e in proposed if identity(e) not in declared}
    indent = (items[0].indent if items else section.value[0][0].start_mark.column + 2) if section is not None and section.value else 4
    changes: list[tuple[int, int, list[str]]] = []  # first line, the one after the last, what stands there then
    for item in items:
        if item.said.note.startswith(MARK):
            again = wanted.pop(identity(item.said), None)
            changes.append((item.first, item.end, [_line(again, indent)] if again else []))
    new = [_line(e, indent) for e in wanted.values()]
    lines = [line if line.endswith("\n") else f"{line}\n" for line in text.splitlines(keepends=True)]
    if new and items:
        changes.append((items[-1].end, items[-1].end, new))
    elif new:
        changes.append(_headed(section, suite, new, indent, len(lines)))
    for first, end, put in reversed(changes):
        lines[first:end] = put
    return "".join(lines) if changes else text


def difference(name: str, before: str, after: str) -> str:
    """Both texts as a unified diff; empty when they are equal."""
    return "".join(difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{name}", f"b/{name}"))


def identity(expectation: Expectation) -> tuple[str, str, str]:
    """What makes two checks the same one: table, type, and the columns and rows they are about."""
    about = {k: v for k, v in expectation.kwargs.items() if k.startswith("column") or k == "row_condition"}
    return expectation.table, expectation.type, json.dumps(about, sort_keys=True)


def _headed(section: yaml.Node | None, suite: yaml.Node | None, new: list[str], indent: int, length: int) -> tuple[int, int, list[str]]:
    """The change that puts the first checks in, with the keys above them that are missing."""
    head = " " * (indent - 2) + "suite:\n"
    if section is None:
        return length, length, ["expectations:\n", head, *new]
    if suite is not None:
        return suite.start_mark.line, suite.start_mark.line + 1, [head, *new]
    at = _end(section)
    return at, at, [head, *new]


def _item(node: yaml.Node) -> _Item:
    said = Expectation.model_validate(yaml.safe_load(yaml.serialize(node)))
    dash = node.start_mark.column - 2
    return _Item(node.start_mark.line, _end(node), dash, said)


def _end(node: yaml.Node) -> int:
    """The line after a node's last value: a block's own end lies behind the comments that follow it."""
    while isinstance(node, yaml.MappingNode | yaml.SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    mark = node.end_mark
    return int(mark.line + (1 if mark.column else 0))


def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _line(expectation: Expectation, indent: int) -> str:
    """One check on one line; JSON is YAML."""
    said = expectation.model_dump(mode="json", exclude_defaults=True)
    parts = ", ".join(f"{key}: {_json(value)}" for key, value in said.items())
    return f"{' ' * indent}- {{ {parts} }}\n"


def _json(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k}: {_json(v)}" for k, v in value.items()) + " }"
    plain = isinstance(value, str) and value.replace("_", "").isalnum() and value.startswith("expect_")
    return str(value) if plain else json.dumps(value, ensure_ascii=False)
