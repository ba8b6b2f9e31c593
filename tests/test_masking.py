"""No secret reaches a log: in the text, in arguments, split over them, in tracebacks, in whatever way it is written."""

from __future__ import annotations

import base64
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from pillars import masking
from pillars.errors import SourceBroken, StoreUnavailable
from tests.clone import CHECKOUT

pytestmark = pytest.mark.usefixtures("nothing_known")
SECRET = "hunter2/hunter2@ü'\""
KEY = bytes(range(32))


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What a handler of somebody else's writes."""
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    masking.install()
    logger, handler = logging.getLogger("somebody.else"), Lines()
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(SECRET, id="as it is"),
        pytest.param(repr(SECRET), id="as Python writes it"),
        pytest.param(quote(SECRET, safe=""), id="in an address"),
        pytest.param('{"password": "hunter2/hunter2@\\u00fc\'\\""}', id="as JSON"),
        pytest.param(f"first\nsecond {SECRET}\nthird", id="in one of several lines"),
        pytest.param(base64.b64encode(f"user:{SECRET}".encode()).decode(), id="in a header of basic authentication"),
    ],
)
def test_a_password_of_an_address_is_masked_however_it_is_written(text: str) -> None:
    masking.know(f"postgresql+psycopg://user:{quote(SECRET, safe='')}@host/shop", "SHOP_DB")
    told = masking.masked(text)
    assert "***" in told
    assert "hunter2" not in told
    assert base64.b64encode(f"user:{SECRET}".encode()).decode() not in told


@pytest.mark.parametrize("written", [KEY.hex(), KEY.hex().upper(), base64.b64encode(KEY).decode()], ids=["hex", "capitals", "base64"])
def test_a_key_is_masked_in_all_its_forms(written: str) -> None:
    masking.know(KEY)
    assert masking.masked(f"key {written}.") == "key ***."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mysql://u:pw@host/x and s3://bucket/a", "mysql://u:***@host/x and s3://bucket/a"),
        ("see https://ghp_abc@github.com/x", "see https://***@github.com/x"),
        ("ssh://git@host/x, mail a@b.example", "ssh://git@host/x, mail a@b.example"),
        ("{'Authorization': 'Bearer abc.def'}", "{'Authorization': 'Bearer ***'}"),
        ("2013-02: 40 of 40 rows", "2013-02: 40 of 40 rows"),
    ],
)
def test_what_is_a_secret_by_its_form_is_masked_whoever_knows_it(text: str, expected: str) -> None:
    assert masking.masked(text) == expected


def test_variables_are_known_by_their_names_and_addresses_by_their_passwords() -> None:
    masking.know_environment(
        {"AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI", "SHOP": "mysql://u:in-the-address@h/x", "PREFECT_UI": "true", "API_TOKEN": "true"}
    )
    assert {value: name for value, name in masking.known().items() if not value.endswith("=")} == {
        "wJalrXUtnFEMI": "AWS_SECRET_ACCESS_KEY",
        "in-the-address": "SHOP",
    }


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:54383/api",
        "https://host:8080/users/a@b.example",
        "s3://bucket/a:b",
        "sqlite:////srv/var/mlflow.db",
        "https://host:443?to=a@b",
    ],
)
def test_an_address_without_a_login_holds_no_secret(address: str) -> None:
    masking.know_environment({"PILLARS_MLFLOW_URI": address})
    assert masking.known() == {}
    assert masking.masked(f"no answer from {address}") == f"no answer from {address}"


def test_a_short_word_is_masked_where_it_stands_alone() -> None:
    masking.know("test")
    assert masking.masked("test, latest, tests; password=test") == "***, latest, tests; password=***"


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        pytest.param("login with hunter2hunter2", (), id="in the text"),
        pytest.param("login with %s, try %d", ("hunter2hunter2", 3), id="in an argument"),
        pytest.param("login with %r", (ValueError("hunter2hunter2"),), id="in an object"),
        pytest.param("login with %s%s", ("hunter2", "hunter2"), id="split over two arguments"),
        pytest.param("login with hunter2%s", ("hunter2",), id="split over text and argument"),
        pytest.param("login with %(password)s", ({"password": "hunter2hunter2"},), id="in a mapping"),
        pytest.param("login %d", ("hunter2hunter2",), id="in an argument that does not fit"),
    ],
)
def test_a_log_record_says_it_nowhere(said: list[str], message: str, arguments: tuple[object, ...]) -> None:
    masking.know("hunter2hunter2")
    logging.getLogger("somebody.else").warning(message, *arguments)
    (line,) = said
    assert "***" in line
    assert "hunter2" not in line


def test_arguments_of_an_access_log_keep_their_number() -> None:
    """Uvicorn's own formatter takes the five apart."""
    masking.know("hunter2hunter2")
    args = ("127.0.0.1:1", "GET", "/api?token=hunter2hunter2", "1.1", 200)
    record = masking.cleaned(logging.LogRecord("uvicorn.access", 20, "", 1, '%s - "%s %s HTTP/%s" %d', args, None))
    assert record.args == ("127.0.0.1:1", "GET", "/api?token=***", "1.1", 200)


def test_a_traceback_says_it_nowhere_with_all_it_was_raised_from(said: list[str]) -> None:
    masking.know("hunter2hunter2")
    try:
        try:
            raise ConnectionError("no answer from postgresql://u:hunter2hunter2@h/d")
        except ConnectionError as err:
            raise ValueError("first line\nsecond: hunter2hunter2") from err
    except ValueError:
        logging.getLogger("somebody.else").exception("it failed", stack_info=True)
    (text,) = said
    assert "hunter2" not in text
    assert "test_masking.py" in text, "where it was raised is still said"
    assert "direct cause" in text


def test_a_record_without_a_secret_is_as_it_was(said: list[str]) -> None:
    record = logging.getLogger("x").makeRecord("x", 20, "f", 1, "%s rows", (3,), None)
    assert (record.msg, record.args) == ("%s rows", (3,))


def test_a_warning_of_a_library_says_it_nowhere() -> None:
    code = (
        "import warnings; from pillars import masking; masking.install(); masking.know('hunter2hunter2'); import plotly.tools;"
        "warnings.warn('pool of u:hunter2hunter2 is full')"  # plotly has a way of its own to write warnings
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    assert "pool of u:*** is full" in said
    assert "hunter2hunter2 is full" not in said


@pytest.mark.parametrize(
    ("err", "kind"),
    [
        pytest.param(StoreUnavailable("the shop", "login u:hunter2hunter2 refused", "Mend it."), StoreUnavailable, id="ours"),
        pytest.param(SourceBroken("x", "all", "hunter2hunter2"), SourceBroken, id="ours too"),
        pytest.param(ConnectionError("hunter2hunter2"), ConnectionError, id="of the way, tried again"),
        pytest.param(OSError(28, "No space left", "/tmp/hunter2hunter2"), OSError, id="of the system"),
        pytest.param(UnicodeDecodeError("utf-8", b"hunter2hunter2", 0, 1, "hunter2hunter2"), masking.Concealed, id="cannot be made again"),
    ],
)
def test_an_error_with_a_secret_is_raised_without_it(err: Exception, kind: type[Exception]) -> None:
    masking.know("hunter2hunter2")
    told = masking.concealed(err, confidential=False)
    assert type(told) is kind
    assert "hunter2" not in f"{told} {told!r} {told.args}"
    assert getattr(told, "errno", None) == getattr(err, "errno", None)


def test_an_error_without_a_secret_is_itself() -> None:
    err = KeyError("carrier")
    assert masking.concealed(err, confidential=False) is err


def test_words_of_a_library_are_left_out_where_columns_are_confidential_and_its_place_is_kept() -> None:
    try:
        try:
            int("Zaphod Beeblebrox")
        except ValueError as err:
            raise RuntimeError("cannot fit") from err
    except RuntimeError as err:
        told = masking.concealed(err, confidential=True)
    assert str(told) == "RuntimeError: its words are left out, for they could quote a row"
    assert told.__cause__ is None
    assert told.__traceback__ is not None


def test_an_error_of_ours_is_told_without_what_it_was_raised_from_where_columns_are_confidential() -> None:
    try:
        try:
            int("Zaphod Beeblebrox")
        except ValueError as err:
            raise SourceBroken("x", "all", "it has no number") from err
    except SourceBroken as err:
        told = masking.concealed(err, confidential=True)
    assert isinstance(told, SourceBroken)
    assert told.__cause__ is None
    assert told.__suppress_context__


def test_a_full_disk_is_told_wherever_a_library_noticed_it() -> None:
    try:
        try:
            raise OSError(28, "No space left on device")
        except OSError as err:
            raise RuntimeError("cannot write row of Zaphod") from err
    except RuntimeError as err:
        told = masking.concealed(err, confidential=True)
    assert isinstance(told.__cause__, OSError)


SERVICE = """
import logging, os, threading, warnings
logging.basicConfig()
logging.error("key %s", os.environ["SOME_PASSWORD"])
warnings.warn("it was " + os.environ["SOME_PASSWORD"])
threading.Thread(target=lambda: int(os.environ["SOME_PASSWORD"])).start()
raise SystemError(os.environ["SOME_PASSWORD"])
"""


def test_a_process_of_pillars_up_says_it_nowhere_and_its_own_sitecustomize_still_runs(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('theirs ran')")
    environ = {
        "PYTHONPATH": f"{CHECKOUT / 'deployments' / 'startup'}:{tmp_path}",
        "SOME_PASSWORD": "hunter2hunter2",
        "PATH": "/usr/bin:/bin",
    }
    done = subprocess.run([sys.executable, "-c", SERVICE], env=environ, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == "theirs ran\n"
    assert done.stderr.count("***") == 4, done.stderr
    assert "hunter2" not in done.stderr


def test_a_process_of_another_environment_is_not_disturbed() -> None:
    environ = {"PYTHONPATH": str(CHECKOUT / "deployments" / "startup"), "PATH": "/usr/bin:/bin"}
    other = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"  # knows nothing of this project
    code = "import sys; print('sitecustomize' in sys.modules, 'pillars' in sys.modules)"
    done = subprocess.run([other, "-c", code], env=environ, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True False\n", "")
