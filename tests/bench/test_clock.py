"""Each second is counted once."""

from __future__ import annotations

from threading import Thread

import pytest

from bench.clock import Clock


def ticking(*at: float) -> Clock:
    """A clock whose n-th look finds the n-th wall time; of each second half is CPU time."""
    times = iter(at)
    return Clock(reading=lambda: (wall := next(times), wall / 2))


def test_a_step_inside_another_stops_the_outer_clock():
    clock = ticking(0, 10, 13, 20)
    with clock.step("outer"), clock.step("inner"):
        pass
    assert clock.wall_s == {"outer": 17, "inner": 3}
    assert clock.cpu_s == {"outer": 8.5, "inner": 1.5}


def test_a_step_that_raises_ends():
    clock = ticking(0, 1, 4, 9)
    with clock.step("outer"):
        with pytest.raises(ValueError, match="no"), clock.step("inner"):
            raise ValueError("no")
    assert clock.wall_s == {"outer": 6, "inner": 3}


def test_other_threads_have_no_steps():
    clock = ticking(0, 5)
    with clock.step("main"):
        other = Thread(target=clock.counted("other", int))
        other.start()
        other.join()
    assert clock.wall_s == {"main": 5}
