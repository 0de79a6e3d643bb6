"""The epidemic: people are neither made nor lost, measures help, projections join what was observed."""

import datetime
import math
from typing import Any

import numpy as np
import pytest

from tests.unit.projections_model_runs import chosen, module, observed

blocks, fit, measures, parameters = (module(name) for name in ("blocks", "fit", "measures", "parameters"))
observations, seir, start = module("observations"), module("seir"), module("start")
Counts = Any


def growing(rate: float, days: int = 120, last: float = 400.0) -> list[int | None]:
    """Cumulative cases whose daily number grows by ``rate`` and ends at ``last``, Poisson."""
    means = [last * math.exp(rate * (day - days + 1)) for day in range(days)]
    new = np.random.default_rng(7).poisson(means)
    return [int(value) for value in np.cumsum(new)]


def project(cumulative: list[int | None], population: int = 1_000_000, **fields: Any) -> Counts:
    """Counts of 500 draws."""
    return blocks.Projection(chosen(**fields), observed(cumulative, population)).block(0)


def test_nobody_is_made_or_lost_and_no_count_is_negative() -> None:
    random = np.random.default_rng(1)
    situation = start.Situation.of(observed(growing(0.05), population=60_000))
    of = parameters.sample(random, 300)
    people, rate = start.start(situation, of, 1.0, random)
    assert (people.total() == 60_000).all()
    for _ in range(120):
        seir.step(people, rate.free / 60_000, of, random)
        assert (people.total() == 60_000).all()
        assert all((getattr(people, name) >= 0).all() for name in vars(people))
    assert (people.dead > 0).any()
    assert (people.confirmed <= 60_000).all()


@pytest.mark.parametrize("rate", [-0.06, -0.02, 0.0, 0.04, 0.09])
def test_the_fit_recovers_a_known_growth(rate: float) -> None:
    new = observations.cleaned(growing(rate))
    found = fit.fit(new)
    assert found.growth_mean == pytest.approx(rate, abs=0.012)
    level, growth = found.sample(np.random.default_rng(1), 4000)
    assert float(np.median(level)) == pytest.approx(400, rel=0.1)
    assert growth.std() == pytest.approx(found.growth_sd, rel=0.1)


@pytest.mark.parametrize("rate", [-0.03, 0.05])
def test_the_projection_grows_as_the_data_did(rate: float) -> None:
    cumulative = growing(rate)
    found = np.median(project(cumulative, population=50_000_000)[0], axis=1)
    new = np.diff(np.concatenate([[cumulative[-1]], found]))
    assert new[0] == pytest.approx(400 * math.exp(rate), rel=0.12)
    assert math.log(new[13] / new[0]) / 13 == pytest.approx(rate, abs=0.015)


def test_the_projection_joins_the_observed_curve() -> None:
    cumulative = growing(0.03)
    first = project(cumulative)[0, 0]
    assert cumulative[-1] is not None
    assert (first >= cumulative[-1]).all()
    assert float(np.median(first)) - cumulative[-1] == pytest.approx(400 * math.exp(0.03), rel=0.12)


def test_known_deaths_are_where_fatalities_start() -> None:
    cumulative = growing(0.0)
    deaths: list[int | None] = [None] * 119 + [321]
    found = blocks.Projection(chosen(), observed(cumulative, deaths=deaths)).block(0)
    assert 321 <= np.percentile(found[4, 0], 5) < np.percentile(found[4, 0], 95) < 400
    unknown = blocks.Projection(chosen(), observed(cumulative)).block(0)
    assert np.median(unknown[4, 0]) > 0


def infections(**fields: Any) -> float:
    """Mean confirmed cases after eight weeks."""
    return float(project(growing(0.04), sim_length=56, **fields)[0, -1].mean())


def test_more_measures_mean_fewer_cases() -> None:
    distancing = [
        infections(social_distancing=True, social_distancing_strength=share) for share in (0.0, 0.3, 0.8)
    ]
    assert distancing[0] > 1.1 * distancing[1] > 1.2 * distancing[2]
    quarantine = [infections(quarantine_percent=share) for share in (0, 25, 75)]
    assert quarantine[0] > 1.05 * quarantine[1] > 1.1 * quarantine[2]
    shelter = [infections(shelter_date="2020-10-01", lockdown_strength=share) for share in (0.0, 0.5, 1.0)]
    assert shelter[0] > 1.1 * shelter[1] > 1.2 * shelter[2]


def test_measures_that_end_sooner_help_less() -> None:
    lockdown = {"shelter_date": "2020-10-01", "shelter_release_start_date": "2020-10-15"}
    stays = infections(shelter_date="2020-10-01")
    gradual = infections(**lockdown, shelter_release_end_date="2020-11-15")
    at_once = infections(**lockdown)
    assert stays < gradual < at_once < infections()
    short = infections(social_distancing=True, social_distancing_end_date="2020-10-10")
    assert infections(social_distancing=True) < short < infections()


def test_easing_a_lockdown_of_the_fitted_weeks_raises_transmission() -> None:
    held = {"shelter_date": "2020-08-01"}
    assert infections(**held) == pytest.approx(infections(), rel=0.1)  # the fit has it in already
    assert infections(**held, shelter_release_start_date="2020-10-01") > 1.2 * infections()


def test_the_factor_of_each_day() -> None:
    day = datetime.date
    plan = chosen(
        shelter_date="2020-03-20",
        shelter_release_start_date="2020-05-01",
        shelter_release_end_date="2020-05-11",
        lockdown_strength=0.5,
        social_distancing=True,
        social_distancing_strength=0.2,
        social_distancing_end_date="2020-06-30",
        quarantine_percent=50,
        quarantine_start_date="2020-07-02",
    )
    first = day(2020, 4, 1)

    def at(month: int, number: int) -> float:
        return float(measures.factor(day(2020, month, number), plan, first))

    assert at(3, 19) == 1.0
    assert at(3, 20) == 0.5  # distancing begins with the projection
    assert at(4, 1) == pytest.approx(0.5 * 0.8)
    assert at(5, 6) == pytest.approx(0.75 * 0.8)  # half of the release
    assert at(5, 11) == at(6, 30) == pytest.approx(0.8)
    assert at(7, 1) == 1.0
    assert at(7, 2) == pytest.approx(1 - 0.5 * measures.ISOLATED)
    assert measures.reference(plan, day(2020, 6, 1)) == pytest.approx(
        np.mean([1 - 0.5 * (1 if n < 5 else max(0, 1 - (n - 5) / 10)) for n in range(27)]), abs=0.02
    )


def test_a_county_without_cases_is_projected_without_an_explosion() -> None:
    found = project([5] * 100, population=3000)
    assert np.percentile(found[0, -1], 95) < 5 + 60
    assert (found >= 0).all()


def test_more_cases_than_people_allow_are_bounded() -> None:
    found = project(growing(0.05, last=3000), population=40_000, sim_length=60)
    assert (found[0] <= 40_000 + growing(0.05, last=3000)[-1]).all()  # type: ignore[operator]
    assert (found[1] <= 40_000).all()


def test_numbers_follow_from_the_seed_and_the_block_alone() -> None:
    projection = blocks.Projection(chosen(nDraws=1200), observed(growing(0.02)))
    again = blocks.Projection(chosen(nDraws=1200), observed(growing(0.02)))
    last = projection.block(2)
    assert [span.end - span.first for span in projection.spans] == [500, 500, 200]
    assert last.shape == (5, 28, 200)
    assert (again.block(0) == projection.block(0)).all()
    assert (again.block(2) == last).all()
    assert (projection.block(0) != projection.block(1)).any()
    other = blocks.Projection(chosen(nDraws=1201), observed(growing(0.02)))
    assert (other.block(0) != projection.block(0)).any()
