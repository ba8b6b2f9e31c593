import pkgutil
import subprocess
import sys

import pillars.training


def test_importing_training_loads_nothing_heavy() -> None:
    """Commands and flows import it at their top; what takes seconds is imported where it is used."""
    wanted = ", ".join(f"pillars.training.{name}" for _, name, _ in pkgutil.iter_modules(pillars.training.__path__))
    code = f"import sys, {wanted}, pillars.development.features, pillars.development.models\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    heavy = {"xgboost", "optuna", "sklearn", "scipy", "matplotlib", "pandas", "mlflow", "prefect"}
    assert not heavy & set(loaded)
