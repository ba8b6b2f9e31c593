"""All benchmarks, one after the other: `make bench`."""

from __future__ import annotations

from bench import quality

if __name__ == "__main__":
    quality.main()
