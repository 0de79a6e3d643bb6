"""``ops projections user``: people who use the site."""

from enum import StrEnum
from typing import Annotated

import typer

from ops.projections.target import Target, command

app = typer.Typer(no_args_is_help=True, help="Who may use the site.")


class Group(StrEnum):
    """The groups that decide where a user's runs are computed."""

    FARGATE = "Fargate"
    SPOT = "Fargate Spot"
    ONBOARD = "Onboard"


def add(
    target: Target,
    name: Annotated[str, typer.Argument(help="User name.", metavar="NAME")],
    group: Annotated[
        Group, typer.Option("--group", help="Where the user's runs are computed.")
    ] = Group.FARGATE,
) -> None:
    """Make a user, or move one to another group; prints a link, good once, for setting the password."""
    answer = target.site.document("POST", "/covid/api/users/", json={"username": name, "group": group.value})
    target.out.result(answer)
    target.out.say(f"{name}, group {answer['group']}")
    target.out.say(str(answer["link"]))


command(app, "add")(add)
