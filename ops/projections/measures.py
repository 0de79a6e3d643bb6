"""The options of a request. What isn't given is left to the site's defaults."""

from enum import StrEnum
from typing import Annotated, Any

import typer


class Compute(StrEnum):
    """Where a run is computed."""

    FARGATE = "fargate"
    SPOT = "fargate-spot"
    ONBOARD = "onboard"


def _date(name: str, text: str) -> Any:
    return typer.Option(name, help=text, metavar="YYYY-MM-DD")


State = Annotated[str, typer.Option("--state", help="State, for example Massachusetts.")]
Counties = Annotated[list[str], typer.Option("--county", help="County; repeatable: they are added up.")]
Draws = Annotated[int | None, typer.Option("--draws", help="Number of draws (nDraws).", metavar="N")]
Days = Annotated[int | None, typer.Option("--days", help="Days projected (sim_length).", metavar="N")]
ShelterDate = Annotated[str | None, _date("--shelter-date", "Shelter in place from this day.")]
ReleaseStart = Annotated[str | None, _date("--shelter-release-start", "First day of its release.")]
ReleaseEnd = Annotated[str | None, _date("--shelter-release-end", "Last day of its release.")]
LockdownStrength = Annotated[
    float | None, typer.Option("--lockdown-strength", help="0 to 1: contacts that shelter takes away.")
]
Distancing = Annotated[
    bool | None,
    typer.Option("--social-distancing/--no-social-distancing", help="People keep their distance."),
]
DistancingStrength = Annotated[
    float | None,
    typer.Option("--social-distancing-strength", help="0 to 1: contacts that distance takes away."),
]
DistancingEnd = Annotated[str | None, _date("--social-distancing-end", "Its last day.")]
Quarantine = Annotated[
    float | None, typer.Option("--quarantine-percent", help="0 to 100: cases that are isolated.")
]
QuarantineStart = Annotated[str | None, _date("--quarantine-start", "Isolation from this day.")]
DataHash = Annotated[
    str | None, typer.Option("--data-hash", help="Day of the data, by its hash; default: the newest.")
]

INPUT_OF = {
    "draws": "nDraws",
    "days": "sim_length",
    "shelter_date": "shelter_date",
    "shelter_release_start": "shelter_release_start_date",
    "shelter_release_end": "shelter_release_end_date",
    "lockdown_strength": "lockdown_strength",
    "social_distancing": "social_distancing",
    "social_distancing_strength": "social_distancing_strength",
    "social_distancing_end": "social_distancing_end_date",
    "quarantine_percent": "quarantine_percent",
    "quarantine_start": "quarantine_start_date",
    "data_hash": "data_hash",
}
"""From an option of ``submit`` to the model's input."""


def inputs(state: str, counties: list[str], **options: Any) -> dict[str, Any]:
    """The fields of a request.

    >>> inputs("Vermont", ["Orange"], draws=1000, days=None)
    {'state': 'Vermont', 'county': ['Orange'], 'nDraws': 1000}
    """
    given = {INPUT_OF[name]: value for name, value in options.items() if value is not None}
    return {"state": state, "county": list(counties), **given}
