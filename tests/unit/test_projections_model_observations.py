"""What is read from data files, and what reporting does to them."""

import re
from typing import Any

import numpy as np
import pytest

from tests.unit.projections_model_runs import HASH, SOURCE, jhu, module

errors, observations = module("errors"), module("observations")


def files(**rows: list[Any]) -> tuple[bytes, bytes]:
    empty = {county: [None] * len(counts) for county, counts in rows.items()}
    return jhu(rows), jhu(empty, population=1000)


def test_real_counties_are_summed() -> None:
    content = [
        (SOURCE / HASH / f"time_series_covid19_{name}_US.csv").read_bytes()
        for name in ("confirmed", "deaths")
    ]
    one = observations.read(*content, "Massachusetts", ["Middlesex"])
    two = observations.read(*content, "Massachusetts", ["Middlesex", "Suffolk"])
    assert one.population == 1_611_699
    assert one.first.isoformat() == "2020-06-01"
    assert len(one.confirmed) == len(one.deaths) == 579
    assert set(one.deaths) == {None}
    assert two.confirmed[-1] > one.confirmed[-1] > 100_000
    new = observations.cleaned(one.confirmed)
    assert not np.isnan(new[:-3]).any()
    assert np.nansum(new) == pytest.approx(one.confirmed[-1] - one.confirmed[0])
    assert (np.nan_to_num(new) >= 0).all()


def test_a_county_that_does_not_report_every_day_makes_the_sum_unknown() -> None:
    found = observations.read(
        *files(Essex=[*range(20)], Norfolk=[None, *range(1, 19), None]), "Massachusetts", ["Essex", "Norfolk"]
    )
    assert found.confirmed == [None, *range(2, 38, 2)]
    assert found.last.isoformat() == "2020-06-19"


@pytest.mark.parametrize(
    ("state", "counties", "said"),
    [
        ("Texas", ["Essex"], "state: unknown 'Texas', allowed are Massachusetts"),
        (
            "Massachusetts",
            ["Essex", "Middlesx"],
            "county: unknown in Massachusetts: 'Middlesx', allowed are Essex",
        ),
    ],
)
def test_an_unknown_place_is_named_with_those_allowed(state: str, counties: list[str], said: str) -> None:
    with pytest.raises(errors.ModelError, match=re.escape(said)):
        observations.read(*files(Essex=[*range(20)]), state, counties)


def test_files_of_another_form_are_refused() -> None:
    good, deaths = files(Essex=[*range(20)])
    with pytest.raises(errors.ModelError, match="lacking Admin2, Province_State"):
        observations.read(b"<html>", deaths, "Massachusetts", ["Essex"])
    with pytest.raises(errors.ModelError, match="no valid CSV"):
        observations.read(b"\xff\xfe\x00", deaths, "Massachusetts", ["Essex"])
    with pytest.raises(
        errors.ModelError, match=re.escape("Essex, 6/3/20: must be a count or empty, got 'n/a'")
    ):
        observations.read(jhu({"Essex": [0, 1, "n/a", *range(20)]}), deaths, "Massachusetts", ["Essex"])
    with pytest.raises(errors.ModelError, match="has no population"):
        observations.read(good, jhu({"Essex": [0] * 20}, population=0), "Massachusetts", ["Essex"])
    with pytest.raises(errors.ModelError, match="fewer than 14 days"):
        observations.read(*files(Essex=[*range(13)]), "Massachusetts", ["Essex"])


def test_corrections_and_gaps_are_spread() -> None:
    assert observations.cleaned([0, 3, 6, 4, 8]).tolist() == [3, 1, 0, 4]
    assert observations.cleaned([0, None, None, 9]).tolist() == [3, 3, 3]


def test_days_without_reports_get_their_share_and_the_end_is_unknown() -> None:
    weekly = [0]
    for day in range(40):
        weekly.append(weekly[-1] + {5: 0, 6: 0, 0: 300}.get(day % 7, 100))
    new = observations.cleaned(weekly)
    assert new[:33].tolist() == [300, *[100] * 32]
    silent = observations.cleaned([*weekly, weekly[-1], weekly[-1]])
    assert np.isnan(silent[-2:]).all()
    quiet = observations.cleaned([0, 1, 1, 1, 2, 2, 2])
    assert quiet.tolist() == [1, 0, 0, 1, 0, 0]  # few cases: a day without any is a day without any
