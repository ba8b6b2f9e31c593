"""How a project's request log lies on the disk: opened by its own key, sealed where its rows are."""

from __future__ import annotations

from functools import partial

from pillars.config import Project
from pillars.data import at_rest, keyring, sealing
from pillars.deployment.segments import AtRest, in_the_open
from pillars.deployment.server.settings import Seal
from pillars.errors import StoreUnavailable
from pillars.stores import Stores


def log_of(stores: Stores, project: Project) -> AtRest:
    """What reads and writes it. What was sealed before `privacy.encrypt` was switched off is opened as well.

    Raises:
        StoreUnavailable: when it is asked for a key that is not on the ring.
    """

    def secret(id: str) -> bytes:
        key = keyring.log_key(stores, project.project) if project.project in keyring.ring(stores).data else None
        if key is None or key.id != id:
            problem = f"is sealed with key {id}, which is not on the ring"
            raise StoreUnavailable(f"the request log of {project.project}", problem, f"Bring var/{keyring.FILE} back from a backup.")
        return key.secret

    plain = in_the_open(stores)
    write = partial(at_rest.write, stores, project) if project.privacy.encrypt else plain.write
    return AtRest(write, partial(sealing.open_file, stores), secret)


def seal_of(stores: Stores, project: Project) -> Seal | None:
    """What a server is told to seal its log with; None where it lies in the clear. Raises: StoreUnavailable."""
    if not project.privacy.encrypt:
        return None
    from pillars.deployment.server.sealed import public_of

    key = keyring.log_key(stores, project.project)
    return Seal(key.id, public_of(key.secret).hex())
