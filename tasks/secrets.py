"""Secrets of a project's source: those that lie in Prefect's Secret blocks are looked up here, where Prefect is known."""

from __future__ import annotations

from pillars import masking
from pillars.config_data import BLOCK
from pillars.data.sources.references import of_environment
from pillars.errors import SettingInvalid, StoreUnavailable


def reveal(reference: str) -> str:
    """The value behind a reference, masked from now on wherever it could be logged; empty where a variable is not set.

    Raises:
        SettingInvalid: there is no such block, or it holds no text. Never with a value.
        StoreUnavailable: Prefect's server does not answer.
    """
    if not reference.startswith(BLOCK):
        return of_environment(reference)
    import httpx
    from prefect.blocks.system import Secret
    from prefect.exceptions import PrefectException

    name = reference.removeprefix(BLOCK)
    try:
        value = Secret.load(name).get()  # type: ignore[union-attr]
    except ValueError:  # what Prefect says names the block; where it holds something odd, it could quote it
        problem = f"there is no Prefect Secret block {name} on this server: make it in its UI (Blocks, Secret)"
        raise SettingInvalid([problem]) from None
    except (httpx.HTTPError, PrefectException, RuntimeError) as err:
        problem = f"the Secret block {name} cannot be looked up ({type(err).__name__})"
        raise StoreUnavailable("Prefect", problem, "Nothing was changed; start the server (pillars up) or mend PREFECT_API_URL.") from None
    if not isinstance(value, str):
        raise SettingInvalid([f"{reference} holds a {type(value).__name__}, not a text"])
    masking.know(value, reference)
    return value
