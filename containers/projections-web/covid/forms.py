"""The planner's form: a state's counties, measures and simulation, in the words and units of planners.

Its fields are those of `projections_inputs.ModelInput`, but strengths are percents here, and each measure has
a switch. A measure that is switched off sends the model's defaults whatever its other fields hold, so that
two planners who mean the same ask for the same run.
"""

from datetime import date, timedelta
from typing import Any

from django import forms
from django.contrib.auth import password_validation
from projections_inputs import DEFAULT_INPUTS, LIMITS, InputError, ModelInput

from covid.models import County, HashValue, SimulationRun, State

BY_POPULATION = 1
"""How many counties the form begins with where the state names none."""
_ANY_HASH = "0" * 40
_NEEDS = {
    "shelter": (
        "shelter_date",
        "shelter_release_start_date",
        "shelter_release_end_date",
        "lockdown_strength",
    ),
    "social_distancing": ("social_distancing_strength", "social_distancing_end_date"),
    "quarantine": ("quarantine_percent", "quarantine_start_date"),
}
"""Switch to the fields that count only when it is on."""
_WORDS = {"min_value": "At least %(limit_value)s.", "max_value": "At most %(limit_value)s."}
_SHARES = ("social_distancing_strength", "lockdown_strength")


def _day(label: str, help_text: str = "") -> forms.DateField:
    widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    return forms.DateField(
        label=label, help_text=help_text, required=False, widget=widget, input_formats=["%Y-%m-%d"]
    )


def _percent(label: str, help_text: str) -> forms.IntegerField:
    widget = forms.NumberInput(attrs={"step": 1, "inputmode": "numeric", "data-percent": ""})
    return forms.IntegerField(
        label=label,
        help_text=help_text,
        min_value=0,
        max_value=100,
        required=False,
        widget=widget,
        error_messages=_WORDS,
    )


def _number(field: str, label: str, help_text: str) -> forms.IntegerField:
    low, high = LIMITS[field]
    return forms.IntegerField(
        label=label, help_text=help_text, min_value=low, max_value=high, error_messages=_WORDS
    )


class ProjectionForm(forms.Form):
    """What to project for counties of one state; ``inputs`` is the model input without its data."""

    county = forms.MultipleChoiceField(
        label="Counties",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one county."},
    )
    shelter = forms.BooleanField(label="Shelter at home", required=False)
    shelter_date = _day("From")
    shelter_release_start_date = _day("Easing begins", "Empty: it stays in force.")
    shelter_release_end_date = _day("Fully lifted", "Empty: lifted at once when easing begins.")
    lockdown_strength = _percent("Lockdown strength", "Contacts avoided while everyone shelters.")
    social_distancing = forms.BooleanField(label="Social distancing", required=False)
    social_distancing_strength = _percent("Strength", "Contacts avoided by keeping distance.")
    social_distancing_end_date = _day("Last day", "Empty: it stays in force.")
    quarantine = forms.BooleanField(label="Quarantine", required=False)
    quarantine_percent = _percent("Infectious people in quarantine", "Of all who are infectious.")
    quarantine_start_date = _day("From", "Empty: from the first projected day.")
    sim_length = _number("sim_length", "Days to project", "Eight weeks is 56.")
    nDraws = _number("nDraws", "Simulated courses", "More give smoother bands and take longer.")

    def __init__(self, *args: Any, state: State, newest: HashValue | None = None, **options: Any) -> None:
        options.setdefault("label_suffix", "")
        super().__init__(*args, **options)
        self.state = state
        counties = list(County.objects.filter(state=state))
        self.fields["county"].choices = [(county.name, county.name) for county in counties]
        if not self.is_bound:
            self.initial = {**beginning(state, counties, newest), **self.initial}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if len(cleaned.get("county", ())) > LIMITS["county"][1]:
            self.add_error(
                "county", f"Choose at most {LIMITS['county'][1]} counties: their sum is projected."
            )
        for switch, fields in _NEEDS.items():
            if cleaned.get(switch):
                continue
            for name in fields:  # what is switched off can't be wrong either
                self._errors.pop(name, None)
                cleaned[name] = None
        if cleaned.get("shelter"):
            self._clean_shelter(cleaned)
        if not self._errors:
            try:
                ModelInput.model_validate({**self.inputs(), "data_hash": _ANY_HASH})
            except InputError as error:
                for key, text in error.problems:
                    self.add_error(key if key in self.fields else None, f"{key}: {text}" if key else text)
        return cleaned

    def _clean_shelter(self, cleaned: dict[str, Any]) -> None:
        days = _NEEDS["shelter"][:3]
        if any(name in self._errors for name in days):
            return
        begins, eased, lifted = (cleaned.get(name) for name in days)
        if begins is None:
            self.add_error("shelter_date", "Say from when people shelter, or switch this measure off.")
        elif eased is not None and eased < begins:
            self.add_error("shelter_release_start_date", "Easing can't begin before the shelter does.")
        if lifted is not None and eased is None:
            self.add_error("shelter_release_start_date", "Say when easing begins, as it is to be lifted.")
        elif lifted is not None and eased is not None and lifted < eased:
            self.add_error("shelter_release_end_date", "It can't be fully lifted before easing begins.")

    def inputs(self) -> dict[str, Any]:
        """The model input as JSON values, without ``data_hash``, defaults filled in."""
        given: dict[str, Any] = {**DEFAULT_INPUTS, "state": self.state.name}
        given["county"] = sorted(self.cleaned_data["county"])
        for name in ("sim_length", "nDraws", "social_distancing"):
            given[name] = self.cleaned_data[name]
        for name in (name for fields in _NEEDS.values() for name in fields):
            value = self.cleaned_data.get(name)
            if value is None:
                continue
            if name in _SHARES:
                value = value / 100
            given[name] = value.isoformat() if isinstance(value, date) else value
        if not given["quarantine_percent"]:
            given["quarantine_start_date"] = None
        return given


def beginning(state: State, counties: list[County], newest: HashValue | None) -> dict[str, Any]:
    """What the form of a state begins with: its own measures, else the model's defaults."""
    largest = sorted(counties, key=lambda county: -county.population)[:BY_POPULATION]
    names = {county.name for county in counties}
    own = {key: value for key, value in state.measures().items() if value is not None}
    defaults = {**DEFAULT_INPUTS, **own}
    tomorrow = newest.last_day + timedelta(days=1) if newest else None
    return {
        **defaults,
        **{name: round(defaults[name] * 100) for name in _SHARES},
        "county": [name for name in state.default_counties if name in names] or [c.name for c in largest],
        "shelter": defaults["shelter_date"] is not None,
        "shelter_date": defaults["shelter_date"] or tomorrow,
        "quarantine": bool(defaults["quarantine_percent"]),
        "quarantine_percent": round(defaults["quarantine_percent"]) or 25,
    }


def from_inputs(model_input: dict[str, Any]) -> dict[str, Any]:
    """The form's values for inputs of a run, for `Change and run again`."""
    values = {key: value for key, value in {**DEFAULT_INPUTS, **model_input}.items() if key != "data_hash"}
    return {
        **values,
        **{name: round(values[name] * 100) for name in _SHARES},
        "shelter": values["shelter_date"] is not None,
        "quarantine": bool(values["quarantine_percent"]),
        "quarantine_percent": round(values["quarantine_percent"]) or 25,
    }


class RunFilter(forms.Form):
    """Which runs the list shows."""

    search = forms.CharField(
        label="County", required=False, max_length=64, widget=forms.TextInput(attrs={"type": "search"})
    )
    status = forms.ChoiceField(label="Status", required=False)
    state = forms.ChoiceField(label="State", required=False)

    def __init__(self, *args: Any, states: list[str], **options: Any) -> None:
        options.setdefault("label_suffix", "")
        super().__init__(*args, **options)
        self.fields["status"].choices = [("", "All"), *SimulationRun.STATUSES]
        self.fields["state"].choices = [("", "All"), *((name, name) for name in states)]


def password_rules() -> list[str]:
    """What a password must be, in words."""
    return password_validation.password_validators_help_texts()
