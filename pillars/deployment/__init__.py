"""Pillar 4, deployment. `server/` is the prediction server, which needs none of these modules.

release    release: a version as an immutable folder
routing    traffic, split: who answers, and whom a release on trial answers
scoring    scoring, played: a period's predictions; its rows as the requests of a release on trial
requests   requests, segments, aging: the log of the prediction server, read back; what of it is older than its time
strategies rollout: from one share to the next, to the end, or back
judging    evidence, logged, batches, judge, report: whether a release on trial harms, and what it came to
clusters   manifests, verdicts: Kubernetes splits, our judge says how it goes
rollback   rollback: back to the last good release
"""
