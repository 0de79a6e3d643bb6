"""``aws:s3/bucketObjectv2``: an object whose content comes from a string, an asset or an archive."""

import base64
from urllib.parse import urlencode

from sandbox.providers.aws.archives import content
from sandbox.providers.aws.operations import Run, creates
from sandbox.providers.aws.shapes import bound, put, to_aws
from sandbox.providers.aws.table import Custom, Field, Resource, Tags, Values

_BODY = ("source", "content", "contentBase64")


def _body(run: Run) -> bytes:
    if run.inputs.get("source") is not None:
        return content(run.inputs["source"])
    if run.inputs.get("contentBase64") is not None:
        return base64.b64decode(run.inputs["contentBase64"])
    return str(run.inputs.get("content") or "").encode()


@creates("PutObject")
def _put(run: Run) -> Values:
    params: Values = {"Body": _body(run)}
    for name, item in bound(run.entry).items():
        value = run.inputs.get(name)
        if value is not None and not item.field.local:
            put(params, item.path, to_aws(value, item.field, item.shape))
    if run.tags:
        params["Tagging"] = urlencode(run.tags)
    run.response = run.call("PutObject", **params)
    return run.response


def _read(run: Run) -> Values:
    bucket, key = run.value("bucket"), run.value("key")
    head = run.call("HeadObject", Bucket=bucket, Key=key)
    tags = run.call("GetObjectTagging", Bucket=bucket, Key=key)
    run.response = {"TagSet": tags.get("TagSet")}
    found = {**head, "Bucket": bucket, "Key": key}
    # Somebody else's content is a difference, and then the state must not claim ours.
    if run.state.get("etag") not in (None, head["ETag"].strip('"')):
        for name in _BODY:
            if name in run.state:
                run.state[name] = None
                run.inputs.pop(name, None)
    return found


def _delete(run: Run) -> None:
    """Deletes all versions of the object: that is what its owner means by destroy."""
    bucket, key = run.value("bucket"), run.value("key")
    page = run.call("ListObjectVersions", Bucket=bucket, Prefix=key)
    for kind in ("Versions", "DeleteMarkers"):
        for item in page.get(kind) or []:
            if item["Key"] == key:
                run.optional("DeleteObject", Bucket=bucket, Key=key, VersionId=item["VersionId"])


def _rules(values: Values) -> dict[str, str]:
    given = [name for name in _BODY if values.get(name) is not None]
    if len(given) > 1:
        return {given[1]: f"conflicts with {given[0]}"}
    return {}


_PLAIN = {
    "acl": Field("ACL", unread=True),
    "bucketKeyEnabled": Field("BucketKeyEnabled", computed=True),
    "cacheControl": Field("CacheControl"),
    "contentDisposition": Field("ContentDisposition"),
    "contentEncoding": Field("ContentEncoding"),
    "contentLanguage": Field("ContentLanguage"),
    "contentType": Field("ContentType", computed=True),
    "kmsKeyId": Field("SSEKMSKeyId"),
    "metadata": Field("Metadata", computed=True),
    "objectLockLegalHoldStatus": Field("ObjectLockLegalHoldStatus"),
    "objectLockMode": Field("ObjectLockMode"),
    "objectLockRetainUntilDate": Field("ObjectLockRetainUntilDate"),
    "serverSideEncryption": Field("ServerSideEncryption", computed=True),
    "storageClass": Field("StorageClass", computed=True),
    "websiteRedirect": Field("WebsiteRedirectLocation"),
    "source": Field(local=True, type="asset"),
    "content": Field(local=True, type="string"),
    "contentBase64": Field(local=True, type="string"),
    "sourceHash": Field(local=True, type="string"),
}


def _object(token: str, **more: Field) -> Resource:
    return Resource(
        token=token,
        service="s3",
        fields={
            "bucket": Field("Bucket", required=True, replace=True, pattern=""),
            "key": Field("Key", required=True, replace=True, minimum=1, maximum=1024),
            "forceDestroy": Field(local=True, type="boolean", default=False),
            **_PLAIN,
            **more,
        },
        validate=_rules,
        identity=("bucket", "key"),
        id="{bucket}/{key}",
        create=_put,
        read=_read,
        delete=_delete,
        update=(Custom(run=_put, fields=(*_PLAIN, *more)),),
        outputs={
            "arn": "arn:{partition}:s3:::{bucket}/{key}",
            "etag": lambda run, result: result["ETag"].strip('"') if "ETag" in result else None,
            "versionId": "VersionId",
        },
        volatile=("etag", "versionId"),
        tags=Tags(
            member="Tagging",
            add="PutObjectTagging",
            clear="DeleteObjectTagging",
            target={"Bucket": "{bucket}", "Key": "{key}"},
            body="Tagging.TagSet",
            read="TagSet",
        ),
    )


OBJECTS = (
    _object(
        "aws:s3/bucketObjectv2:BucketObjectv2", checksumAlgorithm=Field("ChecksumAlgorithm", unread=True)
    ),
    _object("aws:s3/bucketObject:BucketObject"),
)
