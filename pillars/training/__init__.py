"""Pillar 3, training and validation.

splits        splits, folds, rows: which days are fitted, validated and judged on, folds of rows; their rows
leakage       leakage: columns that tell the outcome, by name, before anything is searched
tuning        tuning, trials, study, sealing: the search, its trials, Optuna, the seal on what it keeps
fitting       fitting, heldout, refitting: boosters, predictions of rows not fitted on, the bundle that may be released (and its last check)
metrics       metrics, plots: losses, costs and intervals; pictures for the run
gate          judging, gate, conditions, baselines: both decisions, their rules, what else must hold, what a model has to beat
calibration   calibrating: probabilities that hold, and the threshold that costs least (the decision threshold)
"""
