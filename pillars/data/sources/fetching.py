"""A file behind http(s), whole and with its declared sha256, or not at all; never on disk as it came: it may hold what is protected."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pillars.errors import SourceBroken, StoreUnavailable

if TYPE_CHECKING:
    import requests

AGAIN = (408, 425, 429, 500, 502, 503, 504)  # answers after which another try can help: RFC 9110, 8470 and 6585
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 10.0


@dataclass(frozen=True)
class Remote:
    """One file: where it lies, what source and period it is for, and how patiently it is asked for."""

    url: str
    source: str
    period: str
    sha256: str | None  # declared; another file is refused
    attempts: int
    timeout_s: float  # of silence
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # secrets; sent to this host only

    def fetch(self) -> bytes:
        """The file as the server has it now. A connection that breaks, or a server that is busy, is asked again after a while.

        Raises:
            StoreUnavailable: no answer, or none that helps, in so many attempts.
            SourceBroken: the server has no such file, or it has another checksum.
        """
        from requests import RequestException
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

        patience = Retrying(
            stop=stop_after_attempt(self.attempts),
            wait=wait_exponential(multiplier=FIRST_WAIT_S, max=LONGEST_WAIT_S),
            retry=retry_if_exception_type((RequestException, _TryAgain)),
            reraise=True,
        )
        try:
            content = patience(self._once)
        except (RequestException, _TryAgain) as err:
            times = f"{self.attempts} tries" if self.attempts > 1 else "one try"
            problem = f"no file came in {times} ({_said(err)})"
            raise StoreUnavailable(f"source {self.source}", problem, "Nothing was kept; run again when the server answers.") from None
        found = hashlib.sha256(content).hexdigest()
        if self.sha256 and found != self.sha256.lower():
            raise SourceBroken(self.source, self.period, f"the file has sha256 {found}, declared is {self.sha256}")
        return content

    def _once(self) -> bytes:
        import requests

        as_it_is = {"Accept-Encoding": "identity"}  # a packed file would be unpacked on its way, and have another checksum
        asked = {**as_it_is, **self.headers}
        with self._session() as session, session.get(self.url, headers=asked, timeout=self.timeout_s) as answer:
            # a body that is shorter than said is an error of requests
            if answer.status_code in AGAIN:
                raise _TryAgain(f"HTTP {answer.status_code}")
            if answer.status_code != requests.codes.ok:
                raise SourceBroken(self.source, self.period, f"the server answers {answer.status_code} {answer.reason or ''}".rstrip())
            return answer.content

    def _session(self) -> requests.Session:
        """One that sends our headers to nobody else: requests itself takes only Authorization away when it is sent on to another host."""
        import requests

        headers = self.headers

        class Session(requests.Session):
            def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
                super().rebuild_auth(prepared_request, response)
                if self.should_strip_auth(str(response.request.url), str(prepared_request.url)):
                    for name in headers:
                        prepared_request.headers.pop(name, None)

        session = Session()
        if headers:
            session.auth = _as_given  # or a login of ~/.netrc would take the place of Authorization
        return session


def _as_given(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _TryAgain(Exception):
    """An answer after which another try can help."""


def _said(err: BaseException) -> str:
    """What happened, without the address, which may hold a token."""
    if isinstance(err, _TryAgain):
        return str(err)
    reason = getattr(err.args[0], "reason", None) if err.args else None
    return f"{type(err).__name__}{f': {type(reason).__name__}' if reason else ''}"
