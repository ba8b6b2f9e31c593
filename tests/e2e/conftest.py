"""The small real slice, for the whole loop's tests."""

from tests.small import slices

__all__ = ["slices"]
