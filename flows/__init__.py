"""Verbs, one file each. `cycle.py` is the loop on one screen; `__main__.py` is the command."""
