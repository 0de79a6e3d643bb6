"""What AWS refuses and botocore's model doesn't say, and when two JSON documents mean the same."""

import ipaddress
import json
import re
from collections.abc import Callable
from typing import Any

from sandbox.providers.aws import containers

BUCKET = (
    "3 to 63 characters: lower-case letters, digits, dots and hyphens, with a letter or digit at both ends"
)

LOG_RETENTION_DAYS = tuple(
    int(days)
    for days in (
        [
            "0",
            "1",
            "3",
            "5",
            "7",
            "14",
            "30",
            "60",
            "90",
            "120",
            "150",
            "180",
            "365",
            "400",
            "545",
            "731",
            "1096",
            "1827",
            "2192",
            "2557",
            "2922",
            "3288",
            "3653",
        ]
    )
)
"""0 keeps for ever."""


def bucket_name(name: str) -> str | None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"""
    if (
        not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name)
        or ".." in name
        or ".-" in name
        or "-." in name
    ):
        return f"{name!r} is no bucket name; a bucket name has {BUCKET}"
    if _is_address(name):
        return f"{name!r} is no bucket name: it looks like an IP address"
    if name.startswith(("xn--", "sthree-", "amzn-s3-demo-")) or name.endswith(
        ("-s3alias", "--ol-s3", ".mrap")
    ):
        return f"{name!r} is no bucket name: this prefix or suffix is reserved by S3"
    return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True


def matches(pattern: str, words: str) -> Callable[[str], str | None]:
    """A rule that says in ``words`` what is allowed."""
    compiled = re.compile(pattern)
    return lambda value: None if compiled.fullmatch(value) else f"must have {words}, not {value!r}"


def arn(service: str) -> Callable[[str], str | None]:
    """A rule: an ARN of a service, such as ``iam``."""

    def rule(value: str) -> str | None:
        parts = value.split(":", 5)
        if len(parts) == 6 and parts[0] == "arn" and parts[2] == service and parts[5]:
            return None
        return f"must be an ARN of {service} (arn:aws:{service}:...), not {value!r}"

    return rule


def document_problem(kind: str, document: Any) -> str | None:
    """What is wrong with a parsed JSON document of a kind: ``policy``, ``trust``, ``states``, ``containers``
    or ``any``.
    """
    if kind in ("policy", "trust"):
        return _policy_problem(document, kind)
    if kind == "states":
        return _states_problem(document)
    if kind == "containers":
        return containers.problem(document)
    if kind == "lifecycle":
        rules = document.get("rules") if isinstance(document, dict) else None
        return (
            None if isinstance(rules, list) and rules else "must be an object with a non-empty list 'rules'"
        )
    return None


def _policy_problem(document: Any, kind: str) -> str | None:
    if not isinstance(document, dict):
        return "must be a policy document: an object with Version and Statement"
    if document.get("Version") not in (None, "2012-10-17", "2008-10-17"):
        return f"Version must be 2012-10-17 or 2008-10-17, not {document['Version']!r}"
    unknown = sorted(set(document) - {"Version", "Id", "Statement"})
    if unknown:
        return f"has {unknown[0]!r}, which no policy document has; allowed: Version, Id, Statement"
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        return "must have a Statement (an object or a non-empty list)"
    for i, statement in enumerate(statements):
        problem = _statement_problem(statement, kind)
        if problem:
            return f"Statement[{i}] {problem}"
    return None


_STATEMENT = {
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
}


def _statement_problem(statement: Any, kind: str) -> str | None:
    if not isinstance(statement, dict):
        return "must be an object"
    unknown = sorted(set(statement) - _STATEMENT)
    if unknown:
        return f"has {unknown[0]!r}; allowed: {', '.join(sorted(_STATEMENT))}"
    if statement.get("Effect") not in ("Allow", "Deny"):
        return f"Effect must be Allow or Deny, not {statement.get('Effect')!r}"
    if "Action" not in statement and "NotAction" not in statement:
        return "must have Action or NotAction"
    if kind == "trust":
        if "Resource" in statement or "NotResource" in statement:
            return "must not have Resource: a trust policy is about its own role"
        return None if "Principal" in statement or "NotPrincipal" in statement else "must have a Principal"
    return None


def identity_policy(value: Any) -> str | None:
    """A policy of a user or role: every statement names resources, none a principal."""
    statements = (json.loads(value) if isinstance(value, str) else value).get("Statement", [])
    for i, statement in enumerate([statements] if isinstance(statements, dict) else statements):
        if "Resource" not in statement and "NotResource" not in statement:
            return f"Statement[{i}] must have Resource or NotResource"
        if "Principal" in statement or "NotPrincipal" in statement:
            return f"Statement[{i}] must not have Principal: the policy belongs to its role"
    return None


def resource_policy(value: Any) -> str | None:
    """A policy of a bucket, queue or topic: every statement names a principal."""
    statements = (json.loads(value) if isinstance(value, str) else value).get("Statement", [])
    for i, statement in enumerate([statements] if isinstance(statements, dict) else statements):
        if "Principal" not in statement and "NotPrincipal" not in statement:
            return f"Statement[{i}] must have a Principal"
    return None


def _states_problem(document: Any, where: str = "") -> str | None:
    """Amazon States Language, as far as CreateStateMachine's own validation is easy to know beforehand."""
    if not isinstance(document, dict):
        return "must be a state machine: an object with StartAt and States"
    states = document.get("States")
    if not isinstance(states, dict) or not states:
        return f"{where}States must be an object with at least one state"
    if document.get("StartAt") not in states:
        return f"{where}StartAt must name one of its states, not {document.get('StartAt')!r}"
    types = {"Task", "Pass", "Choice", "Wait", "Succeed", "Fail", "Parallel", "Map"}
    for name, state in states.items():
        if not isinstance(state, dict) or state.get("Type") not in types:
            return f"{where}state {name!r} must have a Type of {', '.join(sorted(types))}"
        kind = state["Type"]
        for target in _targets(state):
            if target not in states:
                return f"{where}state {name!r} leads to {target!r}, which doesn't exist"
        if kind == "Task" and not isinstance(state.get("Resource"), str):
            return f"{where}state {name!r} must have a Resource"
        if kind not in ("Choice", "Succeed", "Fail") and not (state.get("Next") or state.get("End") is True):
            return f"{where}state {name!r} must have Next or End"
        inner = state.get("Branches", []) if kind == "Parallel" else []
        if kind == "Map":
            inner = [state.get("ItemProcessor") or state.get("Iterator")]
        for branch in inner:
            problem = _states_problem(branch, f"{where}in {name!r}: ")
            if problem:
                return problem
    return None


def _targets(state: dict[str, Any]) -> list[Any]:
    found = [state[key] for key in ("Next", "Default") if key in state]
    for key in ("Choices", "Catch"):
        found += [item["Next"] for item in state.get(key, []) if isinstance(item, dict) and "Next" in item]
    return found


_AS_LISTS = {"Action", "NotAction", "Resource", "NotResource"}


def meaning(kind: str, value: Any) -> Any:
    """A document in a form in which equal meaning is equality. Not JSON: the value itself."""
    document = value
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            document = json.loads(value)
        except ValueError:
            return value
    if kind in ("policy", "trust") and isinstance(document, dict):
        return _policy_meaning(document)
    if kind == "containers":
        return containers.meaning(document)
    return document


def _policy_meaning(document: dict[str, Any]) -> dict[str, Any]:
    statements = document.get("Statement", [])
    if isinstance(statements, dict):
        statements = [statements]
    normal = []
    for statement in statements:
        item: dict[str, Any] = dict(statement) if isinstance(statement, dict) else {"Sid": str(statement)}
        for key in _AS_LISTS & item.keys():
            item[key] = _as_set(item[key])
        for key in ("Principal", "NotPrincipal"):
            principal = item.get(key)
            if isinstance(principal, dict):
                item[key] = {who: _as_set(names) for who, names in principal.items()}
            if principal == {"AWS": "*"}:
                item[key] = "*"
        conditions: Any = item.get("Condition")
        if isinstance(conditions, dict):
            item["Condition"] = {
                operator: {key: _as_set(wanted) for key, wanted in tests.items()}
                for operator, tests in conditions.items()
            }
        if item.get("Sid") == "":
            del item["Sid"]
        normal.append(item)
    return {**document, "Statement": normal}


def _as_set(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return sorted(str(item).lower() if isinstance(item, bool) else str(item) for item in items)
