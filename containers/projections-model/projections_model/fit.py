"""How fast cases grow, and how many there are now: a posterior from the last weeks.

Cases y of day t, of the last `WINDOW` days with numbers, are negative binomial with mean mu and variance
mu + mu^2 / k (reporting is far noisier than Poisson: Lloyd-Smith 2007, PLoS ONE 2:e180), where

    mu(t) = exp(b + r * (t - c))

and c is the weighted middle of the window. A day's log likelihood counts 0.5^(age / HALF_LIFE), since growth
changes. Priors: r normal around 0 with sd `PRIOR_GROWTH`, b and log k flat on the grid. The posterior is
evaluated on a grid of (b, r, k), coarse, then fine where the mass is; draws are cells of the fine grid plus a
uniform place in the cell. All of it is arithmetic on 28 numbers: milliseconds, no iteration that could fail,
equal on each machine.

The transmission rate follows from r in `start.start` (Wallinga and Lipsitch 2007, Proc. R. Soc. B 274:599).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from projections_model.errors import ModelError

Array = NDArray[np.float64]

WINDOW = 28
HALF_LIFE = 5.0
PRIOR_GROWTH = 0.04
"""A doubling or halving in 17 days is one standard deviation. This, the half-life and `seir.DRIFT` were
chosen so that 90 % of what happened lies in the bands of 364 past projections, see the README."""
MOST_GROWTH = 0.3
DISPERSIONS = tuple(0.3 * 2.0**power for power in range(11))
_COARSE, _FINE = 61, 81
_REACH = 4.5
"""The fine grid ends so many standard deviations from the mean."""
_LEAST_CASES = 0.02


@dataclass(frozen=True, kw_only=True)
class Fit:
    """The posterior of level and growth at the last observed day."""

    levels: Array
    """Grid of b."""
    growths: Array
    """Grid of r, per day."""
    mass: Array
    """Cumulative posterior of the cells (b outer, r inner), ends at 1."""
    ahead: float
    """Days from the window's weighted middle to the last observed day."""
    growth_mean: float
    growth_sd: float

    def sample(self, random: Generator, count: int) -> tuple[Array, Array]:
        """Expected reported cases on the last observed day and growth per day, of ``count`` draws."""
        cell = np.minimum(np.searchsorted(self.mass, random.random(count)), len(self.mass) - 1)
        place = random.random((2, count)) - 0.5
        level = self.levels[cell // len(self.growths)] + place[0] * (self.levels[1] - self.levels[0])
        step = self.growths[1] - self.growths[0]
        growth = np.clip(self.growths[cell % len(self.growths)] + place[1] * step, -MOST_GROWTH, MOST_GROWTH)
        return np.exp(level + growth * self.ahead), growth


def fit(new_cases: Array) -> Fit:
    """``new_cases``: one a day, ``nan`` unknown; the last entry is the last observed day."""
    window = new_cases[-WINDOW:]
    age = np.arange(len(window), dtype=np.float64)[::-1]
    known = ~np.isnan(window)
    if known.sum() < WINDOW // 4:
        raise ModelError(f"cases: only {int(known.sum())} of the last {WINDOW} days are known")
    cases: Array = window[known]
    weight: Array = np.exp(-math.log(2) / HALF_LIFE * age[known])
    middle = float(np.average(-age[known], weights=weight))
    time: Array = np.subtract(-middle, age[known], dtype=np.float64)
    mean = max(float(np.average(cases, weights=weight)), _LEAST_CASES)
    wide = np.linspace(math.log(mean) - 4, math.log(mean) + 3, _COARSE)
    growths = np.linspace(-MOST_GROWTH, MOST_GROWTH, _COARSE)
    table = _posterior(cases, weight, time, wide, growths)
    levels = _around(wide, table.sum(axis=1))
    growths = _around(growths, table.sum(axis=0), limit=MOST_GROWTH)
    table = _posterior(cases, weight, time, levels, growths)
    of_growth = table.sum(axis=0)
    growth_mean = float(of_growth @ growths)
    mass = np.cumsum(table.ravel())
    return Fit(
        levels=levels,
        growths=growths,
        mass=mass / mass[-1],
        ahead=-middle,
        growth_mean=growth_mean,
        growth_sd=math.sqrt(float(of_growth @ (growths - growth_mean) ** 2)),
    )


def _around(grid: Array, mass: Array, limit: float = math.inf) -> Array:
    """A finer grid where the mass of ``grid`` is."""
    mean = float(mass @ grid)
    spread = math.sqrt(float(mass @ (grid - mean) ** 2)) + (grid[1] - grid[0]) / 2
    low, high = max(mean - _REACH * spread, -limit), min(mean + _REACH * spread, limit)
    return np.linspace(low, high, _FINE)


def _posterior(cases: Array, weight: Array, time: Array, levels: Array, growths: Array) -> Array:
    """Normalised mass of each (b, r), summed over the dispersions."""
    mean_log = levels[:, None, None] + growths[None, :, None] * time
    mean = np.exp(mean_log)
    total = np.empty((len(DISPERSIONS), len(levels), len(growths)))
    for number, k in enumerate(DISPERSIONS):
        constant = sum(
            w * (math.lgamma(y + k) - math.lgamma(k) - math.lgamma(y + 1))
            for y, w in zip(cases.tolist(), weight.tolist(), strict=True)
        )
        day = cases * (mean_log - np.log(k + mean)) + k * (math.log(k) - np.log(k + mean))
        total[number] = constant + (day * weight).sum(axis=2)
    total -= growths[None, None, :] ** 2 / (2 * PRIOR_GROWTH**2)
    table: Array = np.exp(total - total.max()).sum(axis=0)
    table /= table.sum()
    return table
