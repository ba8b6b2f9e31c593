"""The plane, without giving the outcome away.

The record names the plane that flew in the end, and betrays what became of the flight in three ways:
- A tail number is missing for 2,512 flights, all cancelled: a null in a column taken from it says "cancelled", a value "flew".
- Of the flights whose plane was due out of New York less than two hours before, 40 % were cancelled: it could not have been back.
- Of those that left all the same, 63 % were late (24 % of all are): the plane was exchanged after the prediction moment.
Therefore a flight's own plane enters only through its previous leg, scheduled 200 minutes to 16 hours before, and a flight without a tail
number borrows the plane of the carrier's flight scheduled just before it. Then nulls are as frequent among cancelled as among operated
flights, for each carrier (tests measure it). Without these rules log loss looks .002 better than it is (November and December).
Seats and age are those of the planes that flew the route before. Exchanges of planes that leave a possible rotation stay in: the package
knows no planned plane.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from projects.flights.raw import Raw
from projects.flights.traffic import measure
from projects.flights.windows import Ints, codes, events, pair, where

BACK_MIN, TURN_MIN = 200, 16 * 60


def previous_leg(raw: Raw, asked: Ints) -> dict[str, pa.Array]:
    """Columns (n,), minutes: the same plane's last scheduled departure from New York, as far as it has left or landed before `asked`."""
    plane, carrier = codes(raw.flights["tailnum"]), codes(raw.flights["carrier"])
    named = np.flatnonzero(raw.known("tailnum"))
    lender = events(carrier[named], named).last(carrier, np.arange(len(carrier)))  # by place in key order; a named flight lends to itself
    like = named[lender]
    legs = events(plane[named], raw.scheduled[named])  # 31 pairs share plane and minute: they keep key order
    row = legs.last(plane[like], raw.scheduled[like] - BACK_MIN)
    leg = named[row]
    gap = raw.scheduled - raw.scheduled[leg]
    has = (lender >= 0) & (row >= 0) & (gap <= TURN_MIN)
    left, landed = has & (raw.departed[leg] < asked), has & (raw.landed[leg] < asked)
    return {
        "previous_gap_min": where(has, gap),
        "previous_departure_delay": where(left, raw.ints("dep_delay")[leg]),
        "previous_arrival_delay": where(landed, raw.ints("arr_delay")[leg]),
        "previous_ground_min": where(landed, raw.scheduled - raw.landed[leg]),
    }


def fleet(raw: Raw, asked: Ints) -> dict[str, pa.Array]:
    """Columns (n,): mean seats and age (years) of the planes that flew this carrier to this destination and left before `asked`."""
    place = pc.index_in(raw.flights["tailnum"], raw.planes["tailnum"].combine_chunks())
    row = pc.fill_null(place, 0).to_numpy()
    flown = place.is_valid().to_numpy() & raw.known("dep_delay")
    group = pair(codes(raw.flights["carrier"]), codes(raw.flights["dest"]))
    found = {}
    for name, column in (("seats", "seats"), ("age", "year")):
        value = pc.fill_null(raw.planes[column], 0).cast(pa.int64()).to_numpy()[row]
        which = flown & (value > 0)  # 70 planes have no year
        value = value if name == "seats" else raw.ints("year") - value
        seen = events(group[which], raw.departed[which], value=value[which])
        found[f"fleet_{name}"] = measure(seen, "value", group, np.zeros_like(asked), asked)
    return found
