"""The bundle as an MLflow model from code: no pickle, and nothing of this project but the bundle package beside it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .bundle import Bundle

if TYPE_CHECKING:
    import pandas as pd

# what `mlflow.pyfunc.log_model(python_model=...)` runs when it loads; `pillars_release` is errors.py and bundle/ copied as a package
MODEL_CODE = """from mlflow.models import set_model

from pillars_release.bundle.served import served_class

set_model(served_class()())
"""


@cache
def served_class() -> type:
    """`Served`, an MLflow PythonModel whose artifact `bundle` is a bundle's folder. Made when asked for: importing MLflow takes seconds."""
    from mlflow.pyfunc import PythonModel

    class Served(PythonModel):  # type: ignore[misc]  # MLflow is untyped here
        """Scores frames of doubles and strings: `score`, and what else `Predictions` has."""

        def load_context(self, context: Any) -> None:
            """Load and verify the bundle.

            Raises:
                BundleRefused: a byte differs from what was written.
            """
            self.bundle = Bundle.load(Path(context.artifacts["bundle"]))

        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]  # MLflow reads types as a schema
            """A frame with the columns of `Predictions`, one row per row, under the input's index."""
            import pandas

            predictions = self.bundle.predict(columns_of(self.bundle, model_input))
            return pandas.DataFrame(predictions.columns(self.bundle.classes), index=model_input.index)

    return Served


def columns_of(bundle: Bundle, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """The frame's feature columns as the encoder takes them: float64 with NaN, and objects of str or None."""
    columns: dict[str, np.ndarray] = {}
    for name in bundle.encoder.feature_names:
        if name not in frame.columns:
            continue  # the encoder names what is missing
        text = name in bundle.encoder.codes
        columns[name] = frame[name].to_numpy(dtype=object) if text else frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
    return columns


def __getattr__(name: str) -> Any:
    if name == "Served":
        return served_class()
    raise AttributeError(name)
