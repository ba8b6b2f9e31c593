"""What a request is refused with: a status, a sentence that names row and column, and never a value that came with it."""

from __future__ import annotations

import re
import sys
from contextlib import suppress
from typing import Any

import msgspec

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")  # what looks like a column's name may be said again; anything else could be a value
PATH = re.compile(r"^(.*?)(?: - at `(.*)`)?$", re.DOTALL)
SAYINGS = (  # of msgspec, and ours; its other sentences are not passed on
    (re.compile(r"Expected `([a-z |]+)`, got `([a-z]+)`"), "{0} is needed, not {1}"),
    (re.compile(r"Expected `float` [<>]=.*"), "the number is too large for the model"),
    (re.compile(r"Number out of range"), "the number is too large"),
    (re.compile(r"Expected `str` of length <= (\d+)"), "the text is longer than {0} characters"),
    (re.compile(r"Expected `array` of length (\d+)"), "{0} values are needed"),
    (re.compile(r"Expected `int` >= (\d+)"), "a whole number of {0} or more is needed"),
)
UNKNOWN = "the model has no such column"
WORDS = {
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "null": "null",
    "object": "an object",
    "array": "a list",
    "int": "a whole number",
}


class Refused(Exception):
    """A request that is not answered. `row` counts from 0; `headers` go with the answer."""

    def __init__(
        self, status: int, code: str, message: str, row: int | None = None, column: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status, code, message, row, column, headers)
        self.status, self.code, self.message, self.row, self.column = status, code, message, row, column
        self.headers = headers or {}

    def content(self) -> bytes:
        """As JSON: `error` is a sentence, as the Open Inference Protocol has it; `error_code` as MLflow has it."""
        where: dict[str, Any] = {} if self.row is None else {"row": self.row}
        where |= {} if self.column is None else {"column": self.column}
        return msgspec.json.encode({"error": self.sentence, "error_code": self.code, **where})

    @property
    def sentence(self) -> str:
        """With its place."""
        place = [f"row {self.row}"] if self.row is not None else []
        place += [f"column {self.column}"] if self.column is not None else []
        return f"{', '.join(place)}: {self.message}" if place else self.message


def complain(text: str) -> None:
    """A line on stderr for who runs the server. Where that lies on a full disk, too, there is none."""
    with suppress(OSError):
        print(f"pillars serve: {text}", file=sys.stderr, flush=True)


def said(name: str) -> str | None:
    """A name that a client sent, where it can be said again."""
    return name if PLAIN.fullmatch(name) else None


def of_envelope(what: str, path: str, name: str | None) -> Refused:
    """What is wrong around the rows; an unknown key is not said again."""
    place = path.removeprefix("$").removeprefix(".")
    if what == UNKNOWN:
        name, what = None, "there is a key that does not belong here"
    return Refused(422, "INVALID", "".join((f"{place}: " if place else "", f"{name}: " if name else "", what)))


def malformed(err: Exception) -> Refused:
    """What is no JSON. Positions are said, contents are not."""
    if isinstance(err, RecursionError):
        return Refused(400, "MALFORMED", "the JSON is nested too deeply")
    if isinstance(err, UnicodeDecodeError):
        return Refused(400, "MALFORMED", "the body is no UTF-8")
    at = re.search(r"\(byte \d+\)", str(err))
    return Refused(400, "MALFORMED", f"the body is no JSON{f' {at.group()}' if at else ''}")


def explained(message: str) -> tuple[str, str, str | None]:
    """A sentence for what msgspec found, the path to it, and the name of a field that is missing or unknown."""
    matched = PATH.match(message)
    text, path = (matched.group(1), matched.group(2) or "$") if matched else (message, "$")
    if missing := re.match(r"Object missing required field `(.*)`", text):
        return "it is missing", path, missing.group(1)
    if unknown := re.match(r"Object contains unknown field `(.*)`", text, re.DOTALL):
        return UNKNOWN, path, said(unknown.group(1))
    for pattern, sentence in SAYINGS:
        if found := pattern.match(text):
            words = [" or ".join(WORDS.get(w, w) for w in group.split(" | ")) for group in found.groups()]
            return sentence.format(*words), path, None
    return "is not what is needed here", path, None
