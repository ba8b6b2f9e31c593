"""Somebody has been at the files: each command that reads them refuses by name, changes nothing, and says what mends it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.proofs.commands import Commands, commands
from tests.proofs.stage import build
from tests.proofs.state import told
from tests.proofs.tampered import (
    champion,
    edit_json,
    entries,
    everything,
    flip,
    forge,
    of_dvc,
    of_mlflow,
    replace_folder,
    write_sql,
)

pytestmark = [pytest.mark.flow, pytest.mark.slow]
WAY = ("replay small --to 2013-02", "ingest small 2013-03", "score small 2013-03", "train small 2013-03", "ingest small 2013-04")
BUNDLE = ("booster-0.ubj", "encoder.json", "calibration.json", "decision.json", "schema.json", "golden.json", "manifest.json")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, slices: Path, prefect_server: str) -> Iterator[Commands]:
    """Two months through the loop; March is in, scored and learned from; April is in."""
    stage = build(tmp_path_factory.mktemp("tampering") / "here", slices)
    with commands(stage) as pillars:
        for command in WAY:
            pillars.well(*command.split())
        stage.keep()
        yield pillars


@pytest.fixture
def pillars(played: Commands) -> Commands:
    """The clone as it was, for each test."""
    played.stage.restore()
    return played


def refused(pillars: Commands, command: str, code: int, *words: str, rotten: Path | None = None) -> str:
    """The command ends with one sentence that holds `words`, and changes nothing (DVC removes a `rotten` object it met); what it said."""
    before = everything(pillars.stage.root)
    ended = pillars(*command.split())
    assert ended.code == code, ended.said
    assert "Traceback" not in ended.said
    sentences = [line for line in ended.said.splitlines() if line.startswith("pillars: ")]
    assert len(sentences) == 1, ended.said
    assert [word for word in words if word not in sentences[0]] == []
    after = everything(pillars.stage.root)
    if rotten is not None:
        for state in (before, after):
            state.pop(rotten.relative_to(pillars.stage.root / "var").as_posix(), None)
    assert after == before
    return sentences[0]


LEDGER = [
    pytest.param(["UPDATE ledger SET outcome = 'refuse' WHERE seq = 6"], "ledger row 6: its content is not", id="an outcome edited"),
    pytest.param(["UPDATE ledger SET facts = replace(facts, '0.', '1.') WHERE seq = 5"], "ledger row 5", id="facts edited"),
    pytest.param(["UPDATE ledger SET at = '2013-01-01' WHERE seq = 2"], "ledger row 2", id="a date edited"),
    pytest.param(["UPDATE ledger SET facts = '{' WHERE seq = 4"], "ledger row 4: holds what is not JSON", id="facts cut"),
    pytest.param(["DELETE FROM ledger WHERE seq = 8"], "ledger row 8: is missing", id="a row deleted"),
    pytest.param(["DELETE FROM ledger WHERE seq >= 17"], "ledger row 17: is missing", id="the last rows deleted"),
    pytest.param(["DELETE FROM ledger"], "ledger row 1: is missing", id="all rows deleted"),
    pytest.param(
        ["UPDATE ledger SET seq = 99 WHERE seq = 3", "UPDATE ledger SET seq = 3 WHERE seq = 4", "UPDATE ledger SET seq = 4 WHERE seq = 99"],
        "ledger row 3",
        id="two rows swapped",
    ),
    pytest.param(
        [
            "INSERT INTO ledger SELECT seq + 1, epoch, project, 'promote', inputs_sha256, inputs, outcome, reason, facts, at, actor, mac,"
            " mac FROM ledger ORDER BY seq DESC LIMIT 1"
        ],
        "its content is not what was sealed",
        id="a row appended without the key",
    ),
]


@pytest.mark.parametrize(("statements", "words"), LEDGER)
def test_a_tampered_ledger_is_refused_by_row_whatever_is_asked(pillars: Commands, statements: list[str], words: str):
    write_sql(pillars.stage.root, *statements)
    for command in ("score small 2013-04", "rollback small"):
        refused(pillars, command, 5, words, "Nothing was written; restore the ledger from a backup")
    told_by_status = pillars("status", "small", "--json")
    assert told_by_status.code in (1, 5)
    assert words in told_by_status.said


def test_the_ledgers_anchor_is_missed_and_an_edited_one_refused(pillars: Commands):
    anchor = pillars.stage.root / "var" / "ledger.anchor"
    kept = anchor.read_bytes()
    edit_json(anchor, seq=3)
    refused(pillars, "score small 2013-04", 5, "the anchor file was edited")
    anchor.unlink()
    refused(pillars, "score small 2013-04", 5, "the anchor file ledger.anchor is missing")
    anchor.write_bytes(kept)
    pillars.well("score", "small", "2013-04")


def test_an_older_ledger_put_back_is_refused_and_the_newer_one_goes_on(pillars: Commands):
    database = pillars.stage.root / "var" / "ledger.db"
    older = database.read_bytes()
    pillars.well("score", "small", "2013-04")
    newer = database.read_bytes()
    database.write_bytes(older)
    refused(pillars, "promote small 2013-03", 5, "ledger row 20: is missing; 20 rows were written, 19 are left")
    database.write_bytes(newer)
    pillars.well("promote", "small", "2013-03")


@pytest.mark.parametrize("name", BUNDLE)
def test_a_release_with_a_changed_byte_scores_nothing_until_it_is_exported_again(pillars: Commands, name: str):
    root = pillars.stage.root
    flip(root / "var" / champion(root).path / name)
    said = refused(pillars, "score small 2013-04", 5, champion(root).path, f"{name} was changed", "Nothing was switched")
    mended(pillars, said)


def without_reports(root: Path) -> dict[str, Any]:
    """The state without the report that is drawn before predictions are looked at."""
    return {name: state for name, state in told(root, "small").items() if name != "reports"}


def mended(pillars: Commands, said: str) -> None:
    """Do what the message says, in brackets; then April is scored as if nothing had been."""
    remedy = said.rpartition("(pillars ")[2].partition(")")[0]
    pillars.well(*remedy.split())
    pillars.well("score", "small", "2013-04")


FOLDER: list[object] = [
    pytest.param(lambda release: (release / "golden.json").unlink(), "golden.json is missing", id="a file removed"),
    pytest.param(lambda release: (release / "notes.txt").write_text("hi"), "notes.txt is extra", id="a file added"),
    pytest.param(lambda release: shutil.rmtree(release), "cannot be read (No such file or directory)", id="the folder removed"),
    pytest.param(
        lambda release: edit_json(release / "manifest.json", identity="0" * 64), "manifest.json was changed", id="another identity"
    ),
    pytest.param(lambda release: forge(release, 0.9), "not the bundle on record", id="a threshold forged with all its hashes"),
    pytest.param(
        lambda release: replace_folder(release, next(release.parent.glob("v1-*"))), "it holds model", id="another release in its place"
    ),
]


@pytest.mark.parametrize(("change", "words"), FOLDER)
def test_a_release_that_is_not_the_one_on_record_scores_nothing(pillars: Commands, change: Callable[[Path], object], words: str):
    root = pillars.stage.root
    change(root / "var" / champion(root).path)
    mended(pillars, refused(pillars, "score small 2013-04", 5, champion(root).path, words))


def test_a_broken_champion_is_not_trained_against(pillars: Commands):
    root = pillars.stage.root
    flip(root / "var" / champion(root).path / "booster-0.ubj")
    refused(pillars, "train small 2013-04", 5, champion(root).path, "booster-0.ubj was changed")


CANDIDATE: list[object] = [
    pytest.param(lambda bundle: flip(bundle / "booster-0.ubj"), "booster-0.ubj was changed", id="a byte changed"),
    pytest.param(lambda bundle: forge(bundle, 0.9), "not the bundle on record", id="a threshold forged with all its hashes"),
    pytest.param(
        lambda bundle: replace_folder(bundle, next(bundle.parent.glob("2013-01-*"))), "it holds model", id="an earlier one in its place"
    ),
]


@pytest.mark.parametrize(("change", "words"), CANDIDATE)
def test_a_candidate_changed_after_training_is_not_promoted_and_is_trained_again(
    pillars: Commands, change: Callable[[Path], object], words: str
):
    root = pillars.stage.root
    path = str(entries(root, "train")[-1].facts["path"])
    before = told(root, "small")
    change(root / "var" / path)
    refused(pillars, "promote small 2013-03", 5, path, words, "pillars train small 2013-03")
    pillars.well("train", "small", "2013-03")
    assert told(root, "small") == before
    pillars.well("promote", "small", "2013-03")


def test_a_candidate_made_again_by_other_code_takes_the_place_of_the_one_on_record(pillars: Commands):
    """Its bundle says which code made it, so it is another one."""
    root = pillars.stage.root
    flip(root / "var" / str(entries(root, "train")[-1].facts["path"]) / "booster-0.ubj")
    identity = ["-c", "user.name=A User", "-c", "user.email=user@example.org"]
    subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "other code"], cwd=root, check=True)
    pillars.well("train", "small", "2013-03")
    lost, made = entries(root, "train")[-2:]
    assert made.inputs == lost.inputs | {"replaces": lost.facts["digest"]}
    assert (made.facts["sha256"], made.facts["digest"] != lost.facts["digest"]) == (lost.facts["sha256"], True)
    pillars.well("promote", "small", "2013-03")
    assert entries(root, "promote")[-1].inputs["bundle"] == made.facts["digest"]
    # it has gone on to the registry: nothing is made again for a folder that nobody reads any more
    flip(root / "var" / str(made.facts["path"]) / "booster-0.ubj")
    before = everything(root)
    pillars.well("train", "small", "2013-03")
    assert everything(root) == before


def test_a_registered_model_changed_in_mlflow_is_not_deployed(pillars: Commands):
    root = pillars.stage.root
    pillars.well("promote", "small", "2013-03")
    candidate = root / "var" / str(entries(root, "train")[-1].facts["path"])
    kept = of_mlflow(root, 3)
    for change in (lambda: flip(kept / "booster-0.ubj"), lambda: forge(kept, 0.9)):
        change()
        refused(pillars, "deploy small", 5, str(kept), str(candidate.relative_to(root)))
        replace_folder(kept, candidate)
    pillars.well("deploy", "small")
    assert champion(root).version == 3


def test_a_file_changed_in_dvcs_cache_or_remote_is_mended_from_the_other_and_in_both_is_refused(pillars: Commands):
    root = pillars.stage.root
    cached, remote = (of_dvc(root, "rows", "2013-04", place) for place in ("cache", "remote"))
    whole = cached.read_bytes()
    flip(cached)
    pillars.well("score", "small", "2013-04")
    assert cached.read_bytes() == whole
    pillars.stage.restore()
    flip(remote)
    pillars.well("score", "small", "2013-04")
    pillars.stage.restore()
    for file in (cached, remote):
        flip(file)
    said = refused(pillars, "score small 2013-04", 5, "small/rows/2013-04.parquet", "it was not used", rotten=remote)
    assert "pillars data rebuild" in said
    pillars.well("data", "rebuild", "small")
    assert cached.read_bytes() == remote.read_bytes() == whole
    pillars.well("score", "small", "2013-04")


def test_a_file_lost_in_the_cache_and_changed_on_the_remote_is_refused(pillars: Commands):
    cached, remote = (of_dvc(pillars.stage.root, "rows", "2013-04", place) for place in ("cache", "remote"))
    cached.unlink()
    flip(remote)
    refused(pillars, "score small 2013-04", 5, "small/rows/2013-04.parquet", rotten=remote)


PREDICTIONS: list[object] = [
    pytest.param(lambda file: flip(file), id="a byte changed"),
    pytest.param(lambda file: file.write_bytes(next(file.parent.glob("2013-02-*")).read_bytes()), id="another month's in their place"),
    pytest.param(lambda file: file.unlink(), id="removed"),
]


@pytest.mark.parametrize("change", PREDICTIONS)
def test_predictions_that_are_not_those_on_record_are_not_judged_and_are_written_again(pillars: Commands, change: Callable[[Path], object]):
    root = pillars.stage.root
    path = str(entries(root, "score")[-1].facts["path"])
    before = without_reports(root)
    change(root / "var" / path)
    refused(pillars, "monitor small 2013-03", 5, path, "pillars score small 2013-03")
    pillars.well("score", "small", "2013-03")
    assert without_reports(root) == before
    pillars.well("monitor", "small", "2013-03")


def test_predictions_whose_maker_answers_no_longer_are_not_made_up(pillars: Commands):
    root = pillars.stage.root
    for command in ("promote small 2013-03", "deploy small"):
        pillars.well(*command.split())
    flip(root / "var" / str(entries(root, "score")[-1].facts["path"]))
    ended = pillars("score", "small", "2013-03")
    assert (ended.code, "restore the file from a backup" in ended.said) == (5, True)


POLICY: list[object] = [
    pytest.param(lambda file: file.write_bytes(file.read_bytes()[:100]), "cannot be read as a traffic policy", id="half written"),
    pytest.param(lambda file: file.write_bytes(b""), "cannot be read as a traffic policy", id="empty"),
    pytest.param(lambda file: edit_json(file, champion=json.loads(file.read_text())["previous"][0]), "names v1", id="names the one before"),
    pytest.param(
        lambda file: edit_json(file, champion=json.loads(file.read_text())["champion"] | {"sha256": "0" * 64}),
        "was edited",
        id="another sha",
    ),
    pytest.param(
        lambda file: edit_json(file, generation=9, champion=json.loads(file.read_text())["champion"] | {"sha256": "0" * 64}),
        "was edited",
        id="another sha, as if it were newer",
    ),
    pytest.param(lambda file: edit_json(file, generation=1), "generation 1, on record", id="an older generation"),
    pytest.param(lambda file: edit_json(file, previous=[]), "was edited", id="no way back"),
    pytest.param(lambda file: file.unlink(), "names nobody", id="removed"),
]


@pytest.mark.parametrize(("change", "words"), POLICY)
def test_a_traffic_policy_that_is_not_the_one_on_record_is_not_followed(pillars: Commands, change: Callable[[Path], object], words: str):
    file = pillars.stage.root / "var" / "releases" / "small" / "policy.json"
    change(file)
    for command in ("score small 2013-04", "rollback small"):
        refused(pillars, command, 6, "releases/small/policy.json", words, "pillars deploy")
    if "cannot be read" in words:
        file.unlink()
    pillars.well("deploy", "small", "--version", "2")
    pillars.well("score", "small", "2013-04")
    assert champion(pillars.stage.root).version == 2
    assert json.loads(file.read_text())["generation"] >= 2


def test_a_batch_changed_after_it_was_collected_is_collected_again(pillars: Commands):
    root = pillars.stage.root
    before = told(root, "small")
    flip(next((root / "var" / "raw" / "small" / "2013-04").glob("rows-*.parquet")))
    pillars.well("data", "rebuild", "small")
    assert told(root, "small") == before
