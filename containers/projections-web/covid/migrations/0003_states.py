"""The states, and for some of them the measures their form begins with.

Dates are those of the statewide stay-at-home orders of spring 2020 and of the beginning of their easing, as
far as we know them: only where the form begins, and changed in the admin site.
"""

from datetime import date
from typing import Any

from django.db import migrations

CODES = {
    "AL": "Alabama", "AK": "Alaska", "AZ": "Arizona", "AR": "Arkansas", "CA": "California",
    "CO": "Colorado", "CT": "Connecticut", "DE": "Delaware", "DC": "District of Columbia", "FL": "Florida",
    "GA": "Georgia", "HI": "Hawaii", "ID": "Idaho", "IL": "Illinois", "IN": "Indiana", "IA": "Iowa",
    "KS": "Kansas", "KY": "Kentucky", "LA": "Louisiana", "ME": "Maine", "MD": "Maryland",
    "MA": "Massachusetts", "MI": "Michigan", "MN": "Minnesota", "MS": "Mississippi", "MO": "Missouri",
    "MT": "Montana", "NE": "Nebraska", "NV": "Nevada", "NH": "New Hampshire", "NJ": "New Jersey",
    "NM": "New Mexico", "NY": "New York", "NC": "North Carolina", "ND": "North Dakota", "OH": "Ohio",
    "OK": "Oklahoma", "OR": "Oregon", "PA": "Pennsylvania", "PR": "Puerto Rico", "RI": "Rhode Island",
    "SC": "South Carolina", "SD": "South Dakota", "TN": "Tennessee", "TX": "Texas", "UT": "Utah",
    "VT": "Vermont", "VA": "Virginia", "WA": "Washington", "WV": "West Virginia", "WI": "Wisconsin",
    "WY": "Wyoming",
}  # fmt: skip

# State: counties its form begins with (none: the most populous), shelter from, easing from.
MEASURES: dict[str, tuple[tuple[str, ...], tuple[int, int], tuple[int, int] | None]] = {
    "CA": (("Los Angeles", "San Diego", "Orange"), (3, 19), None),
    "CT": (("Fairfield", "Hartford", "New Haven"), (3, 23), (5, 20)),
    "FL": (("Miami-Dade", "Broward", "Hillsborough"), (4, 3), (5, 4)),
    "IL": (("Cook",), (3, 21), (5, 30)),
    "LA": (("Orleans", "Jefferson"), (3, 23), (5, 15)),
    "MA": (("Middlesex", "Suffolk", "Worcester"), (3, 24), (5, 18)),
    "ME": (("Cumberland", "York"), (4, 2), (5, 31)),
    "MI": (("Wayne", "Oakland"), (3, 24), (6, 1)),
    "NH": (("Hillsborough", "Rockingham"), (3, 27), (6, 15)),
    "NJ": (("Bergen", "Essex", "Hudson"), (3, 21), (6, 9)),
    "NY": (("Kings", "Queens", "New York"), (3, 22), (5, 15)),
    "RI": (("Providence",), (3, 28), (5, 9)),
    "VT": (("Chittenden",), (3, 25), (5, 15)),
    "WA": (("King",), (3, 23), (5, 31)),
}


def make(apps: Any, schema_editor: Any) -> None:
    states = apps.get_model("covid", "State")
    for code, name in CODES.items():
        defaults: dict[str, Any] = {"name": name}
        if code in MEASURES:
            counties, shelter, release = MEASURES[code]
            defaults |= {"default_counties": list(counties), "shelter_date": date(2020, *shelter)}
            if release is not None:
                defaults["shelter_release_start_date"] = date(2020, *release)
        states.objects.get_or_create(code=code, defaults=defaults)


class Migration(migrations.Migration):
    dependencies = (("covid", "0002_groups"),)
    operations = (migrations.RunPython(make, migrations.RunPython.noop),)
