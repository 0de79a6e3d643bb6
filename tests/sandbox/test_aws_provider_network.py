"""A network with a load balancer under the real engine, and what single types do beyond their life cycle."""

from collections.abc import Iterator
from secrets import token_hex

import psycopg
import pytest

from sandbox.providers.server import ProviderError
from sandbox.providers.wire import Properties
from tests.sandbox.aws_provider_cases_network import HTTPS, OPEN
from tests.sandbox.aws_provider_project import Project, client
from tests.sandbox.aws_provider_support import REGION, Cloud
from tests.sandbox.holdings import holdings

PROGRAM = """
config = pulumi.Config()
zones = aws.get_availability_zones_output(state="available")
vpc = aws.ec2.Vpc("net", cidr_block="10.20.0.0/16", enable_dns_hostnames=True, tags={"Name": "net"})
gateway = aws.ec2.InternetGateway("net", vpc_id=vpc.id)
table = aws.ec2.RouteTable("net", vpc_id=vpc.id,
    routes=[{"cidr_block": "0.0.0.0/0", "gateway_id": gateway.id}])
subnets = []
for i in range(2):
    subnet = aws.ec2.Subnet(f"net-{i}", vpc_id=vpc.id, cidr_block=f"10.20.{i}.0/24",
        availability_zone=zones.names[i], map_public_ip_on_launch=True)
    aws.ec2.RouteTableAssociation(f"net-{i}", subnet_id=subnet.id, route_table_id=table.id)
    subnets.append(subnet)
aws.ec2.VpcEndpoint("s3", vpc_id=vpc.id, service_name=f"com.amazonaws.{aws.get_region().region}.s3",
    route_table_ids=[table.id])
web = aws.ec2.SecurityGroup("web", vpc_id=vpc.id, description="the balancer")
task = aws.ec2.SecurityGroup("task", vpc_id=vpc.id)
aws.vpc.SecurityGroupIngressRule("web", security_group_id=web.id, ip_protocol="tcp",
    from_port=80, to_port=80, cidr_ipv4="0.0.0.0/0")
aws.vpc.SecurityGroupEgressRule("web", security_group_id=web.id, ip_protocol="tcp",
    from_port=8000, to_port=8000, referenced_security_group_id=task.id, tags={"to": "task"})
balancer = aws.lb.LoadBalancer("web", subnets=[subnet.id for subnet in subnets],
    security_groups=[web.id], drop_invalid_header_fields=True, idle_timeout=config.get_int("idle") or 60)
targets = aws.lb.TargetGroup("web", port=8000, protocol="HTTP", vpc_id=vpc.id, target_type="ip",
    deregistration_delay=5, health_check={"path": "/health", "matcher": "200", "interval": 10})
listener = aws.lb.Listener("web", load_balancer_arn=balancer.arn, port=80,
    default_actions=[{"type": "forward", "target_group_arn": targets.arn}])
aws.lb.ListenerRule("admin", listener_arn=listener.arn, priority=1,
    conditions=[{"path_pattern": {"values": ["/admin/*"]}}],
    actions=[{"type": "fixed-response", "fixed_response": {"content_type": "text/plain",
        "message_body": "no", "status_code": "403"}}])
pulumi.export("url", pulumi.Output.format("http://{}", balancer.dns_name))
pulumi.export("vpc", vpc.id)
pulumi.export("web", web.id)
pulumi.export("balancer", balancer.arn)
pulumi.export("zones", zones.names)
"""
COUNT = 16


@pytest.fixture(scope="module")
def project(sandbox_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    before = holdings()
    made = Project(tmp_path_factory.mktemp("network") / f"network-{token_hex(3)}", sandbox_env)
    made.program(PROGRAM)
    assert made.changes("up") == {"create": COUNT}
    yield made
    assert made.changes("destroy") == {"delete": COUNT}
    assert holdings() == before, "destroy leaves nothing"


def test_second_up_and_refresh_change_nothing(project: Project) -> None:
    assert project.changes("up") == {"same": COUNT}
    assert project.changes("refresh") == {"same": COUNT}
    assert project.preview() == []
    assert project.outputs()["zones"] == [f"{REGION}{letter}" for letter in "abc"]


def test_changes_and_drift_are_made_good_in_place(project: Project) -> None:
    found = project.outputs()
    everywhere = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    client("ec2").modify_vpc_attribute(VpcId=found["vpc"], EnableDnsHostnames={"Value": False})
    project.run("config", "set", "idle", "120")
    assert project.changes("refresh") == {"update": 1, "same": COUNT - 1}
    assert project.changes("up") == {"update": 2, "same": COUNT - 2}
    attribute = client("ec2").describe_vpc_attribute(VpcId=found["vpc"], Attribute="enableDnsHostnames")
    assert attribute["EnableDnsHostnames"]["Value"] is True
    answer = client("elbv2").describe_load_balancer_attributes(LoadBalancerArn=found["balancer"])
    values = {item["Key"]: item["Value"] for item in answer["Attributes"]}
    assert values["idle_timeout.timeout_seconds"] == "120"
    group = client("ec2").describe_security_groups(GroupIds=[found["web"]])["SecurityGroups"][0]
    assert group["IpPermissionsEgress"] != everywhere, "AWS's own rule is taken away"
    assert len(group["IpPermissionsEgress"]) == 1


@pytest.fixture(scope="module")
def cloud(sandbox_env: dict[str, str]) -> Iterator[Cloud]:
    made = Cloud(f"network-{token_hex(3)}")
    yield made
    made.clean()


def test_a_new_group_lets_nothing_out(cloud: Cloud) -> None:
    found = client("ec2").describe_security_groups(GroupIds=[cloud.group.id])["SecurityGroups"][0]
    assert (found["IpPermissions"], found["IpPermissionsEgress"]) == ([], [])


def test_rules_are_compared_source_by_source(cloud: Cloud) -> None:
    token = "aws:ec2/securityGroup:SecurityGroup"
    inputs = {"vpcId": cloud.vpc.id, "egress": [OPEN], "ingress": [{**HTTPS, "cidrBlocks": ["10.8.0.0/16"]}]}
    made = cloud.create(token, inputs, "sources")
    ec2 = client("ec2")
    ec2.authorize_security_group_ingress(
        GroupId=made.id,
        IpPermissions=[
            {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "10.9.0.0/16"}]}
        ],
    )
    assert made.refresh_diff().changes, "a rule that somebody added is drift"
    both = {**inputs, "ingress": [{**HTTPS, "cidrBlocks": ["10.9.0.0/16", "10.8.0.0/16"]}]}
    made.update(both)
    assert made.refresh_diff().changes == {}, "one rule in the program, two in AWS: the same sources"
    made.update(inputs)
    found = ec2.describe_security_groups(GroupIds=[made.id])["SecurityGroups"][0]["IpPermissions"]
    assert [[item["CidrIp"] for item in rule["IpRanges"]] for rule in found] == [["10.8.0.0/16"]]


def test_a_rule_whose_source_becomes_a_group_is_replaced(cloud: Cloud) -> None:
    token = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
    inputs = {"securityGroupId": cloud.group.id, "ipProtocol": "-1", "cidrIpv4": "10.8.0.0/16"}
    made = cloud.create(token, inputs, "kind")
    other = {**inputs, "cidrIpv4": None, "referencedSecurityGroupId": cloud.group.id}
    assert set(made.diff(other).replaces) == {"cidrIpv4", "referencedSecurityGroupId"}
    assert not made.diff({**inputs, "cidrIpv4": "10.9.0.0/16"}).replaces


def test_interface_endpoints_keep_groups_and_names(cloud: Cloud) -> None:
    inputs = {
        "vpcId": cloud.vpc.id,
        "serviceName": f"com.amazonaws.{REGION}.secretsmanager",
        "vpcEndpointType": "Interface",
        "subnetIds": [cloud.subnets[0].id],
        "securityGroupIds": [cloud.group.id],
        "privateDnsEnabled": True,
    }
    made = cloud.create("aws:ec2/vpcEndpoint:VpcEndpoint", inputs, "interface")
    assert made.diff(inputs).changes == made.refresh_diff().changes == {}
    changed = {**inputs, "subnetIds": [subnet.id for subnet in cloud.subnets], "privateDnsEnabled": False}
    made.update(changed)
    assert made.refresh_diff().changes == {}
    found = client("ec2").describe_vpc_endpoints(VpcEndpointIds=[made.id])["VpcEndpoints"][0]
    assert set(found["SubnetIds"]) == {subnet.id for subnet in cloud.subnets}
    assert ([group["GroupId"] for group in found["Groups"]], found["PrivateDnsEnabled"]) == (
        [cloud.group.id],
        False,
    )


def test_a_database_is_reached_by_its_outputs(cloud: Cloud) -> None:
    inputs = {
        "engine": "postgres",
        "engineVersion": "17",
        "instanceClass": "db.t4g.micro",
        "allocatedStorage": 20,
        "dbName": "projections",
        "username": "site",
        "password": "correct-horse-battery",
        "dbSubnetGroupName": cloud.subnet_group.id,
        "finalSnapshotIdentifier": f"last-{token_hex(3)}",
    }
    made = cloud.create("aws:rds/instance:Instance", inputs, "reached")
    assert ("password",) in made.state.secrets
    assert made["endpoint"] == f"{made['address']}:{made['port']}"
    assert made["engineVersionActual"].startswith("17.")
    assert made["engineVersion"] == "17"
    assert not made.diff({**inputs, "engineVersion": made["engineVersionActual"]}).replaces
    for password in ("correct-horse-battery", "another-horse-battery"):
        made.update({**inputs, "password": password, "applyImmediately": True})
        with psycopg.connect(
            host=made["address"],
            port=made["port"],
            user="site",
            password=password,
            dbname="projections",
            sslmode="require",
            connect_timeout=10,
        ) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    made.update({**inputs, "password": "another-horse-battery", "deletionProtection": True})
    with pytest.raises(ProviderError, match=r"(?i)deletion ?protection"):
        made.delete()
    made.update({**inputs, "password": "another-horse-battery"})
    made.delete()
    assert made.read() is None
    client("rds").delete_db_snapshot(DBSnapshotIdentifier=inputs["finalSnapshotIdentifier"])


def test_a_database_without_a_last_snapshot_says_what_is_missing(cloud: Cloud) -> None:
    state = Properties({"identifier": "none"})
    urn = cloud.urn("aws:rds/instance:Instance", "bare")
    with pytest.raises(ProviderError, match=r"finalSnapshotIdentifier, or skipFinalSnapshot"):
        cloud.do(cloud.provider.light_delete(urn, "db-X", state, state))


@pytest.mark.parametrize(
    ("token", "inputs", "where", "says"),
    [
        ("aws:ec2/vpc:Vpc", {"cidrBlock": "10.0.0.1/16"}, "cidrBlock", "must be 10.0.0.0/16"),
        ("aws:ec2/vpc:Vpc", {"cidrBlock": "10.0.0.0/8"}, "cidrBlock", "/16 to /28"),
        ("aws:ec2/vpc:Vpc", {"cidrBlock": "10.0.0.0/16", "ipv6CidrBlock": "x"}, "ipv6CidrBlock", "IPv4"),
        (
            "aws:ec2/securityGroup:SecurityGroup",
            {"ingress": [{**HTTPS, "fromPort": None, "cidrBlocks": ["0.0.0.0/0"]}]},
            "ingress",
            "[0].fromPort is required",
        ),
        (
            "aws:ec2/securityGroup:SecurityGroup",
            {"egress": [{**OPEN, "toPort": 65535}]},
            "egress",
            "must be 0 with protocol -1",
        ),
        (
            "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule",
            {"securityGroupId": "sg-1", "ipProtocol": "tcp", "cidrIpv4": "0.0.0.0/0"},
            "fromPort",
            "are required with ipProtocol tcp",
        ),
        ("aws:lb/loadBalancer:LoadBalancer", {"subnets": ["subnet-1"]}, "subnets", "at least two"),
        (
            "aws:lb/listener:Listener",
            {
                "loadBalancerArn": "arn:aws:elasticloadbalancing:x",
                "port": 443,
                "protocol": "HTTPS",
                "defaultActions": [{"type": "forward", "targetGroupArn": "arn"}],
            },
            "certificateArn",
            "is required with protocol HTTPS",
        ),
        (
            "aws:lb/listener:Listener",
            {"loadBalancerArn": "arn", "port": 80, "defaultActions": [{"type": "redirect"}]},
            "defaultActions",
            "[0].redirect is required with type redirect",
        ),
        (
            "aws:lb/targetGroup:TargetGroup",
            {"port": 80, "protocol": "HTTP", "targetType": "ip"},
            "vpcId",
            "is required with targetType ip",
        ),
        (
            "aws:rds/instance:Instance",
            {"engine": "postgres", "instanceClass": "db.t4g.micro", "allocatedStorage": 20},
            "username",
            "is required",
        ),
        (
            "aws:rds/instance:Instance",
            {"engine": "mysql", "instanceClass": "db.t4g.micro"},
            "engine",
            "must be one of postgres",
        ),
    ],
)
def test_what_aws_would_refuse_is_refused_at_preview(
    cloud: Cloud, token: str, inputs: dict[str, object], where: str, says: str
) -> None:
    assert says in cloud.failures(token, inputs)[where]
