"""Who may do what: users signed in with Cognito, bucket policies, and what buckets and others keep."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.sandbox import sandbox_aws_support as support

REGION = "ca-central-1"
PASSWORD = "Correct-Horse-9"
WEB = "cognito-identity.amazonaws.com"
BUCKET = "access-model-bucket"


def web_trust(pool: str, kind: str = "authenticated") -> dict[str, Any]:
    condition = {"StringEquals": {f"{WEB}:aud": pool}, "ForAnyValue:StringLike": {f"{WEB}:amr": kind}}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Federated": WEB},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": condition,
            }
        ],
    }


@dataclass
class Pools:
    """A user pool and an identity pool of it: ann is in the group with a role, bob is in none."""

    users: str
    client: str
    identities: str

    @property
    def provider(self) -> str:
        return f"cognito-idp.{REGION}.amazonaws.com/{self.users}"

    def credentials(self, user: str) -> dict[str, str]:
        """Arguments of a boto3 client that acts as the user; unsigned calls get them, as a browser would."""
        from botocore import UNSIGNED
        from botocore.config import Config

        unsigned = Config(signature_version=UNSIGNED)
        signed_in = boto3.client("cognito-idp", config=unsigned).initiate_auth(
            ClientId=self.client,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": user, "PASSWORD": PASSWORD},
        )
        logins = {self.provider: signed_in["AuthenticationResult"]["IdToken"]}
        identity = boto3.client("cognito-identity", config=unsigned)
        found = identity.get_id(IdentityPoolId=self.identities, Logins=logins)["IdentityId"]
        keys = identity.get_credentials_for_identity(IdentityId=found, Logins=logins)["Credentials"]
        return {
            "aws_access_key_id": keys["AccessKeyId"],
            "aws_secret_access_key": keys["SecretKey"],
            "aws_session_token": keys["SessionToken"],
        }


@pytest.fixture(scope="module")
def model_bucket(sandbox_env: dict[str, str]) -> Iterator[str]:
    support.bucket(BUCKET)
    boto3.client("s3").put_object(Bucket=BUCKET, Key="base/inputs/x.txt", Body=b"base")
    yield BUCKET
    contents = boto3.resource("s3").Bucket(BUCKET)
    contents.object_versions.delete()
    boto3.client("s3").delete_bucket_policy(Bucket=BUCKET)
    contents.delete()


@pytest.fixture(scope="module")
def pools(model_bucket: str) -> Iterator[Pools]:
    idp, identity = boto3.client("cognito-idp"), boto3.client("cognito-identity")
    users = idp.create_user_pool(PoolName="access")["UserPool"]["Id"]
    client = idp.create_user_pool_client(
        UserPoolId=users,
        ClientName="access",
        ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
    )["UserPoolClient"]["ClientId"]
    provider = f"cognito-idp.{REGION}.amazonaws.com/{users}"
    identities = identity.create_identity_pool(
        IdentityPoolName="access",
        AllowUnauthenticatedIdentities=False,
        CognitoIdentityProviders=[
            {"ProviderName": provider, "ClientId": client, "ServerSideTokenCheck": False}
        ],
    )["IdentityPoolId"]
    objects = f"arn:aws:s3:::{model_bucket}"
    group_role = support.role(
        "access-planners",
        web_trust(identities),
        support.allow(["s3:GetObject", "s3:PutObject"], f"{objects}/*"),
        support.allow("s3:ListBucket", objects),
        {"Effect": "Deny", "Action": ["s3:PutObject", "s3:DeleteObject"], "Resource": f"{objects}/base/*"},
    )
    plain_role = support.role("access-plain", web_trust(identities))
    idp.create_group(UserPoolId=users, GroupName="planners", RoleArn=group_role, Precedence=1)
    for user in ("ann", "bob"):
        idp.admin_create_user(UserPoolId=users, Username=user, MessageAction="SUPPRESS")
        idp.admin_set_user_password(UserPoolId=users, Username=user, Password=PASSWORD, Permanent=True)
    idp.admin_add_user_to_group(UserPoolId=users, Username="ann", GroupName="planners")
    identity.set_identity_pool_roles(
        IdentityPoolId=identities,
        Roles={"authenticated": plain_role},
        RoleMappings={
            f"{provider}:{client}": {"Type": "Token", "AmbiguousRoleResolution": "AuthenticatedRole"}
        },
    )
    yield Pools(users, client, identities)
    identity.delete_identity_pool(IdentityPoolId=identities)
    idp.delete_user_pool(UserPoolId=users)


def test_a_group_can_be_updated(pools: Pools) -> None:
    idp = boto3.client("cognito-idp")
    before = idp.get_group(UserPoolId=pools.users, GroupName="planners")["Group"]
    idp.update_group(UserPoolId=pools.users, GroupName="planners", Description="who plan", Precedence=3)
    after = idp.get_group(UserPoolId=pools.users, GroupName="planners")["Group"]
    assert (after["Description"], after["Precedence"], after["RoleArn"]) == ("who plan", 3, before["RoleArn"])
    with pytest.raises(idp.exceptions.ResourceNotFoundException):
        idp.update_group(UserPoolId=pools.users, GroupName="strangers", Description="x")


def test_a_group_member_acts_with_the_groups_role(pools: Pools) -> None:
    keys = pools.credentials("ann")
    assert boto3.client("sts", **keys).get_caller_identity()["Arn"].split("/")[1:] == [
        "access-planners",
        "CognitoIdentityCredentials",
    ]
    s3 = boto3.client("s3", **keys)
    s3.put_object(Bucket=BUCKET, Key="mine/x.txt", Body=b"x")
    assert s3.get_object(Bucket=BUCKET, Key="base/inputs/x.txt")["Body"].read() == b"base"
    attempts: list[Callable[[], Any]] = [
        lambda: s3.put_object(Bucket=BUCKET, Key="base/x.txt", Body=b"x"),
        lambda: s3.delete_object(Bucket=BUCKET, Key="mine/x.txt"),
        lambda: s3.list_buckets(),
        lambda: boto3.client("lambda", **keys).list_functions(),
    ]
    for refused in attempts:
        with pytest.raises(ClientError, match="AccessDenied"):
            refused()


def test_somebody_in_no_group_gets_the_pools_own_role(pools: Pools) -> None:
    keys = pools.credentials("bob")
    assert "assumed-role/access-plain/" in boto3.client("sts", **keys).get_caller_identity()["Arn"]
    with pytest.raises(ClientError, match="AccessDenied"):
        boto3.client("s3", **keys).list_objects_v2(Bucket=BUCKET)


def test_without_a_role_of_their_own_users_can_be_refused(pools: Pools) -> None:
    identity = boto3.client("cognito-identity")
    before = identity.get_identity_pool_roles(IdentityPoolId=pools.identities)
    strict = {f"{pools.provider}:{pools.client}": {"Type": "Token", "AmbiguousRoleResolution": "Deny"}}
    identity.set_identity_pool_roles(
        IdentityPoolId=pools.identities, Roles=before["Roles"], RoleMappings=strict
    )
    try:
        with pytest.raises(ClientError, match="NotAuthorized"):
            pools.credentials("bob")
        assert pools.credentials("ann")
    finally:
        identity.set_identity_pool_roles(
            IdentityPoolId=pools.identities, Roles=before["Roles"], RoleMappings=before["RoleMappings"]
        )


@pytest.mark.parametrize(
    "trusted",
    [
        web_trust("ca-central-1:00000000-0000-0000-0000-000000000000"),
        support.trust("lambda.amazonaws.com"),
        "unauthenticated",
    ],
    ids=["another identity pool", "no web identity", "unauthenticated only"],
)
def test_trust_policy_of_the_groups_role_is_honoured(pools: Pools, trusted: Any) -> None:
    iam = boto3.client("iam")
    document = web_trust(pools.identities, trusted) if isinstance(trusted, str) else trusted
    iam.update_assume_role_policy(RoleName="access-planners", PolicyDocument=json.dumps(document))
    try:
        with pytest.raises(ClientError, match="InvalidIdentityPoolConfiguration"):
            pools.credentials("ann")
    finally:
        iam.update_assume_role_policy(
            RoleName="access-planners", PolicyDocument=json.dumps(web_trust(pools.identities))
        )
    assert pools.credentials("ann")


def test_denying_insecure_transport_does_not_deny_the_sandbox(pools: Pools) -> None:
    s3 = boto3.client("s3")
    resources = [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]
    insecure = {
        "Sid": "tls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": resources,
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    secret = {
        "Sid": "secret",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{BUCKET}/secret/*",
    }
    s3.put_object(Bucket=BUCKET, Key="secret/x", Body=b"x")
    s3.put_bucket_policy(
        Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [insecure, secret]})
    )
    ann = boto3.client("s3", **pools.credentials("ann"))
    assert ann.get_object(Bucket=BUCKET, Key="base/inputs/x.txt")["Body"].read() == b"base"
    with pytest.raises(ClientError, match="AccessDenied"):
        ann.get_object(Bucket=BUCKET, Key="secret/x")


def test_unsigned_requests_see_nothing_of_a_bucket(model_bucket: str, sandbox_env: dict[str, str]) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(
            f"{sandbox_env['AWS_ENDPOINT_URL']}/{model_bucket}/base/inputs/x.txt", timeout=10
        )
    assert refused.value.code == 403


def test_buckets_keep_their_settings(sandbox_env: dict[str, str]) -> None:
    s3, name = boto3.client("s3"), support.bucket("access-settings-bucket")
    block = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    encryption = {
        "Rules": [
            {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}, "BucketKeyEnabled": True}
        ]
    }
    cors = {
        "CORSRules": [
            {
                "AllowedOrigins": ["http://localhost:8081"],
                "AllowedMethods": ["GET", "PUT"],
                "AllowedHeaders": ["*"],
                "ExposeHeaders": ["ETag"],
                "MaxAgeSeconds": 300,
            }
        ]
    }
    lifecycle = {
        "Rules": [
            {
                "ID": "logs",
                "Status": "Enabled",
                "Filter": {"Prefix": "logs/"},
                "Expiration": {"Days": 30},
                "NoncurrentVersionExpiration": {"NoncurrentDays": 7},
            }
        ]
    }
    owner = {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=block)
    s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration=encryption)
    s3.put_bucket_cors(Bucket=name, CORSConfiguration=cors)
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration=lifecycle)
    s3.put_bucket_ownership_controls(Bucket=name, OwnershipControls=owner)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"] == block
    assert s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"] == encryption
    assert s3.get_bucket_cors(Bucket=name)["CORSRules"] == cors["CORSRules"]
    assert s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"] == lifecycle["Rules"]
    assert s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"] == owner
    public = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": f"arn:aws:s3:::{name}/*",
            }
        ],
    }
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps(public))
    s3.put_object(Bucket=name, Key="x", Body=b"1")
    s3.put_object(Bucket=name, Key="x", Body=b"2")
    s3.delete_object(Bucket=name, Key="x")
    versions = s3.list_object_versions(Bucket=name)
    assert [len(versions[kind]) for kind in ("Versions", "DeleteMarkers")] == [2, 1]
    with pytest.raises(ClientError, match="BucketNotEmpty"):
        s3.delete_bucket(Bucket=name)
    boto3.resource("s3").Bucket(name).object_versions.delete()
    s3.delete_bucket(Bucket=name)


def test_browsers_of_the_configured_origin_may_use_a_bucket(
    model_bucket: str, sandbox_env: dict[str, str]
) -> None:
    rule = {"AllowedOrigins": ["http://localhost:8081"], "AllowedMethods": ["PUT"], "AllowedHeaders": ["*"]}
    boto3.client("s3").put_bucket_cors(Bucket=model_bucket, CORSConfiguration={"CORSRules": [rule]})

    def preflight(origin: str) -> str | None:
        request = urllib.request.Request(
            f"{sandbox_env['AWS_ENDPOINT_URL']}/{model_bucket}/mine/x", method="OPTIONS"
        )
        request.add_header("Origin", origin)
        request.add_header("Access-Control-Request-Method", "PUT")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                header: str | None = answer.headers.get("Access-Control-Allow-Origin")
        except urllib.error.HTTPError as error:
            header = error.headers.get("Access-Control-Allow-Origin")
        return header

    assert preflight("http://localhost:8081") == "http://localhost:8081"
    assert preflight("http://evil.example") is None


def test_repositories_log_groups_alarms_and_topics_keep_their_settings(sandbox_env: dict[str, str]) -> None:
    ecr, logs, watch, sns = (boto3.client(name) for name in ("ecr", "logs", "cloudwatch", "sns"))
    ecr.create_repository(
        repositoryName="access/settings",
        imageTagMutability="IMMUTABLE",
        imageScanningConfiguration={"scanOnPush": True},
    )
    policy = json.dumps(
        {
            "rules": [
                {
                    "rulePriority": 1,
                    "selection": {
                        "tagStatus": "untagged",
                        "countType": "imageCountMoreThan",
                        "countNumber": 3,
                    },
                    "action": {"type": "expire"},
                }
            ]
        }
    )
    ecr.put_lifecycle_policy(repositoryName="access/settings", lifecyclePolicyText=policy)
    found = ecr.describe_repositories(repositoryNames=["access/settings"])["repositories"][0]
    assert (found["imageTagMutability"], found["imageScanningConfiguration"]) == (
        "IMMUTABLE",
        {"scanOnPush": True},
    )
    assert ecr.get_lifecycle_policy(repositoryName="access/settings")["lifecyclePolicyText"] == policy
    ecr.delete_repository(repositoryName="access/settings")

    logs.create_log_group(logGroupName="/access/settings")
    logs.put_retention_policy(logGroupName="/access/settings", retentionInDays=14)
    assert logs.describe_log_groups(logGroupNamePrefix="/access/")["logGroups"][0]["retentionInDays"] == 14
    logs.delete_log_group(logGroupName="/access/settings")

    topic = sns.create_topic(Name="access-alarms")["TopicArn"]
    watch.put_metric_alarm(
        AlarmName="access-failures",
        Namespace="AWS/States",
        MetricName="ExecutionsFailed",
        Statistic="Sum",
        Period=300,
        EvaluationPeriods=1,
        Threshold=0,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
        AlarmActions=[topic],
        Dimensions=[{"Name": "StateMachineArn", "Value": "arn:aws:states:x"}],
    )
    alarm = watch.describe_alarms(AlarmNames=["access-failures"])["MetricAlarms"][0]
    assert (alarm["AlarmActions"], alarm["Threshold"], alarm["TreatMissingData"]) == (
        [topic],
        0,
        "notBreaching",
    )
    watch.delete_alarms(AlarmNames=["access-failures"])
    sns.delete_topic(TopicArn=topic)


def test_regions_are_apart(sandbox_env: dict[str, str]) -> None:
    here, there = boto3.client("ecr"), boto3.client("ecr", region_name="eu-west-3")
    here.create_repository(repositoryName="access/regional")
    try:
        with pytest.raises(there.exceptions.RepositoryNotFoundException):
            there.describe_repositories(repositoryNames=["access/regional"])
    finally:
        here.delete_repository(repositoryName="access/regional")
