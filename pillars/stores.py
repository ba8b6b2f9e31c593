"""Where things live, from the environment (`PILLARS_*`). Nothing here reads a project's YAML."""

from __future__ import annotations

import os
import secrets
from functools import cached_property
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from pillars.errors import StoreUnavailable


def _find_root() -> Path:
    """The nearest folder upwards that has `configs/`; else where this checkout lies."""
    here = Path.cwd()
    return next((p for p in (here, *here.parents) if (p / "configs").is_dir()), Path(__file__).resolve().parents[1])


class Stores(BaseSettings):
    """Places. Relative paths in values of the vocabulary are relative to `var`."""

    model_config = SettingsConfigDict(env_prefix="PILLARS_", frozen=True, extra="ignore")

    root: Path = Field(default_factory=_find_root, description="the project's folder: configs/, projects/, the git repository")
    var: Path = Field(default=Path("var"), description="all that is written at run time; relative to root")
    configs: Path = Field(default=Path("configs"), description="folder of the YAML files; relative to root")
    mlflow_uri: str = Field(default="", description="MLflow tracking and registry URI; default SQLite under var")
    ledger_uri: str = Field(default="", description="SQLAlchemy URL of the ledger; default SQLite under var")
    remote: str = Field(default="", description="DVC remote URL; default a folder under var")
    key: SecretStr | None = Field(default=None, description="hex key of ledger and pseudonyms; default a file under var, mode 0600")
    threads: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, description="threads of final fits and batch scoring")

    def model_post_init(self, _: object) -> None:
        for name in ("root", "var", "configs"):
            path = getattr(self, name)
            object.__setattr__(self, name, path if path.is_absolute() else (self.root / path).resolve())

    def folder(self, *parts: str) -> Path:
        """A folder under `var`, made when missing.

        Raises:
            StoreUnavailable: it cannot be made.
        """
        path = self.var.joinpath(*parts)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise StoreUnavailable(str(path), f"cannot be made ({err.strerror})", "Free it, or set PILLARS_VAR to a folder you can write.") from err
        return path

    def relative(self, path: Path) -> str:
        """A path under `var` as the vocabulary writes it."""
        return path.resolve().relative_to(self.var.resolve()).as_posix()

    def config_file(self, project: str) -> Path:
        """The YAML file of a project."""
        return self.configs / f"{project}.yaml"

    @property
    def tracking_uri(self) -> str:
        """MLflow's store: tracking and registry."""
        return self.mlflow_uri or f"sqlite:///{self.folder('mlflow') / 'mlflow.db'}"

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
        """The installation's key (32 bytes): from the environment, else made once in `var/keys/secret` (mode 0600)."""
        if self.key is not None:
            return bytes.fromhex(self.key.get_secret_value())
        path = self.folder("keys") / "secret"
        if not path.exists():
            draft = path.with_name(f".secret-{os.getpid()}")
            draft.touch(mode=0o600)
            draft.write_text(secrets.token_hex(32))
            try:
                os.link(draft, path)  # fails when somebody was first: then theirs is the key
            except FileExistsError:
                pass
            draft.unlink()
        return bytes.fromhex(path.read_text())


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` as a whole: a reader sees the old bytes or the new, never a part.

    Raises:
        StoreUnavailable: the disk refuses; the old content is intact.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(draft, path)
    except OSError as err:
        draft.unlink(missing_ok=True)
        raise StoreUnavailable(str(path), f"cannot be written ({err.strerror})", "The old content is intact; free the disk and run again.") from err
