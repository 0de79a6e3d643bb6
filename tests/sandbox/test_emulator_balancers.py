"""Application load balancers in the emulator: real ports, real health checks, real traffic."""

import http.client
import json
import secrets
import socket
import statistics
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from sandbox.aws.bridge import bridge_addresses
from sandbox.images.ensure import ensure
from tests.sandbox import sandbox_aws_support as support
from tests.sandbox.conftest import sandbox_command


class Site(ThreadingHTTPServer):
    """A target that answers with what it was asked; ``health`` is the status of its health check."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, name: str, address: str = "127.0.0.1", health: int = 200) -> None:
        self.name, self.health, self.checks = name, health, 0
        super().__init__((address, 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Site

    def log_message(self, *_: Any) -> None:
        pass

    def say(self, status: int, content: bytes, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_GET(self) -> None:
        if self.path == "/health":
            self.server.checks += 1
            return self.say(self.server.health, b"")
        if self.path.startswith("/slow"):
            time.sleep(float(self.path.partition("=")[2]))
        if self.path == "/hang-up":
            self.connection.shutdown(socket.SHUT_RDWR)
            return None
        if self.path == "/stream":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for number in range(5):
                self.wfile.write(b"2\r\n%d\n\r\n" % number)
                self.wfile.flush()
                time.sleep(0.2)
            self.wfile.write(b"0\r\n\r\n")
            return None
        content = {"site": self.server.name, "path": self.path, "headers": lower(self.headers)}
        return self.say(200, json.dumps(content).encode(), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2, c"))

    def do_POST(self) -> None:
        total, length = 0, int(self.headers.get("Content-Length") or 0)
        while total < length:
            total += len(self.rfile.read(min(65536, length - total)))
        self.say(201, str(total).encode())


def lower(headers: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def get(url: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=20) as answer:
            return answer.status, lower(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, lower(error.headers), error.read()


def two_subnets() -> tuple[list[str], str]:
    """Subnets of the default VPC in two zones, and the VPC."""
    default = [{"Name": "default-for-az", "Values": ["true"]}]
    found = boto3.client("ec2").describe_subnets(Filters=default)["Subnets"][:2]
    return [subnet["SubnetId"] for subnet in found], str(found[0]["VpcId"])


@dataclass
class Balancer:
    """A load balancer with one listener and a target group of addresses."""

    name: str
    arn: str = ""
    group: str = ""
    host: str = ""
    sites: list[Site] = field(default_factory=list)
    subnets: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        client = boto3.client("elbv2")
        self.subnets, vpc = two_subnets()
        made = client.create_load_balancer(Name=self.name, Subnets=self.subnets)["LoadBalancers"][0]
        self.arn, self.host = made["LoadBalancerArn"], made["DNSName"]
        self.group = client.create_target_group(
            Name=self.name, Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip", HealthCheckPath="/health",
            HealthCheckIntervalSeconds=5, HealthCheckTimeoutSeconds=2, HealthyThresholdCount=2,
            UnhealthyThresholdCount=2,
        )["TargetGroups"][0]["TargetGroupArn"]  # fmt: skip
        client.create_listener(
            LoadBalancerArn=self.arn, Protocol="HTTP", Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.group}],
        )  # fmt: skip

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def site(self, name: str = "one", address: str = "127.0.0.1", health: int = 200) -> Site:
        self.sites.append(Site(name, address, health))
        boto3.client("elbv2").register_targets(
            TargetGroupArn=self.group, Targets=[{"Id": address, "Port": self.sites[-1].port}]
        )
        return self.sites[-1]

    def states(self) -> list[str]:
        found = boto3.client("elbv2").describe_target_health(TargetGroupArn=self.group)[
            "TargetHealthDescriptions"
        ]
        return [target["TargetHealth"]["State"] for target in found]

    def until(self, *states: str, seconds: float = 15) -> None:
        support.until(lambda: self.states() == list(states), seconds)

    def remove(self) -> None:
        client = boto3.client("elbv2")
        client.delete_load_balancer(LoadBalancerArn=self.arn)
        client.delete_target_group(TargetGroupArn=self.group)
        for site in self.sites:
            site.shutdown()
            site.server_close()


def post(balancer: Balancer, content: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(balancer.host, timeout=20)
    connection.request("POST", "/upload", body=content)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def error_page(status: int, reason: str) -> bytes:
    title = f"{status} {reason}"
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "</body>\r\n</html>\r\n"
    ).encode()


@pytest.fixture
def balancer(sandbox_env: dict[str, str]) -> Iterator[Balancer]:
    made = Balancer(f"alb-{secrets.token_hex(4)}")
    yield made
    made.remove()


def test_it_listens_on_loopback_and_the_bridge_only(balancer: Balancer) -> None:
    address, _, port = balancer.host.partition(":")
    assert address == bridge_addresses()[0]
    balancer.site()
    balancer.until("healthy")
    for host in ("127.0.0.1", address):
        status, _headers, content = get(f"http://{host}:{port}/a%20b?c=%C3%BC&d")
        assert (status, json.loads(content)["path"]) == (200, "/a%20b?c=%C3%BC&d")
    with open("/proc/net/tcp") as table:
        ours = {line.split()[1] for line in table if line.split()[3] == "0A"}
    assert sum(entry.endswith(f":{int(port):04X}") for entry in ours) == 2
    assert f"00000000:{int(port):04X}" not in ours


def test_the_target_sees_who_asked(balancer: Balancer) -> None:
    balancer.site()
    balancer.until("healthy")
    _status, headers, content = get(
        balancer.url, **{"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"}
    )
    seen = json.loads(content)["headers"]
    assert seen["host"] == balancer.host
    assert seen["x-forwarded-for"].startswith("192.0.2.1, ")
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-forwarded-port"] == balancer.host.partition(":")[2]
    assert seen["x-amzn-trace-id"].startswith("Root=1-")
    connection = http.client.HTTPConnection(balancer.host, timeout=10)
    connection.request("GET", "/")
    assert connection.getresponse().msg.get_all("Set-Cookie") == ["a=1", "b=2, c"]
    connection.close()
    assert "date" in headers


def test_errors_are_the_load_balancers(balancer: Balancer) -> None:
    status, headers, content = get(balancer.url)
    assert (status, headers["server"]) == (503, "awselb/2.0")
    assert content == error_page(503, "Service Temporarily Unavailable")
    site = balancer.site()
    balancer.until("healthy")
    assert get(f"{balancer.url}/hang-up")[0] == 502
    boto3.client("elbv2").modify_load_balancer_attributes(
        LoadBalancerArn=balancer.arn, Attributes=[{"Key": "idle_timeout.timeout_seconds", "Value": "1"}]
    )
    assert get(f"{balancer.url}/slow=3")[0] == 504
    assert get(f"{balancer.url}/slow=0.5")[0] == 200
    site.shutdown()
    site.server_close()
    assert post(balancer, b"") == (502, error_page(502, "Bad Gateway"))


def test_only_healthy_targets_get_traffic(balancer: Balancer) -> None:
    one, two = balancer.site("one"), balancer.site("two", "127.0.0.2", 500)

    def answering() -> set[str]:
        return {json.loads(get(balancer.url)[2])["site"] for _ in range(10)}

    balancer.until("healthy", "unhealthy")
    assert two.checks >= 2
    assert answering() == {"one"}
    two.health = 200
    balancer.until("healthy", "healthy")
    assert answering() == {"one", "two"}
    one.health = 404
    balancer.until("unhealthy", "healthy", seconds=20)
    assert answering() == {"two"}


def test_bodies_stream_both_ways(balancer: Balancer) -> None:
    balancer.site()
    balancer.until("healthy")
    connection = http.client.HTTPConnection(balancer.host, timeout=20)
    began = time.monotonic()
    connection.request("GET", "/stream")
    answer = connection.getresponse()
    first, at = answer.readline(), time.monotonic() - began
    assert first == b"0\n"
    assert at < 0.5
    assert answer.read() == b"1\n2\n3\n4\n"
    connection.close()
    assert post(balancer, bytes(50_000_000)) == (201, b"50000000")


def test_two_hundred_at_once_and_little_time_of_its_own(balancer: Balancer) -> None:
    site = balancer.site()
    balancer.until("healthy")
    with ThreadPoolExecutor(200) as pool:
        began = time.monotonic()
        answers = list(pool.map(lambda number: get(f"{balancer.url}/slow=0.{number % 5}"), range(400)))
    assert [status for status, _headers, _content in answers] == [200] * 400
    assert time.monotonic() - began < 15

    def median(host: str) -> float:
        connection, times = http.client.HTTPConnection(host, timeout=10), []
        for _ in range(200):
            began = time.perf_counter()
            connection.request("GET", "/")
            connection.getresponse().read()
            times.append(time.perf_counter() - began)
        connection.close()
        return statistics.median(times) * 1000

    direct, through = median(f"127.0.0.1:{site.port}"), median(balancer.host)
    print(f"a request: {direct:.2f} ms direct, {through:.2f} ms through the load balancer")
    assert through - direct < 5


def test_rules_choose_and_answer(balancer: Balancer) -> None:
    balancer.site()
    client = boto3.client("elbv2")
    listener = client.describe_listeners(LoadBalancerArn=balancer.arn)["Listeners"][0]["ListenerArn"]
    fixed = {"StatusCode": "418", "ContentType": "text/plain", "MessageBody": "short and stout"}
    client.create_rule(
        ListenerArn=listener, Priority=1, Conditions=[{"Field": "path-pattern", "Values": ["/teapot*"]}],
        Actions=[{"Type": "fixed-response", "FixedResponseConfig": fixed}],
    )  # fmt: skip
    balancer.until("healthy")
    assert get(f"{balancer.url}/teapot/1")[::2] == (418, b"short and stout")
    assert get(f"{balancer.url}/coffee")[0] == 200


def test_it_keeps_its_port_over_a_restart_and_frees_it_at_the_end(balancer: Balancer) -> None:
    balancer.site()
    balancer.until("healthy")
    sandbox_command("stop")
    with pytest.raises(OSError, match="refused"):
        get(balancer.url)
    sandbox_command("start")
    balancer.until("healthy")
    assert get(balancer.url)[0] == 200
    described = boto3.client("elbv2").describe_load_balancers(LoadBalancerArns=[balancer.arn])[
        "LoadBalancers"
    ][0]
    assert described["DNSName"] == balancer.host
    boto3.client("elbv2").delete_load_balancer(LoadBalancerArn=balancer.arn)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", int(balancer.host.partition(":")[2])))


def test_what_aws_refuses_is_refused(balancer: Balancer) -> None:
    client = boto3.client("elbv2")
    with pytest.raises(ClientError, match="two different Availability Zones"):
        client.create_load_balancer(Name="one-zone", Subnets=balancer.subnets[:1])
    with pytest.raises(ClientError, match="SubnetNotFound"):
        client.create_load_balancer(Name="no-zone", Subnets=["subnet-absent", *balancer.subnets])
    forward = [{"Type": "forward", "TargetGroupArn": balancer.group}]
    with pytest.raises(ClientError, match="DuplicateListener"):
        client.create_listener(LoadBalancerArn=balancer.arn, Protocol="HTTP", Port=80, DefaultActions=forward)
    with pytest.raises(ClientError, match="ResourceInUse"):
        client.delete_target_group(TargetGroupArn=balancer.group)
    protection = {"Key": "deletion_protection.enabled", "Value": "true"}
    client.modify_load_balancer_attributes(LoadBalancerArn=balancer.arn, Attributes=[protection])
    with pytest.raises(ClientError, match="OperationNotPermitted"):
        client.delete_load_balancer(LoadBalancerArn=balancer.arn)
    protection["Value"] = "false"
    client.modify_load_balancer_attributes(LoadBalancerArn=balancer.arn, Attributes=[protection])
    described = client.describe_load_balancers(LoadBalancerArns=[balancer.arn])["LoadBalancers"][0]
    assert [zone["SubnetId"] for zone in described["AvailabilityZones"]] == balancer.subnets
    assert len({zone["ZoneName"] for zone in described["AvailabilityZones"]}) == 2


SLOW_SITE = """
import http.server, sys, time
time.sleep(2)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[1].encode())
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""


def test_a_service_is_steady_when_its_site_answers(balancer: Balancer) -> None:
    """Also when its definition changes: the old task serves until the new one does."""
    image = ensure([support.BASE_IMAGE], print)[support.BASE_IMAGE]
    ecs, name = boto3.client("ecs"), balancer.name
    ecs.create_cluster(clusterName=name)

    def definition(text: str) -> str:
        container = {"name": "web", "image": image, "portMappings": [{"containerPort": 8000}],
                     "command": ["python3", "-c", SLOW_SITE, text]}  # fmt: skip
        made = ecs.register_task_definition(
            family=name, requiresCompatibilities=["FARGATE"], networkMode="awsvpc", cpu="256", memory="512",
            containerDefinitions=[container],
        )  # fmt: skip
        return str(made["taskDefinition"]["taskDefinitionArn"])

    def rollout() -> str:
        deployments = ecs.describe_services(cluster=name, services=[name])["services"][0]["deployments"]
        return next(str(found["rolloutState"]) for found in deployments if found["status"] == "PRIMARY")

    subnets = {"awsvpcConfiguration": {"subnets": balancer.subnets}}
    ecs.create_service(
        cluster=name, serviceName=name, taskDefinition=definition("first"), desiredCount=1,
        launchType="FARGATE", networkConfiguration=subnets, healthCheckGracePeriodSeconds=60,
        loadBalancers=[{"targetGroupArn": balancer.group, "containerName": "web", "containerPort": 8000}],
    )  # fmt: skip
    try:
        assert rollout() == "IN_PROGRESS"
        assert get(balancer.url)[0] == 503
        support.until(lambda: rollout() == "COMPLETED", 60)
        assert get(balancer.url)[::2] == (200, b"first")
        ecs.update_service(cluster=name, service=name, taskDefinition=definition("second"))
        seen: list[bytes] = []
        while rollout() != "COMPLETED":
            status, _headers, content = get(balancer.url)
            assert status == 200
            seen.append(content)
            time.sleep(0.05)
        support.until(lambda: get(balancer.url)[2] == b"second")
        assert seen[0] == b"first"
    finally:
        ecs.update_service(cluster=name, service=name, desiredCount=0)
        ecs.delete_service(cluster=name, service=name, force=True)
