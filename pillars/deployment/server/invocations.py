"""MLflow's `/invocations`: frames as records or split, answered as `{"predictions": [...]}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from pillars.deployment.server.decoding import RECORD, Decoders, Rows
from pillars.deployment.server.problems import Refused, explained, malformed, of_envelope

ENVELOPES = "the body must hold dataframe_records or dataframe_split, one of them and nothing else"


def rows(decoders: Decoders, body: bytes) -> Rows:
    """The rows of a request. Raises: Refused."""
    try:
        frame = decoders.frames.decode(body)
    except msgspec.ValidationError as err:
        raise _refused(str(err)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as err:
        raise malformed(err) from None
    if (frame.dataframe_records is UNSET) == (frame.dataframe_split is UNSET):
        raise Refused(422, "INVALID", ENVELOPES)
    return decoders.records(frame.dataframe_records) if frame.dataframe_split is UNSET else decoders.split(frame.dataframe_split)


def _refused(message: str) -> Refused:
    what, path, name = explained(message)
    if path == "$":
        return Refused(422, "INVALID", ENVELOPES)
    if at := RECORD.match(path):
        return Refused(422, "INVALID", what, int(at.group(1)), name or at.group(2))
    return of_envelope(what, path, name)


def answer(predictions: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> bytes:
    """`predictions`, an object a row as MLflow writes a frame, and beside them what this server says more."""
    return msgspec.json.encode({"predictions": predictions, **about})
