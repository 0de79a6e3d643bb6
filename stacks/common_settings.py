"""Settings that stacks of several systems have."""

from pydantic import Field, ValidationInfo

from components.parts.common import LOG_DAYS
from stacks.settings import Settings

EMAIL = r"^[^@\s]+@[^@\s]+\.[^@\s]+$"
LOG_DAYS_RULE = f"one of {', '.join(map(str, LOG_DAYS))} (days)"


class Tags(Settings):
    """Tags of every resource, by which costs are told apart."""

    project: str = Field("benchtop", min_length=1, description="text")
    owner: str = Field("unknown", min_length=1, description="text")
    cost_centre: str = Field("none", min_length=1, alias="cost-centre", description="text")

    def for_resources(self, stack: str) -> dict[str, str]:
        return {"project": self.project, "owner": self.owner, "cost-centre": self.cost_centre, "stack": stack}


def known_retention(value: int) -> int:
    """A validator: only the retentions that CloudWatch Logs has."""
    if value not in LOG_DAYS:
        raise ValueError("not a retention of CloudWatch Logs")
    return value


def stack_of(info: ValidationInfo) -> str:
    """Name of the stack whose settings are checked."""
    return str((info.context or {})["stack"])
