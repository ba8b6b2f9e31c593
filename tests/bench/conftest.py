"""The small real slice, for both sides of the bench."""

from tests.small import slices

__all__ = ["slices"]
