"""The small real slice, for the proofs."""

from tests.small import slices

__all__ = ["slices"]
