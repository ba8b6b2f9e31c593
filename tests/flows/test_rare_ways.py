"""`pillars reproduce` of versions that were fitted otherwise: from the disk, with intervals, with intervals that were not learned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from pillars.bundle.bundle import Bundle
from pillars.monitoring import registry
from pillars.stores import Stores
from tests.bad_input.door import say
from tests.clone import make_clone
from tests.small import enter

pytestmark = [pytest.mark.flow, pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
WAYS: dict[str, dict[str, Any]] = {
    "disk": {"fit": {"engine": "external-memory"}, "intervals": {"method": "conformal"}},
    "quantiles": {"intervals": {"method": "cqr"}},
    "narrow": {"intervals": {"method": "cqr", "coverage": 0.999}},  # more than so few rows can tell: none is learned
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Path:
    """A clone in which one file has become a project for each way, and been through two periods."""
    from sklearn import datasets

    from flows import data_commands
    from flows.replay import replay

    root = make_clone(tmp_path_factory.mktemp("ways") / "project")
    file = root / "inbox" / "diabetes.csv"
    file.parent.mkdir()
    datasets.load_diabetes(as_frame=True).frame.to_csv(file, index=False)
    with pytest.MonkeyPatch.context() as context:
        enter(root, context)
        for name, said in WAYS.items():
            shutil.copy(file, file.with_stem(name))
            wishes: dict[str, Any] = {"target": "target", "task": None, "time": None, "key": (), "protect": ()}
            data_commands.init(file.with_stem(name), None, wishes, force=False, as_json=True)
            config = root / "configs" / f"{name}.yaml"
            content = yaml.safe_load(config.read_text()) | said
            content["search"] = content.get("search", {}) | {"trials": 1}
            config.write_text(yaml.safe_dump(content, sort_keys=False))
            assert replay(name, last="00000002")[-1] == "00000002"
    return root


@pytest.mark.parametrize(("name", "ends", "bounded"), [("disk", 0, True), ("quantiles", 1, True), ("narrow", 0, False)])
def test_every_version_is_the_same_bytes_again(root: Path, monkeypatch: pytest.MonkeyPatch, name: str, ends: int, bounded: bool) -> None:
    enter(root, monkeypatch)
    said = say("reproduce", "--all", name, "--json")
    told = json.loads(said.out)
    assert told
    assert {one["verdict"] for one in told} == {"IDENTICAL"}, said.out
    assert said.exit_code == 0
    newest = Bundle.load(registry.bundle_dir(Stores(), name, told[-1]["version"]))
    assert (len(newest.ends), bool(newest.interval)) == (ends, bounded)
    newest.check_golden()
    assert ("bounds" in newest.golden) is bounded
