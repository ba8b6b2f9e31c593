"""Pillar 5, monitoring, versioning, governance.

drift         drift, reports: Evidently's distances and where its reports go
performance   performance: predictions joined with what came true
alerts        alerts, retraining: alarms, and what they mean for the model
registry      registry, packaging: versions and alias in MLflow, the model as MLflow loads it
lineage       lineage, worktree, origin: the code's part of it, what was not committed, all that a registered version was made from
ledger        ledger, chain, ledger_store: every decision on record, sealed, kept
"""
