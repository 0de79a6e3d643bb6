"""A service of tasks behind a load balancer, over TLS when there is a certificate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_aws import ecs, lb

from components.parts.network import ANYWHERE, Network, Rule, let_in, let_out, security_group

TLS_POLICY = "ELBSecurityPolicy-TLS13-1-2-2021-06"
"""TLS 1.2 and 1.3 only (Elastic Load Balancing guide, "Security policies")."""
NAME_LENGTH = 28
"""A target group's name, ``<name>-web``, has 32 characters at most."""
START_S = 180
"""What a new task may take until its first good health check: the database has to be migrated."""


@dataclass(frozen=True, kw_only=True)
class LoadBalancerArgs:
    balancer_name: str
    network: Network
    allowed_cidrs: Sequence[str]
    """Who reaches it, on port 80 and, with ``tls``, 443."""
    tls: bool
    keep: bool | None = None
    tags: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if len(self.balancer_name) > NAME_LENGTH:
            raise ValueError(
                f"balancer_name must have at most {NAME_LENGTH} characters, got {self.balancer_name!r}"
            )


class LoadBalancer(pulumi.ComponentResource):
    """The public end. Made before the tasks, which must know the address they are reached at."""

    arn: pulumi.Output[str]
    arn_suffix: pulumi.Output[str]
    """What its metrics are found by."""
    dns_name: pulumi.Output[str]
    security_group_id: pulumi.Output[str]

    def __init__(self, name: str, args: LoadBalancerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("benchtop:index:LoadBalancer", name, {}, opts)
        group = security_group(
            f"{name}-access",
            parent=self,
            vpc_id=args.network.vpc_id,
            description=f"Who reaches the load balancer {args.balancer_name}",
            tags=args.tags,
        )
        for port in (80, 443) if args.tls else (80,):
            for number, cidr in enumerate(args.allowed_cidrs):
                rule = Rule(role=f"{port}-{number + 1}", port=port, cidr=cidr, why="visitors")
                let_in(name, rule, parent=self, to=group.id)
        balancer = lb.LoadBalancer(
            f"{name}-balancer",
            name=args.balancer_name,
            load_balancer_type="application",
            internal=False,
            security_groups=[group.id],
            subnets=args.network.public_subnets,
            drop_invalid_header_fields=True,
            enable_deletion_protection=bool(args.keep),
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.arn = balancer.arn
        self.arn_suffix = balancer.arn_suffix
        self.dns_name = balancer.dns_name
        self.security_group_id = group.id
        self.register_outputs(
            {
                "arn": self.arn,
                "arn_suffix": self.arn_suffix,
                "dns_name": self.dns_name,
                "security_group_id": self.security_group_id,
            }
        )


@dataclass(frozen=True, kw_only=True)
class WebServiceArgs:
    service_name: str
    network: Network
    cluster_arn: pulumi.Input[str]
    task_definition_arn: pulumi.Input[str]
    security_group_id: pulumi.Input[str]
    """Of the tasks; the load balancer's way in is added to it."""
    container: str
    port: int
    desired_count: int
    health_path: str
    balancer: LoadBalancer
    certificate_arn: str | None = None
    tags: Mapping[str, str] | None = None


class WebService(pulumi.ComponentResource):
    """Target group, listeners, service, and the two rules between load balancer and tasks."""

    service_name: pulumi.Output[str]
    target_group_suffix: pulumi.Output[str]

    def __init__(self, name: str, args: WebServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("benchtop:index:WebService", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        rules = [
            let_out(
                name,
                Rule(role="tasks", port=args.port, group=args.security_group_id, why="to the tasks"),
                parent=self,
                of=args.balancer.security_group_id,
            ),
            let_in(
                name,
                Rule(
                    role="balancer",
                    port=args.port,
                    group=args.balancer.security_group_id,
                    why="from the load balancer",
                ),
                parent=self,
                to=args.security_group_id,
            ),
        ]
        targets = lb.TargetGroup(
            f"{name}-targets",
            name=f"{args.service_name}-web",
            port=args.port,
            protocol="HTTP",
            target_type="ip",
            vpc_id=args.network.vpc_id,
            deregistration_delay=30,
            health_check={
                "path": args.health_path,
                "matcher": "200",
                "interval": 15,
                "timeout": 5,
                "healthy_threshold": 2,
                "unhealthy_threshold": 3,
            },
            tags=args.tags,
            opts=child,
        )
        forward = {"type": "forward", "target_group_arn": targets.arn}
        listeners = self._listeners(name, args, forward)
        service = ecs.Service(
            f"{name}-service",
            name=f"{args.service_name}-web",
            cluster=args.cluster_arn,
            task_definition=args.task_definition_arn,
            desired_count=args.desired_count,
            launch_type="FARGATE",
            network_configuration={
                "subnets": args.network.task_subnets,
                "security_groups": [args.security_group_id],
                "assign_public_ip": args.network.public_ip,
            },
            load_balancers=[
                {
                    "target_group_arn": targets.arn,
                    "container_name": args.container,
                    "container_port": args.port,
                }
            ],
            health_check_grace_period_seconds=START_S,
            # A broken image leaves the tasks of the last deployment where they are, and fails the `up`.
            deployment_circuit_breaker={"enable": True, "rollback": True},
            wait_for_steady_state=True,
            enable_ecs_managed_tags=True,
            propagate_tags="SERVICE",
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*listeners, *rules]),
        )
        self.service_name = service.name
        self.target_group_suffix = targets.arn_suffix
        self.register_outputs(
            {"service_name": self.service_name, "target_group_suffix": self.target_group_suffix}
        )

    def _listeners(
        self, name: str, args: WebServiceArgs, forward: Mapping[str, Any]
    ) -> list[pulumi.Resource]:
        """Plain HTTP leads to TLS when there is a certificate, and to the site when there is none."""
        child = pulumi.ResourceOptions(parent=self)
        redirect = {
            "type": "redirect",
            "redirect": {"port": "443", "protocol": "HTTPS", "status_code": "HTTP_301"},
        }
        listeners: list[pulumi.Resource] = [
            lb.Listener(
                f"{name}-http",
                load_balancer_arn=args.balancer.arn,
                port=80,
                protocol="HTTP",
                default_actions=[redirect if args.certificate_arn else forward],
                tags=args.tags,
                opts=child,
            )
        ]
        if args.certificate_arn:
            listeners.append(
                lb.Listener(
                    f"{name}-https",
                    load_balancer_arn=args.balancer.arn,
                    port=443,
                    protocol="HTTPS",
                    certificate_arn=args.certificate_arn,
                    ssl_policy=TLS_POLICY,
                    default_actions=[forward],
                    tags=args.tags,
                    opts=child,
                )
            )
        return listeners


def allow_out(
    name: str, group_id: pulumi.Input[str], ports: Mapping[int, str], *, parent: pulumi.Resource
) -> None:
    """Ways out of a group to anywhere: from a port to why."""
    for port, why in sorted(ports.items()):
        let_out(name, Rule(role=str(port), port=port, cidr=ANYWHERE, why=why), parent=parent, of=group_id)
