"""Answers the engine's questions about ``random:index/randomPassword:RandomPassword``.

A password lives in the state alone: made once, there at every refresh, replaced at every change of an input.
"""

import asyncio
import json
from typing import Any

from pulumi.provider.experimental.provider import PropertyDiffKind

from sandbox.providers.random import password
from sandbox.providers.server import (
    CheckResult,
    DiffResult,
    Failure,
    LightProvider,
    Naming,
    ProviderError,
    sdk_version,
    urn_type,
)
from sandbox.providers.wire import UNKNOWN, Properties

PASSWORD_TYPE = "random:index/randomPassword:RandomPassword"
ID = "none"
"""The official provider's id of every password: the password itself would be no secret there."""

SECRETS = {("result",), ("bcryptHash",)}


class RandomProvider(LightProvider):
    """``RandomPassword`` and nothing else."""

    async def light_check_config(self, news: Properties) -> CheckResult:
        known = {"version", "pluginDownloadURL"}
        return CheckResult(
            news,
            [
                Failure(name, "the random provider has no settings")
                for name in news.values
                if name not in known
            ],
        )

    async def light_invoke(self, token: str, args: Properties) -> Properties:
        raise ProviderError(f"the light random provider has no function {token!r}")

    async def light_check(self, urn: str, olds: Properties, news: Properties, naming: Naming) -> CheckResult:
        _require_password(urn)
        values = {name: value for name, value in news.values.items() if value is not None}
        return CheckResult(Properties(values, news.secrets), list(password.problems(values)))

    async def light_diff(
        self, urn: str, resource_id: str, old_inputs: Properties, state: Properties, news: Properties
    ) -> DiffResult:
        _require_password(urn)
        before, after = password.completed(state.values), password.completed(news.values)
        changes = {}
        for name in password.INPUTS:
            old, new = before.get(name), after.get(name)
            if old == new or (not old and not new and name in ("keepers", "overrideSpecial")):
                continue
            kinds = {True: PropertyDiffKind.ADD_REPLACE, False: PropertyDiffKind.UPDATE_REPLACE}
            changes[name] = PropertyDiffKind.DELETE_REPLACE if new is None else kinds[old is None]
        return DiffResult(changes, sorted(changes))

    async def light_create(self, urn: str, news: Properties, preview: bool) -> tuple[str, Properties]:
        _require_password(urn)
        values = password.completed(news.values)
        if preview:
            made: dict[str, Any] = {"result": UNKNOWN, "bcryptHash": UNKNOWN}
        else:
            made = await _with_hash(password.draw(values))
        return ("" if preview else ID), Properties({**values, **made}, news.secrets | SECRETS)

    async def light_read(
        self, urn: str, resource_id: str, inputs: Properties, state: Properties
    ) -> tuple[str, Properties, Properties] | None:
        """The state as it is. An import's id is the password itself, as with the official provider."""
        _require_password(urn)
        if state.values:
            return resource_id, Properties(state.values, state.secrets | SECRETS), inputs
        given = {"length": len(resource_id)}
        made = await _with_hash(resource_id)
        outputs = Properties({**password.completed(given), **made}, set(SECRETS))
        return ID, outputs, Properties(dict(given))

    async def light_update(
        self, urn: str, resource_id: str, state: Properties, news: Properties, preview: bool
    ) -> Properties:
        """Only reached when no input differs, as with ``pulumi up --target-replace``: nothing to do."""
        _require_password(urn)
        kept = {name: state.values[name] for (name,) in SECRETS if name in state.values}
        return Properties({**password.completed(news.values), **kept}, news.secrets | SECRETS)

    async def light_delete(self, urn: str, resource_id: str, inputs: Properties, state: Properties) -> None:
        _require_password(urn)

    def light_schema(self) -> str:
        names = {int: "integer", bool: "boolean", str: "string"}
        text = {"type": "string"}
        inputs: dict[str, Any] = {
            name: {"type": names[item.kind]}
            if item.kind in names
            else {"type": "object", "additionalProperties": text}
            for name, item in password.INPUTS.items()
        }
        outputs = {name: {**text, "secret": True} for (name,) in SECRETS}
        described = {
            "inputProperties": inputs,
            "requiredInputs": ["length"],
            "properties": {**inputs, **outputs},
        }
        return json.dumps(
            {
                "name": "random",
                "version": sdk_version("pulumi_random"),
                "meta": {"moduleFormat": "(.*)(?:/[^/]*)"},
                "resources": {PASSWORD_TYPE: described},
            }
        )


async def _with_hash(text: str) -> dict[str, Any]:
    return {"result": text, "bcryptHash": await asyncio.to_thread(password.bcrypt, text)}


def _require_password(urn: str) -> None:
    if urn_type(urn) != PASSWORD_TYPE:
        raise ProviderError(
            f"the light random provider has no resource type {urn_type(urn)!r}; it has: {PASSWORD_TYPE}"
        )
