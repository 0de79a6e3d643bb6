"""The bucket itself and what deleting it with its contents takes."""

from sandbox.providers.aws import rules
from sandbox.providers.aws.errors import Refused
from sandbox.providers.aws.operations import Run, creates
from sandbox.providers.aws.table import AutoName, Field, Resource, Tags, Values
from sandbox.providers.server import ProviderError

HOSTED_ZONES = {  # https://docs.aws.amazon.com/general/latest/gr/s3.html#s3_website_region_endpoints
    "ca-central-1": "Z1QDHH18159H29",
    "ca-west-1": "Z03565811Z33SLEZTHOUL",
    "eu-central-1": "Z21DNDUVLTQW6Q",
    "eu-north-1": "Z3BAZG2TWCNX0D",
    "eu-west-1": "Z1BKCTXD74EZPE",
    "eu-west-2": "Z3GKZC51ZF0DB4",
    "eu-west-3": "Z3R1K369G5AVDG",
    "us-east-1": "Z3AQBSTGFYJSTF",
    "us-east-2": "Z2O1EMRO9K5GLX",
    "us-west-1": "Z2F56UZL2M1ACD",
    "us-west-2": "Z3BJ6K6RIION7M",
    "ap-southeast-2": "Z1WCIGYICN2BYD",
}


@creates("CreateBucket")
def _create(run: Run) -> Values:
    params: Values = {"Bucket": run.inputs["bucket"]}
    if run.region != "us-east-1":
        params["CreateBucketConfiguration"] = {"LocationConstraint": run.region}
    if run.inputs.get("objectLockEnabled"):
        params["ObjectLockEnabledForBucket"] = True
    return run.call("CreateBucket", **params)


def _read(run: Run) -> Values:
    head = run.call("HeadBucket", Bucket=run.id)
    lock: Values = {}
    try:
        lock = run.call("GetObjectLockConfiguration", Bucket=run.id).get("ObjectLockConfiguration") or {}
    except Refused as problem:
        if not problem.missing:
            raise
    region = head.get("BucketRegion") or run.region
    run.response = {"TagSet": run.optional("GetBucketTagging", Bucket=run.id).get("TagSet")}
    return {"Bucket": run.id, "Region": region, "Lock": lock.get("ObjectLockEnabled") == "Enabled"}


def empty_bucket(run: Run, bucket: str) -> None:
    """Deletes every version of every object, every delete marker and every unfinished upload."""
    for upload in run.call("ListMultipartUploads", Bucket=bucket).get("Uploads") or []:
        run.optional("AbortMultipartUpload", Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    while True:
        page = run.call("ListObjectVersions", Bucket=bucket, MaxKeys=1000)
        found = [
            {"Key": item["Key"], "VersionId": item["VersionId"]}
            for kind in ("Versions", "DeleteMarkers")
            for item in page.get(kind) or []
        ]
        if not found:
            return
        answer = run.call("DeleteObjects", Bucket=bucket, Delete={"Objects": found, "Quiet": True})
        for problem in answer.get("Errors") or []:
            raise ProviderError(
                f"the bucket {bucket} can't be emptied: {problem.get('Key')}: {problem.get('Code')}"
                f" {problem.get('Message', '')}".rstrip()
            )


def _delete(run: Run) -> None:
    force = run.value("forceDestroy") is True
    try:
        if force:
            empty_bucket(run, run.id)
        run.call("DeleteBucket", Bucket=run.id)
    except Refused as problem:
        if problem.code == "BucketNotEmpty":
            raise ProviderError(
                f"the bucket {run.id} still has objects: empty it, or set forceDestroy and run up first"
            ) from problem
        raise


_SUB = "use the resource aws.s3.{} instead"

BUCKET = Resource(
    token="aws:s3/bucket:Bucket",
    service="s3",
    fields={
        "bucket": Field("Bucket", replace=True, computed=True, minimum=3, maximum=63, rule=rules.bucket_name),
        "bucketPrefix": Field(local=True, type="string", replace=True, maximum=37),
        "forceDestroy": Field(local=True, type="boolean", default=False),
        "objectLockEnabled": Field(
            "ObjectLockEnabledForBucket", replace=True, default=False, read=lambda found: found["Lock"]
        ),
    },
    autoname=AutoName(property="bucket", limit=63, lower=True, prefix_property="bucketPrefix"),
    identity=("bucket",),
    id="{bucket}",
    create=_create,
    read=_read,
    delete=_delete,
    outputs={
        "arn": "arn:{partition}:s3:::{bucket}",
        "bucketDomainName": "{bucket}.s3.amazonaws.com",
        "bucketRegion": "{region}",
        "bucketRegionalDomainName": "{bucket}.s3.{region}.amazonaws.com",
        "hostedZoneId": lambda run, result: HOSTED_ZONES.get(run.region),
    },
    tags=Tags(
        add="PutBucketTagging",
        clear="DeleteBucketTagging",
        target={"Bucket": "{id}"},
        body="Tagging.TagSet",
        read="TagSet",
    ),
    unsupported={
        "accelerationStatus": _SUB.format("BucketAccelerateConfiguration"),
        "acl": _SUB.format("BucketAcl"),
        "corsRules": _SUB.format("BucketCorsConfiguration"),
        "grants": _SUB.format("BucketAcl"),
        "lifecycleRules": _SUB.format("BucketLifecycleConfiguration"),
        "logging": _SUB.format("BucketLogging"),
        "objectLockConfiguration": _SUB.format("BucketObjectLockConfiguration"),
        "policy": _SUB.format("BucketPolicy"),
        "replicationConfiguration": _SUB.format("BucketReplicationConfig"),
        "requestPayer": _SUB.format("BucketRequestPaymentConfiguration"),
        "serverSideEncryptionConfiguration": _SUB.format("BucketServerSideEncryptionConfiguration"),
        "versioning": _SUB.format("BucketVersioning"),
        "website": _SUB.format("BucketWebsiteConfiguration"),
        "bucketNamespace": "emulators have one namespace",
    },
    read_after_create=False,
)
