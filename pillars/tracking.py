"""MLflow as all who use it find it: quiet, patient within bounds, opened one at a time, its errors as ours."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pillars.errors import PillarsError, StoreUnavailable
from pillars.stores import Stores, locked, without_password

TIMEOUT_S, RETRIES = 30, 3  # MLflow's own 120 and 7: a server that accepts and never answers would be waited for 20 minutes, at every step
LOGIN = "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN), and run again."


def quiet_mlflow() -> None:
    """Tell MLflow not to phone home, not to chat, not to wait for ever. Before it is imported; what the user has set stays.

    Its errors reach us as exceptions; what it logs of them besides is a stack.
    """
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true", "MLFLOW_LOGGING_LEVEL": "CRITICAL"}
    quiet |= {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "GIT_PYTHON_REFRESH": "quiet"}
    bounds = {"MLFLOW_HTTP_REQUEST_TIMEOUT": str(TIMEOUT_S), "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(RETRIES)}
    for name, value in (quiet | bounds).items():
        os.environ.setdefault(name, value)


@contextmanager
def opening_mlflow(stores: Stores) -> Iterator[str]:
    """MLflow's URI. Make the client inside: several processes that make the same new SQLite database at once crash each other."""
    quiet_mlflow()
    with locked(stores.folder("mlflow") / "open.lock", "MLflow's database"):
        if not stores.mlflow_uri:
            _make_whole(stores.folder("mlflow") / "mlflow.db")
        yield stores.tracking_uri


def _make_whole(database: Path) -> None:
    """Make MLflow's SQLite file under another name first: killed among its hundreds of statements, it would never open again."""
    draft = database.with_name(f".draft-{database.name}")
    for left in database.parent.glob(f"{draft.name}*"):
        left.unlink()
    if database.exists():
        return
    from mlflow.store.db.utils import _safe_initialize_tables, create_sqlalchemy_engine

    engine = create_sqlalchemy_engine(f"sqlite:///{draft}")
    try:
        _safe_initialize_tables(engine)
    finally:
        engine.dispose()
    _take_place(draft, database)


def _take_place(draft: Path, database: Path) -> None:
    """Give the draft its name, unless a server of MLflow's own, which asks for no lock, has made the file meanwhile."""
    try:
        os.link(draft, database)
    except FileExistsError:
        pass
    except OSError:  # a disk without links
        if not database.exists():
            os.rename(draft, database)
    draft.unlink(missing_ok=True)


@contextmanager
def mlflow_errors(left: str) -> Iterator[None]:
    """MLflow's errors as ours; `left` says what state was left.

    Raises:
        StoreUnavailable: it does not answer, refuses the credentials, or a disk under it refuses.
    """
    quiet_mlflow()
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except PillarsError:
        raise
    except (MlflowException, SQLAlchemyError, RequestException) as err:
        problem, remedy = _told(without_password(" ".join(str(err).split())))
        raise StoreUnavailable("MLflow", problem, f"{left}; {remedy}") from err
    except OSError as err:
        raise StoreUnavailable.refused("MLflow's files", err, f"{left}; free or mend the disk, and run again.", "written") from err
    except ImportError as err:  # the driver of a database in PILLARS_MLFLOW_URI
        raise StoreUnavailable("MLflow", f"needs a module that is not installed ({err})", f"{left}; install it and run again.") from err


def _told(text: str) -> tuple[str, str]:
    """MLflow's words (it quotes whole SQL statements and request URLs) as a problem, and what to do about it."""
    text = re.split(r" ?\[SQL: | ?\(Background on this error", text)[0].removeprefix("(sqlite3.OperationalError) ").rstrip(". ")
    if refused := re.search(r"\b(?:error code|HTTP) (40[13])\b|\b(40[13]) Client Error", text):
        return f"the server refuses these credentials (HTTP {refused[1] or refused[2]})", LOGIN
    if waited := re.search(r"(https?://[^/\s]+)\S* failed with exception .*(?:Caused by|exception) (.*)", text):
        return f"no answer from {waited[1]} ({_cause(waited[2])})", "start the server or mend PILLARS_MLFLOW_URI, and run again."
    if "disk is full" in text or "No space left" in text:
        return "the disk is full", "free it and run again."
    if "readonly database" in text or "unable to open database" in text:
        return f"its database cannot be written ({text[-60:]})", "give this user the right to write there, and run again."
    return text[:300], "see PILLARS_MLFLOW_URI, and run again."


def _cause(text: str) -> str:
    """The last thing said in nested exceptions: `Connection refused`, `Read timed out`."""
    for known in ("Connection refused", "Name or service not known", "Read timed out", "Connection reset", "Remote end closed connection"):
        if known in text:
            return known
    return text[:120]
