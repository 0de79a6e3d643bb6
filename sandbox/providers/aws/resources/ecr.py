"""``aws:ecr/*``."""

from sandbox.providers.aws import rules
from sandbox.providers.aws.errors import Refused
from sandbox.providers.aws.operations import Run
from sandbox.providers.aws.table import AutoName, Call, Field, Resource, Tags
from sandbox.providers.server import ProviderError

_ID = {"repositoryName": "{id}"}


def _delete(run: Run) -> None:
    force = run.value("forceDelete") is True
    try:
        run.call("DeleteRepository", repositoryName=run.id, force=force)
    except Refused as problem:
        if problem.code == "RepositoryNotEmptyException":
            raise ProviderError(
                f"the ECR repository {run.id} still has images: delete them,"
                " or set forceDelete and run up first"
            ) from problem
        raise


REPOSITORY = Resource(
    token="aws:ecr/repository:Repository",
    service="ecr",
    fields={
        "name": Field(
            "repositoryName",
            replace=True,
            computed=True,
            minimum=2,
            maximum=256,
            pattern="",
            rule=rules.matches(
                r"(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*",
                "lower-case letters and digits, with single dots, hyphens, underscores or slashes between",
            ),
        ),
        "forceDelete": Field(local=True, type="boolean", default=False),
        "imageTagMutability": Field("imageTagMutability", default="MUTABLE"),
        "imageTagMutabilityExclusionFilters": Field("imageTagMutabilityExclusionFilters"),
        "imageScanningConfiguration": Field(
            "imageScanningConfiguration", sub={"scanOnPush": Field(required=True)}
        ),
        "encryptionConfigurations": Field(
            "encryptionConfiguration",
            listed=True,
            replace=True,
            computed=True,
            sub={"encryptionType": Field(default="AES256", computed=True), "kmsKey": Field(computed=True)},
        ),
    },
    autoname=AutoName(limit=256, lower=True),
    identity=("name",),
    create=Call(op="CreateRepository", result="repository"),
    read=Call(op="DescribeRepositories", params={"repositoryNames": ["{id}"]}, result="repositories.0"),
    update=(
        Call(
            op="PutImageTagMutability",
            params=_ID,
            fields=("imageTagMutability", "imageTagMutabilityExclusionFilters"),
        ),
        Call(op="PutImageScanningConfiguration", params=_ID, fields=("imageScanningConfiguration",)),
    ),
    delete=_delete,
    outputs={"arn": "repositoryArn", "registryId": "registryId", "repositoryUrl": "repositoryUri"},
    tags=Tags(
        member="tags",
        add="TagResource",
        remove="UntagResource",
        list="ListTagsForResource",
        target={"resourceArn": "{arn}"},
    ),
    read_after_create=False,
)

LIFECYCLE_POLICY = Resource(
    token="aws:ecr/lifecyclePolicy:LifecyclePolicy",
    service="ecr",
    fields={
        "repository": Field("repositoryName", required=True, replace=True, pattern=""),
        "policy": Field("lifecyclePolicyText", required=True, replace=True, json="lifecycle", maximum=30720),
    },
    identity=("repository",),
    id="{repository}",
    create=Call(op="PutLifecyclePolicy"),
    read=Call(op="GetLifecyclePolicy", params={"repositoryName": "{id}"}),
    delete=Call(op="DeleteLifecyclePolicy", params={"repositoryName": "{id}"}),
    outputs={"registryId": "registryId"},
    read_after_create=False,
)

RESOURCES = (REPOSITORY, LIFECYCLE_POLICY)
