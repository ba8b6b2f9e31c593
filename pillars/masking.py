"""What no log may say: secrets that this process knows, and passwords in addresses. They are written as ***."""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import re
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, TextIO
from urllib.parse import quote, quote_plus, unquote

from pillars.errors import PillarsError

STARS = "***"
SHORTEST = 4  # characters: a shorter word would be masked in half of all sentences
LONE = 8  # a word shorter than this is masked where it stands alone: `test` is not the middle of `latest`
NAMED = re.compile(r"SECRET|PASSW|PASSPHRASE|TOKEN|CREDENTIAL|AUTH_STRING|API_?KEY|PRIVATE_KEY|WEBHOOK|_KEY$", re.IGNORECASE)
NO_SECRETS = frozenset(("true", "false", "none", "null", "basic", "bearer", "token"))
LOGIN = re.compile(r"://([^:@/\s]*)(?::(\S*))?@")  # to the last @: a password may hold / and @
IN_QUERY = re.compile(r"[?&;]([^=&;\s]+)=([^&;\s]+)")
GENERAL = (  # what is a secret by its form, whoever knows it
    (re.compile(r"(\w://[^\s:/?#@'\"]*:)[^\s/?#@'\"]+@"), rf"\1{STARS}@"),
    (re.compile(r"(\bhttps?://)[^\s:/?#@'\"]+@"), rf"\1{STARS}@"),
    (re.compile(r"(\bauthorization['\"]?\s*[:=]\s*['\"]?(?:(?:bearer|basic|token)\s+)?)[^\s'\",}]+", re.IGNORECASE), rf"\1{STARS}"),
)
OF_THE_WAY = ("httpx", "httpcore", "prefect", "anyio")  # packages whose errors are of the way to Prefect's server: they quote no row

_lock = threading.Lock()
_known: dict[str, str] = {}  # a secret, and the name it is known by
_pattern: re.Pattern[str] | None = None
_seen: dict[str, str] = {}  # the environment as it was looked through last: stores are opened often
_installed = False


class Concealed(Exception):
    """What a library raised, without its own words where they hold a secret or could quote a row."""


def know(value: str | bytes, name: str = "a secret") -> None:
    """Have a secret, and what is secret in an address or a header, masked from now on. `name` is what it may be called."""
    found = set(_parts(value.hex())) | {base64.b64encode(value).decode()} if isinstance(value, bytes) else set(_parts(value))
    _remember(dict.fromkeys(found, name))


def know_environment(environ: Mapping[str, str] = os.environ) -> None:
    """The same for all variables that are secret by their name (`AWS_SECRET_ACCESS_KEY`), and for passwords in addresses of any."""
    global _seen
    if (now := dict(environ)) == _seen:
        return
    found: dict[str, str] = {}
    for name, value in now.items():
        if NAMED.search(name):
            found |= dict.fromkeys(_parts(value), name)
        elif "://" in value:
            found |= dict.fromkeys(_of_address(value), name)
    _remember(found)
    _seen = now


def known() -> dict[str, str]:
    """Each secret that this process knows, and the name of where it comes from."""
    return dict(_known)


def masked(text: str) -> str:
    """`text` without known secrets, and without passwords in addresses."""
    if _pattern is not None:
        text = _pattern.sub(STARS, text)
    for pattern, instead in GENERAL:
        text = pattern.sub(instead, text)
    return text


def install() -> None:
    """Mask what any logger of this process is told, its tracebacks, its warnings, and the traceback that ends it. Once is enough."""
    global _installed
    know_environment()
    if _installed:
        return
    _installed = True
    make, tell, thread = logging.getLogRecordFactory(), sys.excepthook, threading.excepthook

    def record(*given: Any, **named: Any) -> logging.LogRecord:
        return cleaned(make(*given, **named))

    def last_words(kind: type[BaseException], err: BaseException, trace: Any) -> None:
        text = "".join(traceback.format_exception(kind, err, trace))
        if masked(text) == text:
            tell(kind, err, trace)
        else:
            print(masked(text), end="", file=sys.stderr)

    def of_thread(args: Any) -> None:
        text = "".join(traceback.format_exception(args.exc_type, args.exc_value, args.exc_traceback))
        if masked(text) == text:
            thread(args)
        else:
            print(masked(text), end="", file=sys.stderr)

    logging.setLogRecordFactory(record)
    sys.excepthook, threading.excepthook = last_words, of_thread
    warnings.showwarning = show_warning  # not formatwarning, which plotly replaces


def show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None, line: str | None = None
) -> None:
    """Print a warning, as `warnings.showwarning` does, without secrets."""
    with suppress(OSError):
        (file or sys.stderr).write(masked(warnings.formatwarning(message, category, filename, lineno, line)))


def cleaned(record: logging.LogRecord) -> logging.LogRecord:
    """The record without secrets: in its text, however it is put together, in its arguments and in its traceback."""
    try:
        message = record.getMessage()
    except Exception:  # arguments that do not fit: logging would print them all on stderr
        record.msg, record.args = masked(f"{record.msg} {record.args}"), ()
        message = record.msg
    if masked(message) != message:
        _clean_message(record, masked(message))
    if record.exc_info and record.exc_info[0]:
        text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        if masked(text) != text:  # what formatters take first; with the exception itself they could write it anew
            record.exc_text, record.exc_info = masked(text), None
    if record.stack_info:
        record.stack_info = masked(record.stack_info)
    return record


def _clean_message(record: logging.LogRecord, instead: str) -> None:
    """Arguments keep their number where that is enough: access logs of servers take them apart again."""
    if isinstance(record.args, tuple):
        args = tuple(masked(one) if isinstance(one, str) else one for one in record.args)
        msg = masked(str(record.msg))
        if (msg % args if args else msg) == instead:
            record.msg, record.args = msg, args
            return
    record.msg, record.args = instead, ()


def concealed(err: Exception, confidential: bool) -> Exception:
    """What may be raised in place of `err`: it is logged, kept in Prefect's database and printed. `err` itself where nothing is against it.

    Where columns are `confidential`, words of a library are left out, for they can quote a row; not those of our own errors, of the
    operating system's and of the way to Prefect's server.
    """
    ours = isinstance(err, PillarsError | OSError | Concealed) or type(err).__module__.partition(".")[0] in OF_THE_WAY
    if confidential and not ours:
        told = Concealed(f"{type(err).__name__}: its words are left out, for they could quote a row").with_traceback(err.__traceback__)
        told.__cause__ = _of_the_system(err)
        return told
    if confidential:  # what it was raised from is logged with it
        err.__cause__, err.__suppress_context__ = _of_the_system(err), True
    text = "".join(traceback.format_exception(err)) + repr(err)
    if masked(text) == text:
        return err
    return _again(err).with_traceback(err.__traceback__)


def _of_the_system(err: BaseException) -> OSError | None:
    """What the operating system refused, where `err` was raised from that: a full disk is no row."""
    below = err.__cause__ or err.__context__
    while below is not None:
        if isinstance(below, OSError) and below.errno is not None and below.__cause__ is None and below.__context__ is None:
            return below
        below = below.__cause__ or below.__context__
    return None


def _again(err: Exception) -> Exception:
    """The same error with masked words, without what it was raised from; of another kind where it cannot be made so."""
    try:
        if isinstance(err, OSError) and err.errno is not None:
            again: Exception = type(err)(err.errno, masked(err.strerror or ""), masked(str(err.filename)) if err.filename else None)
        else:
            again = type(err)(*_deep(err.args))
        if masked(said := f"{again} {again!r}") == said:
            return again
    except Exception:  # made in another way than its arguments say
        pass
    return Concealed(masked(f"{type(err).__name__}: {err}"))


def _deep(value: Any) -> Any:
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, list | tuple):
        return type(value)(_deep(one) for one in value)
    if isinstance(value, dict):
        return {_deep(key): _deep(one) for key, one in value.items()}
    return value


def _parts(value: str) -> Iterator[str]:
    """A secret, its lines, what follows `Bearer`, the password of `user:password`, and what is secret in an address."""
    yield value
    yield from (line for line in value.splitlines() if len(line) >= 2 * LONE)
    scheme, _, rest = value.strip().partition(" ")
    if scheme.lower() in NO_SECRETS:
        yield rest
        if scheme.lower() == "basic":
            try:
                yield base64.b64decode(rest, validate=True).decode().partition(":")[2]
            except ValueError:
                pass
    if "://" in value:
        yield from _of_address(value)
    elif value.count(":") == 1 and "\n" not in value:
        yield value.partition(":")[2]
        yield base64.b64encode(value.encode()).decode()


def _of_address(value: str) -> Iterator[str]:
    """Passwords of an address: before its @, to the first as to the last one, and in its query; a name without password is one for http."""
    logins = [value, value.partition("@")[0] + "@"] if "@" in value else []
    if value.startswith("http"):  # there a login ends with the host; a database's password may hold / and ?
        scheme, _, rest = value.partition("://")
        logins = [f"{scheme}://{re.split('[/?#]', rest, maxsplit=1)[0]}"]
    for login in logins:
        if (found := LOGIN.search(login)) is None:
            continue
        user, password = found.groups()
        if password:
            yield from (password, unquote(password), base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode())
        elif user and value.startswith("http"):
            yield from (user, unquote(user))
    yield from (text for name, given in IN_QUERY.findall(value) if NAMED.search(name) for text in (given, unquote(given)))


def _remember(found: Mapping[str, str]) -> None:
    global _pattern
    new = {v: name for v, name in found.items() if len(v.strip()) >= SHORTEST and v.lower() not in NO_SECRETS and v not in _known}
    if not new:
        return
    with _lock:
        _known.update(new)
        forms = sorted({form for value in _known for form in _written(value)}, key=lambda form: (-len(form), form))
        _pattern = re.compile("|".join(map(_searched, forms)))


def _written(value: str) -> set[str]:
    """How it may stand in a text: as it is, escaped by Python, JSON, HTML and in addresses, and digits of a key in capitals."""
    found = {value, repr(value)[1:-1], json.dumps(value)[1:-1], html.escape(value), quote(value, safe=""), quote_plus(value)}
    return found | ({value.upper(), value.lower()} if re.fullmatch(r"[0-9a-fA-F]{32,}", value) else set())


def _searched(form: str) -> str:
    return rf"(?<!\w){re.escape(form)}(?!\w)" if len(form) < LONE else re.escape(form)
