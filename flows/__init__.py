"""Verbs, one file each. `cycle.py` is the loop on one screen; `__main__.py` is the command."""

from pillars import masking

masking.install()  # here, because every process that runs a flow or the command comes by
