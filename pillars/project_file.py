"""Reads `configs/<project>.yaml`. What is wrong is said with its line, an unknown key with the nearest known one."""

from __future__ import annotations

import errno
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from pillars.config import SHAPES, Project, nearest
from pillars.config_data import Section
from pillars.errors import ConfigInvalid, StoreUnavailable, UnknownName

NO_SUCH_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)


def load(path: Path) -> Project:
    """Read one YAML file.

    Raises:
        ConfigInvalid: not YAML, an unknown key (with its line and the nearest known key), or a value out of its range.
        UnknownName: no such file.
        StoreUnavailable: it cannot be read.
    """
    return _read(path, _text(path))


def names(folder: Path) -> list[str]:
    """Projects that have a YAML in `folder`."""
    return sorted(p.stem for p in folder.glob("*.yaml") if not p.name.startswith("_") and p.is_file())


def value(text: str) -> Any:
    """One value as the YAML of a project would have it. Raises: ValueError."""
    try:
        return _Loader(text).get_single_data()
    except yaml.YAMLError as err:
        raise ValueError(f"{text!r:.60} is no YAML ({getattr(err, 'problem', None) or ' '.join(str(err).split())})") from err
    except RecursionError as err:
        raise ValueError("it is nested too deeply") from err


def sentences(invalid: ValidationError) -> list[str]:
    """What is wrong with values that stand in no file."""
    return [said for error in invalid.errors() for said in (_problems(error) if not error["loc"] else [_said(error)])]


class _Loader(yaml.SafeLoader):
    """YAML's plain types. A value that is none of its tag's is an error with its line: PyYAML's own lets Python's through."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, ArithmeticError, AttributeError) as err:
            problem = f"{node.value!r:.60} is no {node.tag.rpartition(':')[2]}; in quotes it would be text"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from err


@lru_cache(maxsize=8)  # a cycle opens its project seven times, each a tenth of a second of YAML
def _read(path: Path, text: str) -> Project:
    try:
        loader = _Loader(text)  # parsed once: that is nearly all of a load's time
        root = loader.get_single_node()
        twice = _twice(root)
        content = None if root is None else loader.construct_document(root)
    except yaml.MarkedYAMLError as err:
        line = err.problem_mark.line + 1 if err.problem_mark else 1
        raise ConfigInvalid(path.name, [f"line {line}: {err.problem}"]) from err
    except yaml.YAMLError as err:
        raise ConfigInvalid(path.name, [" ".join(str(err).split())]) from err
    except RecursionError as err:
        raise ConfigInvalid(path.name, ["it is nested too deeply, or an anchor holds itself"]) from err
    if not isinstance(content, dict):
        raise ConfigInvalid(path.name, ["the file must be a mapping of sections"])
    if twice:
        raise ConfigInvalid(path.name, twice)
    try:
        project = Project.model_validate(content)
    except ValidationError as err:
        raise ConfigInvalid(path.name, [s for e in err.errors() for s in _sentences(e, root)]) from err
    if project.project != path.stem:
        raise ConfigInvalid(
            path.name, [f"line {_line(root, ('project',))}: project is {project.project!r} but the file is named {path.name}"]
        )
    return project


def _text(path: Path) -> str:
    """The file's text.

    Raises:
        ConfigInvalid: it is a folder, or no UTF-8.
        UnknownName: there is no such file.
        StoreUnavailable: it cannot be read.
    """
    try:
        content = path.read_bytes()
    except IsADirectoryError as err:
        raise ConfigInvalid(path.name, ["it is a folder, not a file"]) from err
    except OSError as err:
        if err.errno in NO_SUCH_FILE:
            raise UnknownName("project", path.stem, names(path.parent)) from err
        raise StoreUnavailable(str(path), f"cannot be read ({err.strerror})", "Nothing was changed; mend it and run again.") from err
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as err:
        line = content.count(b"\n", 0, err.start) + 1
        raise ConfigInvalid(path.name, [f"line {line}: byte 0x{content[err.start]:02x} is not UTF-8; save the file as UTF-8"]) from err


def _twice(node: yaml.Node | None) -> list[str]:
    """Keys that stand twice in one mapping: YAML would silently take the last."""
    if not isinstance(node, yaml.MappingNode | yaml.SequenceNode):
        return []
    if isinstance(node, yaml.SequenceNode):
        return [problem for child in node.value for problem in _twice(child)]
    keys = [key.value for key, _ in node.value]
    again = [f"line {k.start_mark.line + 1}: {k.value} stands here twice" for i, (k, _) in enumerate(node.value) if k.value in keys[:i]]
    return again + [problem for _, child in node.value for problem in _twice(child)]


def _sentences(error: Any, root: yaml.Node | None) -> list[str]:
    """One error of pydantic for people; a check over several sections says one thing per line, each beginning with its section."""
    if error["loc"]:
        return [_sentence(error, root)]
    return [f"line {_line(root, tuple(p.partition(':')[0].split('.')))}: {p}" for p in _problems(error)]


def _problems(error: Any) -> list[str]:
    return str(error["msg"]).removeprefix("Value error, ").splitlines()


def _sentence(error: Any, root: yaml.Node | None) -> str:
    return f"line {_line(root, error['loc'])}: {_said(error)}"


def _said(error: Any) -> str:
    where = ".".join(str(p) for p in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"unknown key {where}{nearest(str(error['loc'][-1]), _known_keys(error['loc'][:-1]))}"
    if error["type"] == "missing":
        return f"{where} is missing"
    if error["type"] == "string_pattern_mismatch":
        return f"{where} is {error['input']!r:.60}; it must be {SHAPES[error['ctx']['pattern']]}"
    return f"{where + ': ' if where else ''}{error['msg'].removeprefix('Value error, ')}"


def _known_keys(loc: tuple[Any, ...]) -> list[str]:
    """Keys of the section at `loc`, found by walking the models' annotations."""
    model: Any = Project
    for part in loc:
        annotation = (
            model.model_fields[part].annotation if isinstance(part, str) and _is_section(model) and part in model.model_fields else model
        )
        model = annotation if annotation is not model else next((a for a in get_args(model) if _is_section(a)), model)
    return [field.alias or name for name, field in model.model_fields.items()] if _is_section(model) else []


def _is_section(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, Section)


def _line(root: yaml.Node | None, loc: tuple[Any, ...]) -> int:
    """Line (from 1) of the deepest node on the way to `loc`; a key's own line where it is one."""
    node, line = root, 1
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line
