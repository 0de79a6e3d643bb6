"""A PostgreSQL database in private subnets (RDS), its password generated and in Secrets Manager."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import rds

from components.parts import secrets
from components.parts.common import kept
from components.parts.network import security_group

ENGINE_VERSION = "17"
"""The newest major version that Debian has too, which the sandbox's server comes from."""
PORT = 5432
STORAGE_GB = 20
"""The least that gp3 takes; it grows by itself to five times as much."""
BACKUP_DAYS = 14


@dataclass(frozen=True, kw_only=True)
class PostgresArgs:
    identifier: str
    """Of the instance; letters, digits and hyphens."""
    database: str
    username: str
    secret_name: str
    vpc_id: pulumi.Input[str]
    subnets: pulumi.Input[Sequence[str]]
    instance_class: str
    keep: bool | None = None
    """True: protected and retained, backed up, in two zones. Else destroyed with its data."""
    tags: Mapping[str, str] | None = None


class Postgres(pulumi.ComponentResource):
    """Nobody reaches it but through rules that are added to its security group."""

    host: pulumi.Output[str]
    port: pulumi.Output[int]
    instance_id: pulumi.Output[str]
    security_group_id: pulumi.Output[str]
    secret_arn: pulumi.Output[str]
    """JSON with ``username`` and ``password``."""

    def __init__(self, name: str, args: PostgresArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = PostgresArgs(**args) if isinstance(args, dict) else args
        super().__init__("benchtop:index:Postgres", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        password = secrets.password(f"{name}-password", parent=self)
        self.secret_arn = secrets.secret(
            name,
            args.secret_name,
            pulumi.Output.json_dumps({"username": args.username, "password": password}),
            parent=self,
            description=f"User of the database {args.identifier}",
            keep=args.keep,
            tags=args.tags,
        )
        group = security_group(
            f"{name}-access",
            parent=self,
            vpc_id=args.vpc_id,
            description=f"Who reaches the database {args.identifier}",
            tags=args.tags,
        )
        subnets = rds.SubnetGroup(
            f"{name}-subnets",
            name=args.identifier,
            description=f"Where the database {args.identifier} may be",
            subnet_ids=args.subnets,
            tags=args.tags,
            opts=child,
        )
        instance = rds.Instance(
            f"{name}-instance",
            identifier=args.identifier,
            engine="postgres",
            engine_version=ENGINE_VERSION,
            instance_class=args.instance_class,
            allocated_storage=STORAGE_GB,
            max_allocated_storage=5 * STORAGE_GB,
            storage_type="gp3",
            storage_encrypted=True,
            db_name=args.database,
            username=args.username,
            password=password,
            db_subnet_group_name=subnets.name,
            vpc_security_group_ids=[group.id],
            publicly_accessible=False,
            multi_az=bool(args.keep),
            backup_retention_period=BACKUP_DAYS if args.keep else 0,
            auto_minor_version_upgrade=True,
            apply_immediately=not args.keep,
            deletion_protection=bool(args.keep),
            skip_final_snapshot=not args.keep,
            final_snapshot_identifier=f"{args.identifier}-final" if args.keep else None,
            tags=args.tags,
            opts=kept(self, args.keep),
        )
        self.host = instance.address
        self.port = instance.port
        self.instance_id = instance.identifier
        self.security_group_id = group.id
        self.register_outputs(
            {
                "host": self.host,
                "port": self.port,
                "instance_id": self.instance_id,
                "security_group_id": self.security_group_id,
                "secret_arn": self.secret_arn,
            }
        )
