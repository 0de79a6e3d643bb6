"""Runs component code against recorded resources, as the engine would in a preview or an update.

Assertions go on what was registered, after everything has settled: an assertion inside ``apply`` never
runs when a value is unknown, and would pass without checking.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pulumi.output import Unknown
from pulumi.runtime import mocks, rpc
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import get_root_resource
from pulumi.runtime.stack import Stack

ACCOUNT = "123456789012"
REGION = "eu-west-3"

UNKNOWN = rpc.UNKNOWN
"""How a value that only the cloud will know arrives at the engine during a preview."""


@dataclass(frozen=True)
class Recorded:
    """One registered resource. ``inputs`` have the provider's names (camelCase); secrets are unwrapped."""

    urn: str
    type: str
    name: str
    parent: str
    inputs: dict[str, Any]
    protect: bool
    retain_on_delete: bool
    depends_on: frozenset[str]
    secrets: frozenset[str]
    """Paths of the inputs that the state will hold encrypted, for example ``registry.password``."""

    @property
    def qualified_type(self) -> str:
        """Types from the outermost component inward, ``$`` between them."""
        return self.urn.split("::")[2]


@dataclass
class Deployment:
    """What a program registered and exported."""

    resources: list[Recorded] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)
    lookups: list[str] = field(default_factory=list)

    def of_type(self, token: str) -> list[Recorded]:
        """Resources whose type ends with ``token``, for example ``s3/bucket:Bucket``."""
        return [item for item in self.resources if item.type.endswith(token)]

    def one(self, name: str) -> Recorded:
        """The resource of that name; an error lists the names when there isn't exactly one."""
        found = [item for item in self.resources if item.name == name]
        assert len(found) == 1, (
            f"{len(found)} resources {name!r} among {sorted(r.name for r in self.resources)}"
        )
        return found[0]

    def below(self, urn: str) -> Iterator[Recorded]:
        """Resources inside a component, at any depth."""
        for item in self.resources:
            if item.parent == urn:
                yield item
                yield from self.below(item.urn)


class _Mocks(mocks.Mocks):
    """Answers like a provider: inputs come back, with the outputs that only the cloud gives."""

    def __init__(self, deployment: Deployment, preview: bool) -> None:
        self.deployment = deployment
        self.preview = preview

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        self.deployment.lookups.append(args.token)
        match args.token:
            case "aws:index/getRegion:getRegion":
                return {"region": REGION, "id": REGION}, []
            case "aws:ecr/getAuthorizationToken:getAuthorizationToken":
                registry = "https://registry.example.org"
                return {"userName": "AWS", "password": "registry-password", "proxyEndpoint": registry}, []
            case "aws:index/getAvailabilityZones:getAvailabilityZones":
                return {"names": [f"{REGION}{letter}" for letter in "abc"], "id": REGION}, []
        raise AssertionError(f"unexpected lookup: {args.token}")

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if args.custom is False or self.preview:
            return None if self.preview else "", dict(args.inputs)
        name = str(args.inputs.get("name") or args.inputs.get("bucket") or f"{args.name}-0000000")
        return _id(args, name), {**args.inputs, "name": name, **_outputs(args, name)}


def _id(args: mocks.MockResourceArgs, name: str) -> str:
    ids = {
        "UserPool": f"{REGION}_{args.name}",
        "IdentityPool": f"{REGION}:{args.name}",
        "Api": f"id-{args.name}",
    }
    return ids.get(args.typ.rsplit(":", 1)[-1], name)


def _arn(service: str, rest: str, region: str = REGION, account: str = ACCOUNT) -> str:
    return f"arn:aws:{service}:{region}:{account}:{rest}"


def _outputs(args: mocks.MockResourceArgs, name: str) -> dict[str, Any]:
    """Outputs that AWS computes, in AWS's own form."""
    match args.typ:
        case "aws:s3/bucket:Bucket":
            return {"arn": _arn("s3", name, "", "")}
        case "aws:iam/role:Role":
            return {"arn": _arn("iam", f"role/{name}", "")}
        case "aws:lambda/function:Function":
            arn = _arn("lambda", f"function:{name}")
            return {"arn": arn, "invokeArn": _arn("apigateway", f"lambda:path/functions/{arn}/invocations")}
        case "aws:cloudwatch/logGroup:LogGroup":
            return {"arn": _arn("logs", f"log-group:{name}")}
        case "aws:sfn/stateMachine:StateMachine":
            return {"arn": _arn("states", f"stateMachine:{name}")}
        case "aws:ecr/repository:Repository":
            host = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
            return {
                "arn": _arn("ecr", f"repository/{name}"),
                "repositoryUrl": f"{host}/{name}",
                "registryId": ACCOUNT,
            }
        case "docker:index/image:Image":
            return {"repoDigest": f"{args.inputs['imageName'].rpartition(':')[0]}@sha256:{'0' * 64}"}
        case "aws:cognito/userPool:UserPool":
            return {"endpoint": f"cognito-idp.{REGION}.amazonaws.com/{REGION}_{args.name}"}
        case "aws:apigatewayv2/api:Api":
            host = f"id-{args.name}.execute-api.{REGION}.amazonaws.com"
            return {"apiEndpoint": f"https://{host}", "executionArn": _arn("execute-api", f"id-{args.name}")}
        case "aws:sns/topic:Topic":
            return {"arn": _arn("sns", name)}
        case "aws:sqs/queue:Queue":
            url = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"
            return {"arn": _arn("sqs", name), "url": url}
        case "aws:dynamodb/table:Table":
            return {"arn": _arn("dynamodb", f"table/{name}")}
        case "aws:cloudwatch/eventRule:EventRule":
            return {"arn": _arn("events", f"rule/{name}")}
        case "aws:secretsmanager/secret:Secret":
            return {"arn": _arn("secretsmanager", f"secret:{name}-AbCdEf")}
        case "aws:ecs/cluster:Cluster":
            return {"arn": _arn("ecs", f"cluster/{name}")}
        case "aws:ecs/taskDefinition:TaskDefinition":
            return {"arn": _arn("ecs", f"task-definition/{args.inputs['family']}:1")}
        case "aws:rds/instance:Instance":
            host = f"{args.inputs['identifier']}.abc.{REGION}.rds.amazonaws.com"
            return {"address": host, "port": 5432}
        case "aws:lb/loadBalancer:LoadBalancer" | "aws:lb/targetGroup:TargetGroup":
            kind = "loadbalancer/app" if "loadBalancer" in args.typ else "targetgroup"
            suffix = f"{kind.replace('loadbalancer/', '')}/{name}/0123456789abcdef"
            host = f"{name}-1.{REGION}.elb.amazonaws.com"
            return {
                "arn": _arn("elasticloadbalancing", f"{kind}/{name}/0123456789abcdef"),
                "arnSuffix": suffix,
                "dnsName": host,
            }
        case "random:index/randomPassword:RandomPassword":
            return {"result": f"random-{args.name}"}
    return {}


class _Monitor(mocks.MockMonitor):
    """Keeps what mocks drop: parents, protection, retention and dependencies, and the stack's outputs."""

    def __init__(self, deployment: Deployment, preview: bool) -> None:
        super().__init__(_Mocks(deployment, preview))
        self.deployment = deployment
        self.preview = preview

    def RegisterResource(self, request: Any) -> Any:
        register: Any = super().RegisterResource  # the SDK's mocks have no types
        answer = register(request)
        if request.type == "pulumi:pulumi:Stack":
            return answer
        inputs = rpc.deserialize_properties(request.object, keep_unknowns=True)
        self.deployment.resources.append(
            Recorded(
                urn=answer.urn,
                type=request.type,
                name=request.name,
                parent=request.parent,
                inputs=_plain(inputs),
                protect=request.protect,
                retain_on_delete=request.retainOnDelete,
                depends_on=frozenset(request.dependencies),
                secrets=frozenset(_secret_paths(inputs)),
            )
        )
        if not (self.preview and request.custom):
            return answer
        # In a preview of a new resource the engine knows the inputs only; the SDK takes the rest as unknown.
        return resource_pb2.RegisterResourceResponse(urn=answer.urn, object=request.object)

    def RegisterResourceOutputs(self, request: Any) -> Any:
        if request.urn.split("::")[2] == "pulumi:pulumi:Stack":
            self.deployment.outputs = _plain(rpc.deserialize_properties(request.outputs, keep_unknowns=True))
        register: Any = super().RegisterResourceOutputs
        return register(request)


def _secret_paths(value: Any, path: str = "") -> Iterator[str]:
    if rpc.is_rpc_secret(value):
        yield path
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _secret_paths(item, f"{path}.{key}" if path else str(key))


def _plain(value: Any) -> Any:
    """Values without the wrapping of secrets, unknowns as ``UNKNOWN``."""
    if rpc.is_rpc_secret(value):
        return _plain(rpc.unwrap_rpc_secret(value))
    if isinstance(value, Unknown):
        return UNKNOWN
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def deploy(build: Callable[[], object], *, preview: bool = False, stack: str = "quetzal-test") -> Deployment:
    """Run ``build`` as a program; returns once all resources and applies have settled.

    What ``build`` raises is raised here.
    """
    deployment = Deployment()
    # The SDK asks for the thread's event loop; a test that used asyncio.run leaves the thread without one.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    monitor = _Monitor(deployment, preview)
    mocks.set_mocks(monitor.mocks, "benchtop", stack, preview=preview, monitor=monitor)
    stack_resource = cast("Stack", get_root_resource())
    stack_resource.outputs.clear()  # the runtime keeps one root for all programs of a process

    def program() -> None:
        build()
        stack_resource.register_outputs(dict(stack_resource.outputs))

    as_test: Any = mocks.test
    try:
        as_test(program)()
    finally:
        loop.close()
    return deployment
