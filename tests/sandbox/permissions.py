"""The permissions of roles, one by one, and taking one away to see what fails without it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import boto3


@dataclass
class Permission:
    """One action of one inline policy of one role."""

    role: str
    policy: str
    statement: int
    action: str


def permissions(names: list[str]) -> Iterator[Permission]:
    """What the inline policies of these roles allow, one action of one statement at a time."""
    iam = boto3.client("iam")
    for role in names:
        for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
            for number, statement in enumerate(document["Statement"]):
                actions = (
                    statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                )
                if statement["Effect"] == "Allow":
                    yield from (Permission(role, policy, number, action) for action in actions)


class Without:
    """Takes one permission away for the time of a ``with`` block."""

    def __init__(self, taken: Permission) -> None:
        self.taken, self.iam = taken, boto3.client("iam")

    def __enter__(self) -> None:
        read = self.iam.get_role_policy(RoleName=self.taken.role, PolicyName=self.taken.policy)
        self.whole = json.dumps(read["PolicyDocument"])
        document = json.loads(self.whole)
        statement = document["Statement"][self.taken.statement]
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        left = [action for action in actions if action != self.taken.action]
        statement["Action"] = left or ["s3:ListAllMyBuckets"]  # a statement must name some action
        self._put(json.dumps(document))

    def __exit__(self, *_: object) -> None:
        self._put(self.whole)

    def _put(self, document: str) -> None:
        self.iam.put_role_policy(
            RoleName=self.taken.role, PolicyName=self.taken.policy, PolicyDocument=document
        )


def roles_of(*words: str) -> list[str]:
    """Names of the roles that have all these words in them."""
    return [
        role["RoleName"]
        for page in boto3.client("iam").get_paginator("list_roles").paginate()
        for role in page["Roles"]
        if all(word in role["RoleName"] for word in words)
    ]
