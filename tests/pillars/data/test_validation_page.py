from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pillars.data.validation_page import page, write_page
from pillars.stores import Stores
from pillars.vocabulary import Check, Decision, Validation

CHECKS = (
    Check("expect_column_mean_to_be_between", "weight_kg", "warning", False, "passed", 0, 0.0, "20.5", "max_value=30"),
    Check("expect_column_values_to_be_in_set", "carrier", "critical", True, "failed", 2, 0.05, "<b>Z</b>", "value_set=['A']"),
    Check("expect_column_values_to_be_between", "lost", "critical", False, "could_not_run", 0, 0.0, "", "no column lost"),
    Check("expect_table_columns_to_match_set", "", "critical", False, "failed", 0, 0.0, "missing: lost", ""),
)
GIVEN = Validation("parcels", "2013-01", 12_345, 2, CHECKS, Decision.refuse("expect_table_columns_to_match_set failed"))


def test_the_page_asks_no_other_host() -> None:
    assert not re.findall(r"(?:https?:)?//[a-z]|<script|<link|@import|url\(", page(GIVEN))


def test_what_failed_stands_above_what_held() -> None:
    text = page(GIVEN)
    places = [text.index(w) for w in ("table columns to match set", "column values to be between", "column mean to be between")]
    assert places == sorted(places)


def test_verdict_counts_and_reasons_are_there() -> None:
    text = page(GIVEN)
    for said in ("Rejected, kept whole", "12,345", "no column lost", "missing: lost", "quarantined", "5.00%"):
        assert said in text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param(GIVEN, "Would be rejected today.", id="rejected"),
        pytest.param(replace(GIVEN, decision=Decision.accept("")), "Rows of it would be set aside today.", id="rows set aside"),
        pytest.param(replace(GIVEN, decision=Decision.accept(""), quarantined=0), "Holds.", id="holds"),
    ],
)
def test_an_audit_says_what_it_is_of_and_judges_no_batch(given: Validation, said: str) -> None:
    text = page(given, audited="0123456789abcdef.dir")
    assert "<title>parcels 2013-01: audit of data version 0123456789ab by the rules of today</title>" in text
    assert said in text
    for of_a_batch in ("validation", "Accepted", "Rejected"):
        assert of_a_batch not in text


def test_values_cannot_become_markup() -> None:
    assert "<b>Z</b>" not in page(GIVEN)


def test_an_audit_s_page_stands_beside_the_batch_s(stores: Stores) -> None:
    assert write_page(stores, GIVEN, audited="x.dir") == "reports/parcels/2013-01/audit.html"


def test_it_is_written_where_it_says(stores: Stores) -> None:
    path = write_page(stores, GIVEN)
    assert path == "reports/parcels/2013-01/validation.html"
    assert (stores.var / path).read_text() == page(GIVEN)


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium")
def test_a_browser_shows_it(stores: Stores, tmp_path: Path) -> None:
    path = stores.var / write_page(stores, GIVEN)
    quiet = ("quic", "gpu", "sync", "component-update", "background-networking")
    done = subprocess.run(
        [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--no-first-run",
            *(f"--disable-{f}" for f in quiet),
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "Rejected, kept whole" in done.stdout
