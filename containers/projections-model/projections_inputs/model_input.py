"""`ModelInput`: the fields of a request, their limits and defaults."""

import datetime
import itertools
import json
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from projections_inputs import identity

LIMITS: dict[str, tuple[int, int]] = {
    "nDraws": (100, 200_000),
    "sim_length": (1, 365),
    "county": (1, 20),
    "social_distancing_strength": (0, 1),
    "lockdown_strength": (0, 1),
    "quarantine_percent": (0, 100),
}
"""Smallest and largest value of each numeric field; of ``county`` its number of names."""

FIRST_DATE, LAST_DATE = datetime.date(2019, 1, 1), datetime.date(2100, 12, 31)
NAME_CHARACTERS = 60


class InputError(ValueError):
    """Inputs that aren't allowed; the message is one line that names each field, its value and what is
    allowed."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.problems = problems
        """Field (empty: all together) and what is wrong with it."""
        super().__init__("; ".join(f"{key}: {text}" if key else text for key, text in problems))


def _no_bool(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"must be a number, got {json.dumps(value)}")
    return value


def _iso_date(value: object) -> object:
    """Only ``YYYY-MM-DD``: pydantic would also take a timestamp."""
    if value is None or (isinstance(value, datetime.date) and not isinstance(value, datetime.datetime)):
        return value
    try:
        if not isinstance(value, str) or len(value) != 10:
            raise ValueError
        return datetime.date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"must be a date like 2020-03-31 or null, got {_shown(value)}") from None


def _in_calendar(value: datetime.date | None) -> datetime.date | None:
    if value is not None and not FIRST_DATE <= value <= LAST_DATE:
        raise ValueError(f"must be a date in {FIRST_DATE}..{LAST_DATE}, got {value}")
    return value


def _name(value: object) -> object:
    good = isinstance(value, str) and value.isprintable() and 1 <= len(value.strip()) <= NAME_CHARACTERS
    if not isinstance(value, str) or not good:
        raise ValueError(f"must be a name of 1..{NAME_CHARACTERS} characters, got {_shown(value)}")
    return value.strip()


def _limited(field: str) -> Any:
    low, high = LIMITS[field]
    return Field(ge=low, le=high, allow_inf_nan=False)


Name = Annotated[str, BeforeValidator(_name)]
Day = Annotated[datetime.date | None, BeforeValidator(_iso_date)]
Number = BeforeValidator(_no_bool)


class ModelInput(BaseModel):
    """What a planner chooses. Unknown keys are refused; `InputError` names every problem at once."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_max_length=200)

    country: Literal["US"] = "US"
    state: Name
    county: list[Name]
    """Names as in the data files (``Admin2``), in order and without repetitions; their sum is projected."""
    nDraws: Annotated[int, Number, _limited("nDraws")] = 50_000
    """Simulated courses of the epidemic."""
    sim_length: Annotated[int, Number, _limited("sim_length")] = 56
    """Days to project."""
    shelter_date: Day = None
    """The lockdown begins; null: none."""
    shelter_release_start_date: Day = None
    """It begins to be eased; null: it stays."""
    shelter_release_end_date: Day = None
    """It is gone, having been eased evenly; null: at once when the easing starts."""
    social_distancing: bool = False
    social_distancing_strength: Annotated[float, Number, _limited("social_distancing_strength")] = 0.3
    """Share of contacts that distancing avoids, from the first projected day on."""
    social_distancing_end_date: Day = None
    """Last day of distancing; null: it stays."""
    lockdown_strength: Annotated[float, Number, _limited("lockdown_strength")] = 0.6
    """Share of contacts that the lockdown avoids."""
    quarantine_percent: Annotated[float, Number, _limited("quarantine_percent")] = 0.0
    """Of the infectious people, how many go into quarantine."""
    quarantine_start_date: Day = None
    """Null: from the first projected day on."""
    data_hash: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    """Commit of the data files."""

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """The inputs with defaults filled in. Raises `InputError`."""
        try:
            return super().model_validate(obj, **options)
        except ValidationError as error:
            raise InputError([_problem(item) for item in error.errors()]) from None

    @field_validator("county", mode="before")
    @classmethod
    def _counties(cls, value: object) -> object:
        low, high = LIMITS["county"]
        if not isinstance(value, (list, tuple)) or not low <= len(value) <= high:
            raise ValueError(f"must be a list of {low}..{high} names, got {_shown(value)}")
        return list(value)

    @field_validator("county")
    @classmethod
    def _in_order(cls, value: list[str]) -> list[str]:
        return sorted(set(value))

    @field_validator(
        "shelter_date",
        "shelter_release_start_date",
        "shelter_release_end_date",
        "social_distancing_end_date",
        "quarantine_start_date",
    )
    @classmethod
    def _dates(cls, value: datetime.date | None) -> datetime.date | None:
        return _in_calendar(value)

    @field_validator("social_distancing_strength", "lockdown_strength", "quarantine_percent")
    @classmethod
    def _no_negative_zero(cls, value: float) -> float:
        return value + 0.0

    @model_validator(mode="after")
    def _shelter_in_order(self) -> Self:
        names = ("shelter_date", "shelter_release_start_date", "shelter_release_end_date")
        for earlier, later in itertools.pairwise(names):
            first, second = getattr(self, earlier), getattr(self, later)
            if second is not None and first is None:
                raise ValueError(f"{later}: needs {earlier} too, got {second} without it")
            if second is not None and second < first:
                raise ValueError(f"{later}: must not be before {earlier} ({first}), got {second}")
        return self

    def as_dict(self) -> dict[str, Any]:
        """JSON values of all fields, defaults included; `model_validate` takes them back unchanged."""
        return self.model_dump(mode="json")

    def canonical(self) -> str:
        """The one text of these inputs: sorted keys, no spaces."""
        return json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))

    def input_hash(self, replicate: int = 0) -> str:
        return identity.input_hash(self.canonical(), replicate)

    def run_id(self, replicate: int = 0) -> str:
        return identity.run_id(self.canonical(), replicate)

    def seed(self) -> int:
        return identity.seed(self.canonical())


DEFAULT_INPUTS: dict[str, Any] = {
    name: field.default for name, field in ModelInput.model_fields.items() if not field.is_required()
}
"""Field to default; ``state``, ``county`` and ``data_hash`` have none."""


def _problem(item: Any) -> tuple[str, str]:
    """One of pydantic's errors in our words: key and what is wrong."""
    key = ".".join(part if part in ModelInput.model_fields else _shown(part) for part in item["loc"])
    kind, value, context = item["type"], item["input"], item.get("ctx") or {}
    field = str(item["loc"][0]) if item["loc"] else ""
    if kind == "value_error":
        return key, str(context["error"])
    if kind == "extra_forbidden":
        return key, f"unknown field, allowed are {', '.join(ModelInput.model_fields)}"
    if kind == "missing":
        return key, "is missing"
    if field in LIMITS:
        low, high = LIMITS[field]
        what = "a whole number" if ModelInput.model_fields[field].annotation is int else "a number"
        return key, f"must be {what} {low}..{high}, got {_shown(value)}"
    allowed = {
        "country": '"US"',
        "social_distancing": "true or false",
        "data_hash": "a commit id of 40 characters 0-9a-f",
    }.get(field)
    if allowed is not None:
        return key, f"must be {allowed}, got {_shown(value)}"
    return key or "model_input", f"{item['msg']}, got {_shown(value)}"


def _shown(value: object) -> str:
    """``value`` on one line, at most 60 characters."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = repr(value)
    text = "".join(character if character.isprintable() else "?" for character in text)
    return text if len(text) <= 60 else f"{text[:57]}..."
