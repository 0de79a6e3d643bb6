"""Filters and tags of the pages: people, days, measures and form fields."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django import template
from django.forms import BoundField, Form

from covid.models import SimulationRun

register = template.Library()

_SPACE = "\u202f"
"""Between thousands: narrow, and no line breaks there."""
_UNKNOWN = "\u2013"
_COMPUTES = {**dict(SimulationRun.COMPUTES), "fargate_spot": "Fargate Spot"}
"""What they are called, by our names and, in lower case, by those of the capacity providers."""


@register.filter
def persons(value: float | None) -> str:
    """``12 345``: whole people, but tenths where there are few, so that 0.4 isn't none."""
    if value is None:
        return _UNKNOWN
    if 0 < abs(value) < 9.95 and value != round(value):
        return f"{value:.1f}"
    return f"{value:,.0f}".replace(",", _SPACE)


@register.filter
def day(value: str | date | None) -> str:
    """``5 May 2020``."""
    if not value:
        return _UNKNOWN
    known = value if isinstance(value, date) else date.fromisoformat(value[:10])
    return f"{known.day} {known:%b %Y}"


@register.filter
def moment(value: str | datetime | None) -> datetime | None:
    """A time of a history as a date and time in UTC; None when it isn't one."""
    if isinstance(value, datetime):
        return value
    try:
        known = datetime.fromisoformat(value or "")
    except ValueError:
        return None
    return known if known.tzinfo else known.replace(tzinfo=UTC)


@register.filter
def took(value: timedelta | float | None) -> str:
    """``4.2 s``, ``3 min 05 s``."""
    if value is None:
        return _UNKNOWN
    seconds = value.total_seconds() if isinstance(value, timedelta) else float(value)
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


@register.filter
def whole_percent(value: float | None) -> str:
    """``37 %`` of 0.37; 100 % only when it is done."""
    return f"{min(int((value or 0) * 100 + 1e-9), 100)} %"


@register.filter
def compute(value: str | None) -> str:
    """The name of a compute, of ours or of the cloud's."""
    return _COMPUTES.get((value or "").lower(), value or _UNKNOWN)


@register.filter
def counties(model_input: dict[str, Any]) -> str:
    """``Bristol``, ``Bristol and Essex``, ``Bristol, Essex and 2 more``."""
    names = list(model_input.get("county") or [])
    if len(names) > 3:
        names[2:] = [f"{len(names) - 2} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


@register.filter
def measures(model_input: dict[str, Any]) -> list[tuple[str, str]]:
    """Each measure's name and what was chosen, for people."""
    shelter = "none"
    if model_input.get("shelter_date"):
        shelter = f"{_share(model_input, 'lockdown_strength')} from {day(model_input['shelter_date'])}"
        eased, lifted = (model_input.get(f"shelter_release_{which}_date") for which in ("start", "end"))
        if eased and lifted and lifted != eased:
            shelter += f", eased from {day(eased)} to {day(lifted)}"
        elif eased:
            shelter += f", lifted on {day(eased)}"
    distancing = "none"
    if model_input.get("social_distancing"):
        distancing = _share(model_input, "social_distancing_strength")
        if model_input.get("social_distancing_end_date"):
            distancing += f" until {day(model_input['social_distancing_end_date'])}"
    quarantine = "none"
    if model_input.get("quarantine_percent"):
        quarantine = f"{model_input['quarantine_percent']:g} %"
        if model_input.get("quarantine_start_date"):
            quarantine += f" from {day(model_input['quarantine_start_date'])}"
    return [("Shelter at home", shelter), ("Social distancing", distancing), ("Quarantine", quarantine)]


def _share(model_input: dict[str, Any], key: str) -> str:
    return f"{float(model_input.get(key) or 0) * 100:g} %"


@register.inclusion_tag("covid/parts/field.html")
def field(bound: BoundField, unit: str = "") -> dict[str, Any]:
    """A form field with its label, help and errors tied to it."""
    return {"field": bound, "unit": unit}


@register.simple_tag(takes_context=True)
def with_query(context: template.Context, **changes: Any) -> str:
    """The page's query string with some values changed."""
    query = context["request"].GET.copy()
    for name, value in changes.items():
        query[name] = value
    return f"?{query.urlencode()}"


_ABOUT = {
    "shelter": (
        "Everyone stays at home but for what is essential, from a day on, then eased.",
        ("shelter_date", "shelter_release_start_date", "shelter_release_end_date", "lockdown_strength"),
    ),
    "social_distancing": (
        "People keep distance and avoid crowds, from the first projected day on.",
        ("social_distancing_strength", "social_distancing_end_date"),
    ),
    "quarantine": (
        "People known to be infectious are kept apart.",
        ("quarantine_percent", "quarantine_start_date"),
    ),
}


@register.inclusion_tag("covid/parts/measure.html")
def measure(form: Form, switch: str) -> dict[str, Any]:
    """A measure: its switch, what it means, its fields."""
    about, names = _ABOUT[switch]
    return {"switch": form[switch], "about": about, "fields": [form[name] for name in names]}


@register.filter
def unlocalized(value: float) -> str:
    """A number for an attribute."""
    return f"{value or 0:.4f}"


@register.filter
def sentence(run: SimulationRun, capacity: str) -> str:
    """What a run is doing, in a sentence."""
    where = compute(capacity)
    match run.status:
        case SimulationRun.QUEUED if run.attempt > 1:
            return f"Waiting for a place on {where} to resume (attempt {run.attempt})."
        case SimulationRun.QUEUED:
            return f"Waiting for a place on {where}."
        case SimulationRun.RUNNING if run.attempt > 1:
            return f"Computing on {where}, attempt {run.attempt}."
        case SimulationRun.RUNNING:
            return f"Computing on {where}."
        case SimulationRun.INTERRUPTED:
            return f"Interrupted, resuming on {where} from what was done."
        case SimulationRun.FAILED:
            return f"It ended without a result: {run.reason or 'no reason is known'}"
        case _:
            return "Done."
