"""Pillar 4, deployment. `server/` is the prediction server, which needs none of these modules.

release    release: a version as an immutable folder
routing    traffic: who answers
scoring    scoring: a period's predictions
requests   requests: the log of the prediction server, read back
rollback   rollback: back to the last good release
"""
