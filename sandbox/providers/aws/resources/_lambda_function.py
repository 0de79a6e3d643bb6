"""The Lambda function: code from an archive, S3 or an image."""

from typing import Any

from sandbox.providers.aws import rules
from sandbox.providers.aws.archives import zip_bytes
from sandbox.providers.aws.operations import Run, creates
from sandbox.providers.aws.shapes import bound, put, to_aws
from sandbox.providers.aws.table import AutoName, Call, Custom, Field, Resource, Tags, Values
from sandbox.providers.server import ProviderError
from sandbox.providers.wire import Archive

_CODE = (
    "code",
    "imageUri",
    "s3Bucket",
    "s3Key",
    "s3ObjectVersion",
    "sourceKmsKeyArn",
    "architectures",
    "publish",
)


@creates("CreateFunction")
def _create(run: Run) -> Values:
    params: Values = {}
    for name, item in bound(run.entry).items():
        value = run.inputs.get(name)
        if value is not None and not item.field.local:
            put(params, item.path, to_aws(value, item.field, item.shape))
    if run.inputs.get("code") is not None:
        put(params, ("Code", "ZipFile"), zip_bytes(run.inputs["code"]))
    if run.tags:
        params["Tags"] = run.tags
    run.response = run.call("CreateFunction", **params)
    return run.response


def _wait(run: Run) -> None:
    """Until the function takes the next change: both its state and its last update have settled.

    Nothing waits after the last step: the emulator runs functions that are still pending.
    """

    def settled() -> Values | None:
        found = run.call("GetFunctionConfiguration", FunctionName=run.id)
        if found.get("State") == "Failed" or found.get("LastUpdateStatus") == "Failed":
            reason = found.get("StateReason") or found.get("LastUpdateStatusReason") or "no reason given"
            raise ProviderError(f"the Lambda function {run.id} failed: {reason}")
        busy = found.get("State") == "Pending" or found.get("LastUpdateStatus") == "InProgress"
        return None if busy else found

    run.wait_until(settled, f"the Lambda function {run.id}")


def _update_code(run: Run) -> None:
    params: Values = {"FunctionName": run.id, "Publish": run.inputs.get("publish") is True}
    names = {
        "imageUri": "ImageUri",
        "s3Bucket": "S3Bucket",
        "s3Key": "S3Key",
        "s3ObjectVersion": "S3ObjectVersion",
        "architectures": "Architectures",
        "sourceKmsKeyArn": "SourceKMSKeyArn",
    }
    for name, member in names.items():
        if run.inputs.get(name) is not None:
            params[member] = run.inputs[name]
    if run.inputs.get("code") is not None:
        params["ZipFile"] = zip_bytes(run.inputs["code"])
    run.response = run.call("UpdateFunctionCode", **params)


def _signing(run: Run) -> None:
    arn = run.inputs.get("codeSigningConfigArn")
    if arn:
        run.call("PutFunctionCodeSigningConfig", FunctionName=run.id, CodeSigningConfigArn=arn)
    else:
        run.optional("DeleteFunctionCodeSigningConfig", FunctionName=run.id)


def _concurrency(run: Run) -> None:
    reserved = run.inputs.get("reservedConcurrentExecutions", -1)
    if reserved is None or reserved < 0:
        run.optional("DeleteFunctionConcurrency", FunctionName=run.id)
    else:
        run.call("PutFunctionConcurrency", FunctionName=run.id, ReservedConcurrentExecutions=reserved)


def _read(run: Run) -> Values:
    answer = run.call("GetFunction", FunctionName=run.id)
    run.response = answer
    found: Values = answer["Configuration"]
    found["Code"] = {}
    if found.get("PackageType") == "Image":
        found["Code"]["ImageUri"] = answer.get("Code", {}).get("ImageUri")
    found["Reserved"] = (answer.get("Concurrency") or {}).get("ReservedConcurrentExecutions", -1)
    found["ImageConfig"] = (found.get("ImageConfigResponse") or {}).get("ImageConfig")
    return found


def _package(found: Values) -> Archive | None:
    """What Lambda has is known by its hash only, the same as that of our zip."""
    import base64

    digest = found.get("CodeSha256")
    if found.get("PackageType") == "Image" or not digest:
        return None
    try:
        return Archive(base64.b64decode(digest, validate=True).hex())
    except ValueError:
        return None


def _delete(run: Run) -> None:
    if run.value("skipDestroy") is not True:
        run.call("DeleteFunction", FunctionName=run.id)


def _rules(values: Values) -> dict[str, str]:
    image = values.get("packageType") == "Image"
    sources = [name for name in ("code", "imageUri", "s3Bucket") if values.get(name) is not None]
    found = {}
    if len(sources) != 1:
        given = " and ".join(sources) or "none"
        found[sources[1] if len(sources) > 1 else "code"] = (
            f"exactly one of code, imageUri and s3Bucket is required, got {given}"
        )
    elif image != (sources == ["imageUri"]):
        found["packageType"] = "must be Image with imageUri, and Zip (or nothing) with code or s3Bucket"
    for name in ("handler", "runtime"):
        if image and values.get(name) is not None:
            found[name] = "isn't allowed with packageType Image: the image's own entry point is used"
        elif not image and values.get(name) is None:
            found[name] = "is required with packageType Zip"
    if values.get("s3Bucket") is not None and values.get("s3Key") is None:
        found["s3Key"] = "is required with s3Bucket"
    return found


def _invoke(version: str, path: str) -> str:
    return "arn:{partition}:apigateway:{region}:lambda:path/" + version + "/functions/{arn}/" + path


def _qualified(run: Run, result: Any) -> str | None:
    version = result.get("Version") or run.state.get("version")
    return f"{run.state['arn']}:{version}" if version and "arn" in run.state else None


_SUBNETS = {
    "subnetIds": Field("SubnetIds", unordered=True, required=True),
    "securityGroupIds": Field("SecurityGroupIds", unordered=True, required=True),
    "ipv6AllowedForDualStack": Field("Ipv6AllowedForDualStack", default=False),
}

FUNCTION = Resource(
    token="aws:lambda/function:Function",
    service="lambda",
    fields={
        "name": Field(
            "FunctionName",
            replace=True,
            computed=True,
            minimum=1,
            maximum=64,
            pattern="",
            rule=rules.matches(r"[a-zA-Z0-9_-]+", "letters, digits, hyphens and underscores"),
        ),
        "role": Field("Role", required=True, pattern="", rule=rules.arn("iam")),
        "packageType": Field("PackageType", replace=True, default="Zip"),
        "code": Field(local=True, type="archive", read=_package),
        "imageUri": Field("Code.ImageUri"),
        "s3Bucket": Field("Code.S3Bucket", unread=True),
        "s3Key": Field("Code.S3Key", unread=True),
        "s3ObjectVersion": Field("Code.S3ObjectVersion", unread=True),
        "sourceCodeHash": Field(local=True, type="string", computed=True, read="CodeSha256"),
        "sourceKmsKeyArn": Field("Code.SourceKMSKeyArn", unread=True),
        "handler": Field("Handler", maximum=128),
        "runtime": Field("Runtime"),
        "description": Field("Description", default="", clear=""),
        "memorySize": Field("MemorySize", default=128, minimum=128, maximum=10240),
        "timeout": Field("Timeout", default=3, minimum=1, maximum=900),
        "ephemeralStorage": Field(
            "EphemeralStorage",
            computed=True,
            clear={"size": 512},
            sub={"size": Field(minimum=512, maximum=10240, default=512)},
        ),
        "environment": Field("Environment", clear={"variables": {}}),
        "architectures": Field("Architectures", computed=True, maximum=1),
        "layers": Field(
            "Layers", clear=[], read=lambda found: [layer["Arn"] for layer in found.get("Layers") or []]
        ),
        "imageConfig": Field(
            "ImageConfig",
            clear={},
            sub={"commands": Field("Command"), "entryPoints": Field("EntryPoint")},
        ),
        "deadLetterConfig": Field(
            "DeadLetterConfig", clear={"targetArn": ""}, sub={"targetArn": Field(pattern="")}
        ),
        "tracingConfig": Field("TracingConfig", computed=True),
        "kmsKeyArn": Field("KMSKeyArn", clear="", pattern=""),
        "vpcConfig": Field("VpcConfig", sub=_SUBNETS, clear={"subnetIds": [], "securityGroupIds": []}),
        "fileSystemConfig": Field("FileSystemConfigs", single=True, clear=[]),
        "loggingConfig": Field(
            "LoggingConfig",
            computed=True,
            sub={
                "logFormat": Field(required=True),
                "logGroup": Field(computed=True),
                "applicationLogLevel": Field(computed=True),
                "systemLogLevel": Field(computed=True),
            },
        ),
        "snapStart": Field("SnapStart", clear={"applyOn": "None"}, computed=True),
        "codeSigningConfigArn": Field("CodeSigningConfigArn", unread=True),
        "publish": Field("Publish", unread=True, default=False),
        "reservedConcurrentExecutions": Field(
            local=True, type="integer", default=-1, minimum=-1, read=lambda found: found["Reserved"]
        ),
        "skipDestroy": Field(local=True, type="boolean", default=False),
    },
    autoname=AutoName(limit=64),
    identity=("name",),
    validate=_rules,
    create=_create,
    read=_read,
    delete=_delete,
    wait=_wait,
    update=(
        Call(
            op="UpdateFunctionConfiguration",
            params={"FunctionName": "{id}"},
            fields=(
                "role",
                "handler",
                "runtime",
                "description",
                "memorySize",
                "timeout",
                "ephemeralStorage",
                "environment",
                "layers",
                "imageConfig",
                "deadLetterConfig",
                "tracingConfig",
                "kmsKeyArn",
                "vpcConfig",
                "fileSystemConfig",
                "loggingConfig",
                "snapStart",
            ),
        ),
        Custom(run=_update_code, fields=(*_CODE, "sourceCodeHash")),
        Custom(run=_concurrency, fields=("reservedConcurrentExecutions",), on_create=True),
        Custom(run=_signing, fields=("codeSigningConfigArn",)),
    ),
    outputs={
        "arn": "FunctionArn",
        "version": "Version",
        "lastModified": "LastModified",
        "codeSha256": "CodeSha256",
        "sourceCodeSize": "CodeSize",
        "invokeArn": _invoke("2015-03-31", "invocations"),
        "responseStreamingInvokeArn": _invoke("2021-11-15", "response-streaming-invocations"),
        "qualifiedArn": _qualified,
        "qualifiedInvokeArn": lambda run, result: run.fill(_invoke("2015-03-31", "invocations")).replace(
            run.state["arn"], run.state.get("qualifiedArn") or run.state["arn"]
        ),
        "signingJobArn": "SigningJobArn",
        "signingProfileVersionArn": "SigningProfileVersionArn",
    },
    volatile=(
        "version",
        "lastModified",
        "codeSha256",
        "sourceCodeSize",
        "qualifiedArn",
        "qualifiedInvokeArn",
    ),
    tags=Tags(
        member="Tags", add="TagResource", remove="UntagResource", target={"Resource": "{arn}"}, read="Tags"
    ),
    unsupported={
        "publishTo": "leave it out",
        "tenancyConfig": "leave it out",
        "durableConfig": "leave it out",
        "capacityProviderConfig": "leave it out",
        "replaceSecurityGroupsOnDestroy": "leave it out",
        "replacementSecurityGroupIds": "leave it out",
        "useResourceTimeoutForPropagation": "leave it out",
        "codeSha256": "use sourceCodeHash",
    },
    read_after_create=False,
)
