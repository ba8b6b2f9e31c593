"""A key per person: what is known of a person is under it, and unlinkable once it is destroyed."""

from __future__ import annotations

import hmac
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from pillars.errors import Busy, StoreUnavailable
from pillars.stores import Stores, owners_alone

FILE = "keys/subjects.db"
SALT = 16  # bytes, random: without its row in the file a key cannot be derived again, by whoever has the installation's key
WAIT_S = 60.0
ASKED = 500  # ids per query: SQLite takes 999 variables at least
TABLES = """
CREATE TABLE IF NOT EXISTS subject (id BLOB PRIMARY KEY, salt BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS destroyed (project TEXT PRIMARY KEY, keys INTEGER NOT NULL) WITHOUT ROWID;
"""


def keys_of(stores: Stores, project: str, subjects: list[str]) -> dict[str, bytes]:
    """The key (32 bytes) of each person, made where there is none. The file names nobody: its ids are keyed hashes.

    Raises:
        StoreUnavailable: the file cannot be read or written; no key was lost.
        Busy: somebody else wrote to it for a minute.
    """
    ids = {_id(stores, project, subject): subject for subject in subjects}
    with _opened(stores) as file, file:
        file.executemany("INSERT OR IGNORE INTO subject VALUES (?, ?)", ((one, secrets.token_bytes(SALT)) for one in sorted(ids)))
        salts: dict[bytes, bytes] = {}
        asked = sorted(ids)
        for at in range(0, len(asked), ASKED):
            some = asked[at : at + ASKED]
            salts.update(file.execute(f"SELECT id, salt FROM subject WHERE id IN ({','.join('?' * len(some))})", some))
    master = hmac.digest(stores.secret, b"pillars/subjects/v1", "sha256")
    return {subject: hmac.digest(master, salts[one] + one, "sha256") for one, subject in ids.items()}


def destroy(stores: Stores, project: str, subject: str) -> bool:
    """Destroy a person's key, for ever; whether there was one. Rows that come later of the same person get another key.

    Raises:
        StoreUnavailable: the file cannot be read or written; the key is still there.
        Busy: somebody else wrote to it for a minute; the key is still there.
    """
    with _opened(stores) as file, file:
        gone = file.execute("DELETE FROM subject WHERE id = ?", (_id(stores, project, subject),)).rowcount == 1
        if gone:
            file.execute("INSERT INTO destroyed VALUES (?, 1) ON CONFLICT (project) DO UPDATE SET keys = keys + 1", (project,))
    return gone


def destroyed(stores: Stores, project: str) -> int:
    """How many keys of a project were destroyed so far: batches collected at another count cannot be made again byte for byte.

    Raises:
        StoreUnavailable: the file cannot be read.
    """
    if not (stores.var / FILE).exists():
        return 0
    with _opened(stores) as file:
        found = file.execute("SELECT keys FROM destroyed WHERE project = ?", (project,)).fetchone()
    return 0 if found is None else int(found[0])


def _id(stores: Stores, project: str, subject: str) -> bytes:
    index = hmac.digest(stores.secret, b"pillars/subjects/index/v1", "sha256")
    return hmac.digest(index, f"{project}\0{subject}".encode(), "sha256")


@contextmanager
def _opened(stores: Stores) -> Iterator[sqlite3.Connection]:
    """The file, its owner's alone, with deleted content overwritten (`PRAGMA secure_delete`) and no journal that outlives a commit."""
    path = stores.folder("keys") / "subjects.db"
    try:
        owners_alone(path)
        with closing(sqlite3.connect(path, timeout=WAIT_S, isolation_level="IMMEDIATE")) as file:
            file.execute("PRAGMA secure_delete = ON")
            file.executescript(TABLES)
            yield file
    except sqlite3.OperationalError as err:
        if "locked" in str(err):
            raise Busy("the keys of persons", WAIT_S, f"another run ({FILE})") from err
        raise StoreUnavailable(str(path), f"refuses ({err})", "Nothing was changed; mend the disk and run again.") from err
    except sqlite3.DatabaseError as err:
        raise StoreUnavailable(str(path), f"is no store of keys ({err})", "Nothing was changed; bring it back from a backup.") from err
    except OSError as err:
        raise StoreUnavailable.refused(str(path), err, "Nothing was changed; mend it and run again.", "opened") from err
