"""What must hold of DVC's remote, wherever it is: a folder, or S3 (moto's server)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from pillars.config_data import Retention
from pillars.data import objects, retention, versions
from pillars.data.record import parse
from pillars.data.versions import checkout, head, history, publish, read, verify
from pillars.errors import DataCorrupt, StoreUnavailable
from pillars.stores import Stores
from pillars.vocabulary import DataVersion
from tests.conftest import free_port
from tests.pillars.data.batches import NOW, git, outcomes, prepared, project, rows
from tests.waiting import wait_until

P = project()
MONTHS = ("2013-01", "2013-02")


@dataclass
class Remote:
    """A remote's files by the md5 that names them."""

    url: str
    endpoint: str = ""
    _client: Any = field(default=None, repr=False)

    def names(self) -> set[str]:
        return {path.replace("/", "").removeprefix("filesmd5") for path in self._paths()}

    def get(self, md5: str) -> bytes:
        if not self.endpoint:
            return self._file(md5).read_bytes()
        content: bytes = self._client.get_object(Bucket="data", Key=self._key(md5))["Body"].read()
        return content

    def put(self, md5: str, content: bytes) -> None:
        if not self.endpoint:
            self._file(md5).chmod(0o644)
            self._file(md5).write_bytes(content)
        else:
            self._client.put_object(Bucket="data", Key=self._key(md5), Body=content)

    def remove(self, md5: str) -> None:
        if not self.endpoint:
            self._file(md5).unlink()
        else:
            self._client.delete_object(Bucket="data", Key=self._key(md5))

    def _paths(self) -> list[str]:
        if not self.endpoint:
            return [p.relative_to(self.url).as_posix() for p in Path(self.url).rglob("*") if p.is_file()]
        listed = self._client.list_objects_v2(Bucket="data", Prefix=self.url.removeprefix("s3://data/"))
        return [found["Key"].partition("/")[2] for found in listed.get("Contents", [])]

    def _file(self, md5: str) -> Path:
        return Path(self.url) / "files" / "md5" / md5[:2] / md5[2:]

    def _key(self, md5: str) -> str:
        return f"{self.url.removeprefix('s3://data/')}/files/md5/{md5[:2]}/{md5[2:]}"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an S3 with the bucket `data`."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(port)]
    with (tmp_path_factory.mktemp("s3") / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as server:
        try:
            wait_until(lambda: _answers(endpoint), what="moto")
            yield endpoint
        finally:
            server.terminate()


def _answers(endpoint: str) -> bool:
    try:
        with urlopen(f"{endpoint}/moto-api/", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(params=["folder", "s3"])
def remote(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Remote:
    """A remote of this test alone; what S3 needs comes from the environment, as its users have it."""
    if request.param == "folder":
        return Remote(str(tmp_path / "remote"))
    endpoint = request.getfixturevalue("s3")
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "me",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket="data")
    return Remote(f"s3://data/{tmp_path.name}", endpoint, client)


@pytest.fixture
def there(stores: Stores, remote: Remote) -> Stores:
    """Stores with that remote."""
    return stores.model_copy(update={"remote": remote.url})


def ingest(stores: Stores, period: str, seed: int = 0) -> DataVersion:
    return publish(stores, P, prepared(stores, period, seed), NOW)


def listing(stores: Stores) -> dict[str, str]:
    """md5 by path of the newest version."""
    return {path: f.md5 for path, f in parse(git(stores.root, "show", "dvc-data/parcels:data.dvc"), "").files.items()}


def clear_cache(stores: Stores) -> None:
    for file in stores.dvc_cache.rglob("*"):
        if file.is_file():
            file.unlink()


def test_all_of_a_version_is_there_before_git_names_it(there: Stores, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    from pillars.data import branch

    append = branch.append

    def looked(root: Path, name: str, parent: str | None, content: str, *rest: Any) -> str | None:
        record = parse(content, "")
        assert {record.id, *(f.md5 for f in record.files.values())} <= remote.names()
        return append(root, name, parent, content, *rest)

    monkeypatch.setattr(branch, "append", looked)
    assert [ingest(there, month).rows for month in MONTHS] == [40, 80]


def test_a_version_is_read_from_it_when_the_cache_is_empty(there: Stores, remote: Remote) -> None:
    versions = [ingest(there, month) for month in MONTHS]
    before = read(there, versions[1], "rows", MONTHS)
    clear_cache(there)
    assert read(there, versions[1], "rows", MONTHS).equals(before)
    assert read(there, versions[0], "outcomes", MONTHS[:1]).num_rows == outcomes(rows("2013-01")).num_rows


def test_dvc_alone_gets_a_version(there: Stores, remote: Remote, tmp_path: Path) -> None:
    version = ingest(there, "2013-01")
    command = [str(Path(sys.executable).with_name("dvc")), "get", str(there.root), "data", "--rev", "dvc-data/parcels", "-o", "got"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, env=os.environ | {"HOME": str(tmp_path)})
    paths = checkout(there, version, tmp_path / "ours")
    assert [(tmp_path / "got" / p.relative_to(tmp_path / "ours")).read_bytes() for p in paths] == [p.read_bytes() for p in paths]


def test_an_interrupted_push_is_completed_by_the_next_run(there: Stores, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = 0
    transfer = objects._transfer

    def dies(source: Any, target: Any, md5s: Any) -> None:
        nonlocal sent
        transfer(source, target, {sorted(md5s)[0]})
        sent += 1
        raise KeyboardInterrupt

    monkeypatch.setattr(objects, "_transfer", dies)
    with pytest.raises(KeyboardInterrupt):
        ingest(there, "2013-01")
    assert sent == 1
    assert head(there, P) is None
    assert len(remote.names()) == 1
    monkeypatch.setattr(objects, "_transfer", transfer)
    version = ingest(there, "2013-01")
    assert remote.names() == {version.id, *listing(there).values()}
    assert len(history(there, P)) == 1


def test_a_changed_byte_is_named_and_mended_from_the_cache(there: Stores, remote: Remote) -> None:
    version = ingest(there, "2013-01")
    md5 = listing(there)["parcels/rows/2013-01.parquet"]
    content = remote.get(md5)
    remote.put(md5, content[:-1] + b"?")
    (damage,) = verify(there, version)
    assert (damage.name, damage.place, damage.mended) == ("parcels/rows/2013-01.parquet", "remote", True)
    assert remote.get(md5) == content
    remote.remove(version.id)
    (damage,) = verify(there, version)
    assert (damage.name, damage.found, damage.mended) == ("listing", "", True)
    assert verify(there, version) == ()


def test_a_changed_byte_is_not_read(there: Stores, remote: Remote) -> None:
    version = ingest(there, "2013-01")
    md5 = listing(there)["parcels/rows/2013-01.parquet"]
    remote.put(md5, remote.get(md5)[:-1] + b"?")
    clear_cache(there)
    with pytest.raises(DataCorrupt, match=r"parcels/rows/2013-01\.parquet"):
        read(there, version, "rows", ["2013-01"])
    (damage,) = verify(there, version)
    assert not damage.mended


def test_what_it_lost_is_sent_with_the_next_version(there: Stores, remote: Remote) -> None:
    ingest(there, "2013-01")
    md5 = listing(there)["parcels/rows/2013-01.parquet"]
    remote.remove(md5)
    ingest(there, "2013-02")
    assert md5 in remote.names()


@pytest.mark.parametrize("wrong", [{"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, {"bucket": "nobodys"}], ids=["nobody answers", "no bucket"])
def test_an_s3_that_cannot_be_had_is_said_and_nothing_is_published(
    stores: Stores, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str]
) -> None:
    said = {"AWS_ENDPOINT_URL": s3, "AWS_ACCESS_KEY_ID": "me", "AWS_SECRET_ACCESS_KEY": "s3cr3t", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in (said | wrong).items():
        if name.startswith("AWS"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    away = stores.model_copy(update={"remote": f"s3://{wrong.get('bucket', 'data')}/{tmp_path.name}"})
    with pytest.raises(StoreUnavailable) as refused:
        ingest(away, "2013-01")
    assert "s3cr3t" not in str(refused.value)
    assert head(away, P) is None


def test_rows_whose_time_is_over_leave_it(there: Stores, remote: Remote) -> None:
    limited = P.model_copy(update={"retention": Retention(rows=1)})
    for period in ("2013-01", "2013-02", "2013-03"):
        publish(there, limited, prepared(there, period), NOW)
    first = next(f.md5 for path, f in versions.records(there, "parcels")[-1].files.items() if "/rows/" in path)
    for period in ("2013-03", "2013-04"):
        publish(there, limited, prepared(there, period), NOW)
        plan = retention.plan(there, limited, MONTHS, period, {})
        retention.drop(there, limited, plan, NOW)
        assert first in remote.names(), "held back for the newest batch"
        done = retention.delete(there, plan, 5)
    assert (first in done.objects, first in remote.names()) == (True, False)
    found = head(there, P)
    assert found is not None
    assert found.periods == ("2013-03", "2013-04")
    assert verify(there, found) == ()
