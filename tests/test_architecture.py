"""The walls of the house, as far as import-linter does not check them (`make contracts` does the rest)."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pillars import errors

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("prefect", "mlflow", "great_expectations", "evidently", "xgboost", "optuna", "pandas", "sklearn", "scipy", "matplotlib", "dvc")
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for folder in ("pillars", "projects", "deployments")
    for path in (ROOT / folder).rglob("*.py")
)
LIGHT = [*MODULES, "flows.__main__", "flows.environment", "flows.up"]


def loaded_by(imports: list[str]) -> set[str]:
    """Which heavy packages a new interpreter has after the imports."""
    code = f"import sys, importlib\nfor m in {imports!r}: importlib.import_module(m)\nprint(*[h for h in {HEAVY!r} if h in sys.modules])"
    return set(subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())


def test_no_module_outside_flows_and_tasks_loads_anything_heavy() -> None:
    loaded = loaded_by(LIGHT)
    guilty = {module: found for module in LIGHT if (found := loaded_by([module]))} if loaded else {}
    assert not loaded, f"heavy imports belong inside the function that needs them: {guilty}"


def test_the_check_sees_a_heavy_import() -> None:
    assert "pandas" in loaded_by(["json", "pandas"])


MAPS = [ROOT / "deployments", *(file.parent for file in sorted((ROOT / "pillars").rglob("__init__.py")))]


@pytest.mark.parametrize("folder", [pytest.param(folder, id=str(folder.relative_to(ROOT))) for folder in MAPS])
def test_a_folders_docstring_is_a_map_of_its_modules(folder: Path) -> None:
    said = set(re.findall(r"[a-z_]+", ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""))
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} <= said


def broken(tmp_path: Path, module: str, line: str) -> str:
    """What import-linter says of this code with one more import in one module; empty when it has nothing against it."""
    for folder in ("pillars", "tasks", "flows", "projects", "deployments"):
        for path in (ROOT / folder).rglob("*.py"):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    file = tmp_path / module
    file.write_text(file.read_text() + f"\n\ndef _planted() -> None:\n    {line}\n")
    linter = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    answer = subprocess.run(
        linter, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "200"}, capture_output=True, text=True
    )
    return "" if answer.returncode == 0 else answer.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        pytest.param("pillars/data/versions.py", "import pillars.training.gate", "Layers", id="one pillar of another"),
        pytest.param("pillars/config.py", "import pillars.data.versions", "Layers", id="config of a pillar"),
        pytest.param("tasks/data.py", "import flows.cycle", "Layers", id="task of a flow"),
        pytest.param("pillars/monitoring/ledger.py", "import prefect", "Prefect only in flows", id="Prefect in a pillar"),
        pytest.param("projects/flights/__init__.py", "import prefect", "Prefect only in flows", id="Prefect in a project"),
        pytest.param("pillars/bundle/encoder.py", "import pandas", "The bundle", id="pandas in the bundle"),
        pytest.param("pillars/bundle/encoder.py", "import pillars.config", "The bundle", id="config in the bundle"),
        pytest.param("flows/cycle.py", "import great_expectations", "Door of Great Expectations", id="GX in a flow"),
        pytest.param("pillars/training/gate.py", "import dvc.api", "Door of DVC", id="DVC in training"),
        pytest.param("tasks/monitoring.py", "import evidently", "Door of Evidently", id="Evidently in a task"),
        pytest.param("pillars/deployment/traffic.py", "import optuna", "Door of Optuna", id="Optuna in deployment"),
        pytest.param("pillars/data/cleaning.py", "import mlflow", "Doors of MLflow", id="MLflow in data"),
        pytest.param("tasks/training.py", "import xgboost", "Doors of XGBoost", id="XGBoost in a task"),
        pytest.param("pillars/deployment/server/app.py", "import pandas", "The prediction server", id="pandas in the server"),
        pytest.param("pillars/deployment/server/app.py", "import pillars.stores", "The prediction server", id="stores in the server"),
    ],
)
def test_a_forbidden_import_is_refused(tmp_path: Path, module: str, line: str, contract: str) -> None:
    said = broken(tmp_path, module, line)
    assert any(row.startswith(contract) and "BROKEN" in row for row in said.splitlines()), said


def test_allowed_imports_are_not_refused(tmp_path: Path) -> None:
    assert broken(tmp_path, "pillars/data/versions.py", "import pillars.stores") == ""


def test_the_bundle_imports_itself_relatively() -> None:
    """It is copied beside a registered model, where there is no `pillars`."""
    for path in (ROOT / "pillars" / "bundle").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            absolute = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                absolute = [node.module or ""]
            assert not [name for name in absolute if name.split(".")[0] == "pillars"], path.name


def test_no_flow_file_hides_a_package() -> None:
    """A file entrypoint puts `flows/` first on the import path."""
    code = "import sys, importlib.util as u\nfor n in sys.argv[1:]:\n    if u.find_spec(n): print(n)"
    names = [p.stem for p in (ROOT / "flows").glob("*.py") if not p.stem.startswith("__")]
    answer = subprocess.run([sys.executable, "-c", code, *names], cwd="/", capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []


OURS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.PillarsError)}
PACKAGES = ("data", "development", "training", "deployment", "monitoring")


def unsaid(code: str) -> list[str]:
    """Public functions and methods that raise an error of ours in so many words, and name it in no docstring of theirs or their class's."""
    found = []
    for node in ast.parse(code).body:
        inside = [node, *node.body] if isinstance(node, ast.ClassDef) else [node]
        said = ast.get_docstring(node) or "" if isinstance(node, ast.ClassDef) else ""
        for function in (f for f in inside if isinstance(f, ast.FunctionDef) and not f.name.startswith("_")):
            raised = {
                call.func.id
                for statement in ast.walk(function)
                if isinstance(statement, ast.Raise) and isinstance(call := statement.exc, ast.Call) and isinstance(call.func, ast.Name)
            }
            doc = f"{said} {ast.get_docstring(function)}"
            found += [f"{function.name}: {name}" for name in sorted(raised & OURS) if name not in doc]
    return found


def test_docstrings_say_which_errors_are_raised() -> None:
    files = [p for folder in ("pillars", "tasks", "flows", "projects", "deployments") for p in (ROOT / folder).rglob("*.py")]
    assert {p.relative_to(ROOT).as_posix(): names for p in files if (names := unsaid(p.read_text()))} == {}


def test_the_check_sees_an_error_that_is_not_said() -> None:
    code = 'def ask():\n    """Ask."""\n    raise Busy("it", 1.0, "them")\n'
    assert unsaid(code) == ["ask: Busy"]
    assert unsaid(code.replace("Ask.", "Ask. Raises: Busy.")) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_pillars_package_says_where_each_of_its_modules_belongs(package: str) -> None:
    """Who knows a sub-point of a pillar finds its file."""
    folder = ROOT / "pillars" / package
    table = (ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or "").splitlines()[2:]
    listed = [name.strip() for line in table for name in line.partition(":")[0].split(maxsplit=1)[1].split(",")]
    assert sorted(listed) == sorted(p.stem for p in folder.glob("*.py") if p.stem != "__init__")
