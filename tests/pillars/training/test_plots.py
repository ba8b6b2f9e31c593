import numpy as np
import pytest

from pillars.stores import Stores
from pillars.training import plots
from tests.factories import binary_project
from tests.pillars.training.worlds import RECIPE, found, judged_at, readable, released, tuned_at

PNG = b"\x89PNG\r\n\x1a\n"


def test_a_retraining_is_drawn_in_four_pictures() -> None:
    project, stores = binary_project(), Stores()
    read = readable(project)
    champion = released(stores, project, read, "2013-03")
    judged = judged_at(stores, project, read, "2013-04", found(RECIPE, "2013-04"), champion)
    pictures = plots.draw(stores.var / judged.path, tuned_at(stores, project, read, "2013-03"), judged, champion)
    assert list(pictures) == ["reliability", "roc_pr", "importance", "search"]
    for picture in pictures.values():
        assert picture.startswith(PNG)
        assert len(picture) < 150_000
    assert plots.draw(stores.var / judged.path, tuned_at(stores, project, read, "2013-03"), judged, champion) == pictures


@pytest.mark.parametrize("y", [pytest.param(np.zeros(20), id="one class"), pytest.param(np.zeros(0), id="no rows")])
def test_odd_rows_do_not_break_the_pictures(y: np.ndarray) -> None:
    sides = {"challenger": np.full(len(y), 0.1)}
    assert plots.reliability(y, sides, "2013-04").startswith(PNG)
    assert plots.roc_pr(y, sides, "2013-04").startswith(PNG)


def test_nothing_tried_and_nothing_gained_is_still_a_picture() -> None:
    assert plots.search_history([]).startswith(PNG)
    assert plots.importance({}).startswith(PNG)


def test_drawing_leaves_no_global_figure() -> None:
    plots.importance({"load": 1.0})
    import matplotlib.pyplot

    assert matplotlib.pyplot.get_fignums() == []
