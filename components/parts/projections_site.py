"""The site of the projections: database, load balancer, the web service with the onboard model in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_aws import cloudwatch

from components.parts import runner_iam, secrets
from components.parts.bucket import PrivateBucket
from components.parts.fargate_task import Container, FargateTask, FargateTaskArgs, size_problem
from components.parts.image import ContainerImage, ContainerImageArgs
from components.parts.network import Network, Rule, let_in, let_out, security_group
from components.parts.postgres import PORT as DATABASE_PORT
from components.parts.postgres import Postgres, PostgresArgs
from components.parts.scheduled_task import ScheduledTask, ScheduledTaskArgs
from components.parts.web_service import (
    LoadBalancer,
    LoadBalancerArgs,
    WebService,
    WebServiceArgs,
    allow_out,
)

PORT = 8000
ONBOARD_URL = "http://localhost:5000"
"""Containers of a task share one address."""
DATABASE = "projections"
DEFAULT_CPU = 1024
DEFAULT_MEMORY_MB = 4096
"""Half of it is the onboard model's, which computes beside the site."""
MANAGE_CPU = 512
MANAGE_MEMORY_MB = 1024
DEFAULT_DATABASE_CLASS = "db.t4g.micro"


@dataclass(frozen=True, kw_only=True)
class SiteArgs:
    context: str
    """Folder of the image's build."""
    dockerfile: str | None = None
    """File inside ``context``; ``Dockerfile`` when None."""
    allowed_cidrs: Sequence[str]
    """Who reaches the site: networks like ``192.0.2.0/24``."""
    cpu: int | None = None
    memory: int | None = None
    desired_count: int | None = None
    """Tasks of the service; 1 when None."""
    certificate_arn: str | None = None
    """Of AWS Certificate Manager: the site then answers over TLS, under ``domain``."""
    domain: str | None = None
    """The site's name, which somebody points at the load balancer; that one's own when None."""
    database_class: str | None = None
    data_source: str | None = None
    """Where ``addhashes`` reads from: ``https://...`` or ``s3://bucket/prefix``."""
    data_source_token_arn: str | None = None
    """Secret with a token for the Git host of ``data_source``, plain text."""
    addhashes_schedule: str | None = None
    """When new data is fetched, for example ``rate(1 day)`` or ``cron(0 6 * * ? *)``; never when None."""

    def __post_init__(self) -> None:
        problem = size_problem(self.cpu or DEFAULT_CPU, self.memory or DEFAULT_MEMORY_MB)
        if problem:
            raise ValueError(f"site: {problem}")
        if self.certificate_arn and not self.domain:
            raise ValueError("certificate_arn needs domain: the name in the certificate")
        if not self.allowed_cidrs:
            raise ValueError("allowed_cidrs is empty: nobody would reach the site")
        if (self.desired_count or 1) < 1:
            raise ValueError(f"desired_count must be 1 or more, got {self.desired_count}")


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What the runner has that the site works with."""

    runner_name: str
    bucket: PrivateBucket
    table_name: pulumi.Input[str]
    table_arn: pulumi.Input[str]
    cluster_arn: pulumi.Input[str]
    queue_url: pulumi.Input[str]
    queue_arn: pulumi.Input[str]
    network: Network
    model_image: ContainerImage
    webhook_key_arn: pulumi.Input[str]
    region: pulumi.Input[str]
    log_days: int
    keep: bool | None = None
    tags: Mapping[str, str] | None = field(default=None)


class ProjectionsSite(pulumi.ComponentResource):
    """What people see. Also the task definition of one-off commands, and the clock that fetches new data."""

    url: pulumi.Output[str]
    dns_name: pulumi.Output[str]
    balancer_suffix: pulumi.Output[str]
    target_group_suffix: pulumi.Output[str]
    service_name: pulumi.Output[str]
    manage_family: pulumi.Output[str]
    security_group_id: pulumi.Output[str]
    database_id: pulumi.Output[str]
    log_group: pulumi.Output[str]
    api_key_arn: pulumi.Output[str]

    def __init__(
        self, name: str, args: SiteArgs, around: Surroundings, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("benchtop:index:ProjectionsSite", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        self._name, self._args, self._around = name, args, around
        self._image = ContainerImage(
            f"{name}-image",
            ContainerImageArgs(
                repository_name=f"{around.runner_name}-web",
                context=args.context,
                dockerfile=args.dockerfile,
                keep=around.keep,
                tags=around.tags,
            ),
            child,
        )
        self._logs = cloudwatch.LogGroup(
            f"{name}-logs",
            name=f"/ecs/{around.runner_name}/web",
            retention_in_days=around.log_days,
            tags=around.tags,
            opts=child,
        )
        tasks = security_group(
            f"{name}-tasks",
            parent=self,
            vpc_id=around.network.vpc_id,
            description=f"The site {around.runner_name}",
            tags=around.tags,
        )
        ways_out = {443: "AWS's services and the data source"}
        allow_out(f"{name}-tasks", tasks.id, ways_out, parent=self)
        self._database = self._make_database(tasks.id)
        balancer = LoadBalancer(
            f"{name}-public",
            LoadBalancerArgs(
                balancer_name=around.runner_name,
                network=around.network,
                allowed_cidrs=args.allowed_cidrs,
                tls=args.certificate_arn is not None,
                keep=around.keep,
                tags=around.tags,
            ),
            child,
        )
        self.url = balancer.dns_name.apply(
            lambda host: f"{'https' if args.certificate_arn else 'http'}://{args.domain or host}"
        )
        self._balancer = balancer
        self._secrets = self._make_secrets()
        web = self._web_task()
        manage = self._manage_task()
        service = WebService(
            f"{name}-web",
            WebServiceArgs(
                service_name=around.runner_name,
                network=around.network,
                cluster_arn=around.cluster_arn,
                task_definition_arn=web.arn,
                security_group_id=tasks.id,
                container="web",
                port=PORT,
                desired_count=args.desired_count or 1,
                health_path="/health",
                balancer=balancer,
                certificate_arn=args.certificate_arn,
                tags=around.tags,
            ),
            child,
        )
        self.dns_name = balancer.dns_name
        self.balancer_suffix = balancer.arn_suffix
        self.target_group_suffix = service.target_group_suffix
        self.service_name = service.service_name
        self.manage_family = manage.family
        self.security_group_id = tasks.id
        self.database_id = self._database.instance_id
        self.log_group = self._logs.name
        if args.addhashes_schedule:
            ScheduledTask(
                f"{name}-fetch",
                ScheduledTaskArgs(
                    rule_name=f"{around.runner_name}-addhashes",
                    description=f"Fetches new data of {around.runner_name}",
                    schedule=args.addhashes_schedule,
                    cluster_arn=around.cluster_arn,
                    task=manage,
                    network=around.network,
                    security_group_id=tasks.id,
                    tags=around.tags,
                ),
                child,
            )
        self.register_outputs(
            {
                "url": self.url,
                "dns_name": self.dns_name,
                "service_name": self.service_name,
                "manage_family": self.manage_family,
                "security_group_id": self.security_group_id,
                "database_id": self.database_id,
                "log_group": self.log_group,
                "api_key_arn": self.api_key_arn,
            }
        )

    def _make_database(self, tasks_group: pulumi.Output[str]) -> Postgres:
        """The database, which the site's tasks reach and nobody else."""
        around = self._around
        database = Postgres(
            f"{self._name}-database",
            PostgresArgs(
                identifier=around.runner_name,
                database=DATABASE,
                username=DATABASE,
                secret_name=f"{around.runner_name}/database",
                vpc_id=around.network.vpc_id,
                subnets=around.network.private_subnets,
                instance_class=self._args.database_class or DEFAULT_DATABASE_CLASS,
                keep=around.keep,
                tags=around.tags,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        to = Rule(
            role="database", port=DATABASE_PORT, group=database.security_group_id, why="to the database"
        )
        let_out(f"{self._name}-tasks", to, parent=self, of=tasks_group)
        from_site = Rule(role="site", port=DATABASE_PORT, group=tasks_group, why="from the site")
        let_in(f"{self._name}-database", from_site, parent=self, to=database.security_group_id)
        return database

    def _make_secrets(self) -> dict[str, pulumi.Input[str]]:
        """From a variable to where ECS finds its value."""
        around = self._around
        site = secrets.generated(
            f"{self._name}-keys",
            f"{around.runner_name}/site",
            ("django_secret_key", "admin_password"),
            parent=self,
            description=f"Session key and first password of the user admin of {around.runner_name}",
            keep=around.keep,
            tags=around.tags,
        )
        # Apart from the others: operators read it, and nothing else.
        self.api_key_arn = secrets.generated(
            f"{self._name}-api-key",
            f"{around.runner_name}/api-key",
            parent=self,
            description=f"Signs the API tokens of {around.runner_name}",
            keep=around.keep,
            tags=around.tags,
        )
        known: dict[str, pulumi.Input[str]] = {
            "DJANGO_SECRET_KEY": secrets.json_key(site, "django_secret_key"),
            "ADMIN_PASSWORD": secrets.json_key(site, "admin_password"),
            "API_SIGNING_KEY": self.api_key_arn,
            "WEBHOOK_SIGNING_KEY": around.webhook_key_arn,
            "DATABASE_PASSWORD": secrets.json_key(self._database.secret_arn, "password"),
        }
        self._secret_arns: list[pulumi.Input[str]] = [
            site,
            self.api_key_arn,
            around.webhook_key_arn,
            self._database.secret_arn,
        ]
        if self._args.data_source_token_arn:
            known["DATA_SOURCE_TOKEN"] = self._args.data_source_token_arn
            self._secret_arns.append(self._args.data_source_token_arn)
        return known

    def _web(self, command: Sequence[str], port: int | None = None) -> Container:
        """The site's own container, as a service or for one command."""
        around, args = self._around, self._args
        return Container(
            name="web",
            image=self._image.digest_uri,
            command=command,
            port=port,
            environment={
                "DATABASE_HOST": self._database.host,
                "DATABASE_PORT": self._database.port.apply(str),
                "DATABASE_NAME": DATABASE,
                "DATABASE_USER": DATABASE,
                "DATABASE_SSLMODE": "require",
                "BUCKET_NAME": around.bucket.bucket_name,
                "RUN_TABLE": around.table_name,
                "RESTART_QUEUE_URL": around.queue_url,
                "CLUSTER_ARN": around.cluster_arn,
                "SITE_URL": self.url,
                "ALLOWED_HOSTS": self._balancer.dns_name.apply(
                    lambda host: ",".join(sorted({host.partition(":")[0], *filter(None, [args.domain])}))
                ),
                "ONBOARD_URL": ONBOARD_URL,
                "DATA_SOURCE": args.data_source or "",
                "LOG_LEVEL": "INFO",
            },
            secrets=self._secrets,
        )

    def _web_task(self) -> FargateTask:
        around, args = self._around, self._args
        onboard = Container(
            name="onboard",
            image=around.model_image.digest_uri,
            command=["onboard"],
            environment={
                "BUCKET_NAME": around.bucket.bucket_name,
                "MODEL_VERSION": around.model_image.tag,
            },
        )
        return self._task(
            "web",
            cpu=args.cpu or DEFAULT_CPU,
            memory=args.memory or DEFAULT_MEMORY_MB,
            containers=[self._web(["web"], PORT), onboard],
            repositories=[self._image.repository_arn, around.model_image.repository_arn],
            statements=pulumi.Output.all(
                around.bucket.arn, around.table_arn, around.queue_arn, around.cluster_arn
            ).apply(lambda arns: runner_iam.web(*arns)),
        )

    def _manage_task(self) -> FargateTask:
        """One-off commands; ``addhashes`` when nobody says which."""
        return self._task(
            "manage",
            cpu=MANAGE_CPU,
            memory=MANAGE_MEMORY_MB,
            containers=[self._web(["manage", "addhashes"])],
            repositories=[self._image.repository_arn],
            statements=self._around.bucket.arn.apply(runner_iam.manage),
        )

    def _task(
        self,
        role: str,
        *,
        cpu: int,
        memory: int,
        containers: Sequence[Container],
        repositories: Sequence[pulumi.Input[str]],
        statements: pulumi.Input[Sequence[Mapping[str, Any]]],
    ) -> FargateTask:
        return FargateTask(
            f"{self._name}-{role}-task",
            FargateTaskArgs(
                family=f"{self._around.runner_name}-{role}",
                cpu=cpu,
                memory=memory,
                containers=containers,
                log_group=self._logs,
                log_prefix=role,
                statements=statements,
                repository_arns=repositories,
                secret_arns=self._secret_arns,
                region=self._around.region,
                tags=self._around.tags,
            ),
            pulumi.ResourceOptions(parent=self),
        )
