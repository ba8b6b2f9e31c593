"""Imported by Python itself in every process of `pillars up`: no log of theirs, nor of what they start, says a secret."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

with suppress(ImportError):  # an environment of another project's, such as a model's: it inherits the path
    from pillars import masking

    masking.install()

# the one that would have been imported without this folder on the path
_others = PathFinder.find_spec("sitecustomize", [place for place in sys.path if Path(place).resolve() != Path(__file__).resolve().parent])
if _others is not None and _others.loader is not None:
    _others.loader.exec_module(module_from_spec(_others))
