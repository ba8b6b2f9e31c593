"""The small real slice, for the flows' tests."""

from tests.small import replayed, slices, small, two_periods

__all__ = ["replayed", "slices", "small", "two_periods"]
