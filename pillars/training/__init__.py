"""Pillar 3, training and validation.

splits        splits, rows: which days are fitted, validated and judged on; their rows
tuning        tuning, trials, study, sealing: the search, its trials, Optuna, the seal on what it keeps
fitting       fitting, heldout, refitting: boosters, predictions of rows not fitted on, the bundle that may be released (and its last check)
metrics       metrics, own, slices, fairness, behaving: losses with intervals; own functions; parts of the rows, groups; what scores must do
explanation   explaining, plots: what a model leans on; pictures for the run
gate          judging, gate, conditions, baselines: both decisions, their rules, what else must hold, what a model has to beat
calibration   calibrating: probabilities that hold, and the threshold that costs least (the decision threshold)
"""
