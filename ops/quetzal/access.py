"""``ops quetzal access`` and ``token``: who may use a model.

Access is membership of one of the model's Cognito groups (the stack's output ``groups``); the group
decides which bucket and which API a user reaches. A password is read from standard input only.
"""

import re
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from botocore.exceptions import ClientError

from ops.common.errors import OpsError, error_code, invalid, not_found, refused, usage
from ops.quetzal.target import Target, command

app = typer.Typer(no_args_is_help=True, help="Users of the model.")

EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]+\.[^@\s.]{2,}")

Email = Annotated[str, typer.Argument(help="The user's e-mail address.", metavar="EMAIL")]
Group = Annotated[str | None, typer.Option("--group", help="One of the model's groups.", metavar="GROUP")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read a permanent password from standard input.")
]


def checked_email(text: str) -> str:
    """The address in lower case, as the pool keeps it; raises USAGE when it isn't one."""
    address = text.strip().lower()
    if len(address) > 128 or not EMAIL.fullmatch(address):
        raise usage(f"{text!r} is not an e-mail address")
    return address


def groups_for(groups: Sequence[str], wanted: str | None, model: str, need_one: bool) -> list[str]:
    """The groups a command works on: the one named, or all; ``need_one`` refuses to guess among several."""
    if not groups:
        raise invalid(f"model {model} has no group: add one under `groups` of the model's settings")
    if wanted is not None:
        if wanted not in groups:
            raise not_found(f"model {model} has no group {wanted!r}; it has: {', '.join(groups)}")
        return [wanted]
    if need_one and len(groups) > 1:
        if model in groups:  # each model has a group of its own, named like it; others it shares
            return [model]
        raise usage(f"model {model} has several groups: name one with --group ({', '.join(groups)})")
    return list(groups)


def read_password() -> str:
    """One line from standard input, without its end of line; asked without echo on a terminal."""
    if sys.stdin.isatty():
        return str(typer.prompt("Password", hide_input=True, err=True))
    text = sys.stdin.readline().rstrip("\r\n")
    if not text:
        raise usage("--password-stdin: nothing on standard input")
    return text


def find_user(target: Target, email: str) -> dict[str, Any] | None:
    """The pool's user with that address, ``None`` when there is none."""
    try:
        found: dict[str, Any] = target.client("cognito-idp").admin_get_user(
            UserPoolId=target.output("user_pool_id"), Username=email
        )
    except ClientError as error:
        if error_code(error) == "UserNotFoundException":
            return None
        raise
    return found


@command(app, "grant")
def grant(target: Target, email: Email, group: Group = None, password_stdin: PasswordStdin = False) -> None:
    """Let somebody use the model; a user who isn't known yet is made and invited by e-mail."""
    address = checked_email(email)
    [chosen] = groups_for(target.model.groups, group, target.model.name, need_one=True)
    password = read_password() if password_stdin else None
    idp, pool = target.client("cognito-idp"), target.output("user_pool_id")
    created = find_user(target, address) is None
    if created:
        invitation: dict[str, Any] = (
            {"MessageAction": "SUPPRESS"} if password else {"DesiredDeliveryMediums": ["EMAIL"]}
        )
        idp.admin_create_user(
            UserPoolId=pool, Username=address,
            UserAttributes=[{"Name": "email", "Value": address}, {"Name": "email_verified", "Value": "true"}],
            **invitation,
        )  # fmt: skip
    if password is not None:
        _set_password(target, address, password, created)
    idp.admin_add_user_to_group(UserPoolId=pool, Username=address, GroupName=chosen)
    target.out.result(
        {
            "model": target.model.name, "email": address, "group": chosen, "created": created,
            "invited": created and password is None, "password_set": password is not None,
        }
    )  # fmt: skip
    how = (
        "made and invited by e-mail"
        if created and password is None
        else "made"
        if created
        else "known already"
    )
    target.out.say(f"{address} ({how}) may use {target.model.name} through group {chosen}")


def _set_password(target: Target, address: str, password: str, created: bool) -> None:
    idp, pool = target.client("cognito-idp"), target.output("user_pool_id")
    try:
        idp.admin_set_user_password(UserPoolId=pool, Username=address, Password=password, Permanent=True)
    except ClientError as error:
        if created:  # nobody was invited, so a user without password would be of no use
            idp.admin_delete_user(UserPoolId=pool, Username=address)
        if error_code(error) in {"InvalidPasswordException", "InvalidParameterException"}:
            raise invalid(
                f"the pool refuses this password: {error.response['Error'].get('Message', '')}"
            ) from error
        raise


@command(app, "revoke")
def revoke(
    target: Target,
    email: Email,
    group: Group = None,
    delete_user: Annotated[
        bool, typer.Option("--delete-user", help="Delete the user from the pool: access to every model ends.")
    ] = False,
) -> None:
    """Take access to the model away; tokens given out end with their lifetime (an hour by default)."""
    address = checked_email(email)
    idp, pool = target.client("cognito-idp"), target.output("user_pool_id")
    if find_user(target, address) is None:
        raise not_found(f"the user pool of stack {target.stack} has no user {address}")
    wanted = groups_for(target.model.groups, group, target.model.name, need_one=False)
    pages = idp.get_paginator("admin_list_groups_for_user").paginate(UserPoolId=pool, Username=address)
    member = {item["GroupName"] for page in pages for item in page["Groups"]}
    left = [name for name in wanted if name in member]
    if not left and not delete_user:
        raise not_found(
            f"{address} has no access to {target.model.name} (groups: {', '.join(sorted(member)) or 'none'})"
        )
    for name in left:
        idp.admin_remove_user_from_group(UserPoolId=pool, Username=address, GroupName=name)
    # Refresh tokens carry the old groups on; without them the user signs in again, with the new ones.
    idp.admin_user_global_sign_out(UserPoolId=pool, Username=address)
    if delete_user:
        idp.admin_delete_user(UserPoolId=pool, Username=address)
    target.out.result(
        {"model": target.model.name, "email": address, "removed_from": left, "user_deleted": delete_user}
    )
    target.out.say(
        f"{address} is deleted"
        if delete_user
        else f"{address} has left {', '.join(left)} ({target.model.name})"
    )


@command(app, "list")
def list_(target: Target) -> None:
    """List who may use the model."""
    idp, pool = target.client("cognito-idp"), target.output("user_pool_id")
    users: dict[str, dict[str, Any]] = {}
    for group in groups_for(target.model.groups, None, target.model.name, need_one=False):
        for page in idp.get_paginator("list_users_in_group").paginate(UserPoolId=pool, GroupName=group):
            for item in page["Users"]:
                attributes = {entry["Name"]: entry["Value"] for entry in item.get("Attributes", [])}
                row = users.setdefault(
                    item["Username"],
                    {
                        "email": attributes.get("email", item["Username"]), "groups": [],
                        "status": item.get("UserStatus"), "enabled": item.get("Enabled", True),
                        "created": item.get("UserCreateDate"),
                    },
                )  # fmt: skip
                row["groups"].append(group)
    rows = sorted(users.values(), key=lambda row: str(row["email"]))
    target.out.result({"model": target.model.name, "groups": list(target.model.groups), "users": rows})
    if not rows:
        target.out.say(f"nobody yet: `{target.again('access grant EMAIL')}`")
        return
    target.out.table(
        ("E-MAIL", "GROUPS", "STATUS", "ENABLED", "SINCE"),
        [
            (r["email"], ", ".join(r["groups"]), r["status"], "yes" if r["enabled"] else "no", r["created"])
            for r in rows
        ],
    )


def sign_in(target: Target, email: str, password: str) -> str:
    """The ID token of a user, which the model's HTTP API takes as bearer token."""
    try:
        answer = target.client("cognito-idp").initiate_auth(
            ClientId=target.output("user_pool_client_id"), AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": email, "PASSWORD": password},
        )  # fmt: skip
    except ClientError as error:
        if error_code(error) in {
            "NotAuthorizedException",
            "UserNotFoundException",
            "UserNotConfirmedException",
        }:
            raise refused(f"{email} can't sign in: {error.response['Error'].get('Message', '')}") from error
        raise
    if "AuthenticationResult" not in answer:
        raise _challenge(email, str(answer.get("ChallengeName")))
    return str(answer["AuthenticationResult"]["IdToken"])


def _challenge(email: str, name: str) -> OpsError:
    if name == "NEW_PASSWORD_REQUIRED":
        return refused(
            f"{email} must first choose a password: follow the invitation, or `access grant --password-stdin`"
        )
    return refused(f"{email} must answer the challenge {name}, which only a browser can")


def token(target: Target, email: Email) -> None:
    """Print a user's ID token for the HTTP API; the password is read from standard input.

    curl -H "Authorization: Bearer $(... token EMAIL < password-file)" API_URL/runs
    """
    address = checked_email(email)
    found = sign_in(target, address, read_password())
    target.out.result({"email": address, "id_token": found, "api_url": target.model.api_url})
    target.out.say(found)
