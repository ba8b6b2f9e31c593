"""`data.dvc` on the main branch: the pinned data version, and what its bytes are a function of, so that a difference can be explained."""

from __future__ import annotations

import hashlib
import importlib
from importlib.metadata import version
from pathlib import Path

import yaml

from pillars.config import Project
from pillars.data import record, versions
from pillars.errors import ConfigInvalid
from pillars.stores import Stores, write_atomically

PIN = "data.dvc"


def write_pin(stores: Stores, project: Project) -> Path:
    """Pin the newest version in the project's folder. Equal data, code and lock give equal bytes.

    Raises:
        UnknownName: nothing was published yet.
    """
    text = versions.pin(stores, project.project) + record.dump({"meta": causes(project)})
    path = stores.root / PIN
    write_atomically(path, text.encode())
    return path


def causes(project: Project) -> dict[str, str]:
    """What decides the bytes: `lock` (writer of the files), `expectations` (which rows are kept), `source` (its code and its package)."""
    return {
        "lock": f"pyarrow {version('pyarrow')}",
        "expectations": project.section_digest("columns", "expectations", "source")[:16],
        "source": _source(project),
    }


def project_of(stores: Stores) -> str | None:
    """The project whose data is pinned; None without a pin."""
    try:
        files = yaml.safe_load((stores.root / PIN).read_text(encoding="utf-8"))["outs"][0]["meta"]["files"]
        return str(next(iter(files))).split("/")[0]
    except (OSError, yaml.YAMLError, KeyError, TypeError, StopIteration):
        return None


def version_id(stores: Stores) -> str:
    """The data version that is pinned; empty without a pin."""
    try:
        return str(yaml.safe_load((stores.root / PIN).read_text(encoding="utf-8"))["outs"][0]["md5"])
    except (OSError, yaml.YAMLError, KeyError, TypeError, IndexError):
        return ""


def compare(stores: Stores, project: Project) -> list[str]:
    """In what the newest version differs from the pin, each with its cause where one moved; empty when they are equal.

    Raises:
        UnknownName: nothing was published yet.
        ConfigInvalid: there is no pin, or it cannot be read.
    """
    try:
        pinned = yaml.safe_load((stores.root / PIN).read_text(encoding="utf-8"))
        id_, recorded = pinned["outs"][0]["md5"], pinned["meta"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as err:
        raise ConfigInvalid(PIN, ["it is no pin of a data version; write one with `make data-pin`"]) from err
    now = yaml.safe_load(versions.pin(stores, project.project))["outs"][0]["md5"]
    if now == id_:
        return []
    moved = [f"{name} moved: {recorded.get(name)} -> {value}" for name, value in causes(project).items() if recorded.get(name) != value]
    return [
        f"the data is {now}, pinned is {id_}",
        *(moved or ["nothing moved that decides it: the bytes are not reproducible"]),
    ]


def _source(project: Project) -> str:
    """Of code: sha256 (first 16) over its Python files, and the versions of the distributions that its PACKAGES says its rows come from."""
    if project.source.python is None:
        return project.source.name
    module = importlib.import_module(project.source.python)
    origin = Path(str(module.__file__))
    files = sorted(origin.parent.glob("*.py")) if origin.name == "__init__.py" else [origin]
    code = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    return " ".join([code, *(f"{package} {version(package)}" for package in getattr(module, "PACKAGES", ()))])
