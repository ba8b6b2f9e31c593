"""Pillar 3, training and validation.

splits        splits, folds, rows: which days are fitted, validated and judged on, folds of rows; their rows
leakage       leakage: columns that tell the outcome, by name, before anything is searched
tuning        tuning, trials, budget, study, sealing: the search, its trials, what ends them, Optuna, the seal on what it keeps
contest       contest: the rows that recipes compete on
samplers      spaces, gaussian: a space's points, a Gaussian process over its trials
fitting       fitting, heldout, refitting: boosters, predictions of rows not fitted on, the bundle that may be released (and its last check)
engines       engines, streamed: device, external memory and Dask; rows that are read a period at a time
metrics       metrics, own, slices, fairness, behaving: losses with intervals; own functions; parts of the rows, groups; what scores must do
explanation   explaining, plots: what a model leans on; pictures for the run
gate          judging, gate, conditions, baselines: both decisions, their rules, what else must hold, what a model has to beat
backtest      backtest: a rolling origin: the winner, and the search, at earlier moments
noise         noise, power, measuring: pairs that are equal in truth, gains that were planted, the margin that follows
pairs         pairing: two models on the same rows
calibration   calibrating, intervals: probabilities that hold, the (decision) threshold that costs least, how wide intervals are
"""
