from __future__ import annotations

from typing import Any

import pytest

from pillars.data.sources import fetching
from pillars.data.sources.web import Web
from pillars.errors import SourceBroken, StoreUnavailable
from tests.pillars.data.sources.ways import PERIODS, Site, csv_text, project_of, whole


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between attempts of a thousandth of their length."""
    monkeypatch.setattr(fetching, "FIRST_WAIT_S", fetching.FIRST_WAIT_S / 1000)


def web(site: Site, path: str = "parcels.csv", **http: Any) -> Web:
    project = project_of({"http": {"url": f"{site.address}/{path}"} | http})
    assert project.source.http
    return Web(project, project.source.http)


@pytest.mark.parametrize("failures", [["503"], ["reset"], ["cut"], ["503", "reset", "cut", "503"]], ids="-".join)
def test_a_server_that_stumbles_is_asked_again(site: Site, failures: list[str]) -> None:
    site.files["parcels.csv"] = csv_text(whole()).encode()
    site.failures = list(failures)
    assert web(site).periods() == list(PERIODS)
    assert site.failures == []


@pytest.mark.parametrize(("failure", "said"), [("503", "HTTP 503"), ("reset", "ConnectionError"), ("cut", "ChunkedEncodingError")])
def test_one_that_does_not_recover_is_left_and_says_so(site: Site, failure: str, said: str) -> None:
    site.files["parcels.csv"] = csv_text(whole()).encode()
    site.failures = [failure] * 9
    with pytest.raises(StoreUnavailable, match=rf"no file came in 3 tries \({said}.*Nothing was kept") as caught:
        web(site, "parcels.csv?token=geheim", attempts=3).periods()
    assert len(site.failures) == 6
    assert "geheim" not in str(caught.value)


def test_a_file_that_is_not_there_is_not_asked_for_again(site: Site) -> None:
    with pytest.raises(SourceBroken, match="the server answers 404 Not Found"):
        web(site).periods()
    assert [status for _, status in site.asked] == [404]


def test_a_file_with_another_checksum_is_refused(site: Site) -> None:
    site.files["parcels.csv"] = csv_text(whole()).encode()
    with pytest.raises(SourceBroken, match=r"the file has sha256 [0-9a-f]{64}, declared is 0{64}"):
        web(site, sha256={"all": "0" * 64}).periods()


def test_nobody_there_is_said_after_the_last_try() -> None:
    with pytest.raises(StoreUnavailable, match="no file came in one try"):
        web(Site(address="http://127.0.0.1:9"), attempts=1).periods()


def test_rows_and_outcomes_of_a_period_are_one_request(site: Site) -> None:
    for period in PERIODS:
        site.files[f"{period}.csv"] = csv_text(whole()).encode()
    source = web(site, "{period}.csv", periods=list(PERIODS))
    source.rows("2013-01"), source.outcomes("2013-01"), source.rows("2013-02")
    assert [path for path, _ in site.asked] == ["/2013-01.csv", "/2013-02.csv"]
