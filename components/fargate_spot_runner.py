"""Runs of a container on Fargate and Fargate Spot, started by objects in a bucket, with a site in front.

See ``FargateSpotRunner``. The state machine of a run is ``lambdas/projections/transitions.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pulumi
from pulumi_aws import cloudwatch, dynamodb, ecs, get_region_output

from components.parts import runner_iam, secrets
from components.parts.bucket import PrivateBucket, PrivateBucketArgs
from components.parts.common import LOG_DAYS, kept, name_problem
from components.parts.fargate_task import Container, FargateTask, FargateTaskArgs, size_problem
from components.parts.function import check_range
from components.parts.image import ContainerImage, ContainerImageArgs
from components.parts.network import Network, NetworkArgs, security_group
from components.parts.projections_site import ProjectionsSite, SiteArgs, Surroundings
from components.parts.run_functions import RunFunctions, RunFunctionsArgs
from components.parts.runner_alarms import Alarms
from components.parts.web_service import NAME_LENGTH, allow_out
from lambdas.projections.states import BY_STATUS
from lambdas.projections.states import Settings as RunSettings

DEFAULT_CPU = 1024
DEFAULT_MEMORY_MB = 2048
DEFAULT_LOG_DAYS = 14
CHECKPOINT_S = 60
HEARTBEAT_S = 15

LIMITS: Mapping[str, tuple[int, int, str]] = {
    "max_interruptions": (0, 20, "interruptions"),
    "backoff_s": (1, 900, "s"),
    "max_backoff_s": (1, 900, "s"),
    "max_attempts": (1, 100, "attempts"),
    "stale_after_s": (4 * HEARTBEAT_S, 3600, "s"),
    "run_days": (1, 3650, "days"),
}
"""Both ends allowed. SQS delays by 900 s at most; a heartbeat or two may be lost without harm."""


@dataclass(frozen=True, kw_only=True)
class FargateSpotRunnerArgs:
    runner_name: str
    """Globally unique, since it is the bucket's name; begins the names of all that belongs to it."""
    model_context: str
    """Folder of the image that computes a run."""
    network: NetworkArgs
    alarm_topic_arn: pulumi.Input[str]
    site: SiteArgs | None = None
    """Without it there is the runner alone: put request objects into its bucket."""
    cpu: int | None = None
    """CPU units of a run's task, 1024 a core; 1024 when None."""
    memory: int | None = None
    """MB; 2048 when None. Fargate has certain pairs only."""
    max_interruptions: int | None = None
    """After so many a run goes on on demand; 3 when None, 0: Spot is never used."""
    backoff_s: int | None = None
    """Wait before the second attempt, doubled for each further one; 30 when None."""
    max_backoff_s: int | None = None
    """600 when None."""
    max_attempts: int | None = None
    """20 when None; then the run is failed."""
    stale_after_s: int | None = None
    """Seconds without a heartbeat after which a task counts as lost; 300 when None."""
    run_days: int | None = None
    """Days that requests, results and the table's items are kept; 30 when None."""
    log_days: int | None = None
    """14 when None."""
    keep_data: bool | None = None
    """True: bucket, table, database and repositories are protected and retained. Else destroyed."""
    tags: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        problem = name_problem(self.runner_name)
        if problem:
            raise ValueError(f"runner_name {problem}")
        if len(self.runner_name) > NAME_LENGTH:
            raise ValueError(
                f"runner_name must have at most {NAME_LENGTH} characters, got {self.runner_name!r}"
            )
        problem = size_problem(self.cpu or DEFAULT_CPU, self.memory or DEFAULT_MEMORY_MB)
        if problem:
            raise ValueError(problem)
        for name, number in self.numbers().items():
            low, high, unit = LIMITS[name]
            check_range(name, number, (low, high), unit)
        numbers = self.numbers()
        if numbers["max_backoff_s"] < numbers["backoff_s"]:
            raise ValueError(f"max_backoff_s must be backoff_s ({numbers['backoff_s']}) or more")
        if self.log_days is not None and self.log_days not in LOG_DAYS:
            raise ValueError(f"log_days must be one of {', '.join(map(str, LOG_DAYS))}, got {self.log_days}")

    def numbers(self) -> dict[str, int]:
        """The settings of the functions, defaults filled in."""
        defaults = RunSettings()
        given = {name: getattr(self, name) for name in LIMITS}
        return {name: getattr(defaults, name) if value is None else value for name, value in given.items()}


class FargateSpotRunner(pulumi.ComponentResource):
    """Request objects in, results out, and nothing lost in between.

    An object ``requests/<run id>.json`` starts a run; the run table holds what became of it; an interrupted
    Spot task is replaced, after some interruptions on demand; a sweeper finds what no event told of.
    """

    bucket: pulumi.Output[str]
    run_table: pulumi.Output[str]
    cluster_arn: pulumi.Output[str]
    model_task_family: pulumi.Output[str]
    restart_queue_url: pulumi.Output[str]
    dead_letter_queue_urls: pulumi.Output[Mapping[str, str]]
    dispatch_function: pulumi.Output[str]
    resume_function: pulumi.Output[str]
    sweep_function: pulumi.Output[str]

    def __init__(
        self, name: str, args: FargateSpotRunnerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        args = FargateSpotRunnerArgs(**args) if isinstance(args, dict) else args
        super().__init__("benchtop:index:FargateSpotRunner", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        self._name, self._args = name, args
        self._log_days = args.log_days or DEFAULT_LOG_DAYS
        days = args.numbers()["run_days"]
        self._bucket = PrivateBucket(
            f"{name}-data",
            PrivateBucketArgs(
                bucket_name=args.runner_name,
                expiry={"requests/": days, "runs/": days},
                keep=args.keep_data,
                tags=args.tags,
            ),
            child,
        )
        self._table = self._run_table()
        cluster = ecs.Cluster(f"{name}-cluster", name=args.runner_name, tags=args.tags, opts=child)
        capacity = ecs.ClusterCapacityProviders(
            f"{name}-capacity",
            cluster_name=cluster.name,
            capacity_providers=["FARGATE", "FARGATE_SPOT"],
            opts=child,
        )
        # Known when it has its capacity: a task that asked for Spot before would be refused.
        self.cluster_arn = pulumi.Output.all(cluster.arn, capacity.id).apply(lambda made: str(made[0]))
        network = replace(args.network, tags=args.network.tags or args.tags)
        self._network = Network(f"{name}-network", network, child)
        self._region = get_region_output(opts=pulumi.InvokeOutputOptions(parent=self)).region
        self._webhook_key = secrets.generated(
            f"{name}-webhook-key",
            f"{args.runner_name}/webhook-key",
            parent=self,
            description=f"Signs the reports of the runs of {args.runner_name}",
            keep=args.keep_data,
            tags=args.tags,
        )
        self._image = ContainerImage(
            f"{name}-model-image",
            ContainerImageArgs(
                repository_name=f"{args.runner_name}-model",
                context=args.model_context,
                keep=args.keep_data,
                tags=args.tags,
            ),
            child,
        )
        self._logs = cloudwatch.LogGroup(
            f"{name}-model-logs",
            name=f"/ecs/{args.runner_name}/model",
            retention_in_days=self._log_days,
            tags=args.tags,
            opts=child,
        )
        task = self._model_task()
        functions = self._functions(task)
        self.bucket = self._bucket.bucket_name
        self.run_table = self._table.name
        self.model_task_family = task.family
        self.restart_queue_url = functions.restart_queue_url
        self.dead_letter_queue_urls = functions.dead_letter_queue_urls
        self.dispatch_function = functions.dispatch.function_name
        self.resume_function = functions.resume.function_name
        self.sweep_function = functions.sweep.function_name
        self._run_functions = functions
        self._site = self._make_site(args.site) if args.site is not None else None
        self._alarms()
        self.register_outputs(self.described())

    def described(self) -> dict[str, pulumi.Output[Any]]:
        """The outputs as operators' tools read them; those of the site only when there is one."""
        functions = self._run_functions
        logs = {
            "model": self._logs.name,
            "dispatch": functions.dispatch.log_group,
            "resume": functions.resume.log_group,
            "sweep": functions.sweep.log_group,
        }
        made: dict[str, pulumi.Output[Any]] = {
            "bucket": self.bucket,
            "run_table": self.run_table,
            "cluster_arn": self.cluster_arn,
            "model_task_family": self.model_task_family,
            "restart_queue_url": self.restart_queue_url,
            "dead_letter_queue_urls": self.dead_letter_queue_urls,
            "dispatch_function": self.dispatch_function,
            "resume_function": self.resume_function,
            "sweep_function": self.sweep_function,
        }
        if self._site is not None:
            logs["web"] = self._site.log_group
            made |= {
                "site_url": self._site.url,
                "load_balancer": self._site.dns_name,
                "web_service": self._site.service_name,
                "manage_task_family": self._site.manage_family,
                "manage_network": pulumi.Output.all(
                    subnets=self._network.task_subnets,
                    security_groups=[self._site.security_group_id],
                    assign_public_ip=self._network.public_ip,
                ),
                "api_key_secret_arn": self._site.api_key_arn,
            }
        return made | {"log_groups": pulumi.Output.all(**logs)}

    def _run_table(self) -> dynamodb.Table:
        args = self._args
        return dynamodb.Table(
            f"{self._name}-runs",
            name=f"{args.runner_name}-runs",
            billing_mode="PAY_PER_REQUEST",
            hash_key="run_id",
            attributes=[{"name": key, "type": "S"} for key in ("run_id", "status", "updated_at")],
            global_secondary_indexes=[
                {
                    "name": BY_STATUS,
                    "hash_key": "status",
                    "range_key": "updated_at",
                    "projection_type": "ALL",
                }
            ],
            point_in_time_recovery={"enabled": True},
            ttl={"attribute_name": "expires_at", "enabled": True},
            deletion_protection_enabled=bool(args.keep_data),
            tags=args.tags,
            opts=kept(self, args.keep_data),
        )

    def _model_task(self) -> FargateTask:
        args = self._args
        return FargateTask(
            f"{self._name}-model",
            FargateTaskArgs(
                family=f"{args.runner_name}-model",
                cpu=args.cpu or DEFAULT_CPU,
                memory=args.memory or DEFAULT_MEMORY_MB,
                containers=[
                    Container(
                        name="model",
                        image=self._image.digest_uri,
                        environment={
                            "BUCKET_NAME": self._bucket.bucket_name,
                            "RUN_TABLE": self._table.name,
                            "CHECKPOINT_INTERVAL_S": str(CHECKPOINT_S),
                            "HEARTBEAT_INTERVAL_S": str(HEARTBEAT_S),
                            "MODEL_VERSION": self._image.tag,
                        },
                        secrets={"WEBHOOK_SIGNING_KEY": self._webhook_key},
                    )
                ],
                log_group=self._logs,
                log_prefix="model",
                statements=pulumi.Output.all(self._bucket.arn, self._table.arn).apply(
                    lambda arns: runner_iam.model(arns[0], arns[1])
                ),
                repository_arns=[self._image.repository_arn],
                secret_arns=[self._webhook_key],
                region=self._region,
                tags=args.tags,
            ),
            pulumi.ResourceOptions(parent=self),
        )

    def _functions(self, task: FargateTask) -> RunFunctions:
        args = self._args
        group = security_group(
            f"{self._name}-model-tasks",
            parent=self,
            vpc_id=self._network.vpc_id,
            description=f"Runs of {args.runner_name}: nobody reaches them",
            tags=args.tags,
        )
        ports = {443: "AWS's services, and the site's webhook"}
        if args.site is not None and args.site.certificate_arn is None:
            ports[80] = "the site's webhook"
        allow_out(f"{self._name}-model-tasks", group.id, ports, parent=self)
        return RunFunctions(
            f"{self._name}-run",
            RunFunctionsArgs(
                runner_name=args.runner_name,
                bucket=self._bucket,
                table_name=self._table.name,
                table_arn=self._table.arn,
                index_arn=pulumi.Output.concat(self._table.arn, "/index/", BY_STATUS),
                cluster_arn=self.cluster_arn,
                task=task,
                network=self._network,
                security_group_id=group.id,
                numbers=args.numbers(),
                log_days=self._log_days,
                tags=args.tags,
            ),
            pulumi.ResourceOptions(parent=self),
        )

    def _make_site(self, site: SiteArgs) -> ProjectionsSite:
        args = self._args
        return ProjectionsSite(
            f"{self._name}-site",
            site,
            Surroundings(
                runner_name=args.runner_name,
                bucket=self._bucket,
                table_name=self._table.name,
                table_arn=self._table.arn,
                cluster_arn=self.cluster_arn,
                queue_url=self._run_functions.restart_queue_url,
                queue_arn=self._run_functions.restart_queue_arn,
                network=self._network,
                model_image=self._image,
                webhook_key_arn=self._webhook_key,
                region=self._region,
                log_days=self._log_days,
                keep=args.keep_data,
                tags=args.tags,
            ),
            pulumi.ResourceOptions(parent=self),
        )

    def _alarms(self) -> None:
        functions = self._run_functions
        made = Alarms(
            name=self._name,
            runner_name=self._args.runner_name,
            topic_arn=self._args.alarm_topic_arn,
            parent=self,
            tags=self._args.tags,
        )
        logs: dict[str, pulumi.Input[str]] = {
            "model": self._logs.name,
            "resume": functions.resume.log_group,
            "sweep": functions.sweep.log_group,
        }
        if self._site is not None:
            logs["site"] = self._site.log_group  # where the onboard model writes
        made.failed_runs(logs)
        made.functions(
            {
                "dispatch": functions.dispatch.function_name,
                "resume": functions.resume.function_name,
                "sweep": functions.sweep.function_name,
            }
        )
        made.dead_letters({key: queue.name for key, queue in functions.dead_letters.items()})
        if self._site is not None:
            made.site(self._site.balancer_suffix, self._site.target_group_suffix)
            made.database(self._site.database_id)
