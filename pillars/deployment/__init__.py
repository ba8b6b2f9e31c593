"""Pillar 4, deployment.

release    release: a version as an immutable folder
routing    traffic: who answers
scoring    scoring: a period's predictions
judging    evidence, judge: whether a release on trial harms
rollback   rollback: back to the last good release
"""
