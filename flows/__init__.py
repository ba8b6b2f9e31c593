"""Verbs, one file each. `cycle.py` is the loop on one screen; `__main__.py` is the command."""

import atexit
import os
import sys

from pillars import masking


def _hush() -> None:
    """Say nothing more once Python is taken down: beside Great Expectations, DuckDB's SQLAlchemy dialect has forty lines written then,
    about objects that it calls leaked (duckdb-engine 0.17, duckdb 2.0).
    """
    if "duckdb_engine" in sys.modules:
        sys.stderr.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


atexit.register(_hush)  # the first is called last
masking.install()  # here, because every process that runs a flow or the command comes by
