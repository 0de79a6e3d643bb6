"""Where a projection begins: the people of each draw on the last observed day, and their transmission rate.

The fit gives the reported cases c of the last day and their growth g = exp(r) per day. While cases grow so,
every stage before the report grows so too, which gives, day by day and with the probabilities p of
`parameters`:

    P = c * g / p_unconfirmed                           tomorrow's report is c * g: the curves join
    j = (g - 1 + p_unconfirmed) * P / confirmed_share   people who become infectious tomorrow
    E = j / p_latent
    I = j / (g - 1 + p_infectious)
    n = (g - 1 + p_latent) * E                          people infected tomorrow
    beta = -log(1 - n / S) * N / I

the discrete form of R = (1 + r * latent) * (1 + r * infectious) (Wallinga and Lipsitch 2007). g is kept above
what stages can shrink by. Slower stages (waiting, ward, ICU) remember weeks, so they are summed over the
smoothed history. S is the population less confirmed / confirmed_share, at least `LEAST_SUSCEPTIBLE` of it
(nothing here says how many became susceptible again).

Without measures transmission is beta / reference, see `measures`; what is left of it by a day's measures is
at most the basic reproduction number's, unless beta itself is more.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from projections_model.fit import Fit, fit
from projections_model.observations import Observations, cleaned
from projections_model.parameters import Parameters
from projections_model.seir import Array, Counts, People, Rate

HISTORY = 90
"""Days of which patients may still be in hospital."""
SMOOTHED = 7
LEAST_SUSCEPTIBLE = 0.1
MOST_ACTIVE = 0.5
"""Of the population, at most so many are in a stage between S and R on the first day."""
DEATH_LAG = 21
"""Days from a confirmed case's report to a death, when deaths so far are estimated: about what W and C
take."""


@dataclass(frozen=True, kw_only=True)
class Situation:
    """What all draws begin with."""

    fitted: Fit
    history: Array
    """Smoothed reported cases of the last `HISTORY` days, oldest first."""
    confirmed: int
    earlier_confirmed: int
    """`DEATH_LAG` days before."""
    deaths: int | None
    population: int

    @classmethod
    def of(cls, observed: Observations) -> "Situation":
        """Raises `ModelError` when the last weeks are unknown."""
        new = cleaned(observed.confirmed)
        counts = [value for value in observed.confirmed if value is not None]
        last_deaths = [value for value in observed.deaths[-SMOOTHED:] if value is not None]
        filled = np.nan_to_num(new)
        smooth = np.convolve(filled, np.ones(SMOOTHED) / SMOOTHED)[: len(filled)]
        return cls(
            fitted=fit(new),
            history=np.concatenate([np.zeros(max(0, HISTORY - len(smooth))), smooth[-HISTORY:]]),
            confirmed=counts[-1],
            earlier_confirmed=counts[max(0, len(counts) - 1 - DEATH_LAG)],
            deaths=last_deaths[-1] if last_deaths else None,
            population=observed.population,
        )


def start(now: Situation, of: Parameters, reference: float, random: Generator) -> tuple[People, Rate]:
    """The people of each draw, and their transmission; ``reference``: the measures that the fit has in it."""
    count = len(of.leave_latent)
    level, growth = now.fitted.sample(random, count)
    slowest = np.minimum(np.minimum(of.leave_latent, of.leave_infectious), of.leave_unconfirmed)
    change = np.maximum(np.expm1(growth), -0.8 * slowest)
    unconfirmed = level * (1 + change) / of.leave_unconfirmed
    becoming = (change + of.leave_unconfirmed) * unconfirmed / of.confirmed_share
    latent = becoming / of.leave_latent
    infectious = becoming / (change + of.leave_infectious)
    waiting, ward, icu = _patients(now, level, growth, of)

    active = latent + infectious + waiting + ward + icu
    scale = np.minimum(1.0, MOST_ACTIVE * now.population / np.maximum(active, 1e-9))
    stages = [_whole(stage * scale, random) for stage in (latent, infectious, waiting, ward, icu)]
    everybody = np.full(count, now.population, dtype=np.int64)
    dead = np.minimum(_deaths(now, of), now.population // 10)
    room = everybody - dead - sum(stages)
    past = np.minimum(now.confirmed / of.confirmed_share, (1 - LEAST_SUSCEPTIBLE) * now.population)
    susceptible = np.minimum(np.maximum((everybody - past).astype(np.int64), 0), room)
    people = People(
        susceptible=susceptible,
        latent=stages[0],
        infectious=stages[1],
        waiting=stages[2],
        ward=stages[3],
        icu=stages[4],
        recovered=room - susceptible,
        dead=dead,
        unconfirmed=_whole(unconfirmed * scale, random),
        confirmed=np.full(count, now.confirmed, dtype=np.int64),
    )
    # Infections per infectious person don't depend on the level: also right where there are no cases.
    each = (change + of.leave_latent) * (change + of.leave_infectious) / of.leave_latent
    share = np.minimum(each * infectious * scale / np.maximum(susceptible, 1), 0.95)
    thinned = np.where(share > 1e-12, -np.log1p(-share) / np.maximum(share, 1e-12), 1.0)
    fitted = each * thinned * now.population / np.maximum(susceptible, 1)
    most = np.maximum(of.basic_reproduction * of.leave_infectious, fitted)
    return people, Rate(free=fitted / reference, most=most)


def _patients(now: Situation, level: Array, growth: Array, of: Parameters) -> tuple[Array, Array, Array]:
    """Expected people waiting for a bed, in a ward and in ICU, of each draw."""
    ahead = np.arange(1, 10)
    future = level[:, None] * np.exp(growth[:, None] * ahead)
    reports = np.concatenate([np.broadcast_to(now.history, (len(level), HISTORY)), future], axis=1)
    delay = np.rint(of.confirmed_days).astype(np.int64)
    place = np.arange(len(level))
    zero = np.zeros(len(level))
    infectious, waiting, ward, icu = zero.copy(), zero.copy(), zero.copy(), zero.copy()
    for day in range(HISTORY):
        becoming = reports[place, day + delay] / of.confirmed_share
        stopped = infectious * of.leave_infectious
        admitted = waiting * of.leave_waiting
        ward += admitted * (1 - of.icu_share) - ward * of.leave_ward
        icu += admitted * of.icu_share - icu * of.leave_icu
        waiting += stopped * of.hospital_share - admitted
        infectious += becoming - stopped
    return waiting, ward, icu


def _deaths(now: Situation, of: Parameters) -> Counts:
    """Observed deaths so far; where nobody reports them, those of the confirmed cases so far."""
    if now.deaths is not None:
        return np.full(len(of.icu_share), now.deaths, dtype=np.int64)
    fatal = of.icu_share * of.icu_deaths + (1 - of.icu_share) * of.ward_deaths
    estimated = now.earlier_confirmed / of.confirmed_share * of.hospital_share * fatal
    found: Counts = np.rint(estimated).astype(np.int64)
    return found


def _whole(value: NDArray[np.float64], random: Generator) -> Counts:
    """Whole persons, right on average."""
    found: Counts = np.floor(value + random.random(len(value))).astype(np.int64)
    return found
