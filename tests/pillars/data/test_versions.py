from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pillars.data import branch, objects
from pillars.data.record import parse
from pillars.data.versions import changes, contents, find, head, history, pieces, pin, publish, read
from pillars.errors import DataCorrupt, SourceBroken, StoreUnavailable, UnknownName
from pillars.stores import Stores
from pillars.vocabulary import DataVersion
from tests.pillars.data.batches import NOW, git, outcomes, prepared, project, repository, rows

P = project()


def ingest(stores: Stores, period: str, seed: int = 0, **options: Any) -> DataVersion:
    return publish(stores, P, prepared(stores, period, seed, **options), NOW)


def remote_files(stores: Stores) -> set[str]:
    return {p.parent.name + p.name for p in Path(stores.dvc_remote).rglob("*") if p.is_file()}


def test_each_period_makes_a_version_that_follows_the_last(stores: Stores) -> None:
    one, two = ingest(stores, "2013-01"), ingest(stores, "2013-02", n=30)
    assert (one.rows, one.periods, one.parent) == (40, ("2013-01",), None)
    assert (two.rows, two.periods, two.parent) == (70, ("2013-01", "2013-02"), one.id)
    assert head(stores, P) == two
    assert history(stores, P) == [two, one]
    assert two.size_bytes == sum(f.bytes for f in parse(branch.text(stores.root, two.commit) or "", "head").files.values())


def test_a_version_reads_as_what_was_published(stores: Stores) -> None:
    version = ingest(stores, "2013-01")
    version = ingest(stores, "2013-02")
    both = pa.concat_tables([rows("2013-01"), rows("2013-02")]).drop_columns(["person"])
    assert read(stores, version, "rows", ["2013-01", "2013-02"]).equals(both)
    assert read(stores, version, "outcomes", ["2013-02"]).equals(outcomes(rows("2013-02")))
    assert read(stores, version, "rows", []).schema == both.schema


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_period_is_read_in_pieces_too(stores: Stores, size: int) -> None:
    version = ingest(stores, "2013-01")
    assert pa.concat_tables(pieces(stores, version, "rows", "2013-01", size)).equals(read(stores, version, "rows", ["2013-01"]))
    with pytest.raises(UnknownName):
        pieces(stores, version, "rows", "2013-09", size)


def test_the_same_bytes_twice_change_nothing(stores: Stores) -> None:
    ingest(stores, "2013-01")
    version = ingest(stores, "2013-02")
    for period in ("2013-02", "2013-01"):
        assert publish(stores, P, prepared(stores, period), NOW + timedelta(days=9)) == version
    assert git(stores.root, "rev-list", "--count", "dvc-data/parcels") == "3"


def test_a_corrected_period_is_a_new_version_and_the_old_one_stays(stores: Stores) -> None:
    ingest(stores, "2013-01")
    old = ingest(stores, "2013-02")
    new = ingest(stores, "2013-01", seed=1, n=41)
    assert (new.parent, new.rows) == (old.id, 81)
    assert changes(stores, old, new) == {"parcels/rows/2013-01.parquet": "changed", "parcels/outcomes/2013-01.parquet": "changed"}
    assert read(stores, old, "rows", ["2013-01"]).num_rows == 40
    assert read(stores, new, "rows", ["2013-01"]).num_rows == 41
    assert "changed parcels/rows/2013-01.parquet (41 rows)" in git(stores.root, "log", "-1", "--format=%B", new.commit)


def test_a_period_that_returns_to_its_first_bytes_has_its_first_id(stores: Stores) -> None:
    first = ingest(stores, "2013-01")
    ingest(stores, "2013-01", seed=1)
    again = ingest(stores, "2013-01")
    assert again.id == first.id
    assert again.commit != first.commit
    assert find(stores, P, first.id) == again


def test_a_periods_address_changes_with_its_rows_and_its_outcomes_alone(stores: Stores) -> None:
    ingest(stores, "2013-01")
    first = contents(stores, ingest(stores, "2013-02", with_outcomes=False))
    late = replace(prepared(stores, "2013-03"), outcomes_period="2013-02", outcomes_path=prepared(stores, "2013-02").outcomes_path)
    with_outcomes = contents(stores, publish(stores, P, late, NOW))
    corrected = contents(stores, ingest(stores, "2013-01", seed=1))
    assert {p for p in first if first[p] != with_outcomes[p]} == {"2013-02"}
    assert {p for p in corrected if corrected[p] != with_outcomes[p]} == {"2013-01"}


def test_outcomes_come_to_rows_that_are_there(stores: Stores) -> None:
    ingest(stores, "2013-01", with_outcomes=False)
    late = replace(prepared(stores, "2013-02"), outcomes_period="2013-01", outcomes_path=prepared(stores, "2013-01").outcomes_path)
    version = publish(stores, P, late, NOW)
    assert read(stores, version, "outcomes", ["2013-01"]).num_rows == 40
    with pytest.raises(UnknownName, match="period with outcomes"):
        read(stores, version, "outcomes", ["2013-02"])


def test_a_version_is_found_by_its_id_or_its_beginning(stores: Stores) -> None:
    one, two = ingest(stores, "2013-01"), ingest(stores, "2013-02")
    assert find(stores, P, one.id) == find(stores, P, one.id[:8]) == one
    with pytest.raises(UnknownName, match=two.id):
        find(stores, P, "0" * 32 + ".dir")


def test_before_the_first_version_there_is_none(stores: Stores) -> None:
    assert head(stores, P) is None
    assert history(stores, P) == []
    with pytest.raises(UnknownName, match="none yet"):
        pin(stores, "parcels")


def test_a_rejected_batch_is_not_published(stores: Stores) -> None:
    with pytest.raises(SourceBroken, match="rejected"):
        publish(stores, P, replace(prepared(stores, "2013-01"), kept_at="rejected/parcels/2013-01-x"), NOW)


def test_a_batch_whose_file_is_gone_is_not_published(stores: Stores) -> None:
    batch = prepared(stores, "2013-01")
    (stores.var / batch.rows_path).unlink()
    with pytest.raises(StoreUnavailable, match=r"rows\.parquet"):
        publish(stores, P, batch, NOW)
    assert head(stores, P) is None


def test_outside_git_nothing_is_published(tmp_path: Path) -> None:
    bare = Stores(root=tmp_path, var=tmp_path / "var")
    with pytest.raises(StoreUnavailable, match="git init"):
        publish(bare, P, prepared(bare, "2013-01"), NOW)


def test_git_never_names_what_the_remote_lacks(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    append = branch.append

    def look(root: Path, name: str, parent: str | None, content: str, *rest: Any) -> str | None:
        record = parse(content, "new")
        assert {record.id, *(f.md5 for f in record.files.values())} <= remote_files(stores)
        return append(root, name, parent, content, *rest)

    monkeypatch.setattr(branch, "append", look)
    ingest(stores, "2013-01")
    ingest(stores, "2013-02")


def test_a_remote_that_fails_leaves_no_version(stores: Stores) -> None:
    good = ingest(stores, "2013-01")
    (stores.root / "in-the-way").write_text("")
    blocked = stores.model_copy(update={"remote": "in-the-way"})
    with pytest.raises(StoreUnavailable):
        publish(blocked, P, prepared(stores, "2013-02"), NOW)
    assert head(stores, P) == good
    assert ingest(stores, "2013-02").parent == good.id


def test_who_loses_the_race_goes_again_on_top(stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two checkouts of one repository with a shared remote: no lock of ours is between them."""
    shared = stores.model_copy(update={"remote": str(tmp_path / "shared")})
    other = shared.model_copy(update={"var": tmp_path / "other"})
    append = branch.append

    def others_first(*given: Any) -> str | None:
        monkeypatch.setattr(branch, "append", append)
        publish(other, P, prepared(other, "2013-02"), NOW)
        return append(*given)

    monkeypatch.setattr(branch, "append", others_first)
    version = publish(shared, P, prepared(shared, "2013-01"), NOW)
    assert version.periods == ("2013-01", "2013-02")
    assert read(shared, version, "rows", version.periods).num_rows == 80
    assert git(stores.root, "rev-list", "--count", "dvc-data/parcels") == "3"


def test_equal_data_has_one_pin_whatever_led_to_it(stores: Stores, tmp_path: Path) -> None:
    root = repository(tmp_path / "again")
    again = Stores(root=root, var=root / "var")
    for period, seed in (("2013-01", 1), ("2013-01", 0), ("2013-02", 0)):
        ingest(stores, period, seed)
    for period in ("2013-02", "2013-01"):
        publish(again, P, prepared(again, period), NOW + timedelta(days=400))
    assert pin(stores, "parcels") == pin(again, "parcels")


def test_a_project_has_its_own_branch(stores: Stores) -> None:
    ingest(stores, "2013-01")
    other = P.model_copy(update={"project": "letters"})
    batch = replace(prepared(stores, "2013-01"), project="letters")
    assert publish(stores, other, batch, NOW).rows == 40
    assert [v.rows for v in history(stores, P)] == [40]


def test_a_rotten_file_is_mended_before_it_is_read(stores: Stores) -> None:
    version = ingest(stores, "2013-01")
    record = parse(branch.text(stores.root, version.commit) or "", "head")
    md5 = record.files["parcels/rows/2013-01.parquet"].md5
    for base in (stores.dvc_cache, Path(stores.dvc_remote)):
        path = base / "files" / "md5" / md5[:2] / md5[2:]
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[:-9] + b"123456789")
        if base == stores.dvc_cache:
            assert read(stores, version, "rows", ["2013-01"]).num_rows == 40
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[:-9] + b"123456789")
    with pytest.raises(DataCorrupt, match=r"parcels/rows/2013-01\.parquet"):
        read(stores, version, "rows", ["2013-01"])
    assert ingest(stores, "2013-01") == version, "the same batch again brings the bytes back"
    assert read(stores, version, "rows", ["2013-01"]).num_rows == 40


def test_a_lost_file_of_another_period_stops_the_next_version_until_it_is_back(stores: Stores) -> None:
    ingest(stores, "2013-01")
    before = ingest(stores, "2013-02")
    record = parse(branch.text(stores.root, before.commit) or "", "head")
    md5 = record.files["parcels/rows/2013-01.parquet"].md5
    for base in (stores.dvc_cache, Path(stores.dvc_remote)):
        (base / "files" / "md5" / md5[:2] / md5[2:]).unlink()
    with pytest.raises(StoreUnavailable, match=r"parcels/rows/2013-01\.parquet"):
        ingest(stores, "2013-03")
    assert ingest(stores, "2013-02") == before, "the same bytes still change nothing"
    assert ingest(stores, "2013-01") == before
    assert ingest(stores, "2013-03").periods == ("2013-01", "2013-02", "2013-03")


def test_a_lost_listing_is_made_again(stores: Stores) -> None:
    ingest(stores, "2013-01")
    before = ingest(stores, "2013-02")
    for base in (stores.dvc_cache, Path(stores.dvc_remote)):
        (base / "files" / "md5" / before.id[:2] / before.id[2:]).unlink()
    assert ingest(stores, "2013-02") == before
    assert before.id in remote_files(stores)


def test_after_everything_was_removed_the_same_periods_make_the_same_versions(stores: Stores) -> None:
    first = [ingest(stores, f"2013-0{m}").id for m in (1, 2, 3)]
    shutil.rmtree(stores.var)
    fresh = Stores(root=stores.root, var=stores.var)
    again = [publish(fresh, P, prepared(fresh, f"2013-0{m}"), NOW) for m in (1, 2, 3)]
    assert [v.id for v in again] == first
    assert again[0].parent is None
    assert remote_files(fresh) >= {first[-1]}
    assert git(stores.root, "rev-list", "--count", "dvc-data/parcels") == "7", "history is kept"


def test_a_clone_without_the_data_starts_over_on_top_of_origin(stores: Stores, tmp_path: Path) -> None:
    ingest(stores, "2013-01")
    theirs = ingest(stores, "2013-02")
    git(tmp_path, "clone", "-q", str(stores.root), "clone")
    clone = Stores(root=tmp_path / "clone", var=tmp_path / "clone" / "var")
    assert head(clone, P) == theirs
    ours = publish(clone, P, prepared(clone, "2013-01"), NOW)
    assert (ours.periods, ours.parent) == (("2013-01",), None)
    assert publish(clone, P, prepared(clone, "2013-02"), NOW).id == theirs.id
    assert git(clone.root, "merge-base", "dvc-data/parcels", "origin/dvc-data/parcels") == theirs.commit


def test_a_clone_with_the_data_goes_on_where_origin_is(stores: Stores, tmp_path: Path) -> None:
    theirs = ingest(stores, "2013-01")
    git(tmp_path, "clone", "-q", str(stores.root), "clone")
    clone = Stores(root=tmp_path / "clone", var=tmp_path / "clone" / "var", remote=stores.dvc_remote)
    ours = publish(clone, P, prepared(clone, "2013-02"), NOW)
    assert (ours.parent, ours.periods) == (theirs.id, ("2013-01", "2013-02"))
    assert read(clone, ours, "rows", ours.periods).num_rows == 80


def test_a_version_is_read_though_its_commit_was_rewritten(stores: Stores) -> None:
    version = ingest(stores, "2013-01")
    assert read(stores, replace(version, commit="0" * 40), "rows", ["2013-01"]).num_rows == 40
    with pytest.raises(StoreUnavailable, match="has no version"):
        read(stores, replace(version, commit="0" * 40, id="1" * 32 + ".dir"), "rows", ["2013-01"])


def test_an_edited_record_is_refused(stores: Stores) -> None:
    version = ingest(stores, "2013-01")
    text = (branch.text(stores.root, version.commit) or "").replace("md5: ", "md5: 0", 1)
    branch.append(stores.root, "parcels", version.commit, text, "by hand", NOW, {})
    with pytest.raises(DataCorrupt, match="dvc-data/parcels"):
        head(stores, P)


def test_nothing_of_the_user_is_touched(stores: Stores) -> None:
    (stores.root / "notes.txt").write_text("staged\n")
    git(stores.root, "add", "notes.txt")
    (stores.root / "notes.txt").write_text("not staged\n")
    before = [git(stores.root, *a) for a in (["diff"], ["diff", "--cached"], ["rev-parse", "HEAD"], ["status", "--porcelain"])]
    ingest(stores, "2013-01")
    ingest(stores, "2013-02")
    assert [git(stores.root, *a) for a in (["diff"], ["diff", "--cached"], ["rev-parse", "HEAD"], ["status", "--porcelain"])] == before


def test_the_id_is_the_one_dvc_gives(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    store = objects.store
    given: list[str] = []

    def noted(*arguments: Any, **options: Any) -> str:
        given.append(store(*arguments, **options))
        return given[-1]

    monkeypatch.setattr(objects, "store", noted)
    assert [ingest(stores, "2013-01").id, ingest(stores, "2013-02").id] == given
