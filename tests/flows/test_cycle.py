"""The loop on a real Prefect server, on a small real slice."""

from __future__ import annotations

import pytest

from tests.flows.sight import open_small, predictions

pytestmark = pytest.mark.flow
