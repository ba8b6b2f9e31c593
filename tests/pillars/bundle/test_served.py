import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import pillars.bundle
from pillars.bundle.bundle import Bundle
from tests.pillars.bundle.worlds import some_columns, write_some_bundle

FOREIGN = """
import json, sys
from types import SimpleNamespace
import pandas
from pillars_release.bundle.served import Served
model = Served()
model.load_context(SimpleNamespace(artifacts={"bundle": sys.argv[1]}))
frame = pandas.DataFrame({"carrier": ["AA", None, "ZZ"], "distance": [100.0, None, 900.0], "more": [1, 2, 3]}, index=[5, 6, 7])
answer = model.predict(None, frame, None)
assert not [name for name in sys.modules if name.split(".")[0] == "pillars"]
print(json.dumps({"index": list(answer.index), "score": list(answer.score), "decision": list(map(bool, answer.decision))}))
"""


def test_importing_the_bundle_is_light() -> None:
    heavy = "mlflow pandas pyarrow sklearn pydantic xgboost optuna prefect"
    code = f"import sys, pillars.bundle.bundle, pillars.bundle.served; print([n for n in {heavy.split()} if n in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.slow
def test_the_package_copied_beside_a_model_needs_nothing_of_this_project(tmp_path: Path) -> None:
    package = tmp_path / "pillars_release"
    shutil.copytree(Path(pillars.bundle.__path__[0]), package / "bundle", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(pillars.bundle.__path__[0]).parent / "errors.py", package)
    (package / "__init__.py").touch()
    write_some_bundle(tmp_path / "bundle")
    done = subprocess.run(
        [sys.executable, "-c", FOREIGN, str(tmp_path / "bundle")], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    columns = {"distance": np.array([100.0, np.nan, 900.0]), "carrier": np.array(["AA", None, "ZZ"], object)}
    expected = Bundle.load(tmp_path / "bundle").predict(columns)
    assert answer == {"index": [5, 6, 7], "score": expected.score.tolist(), "decision": expected.decision.tolist()}


def test_a_frame_scores_as_its_columns_do(tmp_path: Path) -> None:
    import pandas

    from pillars.bundle.served import columns_of

    write_some_bundle(tmp_path / "bundle")
    bundle, columns = Bundle.load(tmp_path / "bundle"), some_columns(60, seed=3)
    frame = pandas.DataFrame({name: columns[name] for name in ("carrier", "distance")})
    assert np.array_equal(bundle.predict(columns_of(bundle, frame)).score, bundle.predict(columns).score)
    texts = frame.assign(carrier=frame["carrier"].astype("string"))  # pandas.NA for what is missing
    assert np.array_equal(bundle.predict(columns_of(bundle, texts)).score, bundle.predict(columns).score)


def test_there_is_no_other_lazy_name() -> None:
    from pillars.bundle import served

    with pytest.raises(AttributeError):
        _ = served.Anything
    assert SimpleNamespace(served=served).served.MODEL_CODE.count("set_model") == 2
