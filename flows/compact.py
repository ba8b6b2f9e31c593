"""Turn what the prediction server logged into Parquet, for monitoring and for good."""

from __future__ import annotations

from prefect import flow

from pillars import project_file
from pillars.answers.served import log_of
from pillars.stores import Stores
from pillars.vocabulary import Compacted
from tasks import serving
from tasks.policy import discreet


@flow(name="compact", flow_run_name="{project}")
@discreet
def compact(project: str) -> Compacted:
    """Every finished segment of the request log becomes one Parquet file. The same again finds nothing to do.

    Args:
        project: name of the YAML in configs/
    """
    stores = Stores()
    config = project_file.load(stores.config_file(project))
    return serving.compact(stores, config.project, log_of(stores, config))
