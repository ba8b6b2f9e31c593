"""The corpus itself: large enough, of every family, each source with a good batch beside the bad ones."""

from __future__ import annotations

from typing import get_args

from tests.corpus.cases import Way, corpus

FAMILIES = {
    "types",
    "columns",
    "swapped",
    "keys",
    "damaged",
    "encodings",
    "numbers",
    "dates",
    "empty",
    "units",
    "shifted",
    "junk",
    "labels",
}


def test_there_are_120_bad_batches_of_every_family():
    bad = [case for case in corpus() if not case.good]
    assert len(bad) >= 120
    assert {case.family for case in bad} >= FAMILIES
    assert len({(case.family, case.id) for case in corpus()}) == len(corpus())


def test_each_source_has_a_good_batch_and_bad_ones():
    for good in (True, False):
        assert {case.source for case in corpus() if case.good is good} == set(get_args(Way))


def test_errors_rejected_batches_and_quarantine_are_all_met():
    outcomes = [(case.expect.error is not None, case.expect.rejected, bool(case.expect.quarantined)) for case in corpus() if not case.good]
    assert all(sum(one[i] for one in outcomes) >= 30 for i in range(3))
