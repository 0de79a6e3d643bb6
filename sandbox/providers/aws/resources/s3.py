"""``aws:s3/*``: the bucket, its settings (each a resource of its own), and objects."""

from typing import Any

from sandbox.providers.aws import rules
from sandbox.providers.aws.operations import Run
from sandbox.providers.aws.resources._s3_bucket import BUCKET
from sandbox.providers.aws.resources._s3_notification import NOTIFICATION
from sandbox.providers.aws.resources._s3_object import OBJECTS
from sandbox.providers.aws.table import Call, Field, Resource, Values

_BUCKET = {"Bucket": "{bucket}"}
_OWNER = Field("ExpectedBucketOwner", replace=True, unread=True)


def _setting(
    name: str,
    fields: dict[str, Field],
    *,
    put: str,
    get: str,
    delete: Call | Any,
    owner: bool = True,
    **more: Any,
) -> Resource:
    """One setting of a bucket: written as a whole, its id is the bucket's name."""
    all_fields = {"bucket": Field("Bucket", required=True, replace=True, pattern=""), **fields}
    if owner:
        all_fields["expectedBucketOwner"] = _OWNER
    return Resource(
        token=f"aws:s3/{name[0].lower()}{name[1:]}:{name}",
        service="s3",
        fields=all_fields,
        identity=("bucket",),
        id="{bucket}",
        create=Call(op=put),
        read=Call(op=get, params=_BUCKET),
        update=more.pop("update", (Call(op=put),)),
        delete=delete if callable(delete) or isinstance(delete, Call) else Call(op=delete, params=_BUCKET),
        read_after_create=False,
        **more,
    )


def _suspend(run: Run) -> None:
    """A bucket can't be unversioned again, only suspended; one that never was needs nothing."""
    status = (run.value("versioningConfiguration") or {}).get("status")
    if status == "Enabled":
        run.call("PutBucketVersioning", Bucket=run.id, VersioningConfiguration={"Status": "Suspended"})


VERSIONING = _setting(
    "BucketVersioning",
    {
        "versioningConfiguration": Field(
            "VersioningConfiguration",
            required=True,
            read=lambda found: {
                "status": found.get("Status") or "Disabled",
                **({"mfaDelete": found["MFADelete"]} if found.get("MFADelete") else {}),
            },
            sub={
                "status": Field("Status", required=True, allowed=("Enabled", "Suspended", "Disabled")),
                "mfaDelete": Field("MFADelete", computed=True),
            },
        ),
        "mfa": Field("MFA", unread=True),
    },
    put="PutBucketVersioning",
    get="GetBucketVersioning",
    delete=_suspend,
)

ENCRYPTION = _setting(
    "BucketServerSideEncryptionConfiguration",
    {
        "rules": Field(
            "ServerSideEncryptionConfiguration.Rules",
            required=True,
            unordered=True,
            sub={
                "bucketKeyEnabled": Field("BucketKeyEnabled", default=False, computed=True),
                "blockedEncryptionTypes": Field(
                    "BlockedEncryptionTypes",
                    type="list",
                    computed=True,
                    out=lambda kinds: {"EncryptionType": kinds},
                    back=lambda found: found.get("EncryptionType"),
                ),
            },
        )
    },
    put="PutBucketEncryption",
    get="GetBucketEncryption",
    delete="DeleteBucketEncryption",
)

CORS = _setting(
    "BucketCorsConfiguration",
    {
        "corsRules": Field(
            "CORSConfiguration.CORSRules",
            read="CORSRules",
            required=True,
            unordered=True,
            minimum=1,
            maximum=100,
            sub={
                "allowedMethods": Field("AllowedMethods", required=True, unordered=True),
                "allowedHeaders": Field("AllowedHeaders", unordered=True),
                "allowedOrigins": Field("AllowedOrigins", required=True, unordered=True),
                "exposeHeaders": Field("ExposeHeaders", unordered=True),
            },
        )
    },
    put="PutBucketCors",
    get="GetBucketCors",
    delete="DeleteBucketCors",
)

_BLOCKS = {"blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"}


def _delete_block(run: Run) -> None:
    if run.value("skipDestroy") is not True:
        run.call("DeletePublicAccessBlock", Bucket=run.id)


PUBLIC_ACCESS = _setting(
    "BucketPublicAccessBlock",
    {
        **{
            name: Field(f"PublicAccessBlockConfiguration.{name[0].upper()}{name[1:]}", default=False)
            for name in sorted(_BLOCKS)
        },
        "skipDestroy": Field(local=True, type="boolean", default=False),
    },
    put="PutPublicAccessBlock",
    get="GetPublicAccessBlock",
    delete=_delete_block,
    owner=False,
)

OWNERSHIP = _setting(
    "BucketOwnershipControls",
    {
        "rule": Field(
            "OwnershipControls.Rules",
            required=True,
            single=True,
            sub={"objectOwnership": Field(required=True)},
        )
    },
    put="PutBucketOwnershipControls",
    get="GetBucketOwnershipControls",
    delete="DeleteBucketOwnershipControls",
    owner=False,
)

POLICY = _setting(
    "BucketPolicy",
    {"policy": Field("Policy", required=True, json="policy", rule=rules.resource_policy, maximum=20480)},
    put="PutBucketPolicy",
    get="GetBucketPolicy",
    delete="DeleteBucketPolicy",
    owner=False,
)


def _lifecycle_rules(values: Values) -> dict[str, str]:
    found = {}
    given = values.get("rules")
    seen: set[str] = set()
    for i, rule in enumerate(given if isinstance(given, list) else []):
        if not isinstance(rule, dict):
            continue
        where = f"rules[{i}]"
        actions = (
            "abortIncompleteMultipartUpload",
            "expiration",
            "noncurrentVersionExpiration",
            "noncurrentVersionTransitions",
            "transitions",
        )
        if not any(rule.get(action) for action in actions):
            found[where] = f"must have an action: {', '.join(actions)}"
        expiration = rule.get("expiration")
        if (
            isinstance(expiration, dict)
            and len([v for v in expiration.values() if v not in (None, False)]) > 1
        ):
            found[f"{where}.expiration"] = "must have only one of date, days and expiredObjectDeleteMarker"
        if rule.get("id") in seen:
            found[f"{where}.id"] = f"must be unique, but {rule['id']!r} is there twice"
        if isinstance(rule.get("id"), str):
            seen.add(rule["id"])
    return found


_DAYS: dict[str, Any] = {"minimum": 1}
_TRANSITION: dict[str, Any] = {"minimum": 0}

_SIZES = {"objectSizeGreaterThan": Field(default=0), "objectSizeLessThan": Field(default=0)}

LIFECYCLE = _setting(
    "BucketLifecycleConfiguration",
    {
        "rules": Field(
            "LifecycleConfiguration.Rules",
            read="Rules",
            required=True,
            unordered=True,
            minimum=1,
            maximum=1000,
            sub={
                "id": Field("ID", required=True, minimum=1, maximum=255),
                "filter": Field(
                    "Filter", sub={"prefix": Field(computed=True), "and": Field("And", sub=_SIZES), **_SIZES}
                ),
                "prefix": Field("Prefix"),
                "expiration": Field(
                    "Expiration",
                    sub={
                        "days": Field(**_DAYS),
                        "expiredObjectDeleteMarker": Field(default=False),
                    },
                ),
                "abortIncompleteMultipartUpload": Field(
                    "AbortIncompleteMultipartUpload", sub={"daysAfterInitiation": Field(**_DAYS)}
                ),
                "noncurrentVersionExpiration": Field(
                    "NoncurrentVersionExpiration",
                    sub={
                        "noncurrentDays": Field(**_DAYS, required=True),
                        "newerNoncurrentVersions": Field(minimum=1, maximum=100),
                    },
                ),
                "noncurrentVersionTransitions": Field(
                    "NoncurrentVersionTransitions",
                    unordered=True,
                    sub={
                        "noncurrentDays": Field(**_TRANSITION, required=True),
                        "storageClass": Field(required=True),
                        "newerNoncurrentVersions": Field(minimum=1, maximum=100),
                    },
                ),
                "transitions": Field(
                    "Transitions",
                    unordered=True,
                    sub={"days": Field(**_TRANSITION), "storageClass": Field(required=True)},
                ),
            },
        ),
        "transitionDefaultMinimumObjectSize": Field("TransitionDefaultMinimumObjectSize", computed=True),
        "timeouts": Field(local=True, type="object"),
    },
    put="PutBucketLifecycleConfiguration",
    get="GetBucketLifecycleConfiguration",
    delete="DeleteBucketLifecycle",
    validate=_lifecycle_rules,
)

RESOURCES = (
    BUCKET,
    VERSIONING,
    ENCRYPTION,
    CORS,
    PUBLIC_ACCESS,
    OWNERSHIP,
    POLICY,
    LIFECYCLE,
    NOTIFICATION,
    *OBJECTS,
)
