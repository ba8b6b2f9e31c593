"""A value is found however it is written and packed; a token by its form; and no finding says what it found."""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import io
import lzma
import os
import sqlite3
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pillars.data import tokens, unpacking
from pillars.data.searching import UNSEEN, forms, holds, left, look
from pillars.stores import Stores
from tests.clone import CHECKOUT, make_clone

SECRET = "spaceman's/ päss+wörd"
KEY = hashlib.sha256(b"a planted key").digest()  # no row of bytes that a table could hold by chance
LINE = f"login: {SECRET}, and more".encode()


def zipped(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("deep/er.txt", content)
    return out.getvalue()


def tarred(content: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as packed:
        member = tarfile.TarInfo("er.txt")
        member.size = len(content)
        packed.addfile(member, io.BytesIO(content))
    return out.getvalue()


def parquet(content: bytes, codec: str = "zstd") -> bytes:
    out = io.BytesIO()
    table = pa.table({"n": [1, 2], "nested": [{"at": [content.decode("latin-1").encode("latin-1").decode(errors="replace")]}, None]})
    pq.write_table(table, out, compression=codec)
    return out.getvalue()


def database(content: bytes) -> bytes:
    with sqlite3.connect(":memory:") as connection:
        connection.execute('CREATE TABLE "odd ""name" (n int, message text)')
        connection.execute('INSERT INTO "odd ""name" VALUES (1, ?)', ("x" * 4000 + content.decode() + "y" * 9000,))  # cut by pages
        connection.commit()
        return connection.serialize()


WRAPS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zlib": zlib.compress,
    "zstd": lambda content: pa.compress(content, "zstd", asbytes=True),
    "zip": zipped,
    "tar": tarred,
    "Parquet": parquet,
    "SQLite": database,
    "zip in gzip": lambda content: gzip.compress(zipped(content)),
    "Parquet in zip": lambda content: zipped(parquet(content)),
    "SQLite in zip": lambda content: zipped(database(content)),
    "hex": lambda content: content.hex().encode(),
    "HEX": lambda content: content.hex().upper().encode(),
    "base64, first": base64.b64encode,
    "base64, second": lambda content: base64.b64encode(b"x" + content),
    "base64, third": lambda content: base64.b64encode(b"xy" + content),
    "base64 of addresses": lambda content: base64.urlsafe_b64encode(b"x" + content),
    "wide": lambda content: content.decode().encode("utf-16-le"),
}


@pytest.mark.parametrize("wrap", [pytest.param(wrap, id=name) for name, wrap in WRAPS.items()])
def test_a_value_is_found_however_it_is_packed(wrap: Callable[[bytes], bytes]) -> None:
    assert holds(wrap(LINE), SECRET)
    assert not holds(wrap(LINE.replace(SECRET.encode(), b"nothing here")), SECRET)


@pytest.mark.parametrize(
    "text", ["spaceman&#x27;s/ päss+wörd", "spaceman%27s%2F%20p%C3%A4ss%2Bw%C3%B6rd", "spaceman\\u0027s/ p\\u00e4ss+w\\u00f6rd"]
)
def test_a_value_is_found_escaped(text: str) -> None:
    assert holds(text.encode(), SECRET)


@pytest.mark.parametrize(
    "written", [KEY, KEY.hex().encode(), base64.b64encode(KEY), base64.b64encode(b"12" + KEY + b"3"), base64.urlsafe_b64encode(b"1" + KEY)]
)
def test_a_key_is_found_raw_in_hex_and_in_base64(written: bytes) -> None:
    assert holds(b"before " + written + b" after", KEY)


def test_no_form_of_a_value_is_so_short_that_it_is_found_anywhere() -> None:
    assert min(len(form) for form in forms("geheim47")) >= 8


def test_a_table_longer_than_one_part_is_searched_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "ROWS", 20)
    out = io.BytesIO()
    pq.write_table(pa.table({"word": [*("nothing" for _ in range(99)), SECRET]}), out)
    assert holds(out.getvalue(), SECRET)
    with sqlite3.connect(":memory:") as connection:
        connection.execute("CREATE TABLE t (word text)")
        connection.executemany("INSERT INTO t VALUES (?)", [(f"{n}" * 50,) for n in range(99)] + [("x" * 3000 + SECRET + "x" * 3000,)])
        connection.commit()
        assert holds(connection.serialize(), SECRET)


def test_a_database_in_use_is_searched_with_what_is_not_in_its_file_yet(tmp_path: Path) -> None:
    file = tmp_path / "a ?#%.db"
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (word text)")
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("INSERT INTO t VALUES (?)", ("x" * 9000 + SECRET + "x" * 9000,))
    connection.commit()
    assert holds(file.read_bytes(), SECRET, file)
    connection.close()


@pytest.mark.parametrize("cut", [5, 60, -9])
@pytest.mark.parametrize("wrap", ["gzip", "bz2", "xz", "zlib", "zip", "tar", "Parquet", "SQLite"])
def test_what_is_damaged_is_searched_as_it_is(wrap: str, cut: int) -> None:
    content = WRAPS[wrap](LINE * 50)
    assert next(unpacking.pieces(content[:cut])).content == content[:cut]
    assert all(isinstance(piece.content, bytes) for piece in unpacking.pieces(content[:cut]))


def test_a_bomb_is_not_unpacked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_BYTES", 1 << 20)
    bomb = gzip.compress(b"\0" * (1 << 22))
    for content in (bomb, zipped(b"\0" * (1 << 22)), lzma.compress(b"\0" * (1 << 22))):
        with pytest.raises(unpacking.TooMuch):
            list(unpacking.pieces(content))
    nested = LINE
    for _ in range(6):
        nested = gzip.compress(nested)
    with pytest.raises(unpacking.TooMuch):
        list(unpacking.pieces(nested))


TOKENS = {  # put together here, or the scan of this repository would find them
    "private key": "-----BEGIN " + "OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n",
    "AWS access key": "AKIA" + "IOSFODNN7EXAMPLE",
    "GitHub token": "ghp_" + "x" * 36,
    "GitLab token": "glpat-" + "x" * 20,
    "Slack token": "xoxb-" + "123456789012-123456789012-abcdefghijkl",
    "JSON web token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "password in an address": "postgresql+psycopg://reader" + ":geheim47@db.example.test/shop",
    "Stripe key": "sk_live_" + "x" * 24,
    "npm token": "npm_" + "x" * 36,
    "SendGrid key": "SG." + "x" * 22 + "." + "x" * 43,
    "Square secret": "sq0csp-" + "x" * 43,
    "Prefect Cloud key": "pnu_" + "x" * 36,
    "PyPI token": "pypi-AgEIcHlwaS5vcmc" + "x" * 60,
    "Hugging Face token": "hf_" + "x" * 34,
}


@pytest.mark.parametrize(("kind", "token"), [pytest.param(kind, token, id=kind) for kind, token in TOKENS.items()])
def test_a_token_is_known_by_its_form_at_its_place(kind: str, token: str) -> None:
    content = f"{'words ' * 900}\nkey = '{token}'\n{'words ' * 900}".encode()
    (found,) = [one for one in tokens.found(content) if one[0] == kind]
    assert abs(found[1] - content.index(token.encode())) < 40


def test_many_tokens_close_together_are_all_told() -> None:
    content = "\n".join(f"{kind}: {token}" for kind, token in TOKENS.items()).encode()
    assert {kind for kind, _, _ in tokens.found(content)} == set(TOKENS)


def test_noise_and_common_words_are_no_tokens() -> None:
    noise = os.urandom(3_000_000)
    words = (
        b"https://example.org:8080/a?b=c see http://127.0.0.1:4200/api and draws AWS ASIA user@host ssh://git@host/x sha256:" + b"ab" * 32
    )
    assert list(tokens.found(noise + words)) == []


@pytest.fixture
def clone(tmp_path: Path) -> Stores:
    root = make_clone(tmp_path / "project")
    return Stores(root=root, var=root / "var")


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=A User", "-c", "user.email=user@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


def test_a_new_clone_has_nothing(clone: Stores) -> None:
    assert list(look(clone, {SECRET: "SHOP_DB"})) == []


def test_everything_that_was_planted_is_told_with_its_place_and_never_its_value(clone: Stores) -> None:
    (clone.root / "notebook.ipynb").write_text('{"cells": [\n"postgresql://u:' + 'geheim47@db/shop"]}')
    git(clone.root, "add", "-A")
    (clone.root / "untracked.txt").write_text(SECRET)
    git(clone.root, "checkout", "-q", "--orphan", "dvc-data/shop")
    (clone.root / "data.dvc").write_text(f"url: {SECRET}\n")
    git(clone.root, "add", "data.dvc")
    git(clone.root, "commit", "-qm", "one")
    (clone.root / "data.dvc").write_text("nothing\n")
    git(clone.root, "add", "data.dvc")
    git(clone.root, "commit", "-qm", f"two, with {SECRET}")
    git(clone.root, "checkout", "-qf", "main")
    (clone.root / "notebook.ipynb").write_text('{"cells": [\n"postgresql://u:' + 'geheim47@db/shop"]}')
    git(clone.root, "add", "notebook.ipynb")
    clone.folder("predictions")
    (clone.var / "predictions" / "a.parquet").write_bytes(parquet(LINE))
    (clone.var / "predictions" / "key.bin").write_bytes(b"\0" * 9 + KEY)
    (clone.folder("keys") / "secret").write_text(KEY.hex())
    (clone.folder("keys") / "copy").write_text(KEY.hex())
    (clone.var / "link").symlink_to(clone.root / "untracked.txt")
    found = list(look(clone, {SECRET: "SHOP_DB", KEY: "the installation's key"}))
    told = {(one.file.partition(" (")[0], one.place, one.kind) for one in found}
    assert told == {
        ("var/keys/copy", "line 1", "value of the installation's key"),
        ("var/predictions/a.parquet", "column nested", "value of SHOP_DB"),
        ("var/predictions/a.parquet", "byte 158", "value of SHOP_DB"),  # so short a text is not packed
        ("var/predictions/key.bin", "byte 9", "value of the installation's key"),
        ("notebook.ipynb", "line 2", "password in an address"),
        ("dvc-data/shop:data.dvc", "line 1", "value of SHOP_DB"),
        ("dvc-data/shop:commit", "line 6", "value of SHOP_DB"),
    } | {t for t in told if t[0].startswith("dvc-data/shop:notebook")}  # of the index when the branch was begun
    assert not [one for one in found if "spaceman" in str(one) or "geheim47" in str(one) or KEY.hex() in str(one)]


def test_what_cannot_be_searched_is_told(clone: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_BYTES", 1 << 20)
    (clone.folder("mlflow") / "bomb.gz").write_bytes(gzip.compress(b"\0" * (1 << 22)))
    (one,) = (found for found in look(clone, {}) if not found.file.endswith("people.parquet"))  # an example's table, larger than that
    assert (one.file, one.kind.startswith(UNSEEN)) == ("var/mlflow/bomb.gz", True)


def test_this_repository_holds_no_secret_that_is_not_waived() -> None:
    from pillars.data import waivers

    stores = Stores(root=CHECKOUT, var=CHECKOUT / "no var", configs=CHECKOUT / "configs")
    found, unused = waivers.apply(waivers.read(stores), list(look(stores, {})))
    assert left(found) == []
    assert unused == []
