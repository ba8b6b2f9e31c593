"""Pillar 5, monitoring, versioning, governance.

drift         drift, reports: Evidently's distances and where its reports go
performance   performance: predictions joined with what came true
alerts        alerts, retraining: alarms, and what they mean for the model
registry      registry, packaging: versions and alias in MLflow, the model as MLflow loads it
lineage       lineage: the code's part of it; joined with data and recipe in tasks/training.py and training/refitting.py, kept in the bundle
ledger        ledger, chain, ledger_store: every decision on record, sealed, kept
"""
