"""Which of data, code, config, parameters, seed and calibration moved the loss from one registered version to another."""

from __future__ import annotations

from prefect import flow

from pillars.vocabulary import Attribution
from tasks import compare as comparing
from tasks import show
from tasks.opened import open_as_it_is
from tasks.policy import discreet


@flow(name="compare", flow_run_name="{project} {one} {other}")
@discreet
def compare(project: str, one: str, other: str = "champion") -> Attribution:
    """Fit both versions again, and each with one factor of the other's; judge all on rows that none of them has seen.

    Args:
        project: name of the YAML in configs/
        one: number of a version, or champion, newest
        other: number of the other version, or champion, newest

    Raises:
        UnknownName: there is no such version.
        RebuildFailed, DataCorrupt, BundleRefused: one of them cannot be made again.
        TooFewRows: there are no rows that could judge.
    """
    opened = open_as_it_is(project)  # a YAML that was changed since is no reason not to look back
    with comparing.bench(opened, one, other) as bench:
        found = comparing.attribution(bench)
    show.attribution(found)
    return found
