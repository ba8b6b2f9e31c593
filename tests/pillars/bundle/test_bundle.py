import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillars.bundle import folder
from pillars.bundle.bundle import Bundle, identity
from pillars.errors import BundleRefused, StoreUnavailable
from tests.pillars.bundle.worlds import LINEAGE, some_boosters, some_columns, write_some_bundle

FILES = [
    "booster-0.ubj",
    "booster-1.ubj",
    "calibration.json",
    "decision.json",
    "encoder.json",
    "golden.json",
    "manifest.json",
    "schema.json",
]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_some_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_what_is_written_reads_back(written: Path) -> None:
    bundle = Bundle.load(written)
    assert (bundle.project, bundle.threshold, bundle.lineage) == ("trams", 0.4, LINEAGE)
    assert bundle.identity == identity(some_boosters()[1])
    assert sorted(path.name for path in written.iterdir()) == FILES
    bundle.check_golden()


def test_no_file_of_a_bundle_is_a_pickle(written: Path) -> None:
    assert {path.suffix for path in written.iterdir()} == {".json", ".ubj"}


def test_a_rows_score_does_not_depend_on_its_batch(written: Path) -> None:
    bundle, columns = Bundle.load(written), some_columns(500, seed=5)
    whole = bundle.predict(columns).score
    for size in (1, 7, 64, 333):
        parts = [{name: column[i : i + size] for name, column in columns.items()} for i in range(0, 500, size)]
        assert np.array_equal(np.concatenate([bundle.predict(part).score for part in parts]), whole)


def test_threads_change_no_score(written: Path) -> None:
    columns = some_columns(2_000, seed=6)
    assert np.array_equal(Bundle.load(written, threads=2).predict(columns).score, Bundle.load(written).predict(columns).score)


def test_an_unseen_category_is_answered(written: Path) -> None:
    answer = Bundle.load(written).predict({"distance": np.array([500.0]), "carrier": np.array(["ZZ"], object)})
    assert 0 < answer.score[0] < 1


def test_the_decision_is_the_score_at_or_above_the_threshold(written: Path) -> None:
    answer = Bundle.load(written).predict(some_columns())
    assert answer.decision.dtype == bool
    assert np.array_equal(answer.decision, answer.score >= 0.4)
    assert 0 < answer.decision.mean() < 1


def test_no_rows_give_no_scores(written: Path) -> None:
    answer = Bundle.load(written).predict({"distance": np.array([]), "carrier": np.array([], object)})
    assert len(answer.score) == len(answer.decision) == 0


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_one_changed_byte_is_refused(tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("one") / "bundle"
    write_some_bundle(path)
    content = bytearray((path / name).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    (path / name).write_bytes(content)
    with pytest.raises(BundleRefused, match=f"{name} was changed|{name} is missing"):
        Bundle.load(path)
    shutil.rmtree(path)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(written: Path, name: str) -> None:
    (written / name).unlink()
    with pytest.raises(BundleRefused, match=f"{name} is missing"):
        Bundle.load(written)


@pytest.mark.parametrize("name", ["booster-2.ubj", "notes.txt", "model.pkl"])
def test_an_extra_file_is_refused(written: Path, name: str) -> None:
    (written / name).write_bytes(b"")
    with pytest.raises(BundleRefused, match=f"{name} is extra"):
        Bundle.load(written)


def test_a_folder_or_link_inside_is_refused(written: Path) -> None:
    (written / "more").mkdir()
    with pytest.raises(BundleRefused, match="more: not a plain file"):
        Bundle.load(written)
    (written / "more").rmdir()
    (written / "link").symlink_to(written / "schema.json")
    with pytest.raises(BundleRefused, match="link: not a plain file"):
        Bundle.load(written)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match="cannot be read"):
        Bundle.load(tmp_path / "nowhere")


def forged(path: Path, **changes: object) -> None:
    """Rewrite the manifest with `changes`, its own hash in order."""
    manifest = {**json.loads((path / "manifest.json").read_bytes()), **changes}
    manifest.pop("digest")
    (path / "manifest.json").write_bytes(folder.canonical({**manifest, "digest": folder.sha256(folder.canonical(manifest))}))


def test_an_unknown_format_is_refused(written: Path) -> None:
    forged(written, format=2)
    with pytest.raises(BundleRefused, match="format 2 is unknown, this code reads format 1"):
        Bundle.load(written)


def test_a_manifest_that_names_other_files_is_refused(written: Path) -> None:
    files = json.loads((written / "manifest.json").read_bytes())["files"]
    forged(written, files={**files, "../secret": "0"})
    with pytest.raises(BundleRefused, match="not those of a bundle"):
        Bundle.load(written)


def test_an_identity_that_is_not_the_boosters_is_refused(written: Path) -> None:
    forged(written, identity="0" * 64)
    with pytest.raises(BundleRefused, match="identity is not that of its boosters"):
        Bundle.load(written)


def test_malformed_content_with_right_hashes_is_refused(written: Path) -> None:
    for name, content in (("encoder.json", b"{}"), ("booster-0.ubj", b"{L"), ("calibration.json", b'{"kind":"beta"}')):
        whole = (written / name).read_bytes()
        (written / name).write_bytes(content)
        files = json.loads((written / "manifest.json").read_bytes())["files"]
        boosters = [(written / booster).read_bytes() for booster in ("booster-0.ubj", "booster-1.ubj")]
        forged(written, files={**files, name: folder.sha256(content)}, identity=identity(boosters))
        with pytest.raises(BundleRefused):
            Bundle.load(written)
        (written / name).write_bytes(whole)


def test_golden_rows_that_score_differently_are_refused(written: Path) -> None:
    golden = json.loads((written / "golden.json").read_bytes())
    golden["scores"][3] = float(np.nextafter(golden["scores"][3], 1))
    (written / "golden.json").write_bytes(folder.canonical(golden))
    files = json.loads((written / "manifest.json").read_bytes())["files"]
    forged(written, files={**files, "golden.json": folder.sha256((written / "golden.json").read_bytes())})
    with pytest.raises(BundleRefused, match="1 of 9 golden rows"):
        Bundle.load(written).check_golden()


REGRESSION = {"task": "regression", "interval": {"method": "conformal", "coverage": 0.9, "width": 0.1, "boosters": 0}}


@pytest.mark.parametrize("by", [pytest.param(False, id="one width"), pytest.param(True, id="a width a group")])
def test_intervals_of_golden_rows_that_come_out_differently_are_refused(tmp_path: Path, by: bool) -> None:
    groups = {"by": "carrier", "groups": ["AA", "UA"], "widths": [0.2, 0.3]} if by else {}
    path, decision = tmp_path / "bundle", REGRESSION | {"interval": REGRESSION["interval"] | groups}
    write_some_bundle(path, decision=decision, calibration={"kind": "none"})
    Bundle.load(path).check_golden()
    golden = json.loads((path / "golden.json").read_bytes())
    scores, (low, high) = np.array(golden["scores"]), np.array(golden["bounds"]).T
    assert np.all((low < scores) & (scores < high))
    golden["bounds"][3][0] = float(np.nextafter(golden["bounds"][3][0], 1))
    rewritten(path, "golden.json", golden)
    with pytest.raises(BundleRefused, match="1 of 9 golden rows have other intervals here"):
        Bundle.load(path).check_golden()
    del golden["bounds"]  # as releases of before have it
    rewritten(path, "golden.json", golden)
    Bundle.load(path).check_golden()
    decided = json.loads((path / "decision.json").read_bytes())
    golden["bounds"] = np.column_stack([low, high]).tolist()
    rewritten(path, "golden.json", golden)
    rewritten(path, "decision.json", decided | {"interval": {**decided["interval"], "width": 0.4, "widths": [0.4, 0.4] if by else []}})
    with pytest.raises(BundleRefused, match="9 of 9 golden rows have other intervals here"):
        Bundle.load(path).check_golden()


def rewritten(path: Path, name: str, content: object) -> None:
    (path / name).write_bytes(folder.canonical(content))
    files = json.loads((path / "manifest.json").read_bytes())["files"]
    forged(path, files={**files, name: folder.sha256((path / name).read_bytes())})


def test_the_same_bundle_written_twice_changes_nothing(written: Path) -> None:
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in written.iterdir()}
    write_some_bundle(written)
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in written.iterdir()} == before


def test_a_damaged_bundle_is_made_whole_by_writing_it_again(written: Path) -> None:
    digest = Bundle.load(written).digest
    (written / "encoder.json").write_bytes(b"{}")
    write_some_bundle(written)
    assert Bundle.load(written).digest == digest
    assert [path.name for path in written.parent.iterdir()] == [written.name]


def test_a_bundle_is_held_to_what_is_on_record(written: Path) -> None:
    bundle = Bundle.load(written)
    assert bundle.held_to(bundle.identity, bundle.digest) is bundle
    with pytest.raises(BundleRefused, match="it holds model"):
        bundle.held_to("0" * 64)
    with pytest.raises(BundleRefused, match="not the bundle on record"):
        bundle.held_to(bundle.identity, "0" * 64)


def test_another_bundle_is_never_written_over(written: Path) -> None:
    with pytest.raises(BundleRefused, match="never changed"):
        write_some_bundle(written, decision={"threshold": 0.6})
    assert Bundle.load(written).threshold == 0.4


def test_identity_is_of_the_boosters_in_their_order_only(tmp_path: Path) -> None:
    first = write_some_bundle(tmp_path / "a", decision={"threshold": 0.1})
    assert write_some_bundle(tmp_path / "b", decision={"threshold": 0.9}) == first
    assert Bundle.load(tmp_path / "a").digest != Bundle.load(tmp_path / "b").digest
    assert write_some_bundle(tmp_path / "c", boosters=some_boosters()[1][::-1]) != first


def test_many_writers_at_once_leave_one_whole_bundle(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        names = list(threads.map(lambda _: write_some_bundle(tmp_path / "bundle"), range(16)))
    assert len(set(names)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    Bundle.load(tmp_path / "bundle").check_golden()


@pytest.mark.parametrize("damaged", [False, True])
def test_a_bundle_that_another_writer_finishes_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: bool) -> None:
    """The other one finishes after this one has looked and before it has written anything."""
    path, sweep = tmp_path / "bundle", folder._drop_drafts_of_the_dead
    if damaged:
        write_some_bundle(path)
        (path / "encoder.json").write_bytes(b"{}")
    finished: list[int] = []

    def meanwhile(of: Path) -> None:
        monkeypatch.setattr(folder, "_drop_drafts_of_the_dead", sweep)
        write_some_bundle(of)
        finished.append(of.stat().st_mtime_ns)

    monkeypatch.setattr(folder, "_drop_drafts_of_the_dead", meanwhile)
    write_some_bundle(path)
    assert finished == [path.stat().st_mtime_ns]
    assert [one.name for one in tmp_path.iterdir()] == ["bundle"]


def test_a_disk_that_refuses_leaves_what_was_there_and_no_draft(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    (written / "encoder.json").write_bytes(b"{}")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreUnavailable, match="No space left"):
        write_some_bundle(written)
    assert [path.name for path in written.parent.iterdir()] == [written.name]
    assert sorted(path.name for path in written.iterdir()) == FILES


def test_a_writer_killed_half_way_leaves_nothing_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    """The child dies by SIGKILL after its third file."""
    child = (
        "import os, signal; from pathlib import Path\n"
        "import pillars.bundle.folder as folder\n"
        "left = iter(range(3)); sync = os.fsync\n"
        "os.fsync = lambda handle: sync(handle) if next(left, None) is not None else os.kill(os.getpid(), signal.SIGKILL)\n"
        "from tests.pillars.bundle.worlds import write_some_bundle\n"
        f"write_some_bundle(Path({str(tmp_path / 'bundle')!r}))\n"
    )
    assert subprocess.run([sys.executable, "-c", child], check=False).returncode == -9
    assert not (tmp_path / "bundle").exists()
    assert len(list(tmp_path.iterdir())) == 1  # the draft
    write_some_bundle(tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    Bundle.load(tmp_path / "bundle").check_golden()


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_writer_killed_while_a_damaged_one_makes_way_is_followed_by_one_who_ends_right(written: Path, nth: int) -> None:
    """The child dies by SIGKILL before its nth rename: of the draft, of what lies there, of the draft again."""
    (written / "encoder.json").write_bytes(b"{}")
    child = (
        "import os, signal; from pathlib import Path\n"
        f"left = iter(range({nth - 1})); rename = os.rename\n"
        "os.rename = lambda *both: rename(*both) if next(left, None) is not None else os.kill(os.getpid(), signal.SIGKILL)\n"
        "from tests.pillars.bundle.worlds import write_some_bundle\n"
        f"write_some_bundle(Path({str(written)!r}))\n"
    )
    assert subprocess.run([sys.executable, "-c", child], check=False).returncode == -9
    write_some_bundle(written)
    assert [path.name for path in written.parent.iterdir()] == [written.name]
    Bundle.load(written).check_golden()


def test_a_place_that_cannot_be_written_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnavailable, match="No bundle is there"):
        write_some_bundle(tmp_path / "file" / "bundle")


def test_gains_are_shares_of_the_columns_largest_first(written: Path) -> None:
    gains = Bundle.load(written).gains()
    assert set(gains) == {"distance", "carrier"}
    assert list(gains.values()) == sorted(gains.values(), reverse=True)
    assert sum(gains.values()) == pytest.approx(1)
