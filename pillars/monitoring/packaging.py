"""A bundle as an MLflow model that needs nothing of this project: models from code, explicit requirements, doubles and strings."""

from __future__ import annotations

import hashlib
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import pillars.bundle
from pillars.bundle.bundle import Bundle

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.models import ModelSignature

BUNDLE = "artifacts/bundle"  # inside the model's folder
_SAVING = Lock()  # the import path is the whole process's


def save_model(folder: Path, bundle_dir: Path, bundle: Bundle, model: LoggedModel) -> None:
    """Write the model to `folder/model`. Explicit requirements and no input example: inferring either takes 10 s."""
    import mlflow.pyfunc
    from mlflow.models import Model

    package = stage_code(folder)
    script = folder / "served_model.py"
    script.write_text(model_code(package.name))
    shutil.copytree(bundle_dir, folder / "bundle")
    about = Model(artifact_path=model.artifact_location, model_uuid=model.model_id, run_id=model.source_run_id, model_id=model.model_id)
    with _importable(package):
        mlflow.pyfunc.save_model(
            path=str(folder / "model"),
            mlflow_model=about,
            python_model=str(script),
            artifacts={"bundle": str(folder / "bundle")},
            code_paths=[str(package)],
            pip_requirements=requirements(),
            signature=signature(bundle),
        )


@contextmanager
def _importable(package: Path) -> Iterator[None]:
    """MLflow runs the script when it saves a model, too. Nothing of it stays imported: the folder is going to be removed."""
    with _SAVING, warnings.catch_warnings(record=True):  # advice on hints and examples; MLflow resets any filter against it
        sys.path.insert(0, str(package.parent))
        try:
            yield
        finally:
            sys.path.remove(str(package.parent))
            for name in [n for n in sys.modules if n.partition(".")[0] == package.name]:
                del sys.modules[name]


def stage_code(folder: Path) -> Path:
    """Copy what a bundle needs to `folder/pillars_release_<sha8>`: `errors.py` and `bundle/`.

    Named by its content, so that two models with different code load into one process, and neither hides the package `pillars`.
    """
    own = Path(pillars.bundle.__path__[0])
    files = {f"bundle/{p.name}": p.read_bytes() for p in sorted(own.glob("*.py"))} | {"errors.py": (own.parent / "errors.py").read_bytes()}
    sha256 = hashlib.sha256(b"".join(name.encode() + b"\0" + content + b"\0" for name, content in files.items())).hexdigest()
    package = folder / f"pillars_release_{sha256[:8]}"
    for name, content in {**files, "__init__.py": b""}.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_bytes(content)
    return package


def model_code(package: str) -> str:
    """The script that MLflow runs when it loads the model."""
    from pillars.bundle.served import MODEL_CODE

    return MODEL_CODE.replace("pillars_release", package)


def requirements() -> list[str]:
    """What the model needs. `xgboost-cpu` holds the same code as `xgboost` without 0.5 GB of GPU libraries."""
    try:
        xgboost = version("xgboost")
    except PackageNotFoundError:
        xgboost = version("xgboost-cpu")
    return [f"xgboost-cpu=={xgboost}", f"numpy=={version('numpy')}", f"pandas=={version('pandas')}"]


def signature(bundle: Bundle) -> ModelSignature:
    """Doubles and strings in; the columns of `Predictions` out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    def columns(kind: str, names: Any) -> list[ColSpec]:
        return [ColSpec(kind, name) for name in names]

    inputs = columns("double", bundle.encoder.numeric) + columns("string", bundle.encoder.categorical)
    return ModelSignature(Schema(inputs), Schema([ColSpec(kind, name) for name, kind in bundle.outputs.items()]))
