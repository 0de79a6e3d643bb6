"""Measures as one factor of the contact rate for each day.

The factor of a day t is the product

    L(t) = 1 - lockdown_strength * w(t)         lockdown ("shelter")
    D(t) = 1 - social_distancing_strength       while distancing holds, else 1
    Q(t) = 1 - quarantine_percent/100 * ISOLATED  from the quarantine's start on, else 1

w(t) is 0 before ``shelter_date``, 1 from then on, falls evenly from 1 to 0 between the start and the end of
the release (at once if there is no end date), and is 0 afterwards. Strengths are shares of contacts that a
measure avoids. Distancing and a quarantine without a start date begin on the first projected day.

Transmission is fitted to data, hence to the measures in force when those infections happened. `reference` is
the mean factor of these days: the model multiplies the fitted rate by factor(t) / reference, so that a
measure that was there already changes nothing, and easing it raises transmission.
"""

import datetime
from collections.abc import Sequence

from projections_inputs import ModelInput

ISOLATED = 0.65
"""Share of infections avoided by a quarantined person: people infect for about 3.5 days and are isolated
1.5 days after they begin to, exp(-1.5 / 3.5) = 0.65 of an exponential infectious period is left by then
(delay from onset to isolation: Kretzschmar et al. 2020, Lancet Public Health 5:e452; infectious from two days
before onset: He et al. 2020, Nature Medicine 26:672)."""

REFERENCE_DAYS = (35, 8)
"""Infections that show in the fitted weeks happened so many days before the last observation: a latent period
and the delay to the report earlier."""
LEAST_REFERENCE = 0.05


def factor(day: datetime.date, chosen: ModelInput, first_projected: datetime.date) -> float:
    """The contact rate of ``day`` relative to none of the measures, 0..1."""
    lockdown = 1 - chosen.lockdown_strength * _sheltered(day, chosen)
    distancing = 1.0
    end = chosen.social_distancing_end_date
    if chosen.social_distancing and day >= first_projected and (end is None or day <= end):
        distancing = 1 - chosen.social_distancing_strength
    quarantine = 1.0
    if day >= (chosen.quarantine_start_date or first_projected):
        quarantine = 1 - chosen.quarantine_percent / 100 * ISOLATED
    return lockdown * distancing * quarantine


def factors(chosen: ModelInput, first_projected: datetime.date) -> list[float]:
    """The factor of each projected day."""
    days = (first_projected + datetime.timedelta(number) for number in range(chosen.sim_length))
    return [factor(day, chosen, first_projected) for day in days]


def reference(chosen: ModelInput, first_projected: datetime.date) -> float:
    """The mean factor of the days whose infections were fitted, at least `LEAST_REFERENCE`."""
    first, last = REFERENCE_DAYS
    days = [first_projected - datetime.timedelta(number + 1) for number in range(last, first)]
    found: Sequence[float] = [factor(day, chosen, first_projected) for day in days]
    return max(sum(found) / len(found), LEAST_REFERENCE)


def _sheltered(day: datetime.date, chosen: ModelInput) -> float:
    """How much of the lockdown holds on ``day``, 0..1."""
    start, easing, gone = (
        chosen.shelter_date,
        chosen.shelter_release_start_date,
        chosen.shelter_release_end_date,
    )
    if start is None or day < start:
        return 0.0
    if easing is None or day < easing:
        return 1.0
    if gone is None or day >= gone:
        return 0.0
    return (gone - day).days / (gone - easing).days
