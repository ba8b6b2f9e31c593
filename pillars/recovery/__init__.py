"""Everything an installation holds, in one file, and out of it again in another place.

what     inventory: what of `var/` is kept how, and what is left out and why
file     archive: a tar with a manifest, written whole or not at all, believed only where every byte is as the manifest says
deeds    backup, restore: made while everything runs; verified, then placed
paths    rebasing: absolute paths that MLflow and Prefect keep in their databases, of the old place and the new one
"""
