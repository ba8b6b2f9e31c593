"""Keys of sealed files: random, wrapped by the installation's key, on one ring. Without its key a sealed file is noise.

On the ring are also the keys of data sets that are sealed, one a project, wrapped by the newest of the others. They seal as long as there
is the project: a rotation wraps them anew and changes no byte of a data set, whose versions are named by their bytes.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from pillars.data.chunks import Key
from pillars.errors import StoreUnavailable
from pillars.stores import Stores, locked, write_atomically

FILE = "keys/files.json"
SHARED = "readers.json"  # under `var`: the keys once more, plain, for the group PILLARS_READERS alone
BYTES = 32  # AES-256
UNCHANGED = "Nothing was changed; bring the ring back from a backup."


@dataclass(frozen=True)
class Ring:
    """Keys (32 bytes each) by their ids (8 hex digits), oldest first. The newest seals, all of them open. `data`: by project."""

    keys: dict[str, bytes]
    data: Mapping[str, Key] = field(default_factory=dict)

    @property
    def seals(self) -> Key:
        """The key that seals."""
        return Key(self.newest, self.keys[self.newest])

    @property
    def newest(self) -> str:
        """Id of the key that seals."""
        return list(self.keys)[-1]


def ring(stores: Stores) -> Ring:
    """The installation's ring; made with one key where there is none.

    Raises:
        StoreUnavailable: it cannot be read, is damaged, or was wrapped by another installation's key.
    """
    path = stores.var / FILE
    if _is_a_reader(stores):
        return _shared(stores)
    if not path.exists():
        with holding(stores):
            if not path.exists():
                _write(stores, Ring({_id(): secrets.token_bytes(BYTES)}))
    return _read(stores)


def data_key(stores: Stores, project: str) -> Key:
    """The key of a project's data set; made once, where there is none.

    Raises:
        StoreUnavailable: as in `ring`.
    """
    known = ring(stores)
    if project not in known.data:
        with holding(stores):
            known = _read(stores)
            if project not in known.data:
                known = Ring(known.keys, {**known.data, project: Key(_id(), secrets.token_bytes(BYTES))})
                _write(stores, known)
    return known.data[project]


def log_key(stores: Stores, project: str) -> Key:
    """The private half (X25519) of the key that a project's request log is sealed for: made of its data key, whose id it has, so that it
    lasts as long, is backed up with it, and outlives a rotation.

    Raises:
        StoreUnavailable: as in `ring`.
    """
    key = data_key(stores, project)
    return Key(key.id, HKDF(SHA256(), BYTES, None, b"pillars/requests/v1").derive(key.secret))


def add(stores: Stores) -> Ring:
    """Put a new key on the ring; what is sealed from now on is sealed with it."""
    ring(stores)
    with holding(stores):
        known = _read(stores)
        _write(stores, Ring(known.keys | {_id(): secrets.token_bytes(BYTES)}, known.data))
        return _read(stores)


def drop(stores: Stores, *ids: str) -> None:
    """Take keys off the ring, for ever: what is still sealed with them can never be read again. The caller holds the ring."""
    known = _read(stores)
    _write(stores, Ring({name: key for name, key in known.keys.items() if name not in ids}, known.data))


def holding(stores: Stores) -> AbstractContextManager[None]:
    """The ring's lock: nobody seals, and no key comes or goes, while it is held."""
    return locked(stores.folder("keys") / "files.lock", "the ring of file keys")


def _read(stores: Stores) -> Ring:
    path = stores.var / FILE
    try:
        said = json.loads(path.read_bytes())
        keys = {one["id"]: aes_key_unwrap(_wrapper(stores), bytes.fromhex(one["wrapped"])) for one in said["keys"]}
        data = {
            one["project"]: Key(one["id"], aes_key_unwrap(keys[one["by"]], bytes.fromhex(one["wrapped"]))) for one in said.get("data", [])
        }
        return Ring(keys, data)
    except InvalidUnwrap as err:
        problem = "was wrapped by another installation's key (var/keys/secret, or PILLARS_KEY)"
        raise StoreUnavailable(str(path), problem, "Nothing was changed; bring that key back.") from err
    except (ValueError, KeyError, TypeError) as err:
        raise StoreUnavailable(str(path), "is no ring of keys", UNCHANGED) from err
    except OSError as err:
        raise StoreUnavailable.refused(str(path), err, UNCHANGED, "read") from err


def _write(stores: Stores, known: Ring) -> None:
    """All in one file, so that a backup or a kill never has a key without the one that wraps it."""
    content = {"keys": [{"id": name, "wrapped": aes_key_wrap(_wrapper(stores), key).hex()} for name, key in known.keys.items()]}
    if known.data:
        wrapper = known.keys[known.newest]
        content["data"] = [
            {"project": project, "id": key.id, "by": known.newest, "wrapped": aes_key_wrap(wrapper, key.secret).hex()}
            for project, key in known.data.items()
        ]
    write_atomically(stores.folder("keys") / "files.json", json.dumps(content, indent=1).encode(), private=True)
    share(stores)


def share(stores: Stores) -> None:
    """Give the keys to the readers, or take them away where nobody is named (any more). Keys that they have seen, they have seen."""
    path, group = stores.var / SHARED, stores.readers_group
    if group is None:
        path.unlink(missing_ok=True)
        return
    plain = [{"id": name, "key": key.hex()} for name, key in _read(stores).keys.items()]
    write_atomically(path, json.dumps({"keys": plain}, indent=1).encode(), private=True, group=group)


def _is_a_reader(stores: Stores) -> bool:
    """Whether this user may not enter the folder of keys, and was given the keys of files."""
    return not os.access(stores.var / "keys", os.X_OK) and os.access(stores.var / SHARED, os.R_OK)


def _shared(stores: Stores) -> Ring:
    try:
        return Ring({one["id"]: bytes.fromhex(one["key"]) for one in json.loads((stores.var / SHARED).read_bytes())["keys"]})
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise StoreUnavailable(SHARED, "is no ring of keys", "Its owner makes it again with pillars scan --fix.") from err


def _id() -> str:
    return secrets.token_hex(4)


def _wrapper(stores: Stores) -> bytes:
    """The key that wraps keys (AES key wrap, RFC 3394), derived from the installation's (HKDF, RFC 5869)."""
    return HKDF(SHA256(), BYTES, None, b"pillars/files/v1").derive(stores.secret)
