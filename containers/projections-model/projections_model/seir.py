"""The epidemic: people in compartments, moved once a day by binomial draws, all draws of a block at a time.

    S -> E -> I -> R                 infected, infectious, recovered
              I -> W -> H -> R       waiting for a hospital bed, in a ward
                   W -> C -> R       in intensive care (ICU)
                        H, C -> D    dead

S + E + I + W + H + C + R + D is the population, always. Each day, with probabilities p of `parameters`:

    S->E  binomial(S, 1 - exp(-beta * exp(x) * m * I / N))    m: measures; x: drift
    E->I  binomial(E, p_latent)
    I out binomial(I, p_infectious), of these binomial(., hospital_share) to W, the others to R
    W out binomial(W, p_waiting), of these binomial(., icu_share) to C, the others to H
    H out binomial(H, p_ward), of these binomial(., ward_deaths) to D, the others to R
    C out binomial(C, p_icu), of these binomial(., icu_deaths) to D, the others to R

Confirmation is counted beside: of E->I, binomial(., confirmed_share) join the unconfirmed P, and binomial(P,
p_unconfirmed) of these are confirmed each day. A chain binomial model as in Lekone and Finkenstaedt 2006,
Biometrics 62:1170.

Transmission drifts: x(t+1) = DRIFT_KEPT * x(t) + DRIFT * normal (Dureau et al. 2013, Biostatistics 14:541),
since behaviour, variants and vaccines change it in ways nobody projects. `DRIFT` was chosen on the example's
counties, see the README. There is no waning of immunity, no vaccination, no age and no traffic with other
counties.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from projections_model.parameters import Parameters

Array = NDArray[np.float64]
Counts = NDArray[np.int64]

SERIES = ("Cumulative", "Epidemic", "Hospitalized", "ICU", "Fatalities")
"""Confirmed cases so far, infectious now, in hospital now (ICU included), in ICU now, dead so far."""
DRIFT = 0.08
DRIFT_KEPT = 0.97


@dataclass(kw_only=True)
class People:
    """Persons of each draw. The first eight are everybody; the last two are counted beside."""

    susceptible: Counts
    latent: Counts
    infectious: Counts
    waiting: Counts
    ward: Counts
    icu: Counts
    recovered: Counts
    dead: Counts
    unconfirmed: Counts
    confirmed: Counts

    def total(self) -> Counts:
        """Of the eight compartments."""
        beside = ("unconfirmed", "confirmed")
        everybody = [getattr(self, field.name) for field in fields(self) if field.name not in beside]
        found: Counts = np.sum(everybody, axis=0)
        return found


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Transmission of each draw, per infectious person and day where everybody is susceptible."""

    free: Array
    """Without measures."""
    most: Array
    """Whatever is eased, it isn't more."""


def step(people: People, force: Array, of: Parameters, random: Generator) -> None:
    """One day, in place. ``force``: infections per infectious and susceptible person, already times
    measures."""
    draw = random.binomial
    infected = draw(people.susceptible, -np.expm1(-force * people.infectious))
    became_infectious = draw(people.latent, of.leave_latent)
    stopped = draw(people.infectious, of.leave_infectious)
    severe = draw(stopped, of.hospital_share)
    admitted = draw(people.waiting, of.leave_waiting)
    critical = draw(admitted, of.icu_share)
    left_ward = draw(people.ward, of.leave_ward)
    died_in_ward = draw(left_ward, of.ward_deaths)
    left_icu = draw(people.icu, of.leave_icu)
    died_in_icu = draw(left_icu, of.icu_deaths)
    will_be_confirmed = draw(became_infectious, of.confirmed_share)
    confirmed = draw(people.unconfirmed, of.leave_unconfirmed)

    people.susceptible -= infected
    people.latent += infected - became_infectious
    people.infectious += became_infectious - stopped
    people.waiting += severe - admitted
    people.ward += admitted - critical - left_ward
    people.icu += critical - left_icu
    died = died_in_ward + died_in_icu
    people.dead += died
    people.recovered += (stopped - severe) + (left_ward + left_icu - died)
    people.unconfirmed += will_be_confirmed - confirmed
    people.confirmed += confirmed


def simulate(
    people: People, rate: Rate, measures: list[float], of: Parameters, random: Generator
) -> NDArray[np.int32]:
    """Counts of `SERIES` (first axis) at the end of each day (second) of each draw (third).

    ``measures``: the factor of transmission on each day.
    """
    population = people.total()
    draws = len(rate.free)
    drift = np.zeros(draws)
    found = np.empty((len(SERIES), len(measures), draws), dtype=np.int32)
    for day, factor in enumerate(measures):
        force = np.minimum(rate.free * factor, rate.most) * np.exp(drift) / population
        step(people, force, of, random)
        drift = DRIFT_KEPT * drift + DRIFT * random.standard_normal(draws)
        found[0, day] = people.confirmed
        found[1, day] = people.infectious
        found[2, day] = people.ward + people.icu
        found[3, day] = people.icu
        found[4, day] = people.dead
    return found
