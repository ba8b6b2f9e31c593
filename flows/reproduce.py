"""Make registered versions again from their lineage, and put on record whether they came out the same."""

from __future__ import annotations

from prefect import flow

from pillars.reproduction.comparing import EPSILON
from pillars.vocabulary import Reproduction
from tasks import progress, reproduction, show
from tasks.opened import open_as_it_is
from tasks.policy import discreet


@flow(name="reproduce", flow_run_name="{project} {version}")
@discreet
def reproduce(project: str, version: str = "champion", epsilon: float = EPSILON) -> tuple[Reproduction, ...]:
    """Fit a version again in a clean folder: recorded code, data, parameters, seed; then compare the bytes.

    Args:
        project: name of the YAML in configs/
        version: its number, or champion, newest, random (an earlier one), all
        epsilon: what scores may differ by to count as equivalent, where the bytes differ

    Raises:
        UnknownName: there is no such version.
        DataCorrupt, RebuildFailed, BundleRefused: the one version that was asked for cannot be made again; of all, it is FAILED.
    """
    opened = open_as_it_is(project)  # a YAML that was changed since is no reason not to look back
    chosen = reproduction.chosen(opened, version)
    found = []
    with progress.counted(f"reproduce {project}", len(chosen)) as count:
        for each in chosen:
            try:
                made = reproduction.reproduce(opened, each, epsilon)
            except reproduction.OF_ITS_OWN as err:
                if version != "all":
                    raise
                made = reproduction.failed(each, err, epsilon)
            reproduction.record(opened, made)
            found.append(made)
            count(f"v{made.version} {made.verdict}")
    show.reproductions(project, found)
    return tuple(found)
