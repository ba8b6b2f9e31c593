"""Secrets of a source by reference: a variable of the environment, or a Prefect Secret block that who runs the source looks up."""

from __future__ import annotations

import os
from collections.abc import Callable

from pillars import masking
from pillars.config_data import BLOCK
from pillars.errors import SettingInvalid

Reveal = Callable[[str], str]  # the value behind a reference; empty where there is none


def of_environment(reference: str) -> str:
    """The value of a variable, masked from now on wherever it could be logged; empty where it is not set.

    Raises:
        SettingInvalid: it is a block, which only a flow, or the command, can look up.
    """
    if reference.startswith(BLOCK):
        raise SettingInvalid([f"{reference} is a Prefect Secret block, and nobody here looks such up"])
    value = os.environ.get(reference, "")
    masking.know(value, reference)
    return value


def required(reveal: Reveal, reference: str, key: str, what: str) -> str:
    """The value behind a reference; `key` of the YAML expects `what` there.

    Raises:
        SettingInvalid: there is none; never with a value.
    """
    if value := reveal(reference):
        return value
    there_is_none = f"{reference} is empty" if reference.startswith(BLOCK) else f"{reference} is not set"
    raise SettingInvalid([f"{there_is_none}: {key} expects {what} in it"])
