"""Serves a light provider to the Pulumi engine.

Built on the gRPC servicer of ``pulumi.provider.experimental``, with what that one lacks in 3.259: errors that
reach the user as one line, the old inputs in Diff and Delete, half-made resources kept in the state, values
that aren't known yet, hashes of assets (see :mod:`sandbox.providers.wire`), custom autonaming, and an end
when the engine is gone.
"""

import asyncio
import functools
import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf import empty_pb2, struct_pb2
from pulumi.provider.experimental.provider import PropertyDiffKind, Provider
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime import proto
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from sandbox.providers.wire import Properties, decode, encode


class ProviderError(Exception):
    """What the user did or the cloud refused: shown as it is, one line."""


class PartialFailure(ProviderError):
    """The resource exists but isn't finished; it is kept in the state and the next ``up`` finishes it."""

    def __init__(self, reason: str, resource_id: str, state: Properties, inputs: Properties) -> None:
        super().__init__(reason)
        self.resource_id, self.state, self.inputs = resource_id, state, inputs


@dataclass(frozen=True)
class Failure:
    """One reason why inputs are refused; ``property`` is a path such as ``rules[0].status``."""

    property: str
    reason: str


@dataclass(frozen=True)
class CheckResult:
    inputs: Properties
    failures: Sequence[Failure] = ()


@dataclass(frozen=True)
class DiffResult:
    """``changes`` maps a property path to its kind; empty when nothing differs."""

    changes: dict[str, PropertyDiffKind] = field(default_factory=dict)
    replaces: Sequence[str] = ()
    delete_before_replace: bool = False


class LightProvider(Provider):
    """What a light provider answers; methods that a provider doesn't have are refused by the base class.

    ``urn`` holds type and logical name (:func:`urn_type`, :func:`urn_name`). All methods may raise
    :class:`ProviderError`.
    """

    async def light_check_config(self, news: Properties) -> CheckResult:
        return CheckResult(news)

    async def light_configure(self, args: Properties) -> None:
        return None

    async def light_check(
        self, urn: str, olds: Properties, news: Properties, naming: "Naming"
    ) -> CheckResult:
        raise NotImplementedError

    async def light_diff(
        self, urn: str, resource_id: str, old_inputs: Properties, state: Properties, news: Properties
    ) -> DiffResult:
        raise NotImplementedError

    async def light_create(self, urn: str, news: Properties, preview: bool) -> tuple[str, Properties]:
        raise NotImplementedError

    async def light_read(
        self, urn: str, resource_id: str, inputs: Properties, state: Properties
    ) -> tuple[str, Properties, Properties] | None:
        """Id, state and inputs as the cloud has them; ``None`` when the resource is gone."""
        raise NotImplementedError

    async def light_update(
        self, urn: str, resource_id: str, state: Properties, news: Properties, preview: bool
    ) -> Properties:
        raise NotImplementedError

    async def light_delete(self, urn: str, resource_id: str, inputs: Properties, state: Properties) -> None:
        raise NotImplementedError

    async def light_invoke(self, token: str, args: Properties) -> Properties:
        raise NotImplementedError

    def light_schema(self) -> str:
        return "{}"


@dataclass(frozen=True)
class Naming:
    """How a resource without a name gets one: ``proposed`` comes from ``pulumi:autonaming`` in the
    configuration.
    """

    seed: bytes = b""
    proposed: str = ""
    disabled: bool = False


def urn_type(urn: str) -> str:
    """The resource's own type: the last part of the chain of types in the URN."""
    return urn.split("::")[2].rsplit("$", 1)[-1]


def urn_name(urn: str) -> str:
    return urn.split("::", 3)[3]


_Method = Callable[[Any, Any, Any], Coroutine[Any, Any, Any]]


def _reported(method: _Method) -> _Method:
    """Turns exceptions into gRPC statuses that the engine shows as one line."""

    @functools.wraps(method)
    async def wrapper(self: "LightServicer", request: Any, context: Any) -> Any:
        self.in_flight += 1
        try:
            return await method(self, request, context)
        except PartialFailure as problem:
            await context.abort(grpc.StatusCode.UNKNOWN, str(problem), _partial_details(problem))
        except ProviderError as problem:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(problem))
        except (grpc.aio.AbortError, asyncio.CancelledError):
            raise
        except Exception as problem:
            last = traceback.extract_tb(problem.__traceback__)[-1]
            where = f"{os.path.basename(last.filename)}:{last.lineno}"
            if os.environ.get("BENCHTOP_DEBUG"):
                traceback.print_exc()
            await context.abort(
                grpc.StatusCode.UNKNOWN,
                f"the sandbox's provider failed at {where}: {type(problem).__name__}: {problem}",
            )
        finally:
            self.in_flight -= 1

    return wrapper


def _partial_details(problem: PartialFailure) -> tuple[tuple[str, bytes], ...]:
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(problem))
    detail = provider_pb2.ErrorResourceInitFailed(
        id=problem.resource_id,
        properties=encode(problem.state),
        reasons=[str(problem)],
        inputs=encode(problem.inputs),
    )
    status.details.add().Pack(detail)
    return (("grpc-status-details-bin", status.SerializeToString()),)


_KINDS = {
    PropertyDiffKind.ADD: provider_pb2.PropertyDiff.ADD,
    PropertyDiffKind.ADD_REPLACE: provider_pb2.PropertyDiff.ADD_REPLACE,
    PropertyDiffKind.DELETE: provider_pb2.PropertyDiff.DELETE,
    PropertyDiffKind.DELETE_REPLACE: provider_pb2.PropertyDiff.DELETE_REPLACE,
    PropertyDiffKind.UPDATE: provider_pb2.PropertyDiff.UPDATE,
    PropertyDiffKind.UPDATE_REPLACE: provider_pb2.PropertyDiff.UPDATE_REPLACE,
}


class LightServicer(ProviderServicer):
    """The gRPC side: decodes, calls a :class:`LightProvider`, encodes."""

    def __init__(self, args: list[str], version: str, provider: LightProvider, engine_address: str) -> None:
        super().__init__(args, version, provider, engine_address)
        self.light = provider
        self.in_flight = 0

    async def Cancel(self, request: Any, context: Any) -> empty_pb2.Empty:
        # Calls in flight are let finish: what they make must reach the state.
        return empty_pb2.Empty()

    @_reported
    async def GetSchema(self, request: Any, context: Any) -> Any:
        return proto.GetSchemaResponse(schema=self.light.light_schema())

    @_reported
    async def CheckConfig(self, request: Any, context: Any) -> Any:
        return _check_response(await self.light.light_check_config(decode(request.news)))

    @_reported
    async def DiffConfig(self, request: Any, context: Any) -> Any:
        # Never a replacement: that would replace every resource when, say, a port changes.
        olds, news = decode(request.olds).values, decode(request.news).values
        changed = sorted(key for key in {*olds, *news} if olds.get(key) != news.get(key))
        kind = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return proto.DiffResponse(changes=kind, diffs=changed)

    @_reported
    async def Configure(self, request: Any, context: Any) -> Any:
        await self.light.light_configure(decode(request.args))
        return proto.ConfigureResponse(
            acceptSecrets=True,
            supportsPreview=True,
            acceptResources=False,
            acceptOutputs=False,
            supports_autonaming_configuration=True,
        )

    @_reported
    async def Check(self, request: Any, context: Any) -> Any:
        naming = Naming(request.randomSeed)
        if request.HasField("autonaming"):
            naming = Naming(
                request.randomSeed,
                request.autonaming.proposed_name,
                request.autonaming.mode == provider_pb2.CheckRequest.AutonamingOptions.DISABLE,
            )
        return _check_response(
            await self.light.light_check(request.urn, decode(request.olds), decode(request.news), naming)
        )

    @_reported
    async def Diff(self, request: Any, context: Any) -> Any:
        found = await self.light.light_diff(
            request.urn, request.id, decode(request.old_inputs), decode(request.olds), decode(request.news)
        )
        some = bool(found.changes)
        return proto.DiffResponse(
            replaces=found.replaces,
            deleteBeforeReplace=found.delete_before_replace,
            changes=provider_pb2.DiffResponse.DIFF_SOME if some else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=sorted({path.split(".")[0].split("[")[0] for path in found.changes}),
            detailedDiff={
                path: proto.PropertyDiff(kind=_KINDS[kind], inputDiff=False)
                for path, kind in found.changes.items()
            },
            hasDetailedDiff=True,
        )

    @_reported
    async def Create(self, request: Any, context: Any) -> Any:
        resource_id, state = await self.light.light_create(
            request.urn, decode(request.properties), request.preview
        )
        return proto.CreateResponse(id=resource_id, properties=encode(state))

    @_reported
    async def Read(self, request: Any, context: Any) -> Any:
        found = await self.light.light_read(
            request.urn, request.id, decode(request.inputs), decode(request.properties)
        )
        if found is None:
            return proto.ReadResponse(id="")
        resource_id, state, inputs = found
        return proto.ReadResponse(id=resource_id, properties=encode(state), inputs=encode(inputs))

    @_reported
    async def Update(self, request: Any, context: Any) -> Any:
        state = await self.light.light_update(
            request.urn, request.id, decode(request.olds), decode(request.news), request.preview
        )
        return proto.UpdateResponse(properties=encode(state))

    @_reported
    async def Delete(self, request: Any, context: Any) -> Any:
        await self.light.light_delete(
            request.urn, request.id, decode(request.old_inputs), decode(request.properties)
        )
        return empty_pb2.Empty()

    @_reported
    async def Invoke(self, request: Any, context: Any) -> Any:
        result = await self.light.light_invoke(request.tok, decode(request.args))
        returned: dict[str, struct_pb2.Struct] = {"return": encode(result)}
        return proto.InvokeResponse(**returned)


def _check_response(result: CheckResult) -> Any:
    return proto.CheckResponse(
        inputs=encode(result.inputs),
        failures=[proto.CheckFailure(property=f.property, reason=f.reason) for f in result.failures],
    )


def sdk_version(package: str) -> str:
    """Version of the plugin that an installed Python SDK asks for, found without importing the SDK."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"{package} isn't installed beside the sandbox")
    plugin = json.loads((Path(spec.origin).parent / "pulumi-plugin.json").read_text())
    return str(plugin["version"])


def serve(version: str, make: Callable[[], LightProvider]) -> None:
    """Serves until the engine ends this process; prints the port, as the engine expects of a plugin."""
    arguments = sys.argv[1:]
    addresses = [argument for argument in arguments if not argument.startswith("-")]
    engine_address = addresses[0] if addresses else ""

    async def run() -> None:
        server = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS)
        provider = make()
        servicer = LightServicer(arguments, version, provider, engine_address)
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        parent = os.getppid()
        # An engine that was killed can't end its plugins: leave by ourselves, after the calls in flight, so
        # that what they make is at least in the journal.
        while os.getppid() == parent or servicer.in_flight:
            await asyncio.sleep(1)

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        sys.exit(0)
