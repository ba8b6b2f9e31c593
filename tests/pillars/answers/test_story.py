"""The story is one page that needs nobody else, tells what the ledger tells, and runs nothing that the data says."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pillars import answers
from pillars.answers.charts import Line, chart, short
from pillars.vocabulary import Measure
from tests.pillars.answers.years import Year


class Page(HTMLParser):
    """Collects what a browser would load or follow, and checks that tags close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data", "srcset")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def story(year: Year) -> tuple[Path, str]:
    path = answers.write_story(year.stores, year.project)
    return path, path.read_text()


def measures(*values: float | None) -> tuple[Measure | None, ...]:
    return tuple(None if v is None else Measure(v, v - 0.1, v + 0.1) for v in values)


def test_the_page_asks_no_other_host_and_runs_no_script(quarter: Year) -> None:
    _, html = story(quarter)
    page = Page(html)
    assert not [a for a in page.addresses if re.match(r"(?:[a-z]+:)?//|[a-z]+:", a)]
    assert not {"script", "link", "iframe", "img", "object", "embed"} & set(page.tags)
    assert not re.search(r"url\(|@import|https?://", html)


def test_links_lead_to_files_that_are_there(quarter: Year) -> None:
    path, html = story(quarter)
    found = [a for a in Page(html).addresses if not a.startswith("#")]
    assert {"../reports/trips/2013-02/validation.html", "../predictions/trips/2013-02-0123.parquet"} <= set(found)
    assert [a for a in found if not (path.parent / a).resolve().is_file()] == []


def test_every_anchor_has_its_place(quarter: Year) -> None:
    _, html = story(quarter)
    assert {a[1:] for a in Page(html).addresses if a.startswith("#")} <= set(re.findall(r'id="([^"]+)"', html))


def test_champion_figures_and_reasons_are_told(quarter: Year) -> None:
    _, html = story(quarter)
    words = " ".join(Page(html).words)
    for told in ("v3 answers", "2013-01 to 2013-03", "twin on these rows is not worse", "tuning did not beat", "logistic", "live model"):
        assert told in words


def test_a_quarter_weighs_less_than_a_quarter_of_a_megabyte(quarter: Year) -> None:
    assert story(quarter)[0].stat().st_size < 250_000


def test_words_from_the_data_are_shown_and_never_run(year: Year) -> None:
    year.ingest("2013-01", refused='<script>alert("1")</script>')
    _, html = story(year)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_a_project_that_never_ran_has_a_page_too(year: Year) -> None:
    _, html = story(year)
    assert "nothing has run yet" in html
    assert "<svg" not in html


def test_a_second_writing_changes_no_byte(quarter: Year) -> None:
    assert story(quarter)[1] == story(quarter)[1]


def test_several_projects_have_their_own_pages_and_find_each_other(quarter: Year) -> None:
    story(quarter)
    buses = Year(quarter.stores, quarter.project.model_copy(update={"project": "buses"}))
    buses.configure()
    buses.full_period("2013-01", 1)
    path, html = story(buses)
    assert sorted(p.name for p in path.parent.glob("*.html")) == ["buses.html", "index.html", "trips.html"]
    assert "trips.html" in Page(html).addresses
    assert "v3 answers" in (path.parent / "trips.html").read_text()
    assert "v1 answers" in html


def test_a_chart_keeps_every_point_inside_and_leaves_gaps_open() -> None:
    svg = chart("AUC", ["a", "b", "c", "d"], [Line("live", "a", measures(0.5, None, 0.7, 0.9), band=True)], ["", "v1", "v2", "v3"])
    dots = [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.-]+)" cy="([\d.-]+)" r="3"', svg)]
    assert len(dots) == 3
    assert all(0 < x < 640 and 0 < y < 250 for x, y in dots)
    assert [y for _, y in dots] == sorted((y for _, y in dots), reverse=True)
    assert len(re.findall(r'class="line a"', svg)) == 2
    assert "0.5000 [0.4000, 0.6000]" in svg


@pytest.mark.parametrize(
    "points",
    [
        pytest.param((0.5,), id="one point"),
        pytest.param((0.0, 0.0), id="zeros"),
        pytest.param((1e-7, 2e-7), id="tiny"),
        pytest.param((12_000.0, 95_000.0), id="large"),
        pytest.param((-3.0, 4.0), id="negative"),
    ],
)
def test_axes_hold_their_points_whatever_the_size(points: tuple[float, ...]) -> None:
    lines = [Line("a", "a", tuple(Measure(p, p, p) for p in points))]
    svg = chart("x", [str(i) for i in range(len(points))], lines, [""] * len(points))
    heights = [float(y) for y in re.findall(r'cy="([\d.-]+)" r="3"', svg)]
    ticks = [float(t) for t in re.findall(r'class="tick end"[^>]*>([^<]+)<', svg)]
    assert len(heights) == len(points)
    assert all(16 <= y <= 206 for y in heights)
    assert min(ticks) <= min(points) <= max(points) <= max(ticks)
    assert 2 <= len(ticks) <= 8


def test_line_names_do_not_cover_each_other() -> None:
    lines: list[Any] = [Line(f"model {i}", "abc"[i], measures(0.5 + i / 1000)) for i in range(3)]
    heights = sorted(float(y) for y in re.findall(r'class="name [abc]" x="[\d.]+" y="([\d.]+)"', chart("x", ["p"], lines, [""])))
    assert all(b - a >= 13.9 for a, b in pairwise(heights))


def test_nothing_to_draw_is_no_chart() -> None:
    assert chart("x", ["a"], [Line("a", "a", (None,))], [""]) == ""


@pytest.mark.parametrize(
    ("period", "periods", "name"),
    [
        ("2013-02", ["2013-01", "2013-02"], "Feb"),
        ("2013-02", ["2013-02", "2014-01"], "Feb 13"),
        ("w7", ["w7"], "w7"),
        ("2013-13", ["2013-13"], "2013-13"),
    ],
)
def test_periods_are_named_as_short_as_can_be(period: str, periods: list[str], name: str) -> None:
    assert short(period, periods) == name
