"""Who asks: users in their groups, and operators with a token of their own instead of an account."""

from typing import Any

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from covid.models import SimulationRun

GROUPS = {
    "Fargate": SimulationRun.FARGATE,
    "Fargate Spot": SimulationRun.FARGATE_SPOT,
    "Onboard": SimulationRun.ONBOARD,
}
"""Group of users -> where their runs are computed. Who is in several gets the first of this order."""

DEFAULT_COMPUTE = SimulationRun.FARGATE


class Operator:
    """Whoever holds an operators' token (``python -m ops``): no row in the database, may act on every run."""

    pk = None
    username = "operator"
    is_authenticated = True
    is_anonymous = False
    is_active = True
    is_staff = False
    is_superuser = False

    def get_username(self) -> str:
        return self.username

    def __str__(self) -> str:
        return self.username


Person = AbstractBaseUser | AnonymousUser | Operator


def is_operator(person: Any) -> bool:
    """Operators by token, and the site's staff: they may choose the compute and act on all runs."""
    return isinstance(person, Operator) or bool(getattr(person, "is_staff", False))


def name_of(person: Any) -> str:
    return str(person.get_username()) if person is not None else "operator"


def row_of(person: Any) -> Any:
    """The user in the database, None for an operator's token."""
    return None if person is None or isinstance(person, Operator) else person


def compute_of(person: Any) -> str:
    """Where this person's runs are computed; asked once, when a run is made."""
    user = row_of(person)
    if user is None:
        return DEFAULT_COMPUTE
    names = set(user.groups.values_list("name", flat=True))
    return next((compute for group, compute in GROUPS.items() if group in names), DEFAULT_COMPUTE)
