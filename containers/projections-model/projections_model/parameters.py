"""What is uncertain about the disease: one value of each parameter for each draw.

Ranges are uniform (independent of each other) and wide: sources differ more than their own intervals say.

latent period, 3.0-4.4 days
    3.69 (3.30-3.96): Li R. et al. 2020, Science 368:489
infectious period, 2.8-4.2 days
    3.47 (3.15-3.73): Li R. et al. 2020
from infectious to confirmed, 4-8 days
    onset to confirmation 4-7: Bi et al. 2020, Lancet Infect. Dis. 20:911; infectious some 2 days before
    onset: He et al. 2020, Nature Medicine 26:672
share of infections confirmed, 0.20-0.45
    1 in 4.0: CDC, burden estimates to September 2021; 1 in 2.3: Irons and Raftery 2021, PNAS 118:e2103272118
share of infections in hospital, 0.017-0.048
    2.9 % (1.7-4.8): Salje et al. 2020, Science 369:208
from the end of infectiousness to hospital, 3-6 days
    onset to admission 5-7: Wang D. et al. 2020, JAMA 323:1061
of those in hospital, in ICU, 0.15-0.25
    19 %: Salje et al. 2020
stay in a ward, 4-9 days, and in ICU, 5-11 days
    medians 5 (3-9) and 7 (4-11) outside China: Rees et al. 2020, BMC Medicine 18:270
deaths among a ward's patients, 0.04-0.10, and among ICU's, 0.30-0.45
    36 % (30-41) in ICU: Armstrong et al. 2021, Anaesthesia 76:537; together 8-19 % of patients: 18 % in Salje
    et al.
basic reproduction number, 2.2-4.0
    2.5-3.3: Park et al. 2020, J. Clin. Med. 9:967; higher for later variants
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Array = NDArray[np.float64]

RANGES: dict[str, tuple[float, float]] = {
    "latent_days": (3.0, 4.4),
    "infectious_days": (2.8, 4.2),
    "confirmed_days": (4.0, 8.0),
    "confirmed_share": (0.20, 0.45),
    "hospital_share": (0.017, 0.048),
    "to_hospital_days": (3.0, 6.0),
    "icu_share": (0.15, 0.25),
    "ward_days": (4.0, 9.0),
    "icu_days": (5.0, 11.0),
    "ward_deaths": (0.04, 0.10),
    "icu_deaths": (0.30, 0.45),
    "basic_reproduction": (2.2, 4.0),
}


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """One value a draw; ``leave_*`` are the probabilities to leave a stage within a day, 1 - exp(-1 /
    days)."""

    confirmed_days: Array
    confirmed_share: Array
    hospital_share: Array
    icu_share: Array
    ward_deaths: Array
    icu_deaths: Array
    basic_reproduction: Array
    leave_latent: Array
    leave_infectious: Array
    leave_unconfirmed: Array
    leave_waiting: Array
    leave_ward: Array
    leave_icu: Array


def sample(random: Generator, count: int) -> Parameters:
    """Parameters of ``count`` draws. The order of `RANGES` is part of the result."""
    drawn = {name: low + (high - low) * random.random(count) for name, (low, high) in RANGES.items()}
    stages = {
        "leave_latent": "latent_days",
        "leave_infectious": "infectious_days",
        "leave_unconfirmed": "confirmed_days",
        "leave_waiting": "to_hospital_days",
        "leave_ward": "ward_days",
        "leave_icu": "icu_days",
    }
    leave = {name: -np.expm1(-1 / drawn[days]) for name, days in stages.items()}
    kept = {field.name: drawn[field.name] for field in fields(Parameters) if field.name in drawn}
    return Parameters(**kept, **leave)
