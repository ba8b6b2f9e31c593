"""Pillar 3, training and validation.

splits        splits, rows: which days are fitted, validated and judged on; their rows
tuning        tuning, trials, study, sealing: the search, its trials, Optuna, the seal on what it keeps
fitting       fitting, heldout, refitting: boosters, predictions of rows not fitted on, the bundle that may be released (and its last check)
metrics       metrics, plots: losses, costs and intervals; pictures for the run
gate          judging, gate, conditions, baselines: both decisions, their rules, what else must hold, what a model has to beat
pairs         pairing: two models on the same rows
calibration   calibrating: probabilities that hold, and the threshold that costs least (the decision threshold)
"""
