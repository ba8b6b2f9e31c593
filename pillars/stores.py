"""Where things live, from the environment (`PILLARS_*`). Nothing here reads a project's YAML."""

from __future__ import annotations

import fcntl
import glob
import os
import re
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from pillars import keys, masking
from pillars.errors import Busy, SettingInvalid, StoreUnavailable, UnknownName

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 1 << 20  # rows, as pyarrow's `write_table` cuts by default
# folders under `var` of its owner alone: keys, a database that holds Secret blocks beside their key, requests, rows under a fit
CLOSED = ("keys", "prefect", "served", "scratch")
Write = Callable[[str, bytes], None]
NEW_S = 60.0  # a folder this young may not have been locked yet
LOGIN = r"://[^/@]*:.*@|^(http|webdav)s?://[^/]*@"  # user:password@, or a token; the bare user of ssh://git@host is no secret


def _find_root() -> Path:
    """The nearest folder upwards that has `configs/`; else where this checkout lies."""
    here = Path.cwd()
    return next((p for p in (here, *here.parents) if (p / "configs").is_dir()), Path(__file__).resolve().parents[1])


class Environment(BaseSettings):
    """Settings from variables `PILLARS_*`. Raises: SettingInvalid."""

    model_config = SettingsConfigDict(env_prefix="PILLARS_", frozen=True, extra="ignore")

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as err:  # never with the value: it may be a key
            raise SettingInvalid([f"PILLARS_{'_'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in err.errors()]) from None


class Stores(Environment):
    """Places. Relative paths in values of the vocabulary are relative to `var`."""

    root: Path = Field(default_factory=_find_root, description="the project's folder: configs/, projects/, the git repository")
    var: Path = Field(default=Path("var"), description="all that is written at run time; relative to root")
    configs: Path = Field(default=Path("configs"), description="folder of the YAML files; relative to root")
    mlflow_uri: str = Field(default="", description="MLflow tracking and registry URI; default SQLite under var")
    ledger_uri: str = Field(default="", description="SQLAlchemy URL of the ledger; default SQLite under var")
    remote: str = Field(default="", description="DVC remote URL; default a folder under var")
    key: SecretStr | None = Field(default=None, description="hex key of ledger and pseudonyms; default a file under var, mode 0600")
    large_rows: int = Field(
        default=1_000_000, ge=1, description="batches with more rows are read, checked and written in pieces; the result is the same"
    )
    readers: str = Field(default="", description="unix group that may read what came in (raw, quarantine ...); by default the owner alone")
    dask_address: str = Field(
        default="", description="scheduler of a Dask cluster for fit.engine dask; by default workers are started here"
    )
    threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, description="threads of final fits and batch scoring")

    def model_post_init(self, _: object) -> None:
        """Make the places absolute.

        Raises:
            SettingInvalid: databases cannot lie under such a path, or the remote's URL holds a password.
        """
        masking.know_environment()
        for name in ("root", "var", "configs"):
            path = getattr(self, name)
            object.__setattr__(self, name, path if path.is_absolute() else (self.root / path).resolve())
        if any(all(c in str(self.var) for c in marks) for marks in ("?", "'\"")):  # a URL ends there; MLflow writes repr(path) into its SQL
            raise SettingInvalid([f"{self.var} holds ?, or ' and \" together: databases cannot. Move the project, or set PILLARS_VAR"])
        if re.search(LOGIN, self.remote):  # the data branch's first commit holds the URL
            raise SettingInvalid(
                [
                    "PILLARS_REMOTE holds a user or password, which would be committed to git: take them out of the URL, "
                    "and give them in the remote's own environment variables (such as AWS_SECRET_ACCESS_KEY)"
                ]
            )

    def folder(self, *parts: str) -> Path:
        """A folder under `var`, made when missing.

        Raises:
            StoreUnavailable: it cannot be made.
        """
        path = self.var.joinpath(*parts)
        try:
            if not self.var.exists():
                self._make_var()
            if parts and parts[0] in CLOSED:
                (self.var / parts[0]).mkdir(mode=0o700, exist_ok=True)
            path.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            free = "Free it, or set PILLARS_VAR to a folder you can write."
            anothers = "It belongs to the user who made it: work as that user. Nothing was changed."
            raise StoreUnavailable.refused(str(path), err, anothers if self._is_anothers() else free, "made") from err
        return path

    def _is_anothers(self) -> bool:
        with suppress(OSError):
            return os.getuid() not in (0, self.var.stat().st_uid)
        return False

    def _make_var(self) -> None:
        """`var`, for its owner and the readers alone: rows lie in most of its folders. One that is there keeps the rights it has."""
        group = self.readers_group
        self.var.parent.mkdir(parents=True, exist_ok=True)
        try:
            self.var.mkdir(mode=0o700)
        except FileExistsError:  # somebody was first
            return
        if group is not None:
            self._give(self.var, group)
            self.var.chmod(0o750)

    def _give(self, path: Path, group: int) -> None:
        try:
            os.chown(path, -1, group)
        except PermissionError:
            raise SettingInvalid([f"PILLARS_READERS: you are not in the group {self.readers}, and cannot give it rights"]) from None

    @property
    def readers_group(self) -> int | None:
        """Number of the group that may read what came in, None where nobody named one.

        Raises:
            SettingInvalid: there is no such group.
        """
        import grp

        if not self.readers:
            return None
        try:
            return grp.getgrnam(self.readers).gr_gid
        except KeyError:
            raise SettingInvalid([f"PILLARS_READERS: this machine has no group {self.readers}"]) from None

    def relative(self, path: Path) -> str:
        """A path under `var` as the vocabulary writes it."""
        return path.resolve().relative_to(self.var.resolve()).as_posix()

    def config_file(self, project: str) -> Path:
        """The YAML file of a project.

        Raises:
            UnknownName: the name would lead out of the folder.
        """
        if not project or Path(project).name != project:
            raise UnknownName("project", project, sorted(p.stem for p in self.configs.glob("[!_]*.yaml")))
        return self.configs / f"{project}.yaml"

    def importable(self) -> None:
        """Let modules be looked for in the project's folder, before any other: its own source, measures, policy, recipe."""
        if str(self.root) not in sys.path:
            sys.path.insert(0, str(self.root))

    @property
    def tracking_uri(self) -> str:
        """MLflow's store: tracking and registry."""
        return self.mlflow_uri or f"sqlite:///{self.folder('mlflow') / 'mlflow.db'}"

    @property
    def artifacts_uri(self) -> str | None:
        """Where MLflow keeps files of runs and models; None leaves it to its server."""
        return self.folder("mlflow", "artifacts").as_uri() if self.tracking_uri.startswith("sqlite:") else None

    @property
    def ledger_url(self) -> str:
        """The ledger's database."""
        return self.ledger_uri or f"sqlite:///{self.folder() / 'ledger.db'}"

    @property
    def dvc_remote(self) -> str:
        """DVC's remote; for a folder its absolute path."""
        return self.remote or str(self.folder("dvc", "remote"))

    @property
    def dvc_cache(self) -> Path:
        """DVC's cache, shared by staging areas and the working tree."""
        return self.folder("dvc", "cache")

    @cached_property
    def secret(self) -> bytes:
        """The installation's key (32 bytes): from the environment, else made once in `var/keys/secret` (mode 0600).

        Raises:
            SettingInvalid: PILLARS_KEY is no key.
            StoreUnavailable: the file cannot be read or made, holds no key, or is gone while a ledger that it sealed is there.
        """
        given = None if self.key is None else self.key.get_secret_value()
        key = keys.kept(self.folder("keys") / "secret", sealed=self.var / "ledger.anchor") if given is None else keys.given(given)
        masking.know(key, "the installation's key")
        return key


def without_password(text: str) -> str:
    """`text` with user and password taken out of every URL in it."""
    return re.sub(r"(\w+://)\S*@", r"\1", text)  # to the last @: a password may hold / and @


def as_it_is(stores: Stores) -> Write:
    """Writes a file under `var`, by its path there, as it is. Others seal it."""
    return lambda path, content: write_atomically(stores.var / path, content)


def user_name() -> str:
    """Who this process works for; the number of a user who has no name (a container's)."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def write_atomically(path: Path, content: bytes, drafts: Path | None = None, *, private: bool = False, group: int | None = None) -> None:
    """Replace `path` as a whole, as `replacing` does.

    Raises:
        StoreUnavailable: the disk refuses; the old content is intact.
    """
    with replacing(path, drafts, private=private, group=group) as draft:
        draft.write(content)


@contextmanager
def replacing(path: Path, drafts: Path | None = None, *, private: bool = False, group: int | None = None) -> Iterator[BinaryIO]:
    """A draft that replaces `path` as a whole when the block ends well: a reader sees the old bytes or the new, never a part. It lies in
    `drafts`, a folder of the same disk, where given: beside `path` somebody may watch for files that appear. Where `private`, only its
    owner can read it, and the `group` of that number where one is given.

    Raises:
        StoreUnavailable: the disk refuses; the old content is intact.
    """
    draft = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = (drafts or path.parent) / path.name
        sweep_drafts(aside)
        draft, handle = begin_draft(aside, 0o600 if private else 0o666)
        with handle:  # until the draft has its name, its lock says that somebody is at it
            if private and group is not None:
                os.fchown(handle.fileno(), -1, group)
                os.fchmod(handle.fileno(), 0o640)
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
            os.replace(draft, path)
    except BaseException as err:
        with suppress(OSError):  # a disk that became read-only keeps it
            if draft is not None:
                draft.unlink(missing_ok=True)
        if isinstance(err, OSError):
            raise StoreUnavailable.refused(str(path), err, "The old content is intact; free the disk and run again.", "written") from err
        raise


def owners_alone(path: Path) -> None:
    """Make the file `path`, empty, where there is none; only its owner can read it. Raises: OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


def sweep_drafts(path: Path) -> None:
    """Remove what writers of `path` left beside it who died over it; a living one holds a lock on its draft."""
    for draft in path.parent.glob(f".{glob.escape(path.name)}.*.????????"):
        with suppress(OSError), draft.open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            draft.unlink()


def begin_draft(path: Path, mode: int) -> tuple[Path, BinaryIO]:
    """A new, empty, locked file beside `path`."""
    while True:
        draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        handle = os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb")
        with suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(handle.fileno()).st_nlink:
                return draft, handle
        handle.close()  # swept before it was locked


@contextmanager
def scratch(what: str, within: Path | None = None) -> Iterator[Path]:
    """A folder of its own for as long as it is entered, in `within` or among the system's temporary ones. What a kill left of others is
    taken away; a living one is locked.
    """
    for left in Path(within or tempfile.gettempdir()).glob(f"pillars-{what}-*"):
        with suppress(OSError):  # another user's, or somebody else was first
            if time.time() - left.stat().st_mtime > NEW_S:
                with _folder_locked(left):
                    shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=f"pillars-{what}-", dir=within) as folder, _folder_locked(Path(folder)):
        yield Path(folder)


@contextmanager
def _folder_locked(folder: Path) -> Iterator[None]:
    """Raises: BlockingIOError, where somebody else has it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as Parquet (zstd, no schema metadata): equal tables give equal bytes under one pyarrow."""
    import io

    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(None).combine_chunks(), buffer, compression="zstd")
    return buffer.getvalue()


def parquet_of(pieces: Iterable[pa.Table]) -> tuple[bytes, int]:
    """Tables one below the other as `parquet_bytes` makes the whole of them, and their rows; a group of rows is held at a time.

    Raises:
        ValueError: there is no piece.
    """
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer, writer, held, rows = io.BytesIO(), None, list[pa.Table](), 0
    for piece in pieces:
        writer = writer or pq.ParquetWriter(buffer, piece.schema.remove_metadata(), compression="zstd")
        held, rows = [*held, piece.replace_schema_metadata(None)], rows + piece.num_rows
        while sum(table.num_rows for table in held) > ROW_GROUP:
            whole = pa.concat_tables(held)
            writer.write_table(whole.slice(0, ROW_GROUP).combine_chunks())
            held = [whole.slice(ROW_GROUP)]
    if writer is None:
        raise ValueError("there is nothing to write")
    writer.write_table(pa.concat_tables(held).combine_chunks())
    writer.close()
    return buffer.getvalue(), rows


@contextmanager
def locked(path: Path, what: str, wait_s: float = 60.0) -> Iterator[None]:
    """Hold the lock file `path`, among threads and processes; the system frees it when its holder dies.

    Raises:
        Busy: somebody held it for all of `wait_s`; `what` names the thing for people.
        StoreUnavailable: the file cannot be made.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path, timeout=wait_s, poll_interval=0.02)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as err:
        raise Busy(what, wait_s, f"another run (lock file {path})") from err
    except OSError as err:
        raise StoreUnavailable.refused(str(path), err, "Nothing was changed; mend it and run again.", "locked") from err
    try:
        yield
    finally:
        lock.release()
