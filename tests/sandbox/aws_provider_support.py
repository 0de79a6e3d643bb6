"""Drives the light aws provider directly, without an engine: what the tests of its table share."""

import asyncio
import json
from functools import cached_property
from typing import Any

from sandbox.providers.aws.provider import AwsProvider
from sandbox.providers.server import DiffResult, Naming
from sandbox.providers.wire import Archive, Asset, Properties

Values = dict[str, Any]
REGION = "ca-central-1"

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": ["lambda.amazonaws.com", "states.amazonaws.com"]},
                "Action": "sts:AssumeRole",
            }
        ],
    }
)
ALLOW = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
)
MACHINE = json.dumps({"StartAt": "Only", "States": {"Only": {"Type": "Pass", "End": True}}})
HANDLER = "def handler(event, context):\n    return event\n"


def package(source: str = HANDLER) -> Archive:
    return Archive(assets={"main.py": Asset(text=source)})


class Made:
    """A resource that the provider made: its URN, id, inputs and state."""

    def __init__(
        self, cloud: "Cloud", urn: str, inputs: Properties, resource_id: str, state: Properties
    ) -> None:
        self.cloud, self.urn, self.inputs, self.id, self.state = cloud, urn, inputs, resource_id, state

    def __getitem__(self, name: str) -> Any:
        return self.state.values[name]

    def diff(self, news: Values) -> DiffResult:
        """What ``up`` would find with new inputs, given as a program gives them."""
        checked = self.cloud.check(self.urn, news, self.inputs)
        return self.cloud.diff(self.urn, self.id, self.inputs, self.state, checked)

    def update(self, news: Values) -> None:
        checked = self.cloud.check(self.urn, news, self.inputs)
        self.state = self.cloud.do(
            self.cloud.provider.light_update(self.urn, self.id, self.state, checked, False)
        )
        self.inputs = checked

    def read(self) -> tuple[str, Properties, Properties] | None:
        found: tuple[str, Properties, Properties] | None = self.cloud.do(
            self.cloud.provider.light_read(self.urn, self.id, self.inputs, self.state)
        )
        return found

    def refresh_diff(self) -> DiffResult:
        """What ``pulumi refresh`` would show: the old inputs against what AWS has."""
        found = self.read()
        assert found is not None, f"{self.urn} is gone"
        _, state, inputs = found
        return self.cloud.diff(self.urn, self.id, inputs, state, self.inputs)

    def delete(self) -> None:
        self.cloud.do(self.cloud.provider.light_delete(self.urn, self.id, self.inputs, self.state))


class Cloud:
    """The provider on an emulator, and resources that many types need, made at first use."""

    def __init__(self, label: str = "t") -> None:
        self.loop = asyncio.new_event_loop()
        self.label = label
        self.provider = AwsProvider()
        self.made: list[Made] = []
        self.do(self.provider.light_configure(Properties({"region": REGION})))

    def do(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(coroutine)

    def urn(self, token: str, name: str) -> str:
        return f"urn:pulumi:{self.label}::provider-tests::{token}::{name}"

    def check(self, urn: str, news: Values, olds: Properties | None = None) -> Properties:
        result = self.do(
            self.provider.light_check(urn, olds or Properties(), Properties(dict(news)), Naming())
        )
        assert not result.failures, [(f.property, f.reason) for f in result.failures]
        inputs: Properties = result.inputs
        return inputs

    def failures(self, token: str, news: Values) -> dict[str, str]:
        """Property path -> reason."""
        checked = self.do(
            self.provider.light_check(self.urn(token, "x"), Properties(), Properties(dict(news)), Naming())
        )
        return {failure.property: failure.reason for failure in checked.failures}

    def diff(
        self, urn: str, resource_id: str, inputs: Properties, state: Properties, news: Properties
    ) -> DiffResult:
        found: DiffResult = self.do(self.provider.light_diff(urn, resource_id, inputs, state, news))
        return found

    def create(self, token: str, inputs: Values, name: str = "one") -> Made:
        urn = self.urn(token, name)
        checked = self.check(urn, inputs)
        resource_id, state = self.do(self.provider.light_create(urn, checked, False))
        made = Made(self, urn, checked, resource_id, state)
        self.made.append(made)
        return made

    def shared(self, token: str, inputs: Values, name: str = "shared") -> Made:
        """The one resource of this token and name that several cases use."""
        urn = self.urn(token, name)
        found = next((made for made in self.made if made.urn == urn), None)
        return found or self.create(token, inputs, name)

    def import_(self, token: str, resource_id: str) -> tuple[str, Properties, Properties] | None:
        found = self.do(
            self.provider.light_read(self.urn(token, "imported"), resource_id, Properties(), Properties())
        )
        return None if found is None else (found[0], found[1], found[2])

    def clean(self) -> None:
        """Deletes what was made, last first; twice deleted is fine."""
        for made in reversed(self.made):
            made.delete()
        self.made.clear()
        self.loop.close()

    @cached_property
    def bucket(self) -> Made:
        return self.create("aws:s3/bucket:Bucket", {"forceDestroy": True}, "shared-bucket")

    @cached_property
    def role(self) -> Made:
        return self.create("aws:iam/role:Role", {"assumeRolePolicy": TRUST}, "shared-role")

    @cached_property
    def function(self) -> Made:
        return self.create("aws:lambda/function:Function", function(self), "shared-function")

    @cached_property
    def topic(self) -> Made:
        return self.create("aws:sns/topic:Topic", {}, "shared-topic")

    @cached_property
    def queue(self) -> Made:
        return self.create("aws:sqs/queue:Queue", {}, "shared-queue")

    @cached_property
    def repository(self) -> Made:
        return self.create("aws:ecr/repository:Repository", {"forceDelete": True}, "shared-repository")

    @cached_property
    def api(self) -> Made:
        return self.create("aws:apigatewayv2/api:Api", {"protocolType": "HTTP"}, "shared-api")

    @cached_property
    def pool(self) -> Made:
        return self.create("aws:cognito/userPool:UserPool", {}, "shared-pool")

    @cached_property
    def client(self) -> Made:
        return self.create(
            "aws:cognito/userPoolClient:UserPoolClient", {"userPoolId": self.pool.id}, "shared-client"
        )

    @cached_property
    def identities(self) -> Made:
        return self.create(
            "aws:cognito/identityPool:IdentityPool",
            {"identityPoolName": f"shared {self.label}"},
            "shared-identities",
        )

    @cached_property
    def vpc(self) -> Made:
        return self.create("aws:ec2/vpc:Vpc", {"cidrBlock": "10.8.0.0/16"}, "shared-vpc")

    @cached_property
    def spare_vpcs(self) -> list[Made]:
        """Two without a gateway."""
        blocks = ("10.6.0.0/16", "10.7.0.0/16")
        return [self.create("aws:ec2/vpc:Vpc", {"cidrBlock": block}, f"spare-{block}") for block in blocks]

    @cached_property
    def gateway(self) -> Made:
        return self.create(
            "aws:ec2/internetGateway:InternetGateway", {"vpcId": self.vpc.id}, "shared-gateway"
        )

    @cached_property
    def subnets(self) -> list[Made]:
        """Two, in two zones."""
        return [
            self.create(
                "aws:ec2/subnet:Subnet",
                {
                    "vpcId": self.vpc.id,
                    "cidrBlock": f"10.8.{number}.0/24",
                    "availabilityZone": f"{REGION}{zone}",
                },
                f"shared-subnet-{zone}",
            )
            for number, zone in enumerate("ab")
        ]

    @cached_property
    def third_subnet(self) -> Made:
        place = {"cidrBlock": "10.8.2.0/24", "availabilityZone": f"{REGION}d"}
        return self.create("aws:ec2/subnet:Subnet", {"vpcId": self.vpc.id, **place}, "shared-subnet-d")

    @cached_property
    def route_table(self) -> Made:
        return self.create("aws:ec2/routeTable:RouteTable", {"vpcId": self.vpc.id}, "shared-route-table")

    @cached_property
    def group(self) -> Made:
        return self.create("aws:ec2/securityGroup:SecurityGroup", {"vpcId": self.vpc.id}, "shared-group")

    @cached_property
    def balancer(self) -> Made:
        subnets = [subnet.id for subnet in self.subnets]
        return self.create("aws:lb/loadBalancer:LoadBalancer", {"subnets": subnets}, "shared-balancer")

    @cached_property
    def target_group(self) -> Made:
        inputs = {"port": 80, "protocol": "HTTP", "vpcId": self.vpc.id, "targetType": "ip"}
        return self.create("aws:lb/targetGroup:TargetGroup", inputs, "shared-targets")

    @cached_property
    def listener(self) -> Made:
        nothing = {
            "type": "fixed-response",
            "fixedResponse": {"contentType": "text/plain", "statusCode": "404"},
        }
        inputs = {"loadBalancerArn": self.balancer.id, "port": 81, "defaultActions": [nothing]}
        return self.create("aws:lb/listener:Listener", inputs, "shared-listener")

    @cached_property
    def subnet_group(self) -> Made:
        subnets = [subnet.id for subnet in self.subnets]
        return self.create("aws:rds/subnetGroup:SubnetGroup", {"subnetIds": subnets}, "shared-subnets")

    @cached_property
    def parameter_group(self) -> Made:
        return self.create("aws:rds/parameterGroup:ParameterGroup", {"family": "postgres17"}, "shared-set")


def function(cloud: Cloud) -> Values:
    return {"role": cloud.role["arn"], "runtime": "python3.13", "handler": "main.handler", "code": package()}


def resource_policy(cloud: Cloud, action: str, resource: str) -> str:
    return json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Allow",
                "Principal": {"AWS": cloud.role["arn"]},
                "Action": action,
                "Resource": resource,
            },
        }
    )
