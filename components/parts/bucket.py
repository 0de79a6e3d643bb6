"""A private S3 bucket: encrypted, versioned, owned by the account, closed to the public, TLS only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import s3

from components.parts import iam
from components.parts.common import kept, name_problem

CORS_METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")
CORS_MAX_AGE_S = 3000
LOG_TAG = ("kind", "log")
"""Objects with this tag expire: a prefix can't say "logs/ in any folder", a tag can."""


@dataclass(frozen=True, kw_only=True)
class PrivateBucketArgs:
    bucket_name: str
    """Globally unique name; plain, so checked before any cloud call."""
    origins: Sequence[str] | None = None
    """Origins whose pages may read and write objects (CORS), for example ``https://maps.example.org``."""
    log_days: int | None = None
    """Days after which objects tagged as logs expire; never when None."""
    expiry: Mapping[str, int] | None = None
    """From a prefix to the days after which its objects expire, for example ``{"runs/": 30}``."""
    noncurrent_days: int | None = None
    """Days that overwritten and deleted versions are kept; 30 when None."""
    keep: bool | None = None
    """True: protected and retained. Else destroyed with its contents."""
    tags: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        problem = name_problem(self.bucket_name)
        if problem:
            raise ValueError(f"bucket_name {problem}")
        for field in ("log_days", "noncurrent_days"):
            value = getattr(self, field)
            if value is not None and value < 1:
                raise ValueError(f"{field} must be 1 or more days, got {value}")
        for prefix, days in (self.expiry or {}).items():
            if days < 1:
                raise ValueError(f"expiry of {prefix} must be 1 or more days, got {days}")
        if "*" in (self.origins or ()):
            raise ValueError("origins must be named, got '*': any web page could use a visitor's access")


class PrivateBucket(pulumi.ComponentResource):
    """The bucket and its settings. Who writes to it during ``up`` depends on the component, so on all."""

    bucket_name: pulumi.Output[str]
    arn: pulumi.Output[str]

    def __init__(
        self, name: str, args: PrivateBucketArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        args = PrivateBucketArgs(**args) if isinstance(args, dict) else args
        super().__init__("benchtop:index:PrivateBucket", name, {}, opts)
        # The settings of a kept bucket stay too: without them it would be open to more than before.
        child = kept(self, args.keep, protect=False)
        bucket = s3.Bucket(
            f"{name}-bucket",
            bucket=args.bucket_name,
            force_destroy=not args.keep,
            tags=args.tags,
            opts=kept(self, args.keep),
        )
        s3.BucketOwnershipControls(
            f"{name}-ownership",
            bucket=bucket.id,
            rule={"object_ownership": "BucketOwnerEnforced"},
            opts=child,
        )
        closed = s3.BucketPublicAccessBlock(
            f"{name}-public-access",
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        s3.BucketServerSideEncryptionConfiguration(
            f"{name}-encryption",
            bucket=bucket.id,
            rules=[{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}],
            opts=child,
        )
        versioning = s3.BucketVersioning(
            f"{name}-versioning",
            bucket=bucket.id,
            versioning_configuration={"status": "Enabled"},
            opts=child,
        )
        s3.BucketPolicy(
            f"{name}-policy",
            bucket=bucket.id,
            policy=pulumi.Output.json_dumps(bucket.arn.apply(iam.only_tls)),
            # S3 answers 409 when both are changed at once.
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[closed])),
        )
        s3.BucketLifecycleConfiguration(
            f"{name}-lifecycle",
            bucket=bucket.id,
            rules=lifecycle_rules(args.log_days, args.noncurrent_days or 30, args.expiry or {}),
            # Rules about noncurrent versions need versioning.
            opts=pulumi.ResourceOptions.merge(child, pulumi.ResourceOptions(depends_on=[versioning])),
        )
        if args.origins:
            s3.BucketCorsConfiguration(
                f"{name}-cors",
                bucket=bucket.id,
                cors_rules=[
                    {
                        "allowed_origins": list(args.origins),
                        "allowed_methods": list(CORS_METHODS),
                        "allowed_headers": ["*"],
                        "expose_headers": ["ETag"],
                        "max_age_seconds": CORS_MAX_AGE_S,
                    }
                ],
                opts=child,
            )
        self.bucket_name = bucket.bucket
        self.arn = bucket.arn
        self.register_outputs({"bucket_name": self.bucket_name, "arn": self.arn})


def lifecycle_rules(
    log_days: int | None, noncurrent_days: int, expiry: Mapping[str, int]
) -> list[dict[str, object]]:
    """Expiry rules: overwritten versions, unfinished uploads, (by tag) logs, and objects by prefix."""
    rules: list[dict[str, object]] = [
        {
            "id": "noncurrent-versions",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "noncurrent_version_expiration": {"noncurrent_days": noncurrent_days},
        },
        {
            "id": "unfinished-uploads",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "abort_incomplete_multipart_upload": {"days_after_initiation": 7},
        },
    ]
    if log_days is not None:
        key, value = LOG_TAG
        rules.append(
            {
                "id": "logs",
                "status": "Enabled",
                "filter": {"tag": {"key": key, "value": value}},
                "expiration": {"days": log_days},
            }
        )
    for prefix, days in sorted(expiry.items()):
        rules.append(
            {
                "id": f"expire-{prefix.strip('/').replace('/', '-')}",
                "status": "Enabled",
                "filter": {"prefix": prefix},
                "expiration": {"days": days},
            }
        )
    return rules
