"""Benchmarks: all of them (`make bench`), or those that are named, e.g. `python -m bench price`."""

from __future__ import annotations

import sys

from bench import batch, decisions, gate, price, quality, rollout, search, serving, validation

BENCHES = {
    "quality": quality.main,
    "price": price.main,
    "validation": validation.main,
    "search": search.main,
    "decisions": decisions.main,
    "gate": gate.main,
    "serving": serving.main,
    "batch": batch.main,
    "rollout": rollout.main,
}

if __name__ == "__main__":
    asked = sys.argv[1:] or list(BENCHES)
    if unknown := [name for name in asked if name not in BENCHES]:
        sys.exit(f"there is no bench {', '.join(unknown)}; known: {', '.join(BENCHES)}")
    for name in asked:
        print(f"\n== {name}\n", flush=True)
        BENCHES[name]()
