"""People: a Cognito user pool and identity pool, groups with roles, and the table of who may use what."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import cognito, s3
from pulumi_aws import iam as aws_iam

from components.parts import iam
from components.parts.bucket import PrivateBucket, PrivateBucketArgs
from components.parts.common import kept

ACCESS_TABLE_KEY = "cognito_group_access.json"


@dataclass(frozen=True, kw_only=True)
class UserDirectoryArgs:
    pool_name: str
    keep: bool | None = None
    """True: the user pool is protected and retained. Else destroyed with its users."""
    tags: Mapping[str, str] | None = None


class UserDirectory(pulumi.ComponentResource):
    """User pool (people are invited, nobody signs up), client for browsers, identity pool."""

    user_pool_id: pulumi.Output[str]
    user_pool_client_id: pulumi.Output[str]
    identity_pool_id: pulumi.Output[str]

    def __init__(
        self, name: str, args: UserDirectoryArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        args = UserDirectoryArgs(**args) if isinstance(args, dict) else args
        super().__init__("benchtop:index:UserDirectory", name, {}, opts)
        child = kept(self, args.keep, protect=False)
        pool = cognito.UserPool(
            f"{name}-pool",
            name=args.pool_name,
            admin_create_user_config={"allow_admin_create_user_only": True},
            auto_verified_attributes=["email"],
            account_recovery_setting={"recovery_mechanisms": [{"name": "verified_email", "priority": 1}]},
            username_configuration={"case_sensitive": False},
            password_policy={
                "minimum_length": 12,
                "require_lowercase": True,
                "require_uppercase": True,
                "require_numbers": True,
                "require_symbols": False,
                "temporary_password_validity_days": 7,
            },
            deletion_protection="ACTIVE" if args.keep else "INACTIVE",
            tags=args.tags,
            opts=kept(self, args.keep),
        )
        client = cognito.UserPoolClient(
            f"{name}-client",
            name=f"{args.pool_name}-front-end",
            user_pool_id=pool.id,
            generate_secret=False,
            # Browsers use SRP, which never sends the password; scripts of users send it over TLS.
            explicit_auth_flows=[
                "ALLOW_USER_SRP_AUTH",
                "ALLOW_REFRESH_TOKEN_AUTH",
                "ALLOW_USER_PASSWORD_AUTH",
            ],
            prevent_user_existence_errors="ENABLED",
            enable_token_revocation=True,
            id_token_validity=1,
            access_token_validity=1,
            refresh_token_validity=30,
            token_validity_units={"id_token": "hours", "access_token": "hours", "refresh_token": "days"},
            opts=child,
        )
        identities = cognito.IdentityPool(
            f"{name}-identities",
            identity_pool_name=args.pool_name,
            allow_unauthenticated_identities=False,
            cognito_identity_providers=[
                {"client_id": client.id, "provider_name": pool.endpoint, "server_side_token_check": True}
            ],
            tags=args.tags,
            opts=child,
        )
        # Cognito wants a role for the signed-in; who is in no group gets this one, which may do nothing.
        nobody = aws_iam.Role(
            f"{name}-no-group",
            assume_role_policy=pulumi.Output.json_dumps(identities.id.apply(iam.trust_identity_pool)),
            description="Signed in, but in no group: no permissions",
            tags=args.tags,
            opts=child,
        )
        cognito.IdentityPoolRoleAttachment(
            f"{name}-roles",
            identity_pool_id=identities.id,
            roles={"authenticated": nobody.arn},
            role_mappings=[
                {
                    "identity_provider": pulumi.Output.concat(pool.endpoint, ":", client.id),
                    "type": "Token",
                    "ambiguous_role_resolution": "Deny",
                }
            ],
            opts=child,
        )
        self.user_pool_id = pool.id
        self.user_pool_client_id = client.id
        self.identity_pool_id = identities.id
        self.register_outputs(
            {
                "user_pool_id": self.user_pool_id,
                "user_pool_client_id": self.user_pool_client_id,
                "identity_pool_id": self.identity_pool_id,
            }
        )


@dataclass(frozen=True, kw_only=True)
class AccessGroupArgs:
    group_name: str
    user_pool_id: pulumi.Input[str]
    identity_pool_id: pulumi.Input[str]
    description: str
    tags: Mapping[str, str] | None = None


class AccessGroup(pulumi.ComponentResource):
    """A Cognito group and the role its members get from the identity pool; policies come from elsewhere."""

    group_name: pulumi.Output[str]
    role_name: pulumi.Output[str]
    role_arn: pulumi.Output[str]

    def __init__(self, name: str, args: AccessGroupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = AccessGroupArgs(**args) if isinstance(args, dict) else args
        super().__init__("benchtop:index:AccessGroup", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        role = aws_iam.Role(
            f"{name}-role",
            assume_role_policy=pulumi.Output.json_dumps(
                pulumi.Output.from_input(args.identity_pool_id).apply(iam.trust_identity_pool)
            ),
            description=args.description,
            tags=args.tags,
            opts=child,
        )
        group = cognito.UserGroup(
            f"{name}-group",
            name=args.group_name,
            user_pool_id=args.user_pool_id,
            role_arn=role.arn,
            description=args.description,
            opts=child,
        )
        self.group_name = group.name
        self.role_name = role.name
        self.role_arn = role.arn
        self.register_outputs(
            {"group_name": self.group_name, "role_name": self.role_name, "role_arn": self.role_arn}
        )


@dataclass(frozen=True, kw_only=True)
class AccessTableArgs:
    bucket_name: str
    table: Mapping[str, Sequence[str]]
    """From a group to the models it may use."""
    origins: Sequence[str] | None = None
    keep: bool | None = None
    tags: Mapping[str, str] | None = None


class AccessTable(pulumi.ComponentResource):
    """The object that tells front ends which models a group may use, in a bucket of its own."""

    bucket_name: pulumi.Output[str]
    key: pulumi.Output[str]
    arn: pulumi.Output[str]

    def __init__(self, name: str, args: AccessTableArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        args = AccessTableArgs(**args) if isinstance(args, dict) else args
        super().__init__("benchtop:index:AccessTable", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        bucket = PrivateBucket(
            f"{name}-store",
            PrivateBucketArgs(
                bucket_name=args.bucket_name, origins=args.origins, keep=args.keep, tags=args.tags
            ),
            child,
        )
        table = s3.BucketObjectv2(
            f"{name}-table",
            bucket=bucket.bucket_name,
            key=ACCESS_TABLE_KEY,
            content=table_json(args.table),
            content_type="application/json",
            opts=pulumi.ResourceOptions(parent=self, depends_on=[bucket]),
        )
        self.bucket_name = bucket.bucket_name
        self.key = table.key
        self.arn = pulumi.Output.concat(bucket.arn, "/", table.key)
        self.register_outputs({"bucket_name": self.bucket_name, "key": self.key, "arn": self.arn})


def table_json(table: Mapping[str, Sequence[str]]) -> str:
    """The table as front ends read it: groups and models sorted.

    >>> table_json({"b": ["y", "x"]})
    '{"b": ["x", "y"]}'
    """
    return json.dumps({group: sorted(set(models)) for group, models in sorted(table.items())})
