"""Each bad batch of the corpus through the real door: refused, rejected or set aside as its file says, and nothing bad in the data set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pillars import errors
from pillars.config import Project
from pillars.data import versions
from pillars.data.cleaning import prepare
from pillars.data.collection import collect, open_source, periods
from pillars.data.quarantine import UNWANTED
from pillars.stores import Stores
from pillars.vocabulary import Collected, Prepared
from tests.corpus import good
from tests.corpus.cases import Case, corpus
from tests.corpus.delivering import deliver
from tests.pillars.data.batches import NOW, git
from tests.pillars.data.sources.ways import Site


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{case.family}: {case.id}") for case in corpus()])
def test_a_batch_ends_as_its_file_says(case: Case, depot: Stores, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    came = deliver(case, depot.root, site)
    for name, value in came.environ.items():
        monkeypatch.setenv(name, value)
    before = standing(depot, came.project)
    if case.expect.error:
        with pytest.raises(getattr(errors, case.expect.error)) as caught:
            through(depot, came.project, case.period)
        assert not [words for words in case.expect.says if words not in str(caught.value)], caught.value
        assert standing(depot, came.project) == before
        return
    collected, prepared = through(depot, came.project, case.period)
    source = open_source(depot, came.project)
    assert sum(source.rows(period).num_rows for period in periods(source, came.project)) == came.rows, "each row is in some period"
    if case.expect.rejected:
        rejected(depot, case, collected, prepared)
        assert standing(depot, came.project) == before
    else:
        accepted(depot, came.project, case, collected, prepared)
        version = versions.publish(depot, came.project, prepared, NOW)
        assert version.periods == (*good.HISTORY, case.period)
        assert version.rows == 2 * good.ROWS + prepared.rows


def test_after_all_of_them_every_version_is_whole_in_both_copies(depot: Stores) -> None:
    project = good.project({"file": "none.csv"}, {})
    for version in versions.history(depot, project):
        assert versions.verify(depot, version) == ()
    assert git(depot.root, "fsck", "--strict") == ""


def through(stores: Stores, project: Project, period: str) -> tuple[Collected, Prepared]:
    """Collected and checked, as `tasks.data` has it."""
    collected = collect(stores, project, open_source(stores, project), period)
    return collected, prepare(stores, project, collected)


def standing(stores: Stores, project: Project) -> dict[str, Any]:
    """What a batch that is not taken must leave as it is: branch, newest version, objects of cache and remote."""
    head = versions.head(stores, project)
    assert head is not None
    return {
        "refs": git(stores.root, "for-each-ref"),
        "head": head,
        "objects": sorted(str(p) for p in (stores.var / "dvc").glob("*/files/**/*")),
    }


def rejected(stores: Stores, case: Case, collected: Collected, prepared: Prepared) -> None:
    """It says why, and lies whole where it was put."""
    decision = prepared.validation.decision
    assert not decision, decision.reason
    assert not [words for words in case.expect.says if words not in decision.reason], decision.reason
    folder = stores.var / prepared.kept_at
    assert (folder / "rows.parquet").read_bytes() == (stores.var / collected.rows_path).read_bytes()
    assert (folder / "outcomes.parquet").read_bytes() == (stores.var / str(collected.outcomes_path)).read_bytes()
    assert (folder / "reason.txt").read_text() == f"{decision.reason}\n"


def accepted(stores: Stores, project: Project, case: Case, collected: Collected, prepared: Prepared) -> None:
    """So many rows are set aside for these reasons; what is kept is as good as if nothing had been spoiled."""
    decision, expected = prepared.validation.decision, case.expect
    assert decision, decision.reason
    assert not [words for words in expected.says if words not in decision.reason], decision.reason
    aside = pq.read_table(stores.var / prepared.quarantine_path).to_pylist() if prepared.quarantine_path else []
    counts = {kind: sum(row["quarantined_from"] == kind for row in aside) for kind in ("rows", "outcomes")}
    reasons = sorted({reason for row in aside for reason in row["reasons"]} - {UNWANTED})
    assert set(expected.because) <= set(reasons) if expected.more else reasons == sorted(expected.because)
    follow = expected.quarantined if expected.outcomes is None else expected.outcomes
    assert counts == {"rows": expected.quarantined, "outcomes": follow}
    assert collected.rows == prepared.rows + counts["rows"]
    assert collected.outcomes == prepared.outcomes + counts["outcomes"]
    warned = [f"{c.expectation}({c.column})" for c in prepared.validation.checks if c.severity != "critical" and c.status != "passed"]
    assert warned == list(expected.warns)
    if not expected.harmless:
        assert not strange(stores.var / prepared.rows_path, project.row_columns)
        assert not strange(stores.var / str(prepared.outcomes_path), project.outcome_columns)


def strange(file: Path, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows of a file, in declared columns, that the good batch does not have."""
    names = [name for name in columns if name in good.TYPES]
    known = {tuple(row.values()) for row in good.parcels(good.PERIOD).select(names).to_pylist()}
    return [row for row in pq.read_table(file, columns=names).to_pylist() if tuple(row.values()) not in known]
