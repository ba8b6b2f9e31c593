from __future__ import annotations

import io
import json
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pillars.errors import ArchiveRefused, StoreUnavailable
from pillars.recovery import archive
from pillars.recovery.archive import Manifest

FILES = {"var/raw/a.parquet": b"alpha" * 100, "configs/parcels.yaml": b"project: parcels\n", "git/data.bundle": b""}


def write(path: Path, files: dict[str, bytes] | None = None) -> Path:
    def describe(members: dict[str, archive.Member]) -> Manifest:
        return Manifest("2013-06-01", "/old/var", "/old", {}, (), members)

    with archive.writing(path, lambda _: None, describe) as writer:
        for name, content in (FILES if files is None else files).items():
            writer.put(name, content)
    return path


def rewrite(path: Path, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], Any]) -> Path:
    """The archive with its members changed by a liar."""
    with tarfile.open(path) as tar:
        members = [(info, tar.extractfile(info).read()) for info in tar]
    change(members)
    with tarfile.open(path, "w") as tar:
        for info, content in members:
            info.size = len(content) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(content))
    return path


def with_manifest(members: list[tuple[tarfile.TarInfo, bytes]], change: Callable[[dict[str, Any]], Any]) -> None:
    info, content = members[-1]
    said = json.loads(content)
    change(said)
    members[-1] = (info, json.dumps(said).encode())


def named(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    contents=st.dictionaries(
        st.from_regex(r"var/[a-z]{1,8}(/[a-zA-Z0-9é ]{1,60}){0,3}", fullmatch=True), st.binary(max_size=2000), max_size=6
    )
)
def test_what_is_written_comes_out(tmp_path_factory: pytest.TempPathFactory, contents: dict[str, bytes]) -> None:
    folders = {str(parent) for name in contents for parent in Path(name).parents}
    contents = {name: content for name, content in contents.items() if name not in folders and not name.endswith(" ") and " /" not in name}
    path = write(tmp_path_factory.mktemp("archive") / "all.tar", contents)
    out = tmp_path_factory.mktemp("out")
    archive.extract(path, archive.read(path), out)
    assert {f.relative_to(out).as_posix(): f.read_bytes() for f in out.rglob("*") if f.is_file()} == contents


def test_it_is_its_owners_alone_and_leaves_no_draft(tmp_path: Path) -> None:
    path = write(tmp_path / "all.tar")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [f.name for f in tmp_path.iterdir()] == ["all.tar"]


def test_a_failed_one_leaves_what_was_there(tmp_path: Path) -> None:
    path = write(tmp_path / "all.tar")
    before = path.read_bytes()

    def describe(_: dict[str, archive.Member]) -> Manifest:
        raise RuntimeError

    with pytest.raises(RuntimeError), archive.writing(path, lambda _: None, describe) as writer:
        writer.put("var/a", b"a")
    assert path.read_bytes() == before
    assert [f.name for f in tmp_path.iterdir()] == ["all.tar"]


LIES: dict[str, tuple[Callable[[list[tuple[tarfile.TarInfo, bytes]]], Any], str]] = {
    "a way up": (lambda m: m.insert(0, (named("var/../../x"), b"")), "leads out of its place"),
    "an absolute path": (lambda m: m.insert(0, (named("/etc/passwd"), b"")), "leads out of its place"),
    "another root": (lambda m: m.insert(0, (named("home/x"), b"")), "leads out of its place"),
    "a bare name": (lambda m: m.insert(0, (named("var"), b"")), "leads out of its place"),
    "a double slash": (lambda m: m.insert(0, (named("var//x"), b"")), "leads out of its place"),
    "a symbolic link": (lambda m: m.insert(0, (named("var/x", tarfile.SYMTYPE, "/etc"), b"")), "var/x is no file"),
    "a hard link": (lambda m: m.insert(1, (named("var/x", tarfile.LNKTYPE, "var/raw/a.parquet"), b"")), "var/x is no file"),
    "a device": (lambda m: m.insert(0, (named("var/x", tarfile.CHRTYPE), b"")), "var/x is no file"),
    "a folder": (lambda m: m.insert(0, (named("var/x", tarfile.DIRTYPE), b"")), "var/x is no file"),
    "a name twice": (lambda m: m.insert(0, m[0]), "var/raw/a.parquet is there twice"),
    "one too many": (lambda m: m.insert(0, (named("var/x"), b"x")), "var/x is in no manifest"),
    "one too few": (lambda m: m.pop(0), "var/raw/a.parquet is missing"),
    "other bytes": (lambda m: m.__setitem__(0, (m[0][0], b"omega" * 100)), "var/raw/a.parquet is not what the manifest says"),
    "no manifest": (lambda m: m.pop(), "it has no manifest"),
    "more after it": (lambda m: m.append((named("var/x"), b"x")), "var/x comes after the manifest"),
    "a later format": (lambda m: with_manifest(m, lambda s: s.update(format=2)), "its format is 2, this release reads 1"),
    "a manifest that is none": (lambda m: m.__setitem__(-1, (m[-1][0], b"[]")), "its manifest is none"),
    "a size that lies": (
        lambda m: with_manifest(m, lambda s: s["members"]["var/raw/a.parquet"].update(size=1)),
        "is not what the manifest says",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused(tmp_path: Path, lie: str) -> None:
    change, said = LIES[lie]
    with pytest.raises(ArchiveRefused, match=said):
        archive.read(rewrite(write(tmp_path / "all.tar"), change))


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    whole = write(tmp_path / "all.tar").read_bytes()
    end = whole.rindex(b"}") + 1
    for size in [0, 1, 511, 512, 700, 1024, 2048, end - 1]:
        (tmp_path / "cut.tar").write_bytes(whole[:size])
        with pytest.raises(ArchiveRefused):
            archive.read(tmp_path / "cut.tar")


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"all.tar: cannot be read"):
        archive.read(tmp_path / "all.tar")


def test_a_file_that_changes_after_it_was_verified_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "all.tar")
    manifest = archive.read(path)
    rewrite(path, lambda m: m.__setitem__(0, (m[0][0], b"omega" * 100)))
    with pytest.raises(ArchiveRefused, match="changed since it was verified"):
        archive.extract(path, manifest, tmp_path / "out")
