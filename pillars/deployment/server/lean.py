"""What XGBoost imports when it finds it and nobody here uses, kept out of the process: 205 MB become 79, 9 s to import become 3.

And the reverse for memory that is needed again at once: it is kept.
"""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

UNUSED = ("pandas", "sklearn", "pyarrow", "cudf", "cupy", "dask", "distributed", "mlflow", "prefect")
TRIM, MMAP = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h


def keep_memory() -> None:
    """Have the allocator (glibc's; others do as they do) keep what is freed: bodies and lines of 200 kB were given back to the system
    and asked of it again, page by page, for each request, which took a fifth of the CPU of one of 100 rows."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(MMAP, 32 << 20)  # the largest that it takes
        mallopt(TRIM, 128 << 20)


def keep_out() -> None:
    """Have imports of these fail, as where they are not installed. Before XGBoost is imported."""
    for name in UNUSED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # how Python is told that there is none
