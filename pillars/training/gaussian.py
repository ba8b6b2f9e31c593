"""A Gaussian process over the trials so far, which says where the next one promises most.

Optuna's own (`GPSampler`) needs torch, 0.2 GB at the least, for a few dozen points; scikit-learn is here already.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from pillars.training.spaces import Params, Space, drawn, folded

CANDIDATES = 1_000  # points looked at per proposal
NOISE = 1e-4  # variance of a loss beside the process's, in units of the losses' own
DIGITS = 9  # of the improvement: below it, two candidates are alike, and the first one is taken


def proposed(space: Space, told: Sequence[Params], losses: Sequence[float], pending: Sequence[Params], seed: Sequence[int]) -> Params:
    """Of points drawn by `seed`, the one with the largest expected improvement (Jones, Schonlau and Welch 1998).

    `losses`: one per point that was told, finite, lower is better. `pending` points have none yet and are taken to lose as the process
    says (the "kriging believer" of Ginsbourger, Le Riche and Carraro 2010), so that a batch spreads.
    """
    from scipy.stats import norm
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern

    points, y = folded(space, told), np.asarray(losses, dtype=np.float64)
    y = (y - y.mean()) / (y.std() or 1.0)
    candidates = [drawn(space, random) for random in [np.random.default_rng(seed)] for _ in range(CANDIDATES)]
    process = GaussianProcessRegressor(Matern(np.full(points.shape[1], 0.5), (0.05, 20.0), nu=2.5), alpha=NOISE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a length at its bound: the dimension does not matter
        process.fit(points, y)
    if pending:
        waiting = folded(space, pending)
        believed = np.append(y, process.predict(waiting))
        process = GaussianProcessRegressor(process.kernel_, alpha=NOISE, optimizer=None).fit(np.vstack([points, waiting]), believed)
    mean, spread = process.predict(folded(space, candidates), return_std=True)
    spread = np.maximum(spread, 1e-12)
    better = y.min() - mean
    improvement = better * norm.cdf(better / spread) + spread * norm.pdf(better / spread)
    return candidates[int(np.argmax(np.round(improvement, DIGITS)))]
