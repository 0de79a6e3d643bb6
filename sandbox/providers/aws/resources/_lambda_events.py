"""What calls a function and where its failures go: event source mappings and asynchronous invocation."""

from sandbox.providers.aws.operations import Run, creates
from sandbox.providers.aws.table import Call, Custom, Field, Resource, Tags, Values
from sandbox.providers.server import ProviderError

_SETTLED = {"Enabled", "Disabled"}


def _named(arn: str, given: str | None) -> str:
    """A function in the form in which the program names it: name, ``name:alias`` or ARN."""
    if not given or given.startswith("arn:"):
        return arn
    return arn.split(":function:", 1)[-1]


# --- event source mappings


def _read_mapping(run: Run) -> Values | None:
    found = run.optional("GetEventSourceMapping", UUID=run.id)
    run.response = found
    if not found or found.get("State") == "Deleting":
        return None
    on = found.get("State") in ("Enabled", "Enabling", "Creating", "Updating")
    return {**found, "FunctionName": _named(found["FunctionArn"], run.value("functionName")), "Enabled": on}


def _find_mapping(run: Run) -> str | None:
    """A function has at most one mapping for a source."""
    source, function = run.inputs.get("eventSourceArn"), run.inputs["functionName"]
    found = run.optional("ListEventSourceMappings", EventSourceArn=source, FunctionName=function)
    return next((str(item["UUID"]) for item in found.get("EventSourceMappings", [])), None)


def _settle(run: Run) -> None:
    """Until the mapping takes the next change, and does what was asked for."""

    def settled() -> bool | None:
        found = run.call("GetEventSourceMapping", UUID=run.id)
        return True if found.get("State") in _SETTLED else None

    run.wait_until(settled, f"the event source mapping {run.id}", 600)


def _delete_mapping(run: Run) -> None:
    """Returns when it is gone: until then it still calls the function."""
    run.call("DeleteEventSourceMapping", UUID=run.id)
    run.wait_until(
        lambda: True if not run.optional("GetEventSourceMapping", UUID=run.id) else None,
        f"the end of the event source mapping {run.id}",
        600,
    )


_CHANGEABLE = (
    "functionName",
    "enabled",
    "batchSize",
    "bisectBatchOnFunctionError",
    "destinationConfig",
    "filterCriteria",
    "functionResponseTypes",
    "kmsKeyArn",
    "maximumBatchingWindowInSeconds",
    "maximumRecordAgeInSeconds",
    "maximumRetryAttempts",
    "metricsConfig",
    "parallelizationFactor",
    "scalingConfig",
    "tumblingWindowInSeconds",
)


def _mapping_rules(values: Values) -> dict[str, str]:
    source = values.get("eventSourceArn")
    if source is None:
        return {"eventSourceArn": "is required: sources without an ARN aren't supported by the sandbox"}
    if not isinstance(source, str):
        return {}
    queue = ":sqs:" in source
    if not queue and values.get("startingPosition") is None:
        return {"startingPosition": "is required for streams"}
    streams = (
        "startingPosition",
        "bisectBatchOnFunctionError",
        "parallelizationFactor",
        "maximumRetryAttempts",
    )
    for name in streams if queue else ():
        if values.get(name) is not None:
            return {name: "isn't allowed for a queue"}
    if not queue and values.get("scalingConfig"):
        return {"scalingConfig": "is only for queues"}
    size, window = values.get("batchSize"), values.get("maximumBatchingWindowInSeconds") or 0
    if queue and isinstance(size, int) and size > 10 and window == 0:
        return {"maximumBatchingWindowInSeconds": "must be at least 1 with a batchSize of more than 10"}
    return {}


EVENT_SOURCE_MAPPING = Resource(
    token="aws:lambda/eventSourceMapping:EventSourceMapping",
    service="lambda",
    fields={
        "eventSourceArn": Field("EventSourceArn", replace=True, pattern="arn:.+"),
        "functionName": Field("FunctionName", required=True, pattern=""),
        "enabled": Field("Enabled", default=True),
        "batchSize": Field("BatchSize", computed=True),
        "maximumBatchingWindowInSeconds": Field("MaximumBatchingWindowInSeconds", computed=True),
        "functionResponseTypes": Field("FunctionResponseTypes", unordered=True, clear=[]),
        "filterCriteria": Field(
            "FilterCriteria", clear={}, sub={"filters": Field("Filters", unordered=True)}
        ),
        "scalingConfig": Field("ScalingConfig", clear={}),
        "metricsConfig": Field("MetricsConfig", clear={"metrics": []}),
        "kmsKeyArn": Field("KMSKeyArn", clear=""),
        "startingPosition": Field("StartingPosition", replace=True),
        "startingPositionTimestamp": Field("StartingPositionTimestamp", replace=True, type="string"),
        "bisectBatchOnFunctionError": Field("BisectBatchOnFunctionError", computed=True),
        "destinationConfig": Field(
            "DestinationConfig",
            clear={"onFailure": {}},
            sub={
                "onFailure": Field(
                    "OnFailure", sub={"destinationArn": Field("Destination", pattern="arn:.+")}
                )
            },
        ),
        "maximumRecordAgeInSeconds": Field("MaximumRecordAgeInSeconds", computed=True),
        "maximumRetryAttempts": Field("MaximumRetryAttempts", computed=True),
        "parallelizationFactor": Field("ParallelizationFactor", computed=True),
        "tumblingWindowInSeconds": Field("TumblingWindowInSeconds", computed=True),
    },
    validate=_mapping_rules,
    id="@UUID",
    import_id="{id}",
    find=_find_mapping,
    create=Call(op="CreateEventSourceMapping"),
    read=_read_mapping,
    update=(
        Custom(run=_settle, fields=("functionName",), on_create=True),
        Call(op="UpdateEventSourceMapping", params={"UUID": "{id}"}, fields=_CHANGEABLE, changed_only=True),
        Custom(run=_settle, fields=_CHANGEABLE),
    ),
    delete=_delete_mapping,
    outputs={
        "arn": lambda run, result: (
            result.get("EventSourceMappingArn")
            or run.fill("arn:{partition}:lambda:{region}:{account}:event-source-mapping:{id}")
        ),
        "uuid": "{id}",
        "functionArn": "FunctionArn",
        "lastModified": "LastModified",
        "lastProcessingResult": "LastProcessingResult",
        "state": "State",
        "stateTransitionReason": "StateTransitionReason",
    },
    volatile=("functionArn", "lastModified", "lastProcessingResult", "state", "stateTransitionReason"),
    tags=Tags(
        member="Tags",
        add="TagResource",
        remove="UntagResource",
        list="ListTags",
        target={"Resource": "{arn}"},
    ),
    unsupported=dict.fromkeys(
        (
            "amazonManagedKafkaEventSourceConfig",
            "documentDbEventSourceConfig",
            "provisionedPollerConfig",
            "queues",
            "selfManagedEventSource",
            "selfManagedKafkaEventSourceConfig",
            "sourceAccessConfigurations",
            "topics",
            "useResourceTimeoutForPropagation",
        ),
        "leave it out",
    ),
)


# --- asynchronous invocation


def _where(run: Run) -> Values:
    qualifier = run.value("qualifier")
    return {"FunctionName": run.value("functionName"), **({"Qualifier": qualifier} if qualifier else {})}


@creates("PutFunctionEventInvokeConfig")
def _put_config(run: Run) -> Values:
    """All of it, since Put replaces it; the id is the function's name, and its qualifier if there is one."""
    names = ("destinationConfig", "maximumEventAgeInSeconds", "maximumRetryAttempts")
    run.changed = set()
    result: Values = run.perform(Call(op="PutFunctionEventInvokeConfig"), names, _where(run))
    return {**result, "Id": _config_id(run)}


def _config_id(run: Run) -> str:
    return ":".join(part for part in (run.value("functionName"), run.value("qualifier")) if part)


def _read_config(run: Run) -> Values | None:
    found = run.optional("GetFunctionEventInvokeConfig", **_where(run))
    if not found:
        return None
    return {**found, "FunctionName": run.value("functionName"), "Qualifier": run.value("qualifier")}


def _import_config(run: Run) -> None:
    name = run.id.split(":function:", 1)[-1]
    function, _, qualifier = name.partition(":")
    if not function:
        raise ProviderError(
            f"{run.entry.token}: the id to import must be <function> or <function>:<qualifier>"
        )
    run.state["functionName"] = run.id.removesuffix(f":{qualifier}") if qualifier else run.id
    if qualifier:
        run.state["qualifier"] = qualifier


def _find_config(run: Run) -> str | None:
    return _config_id(run) if _read_config(run) else None


_TARGET = {"destination": Field("Destination", required=True, pattern="arn:.+")}

EVENT_INVOKE_CONFIG = Resource(
    token="aws:lambda/functionEventInvokeConfig:FunctionEventInvokeConfig",
    service="lambda",
    fields={
        "functionName": Field("FunctionName", required=True, replace=True, pattern=""),
        "qualifier": Field("Qualifier", replace=True),
        "destinationConfig": Field(
            "DestinationConfig",
            sub={"onFailure": Field("OnFailure", sub=_TARGET), "onSuccess": Field("OnSuccess", sub=_TARGET)},
        ),
        "maximumEventAgeInSeconds": Field("MaximumEventAgeInSeconds", default=21600),
        "maximumRetryAttempts": Field("MaximumRetryAttempts", default=2),
    },
    identity=("functionName", "qualifier"),
    id="@Id",
    import_id=_import_config,
    find=_find_config,
    create=_put_config,
    read=_read_config,
    update=(
        Custom(
            run=_put_config, fields=("destinationConfig", "maximumEventAgeInSeconds", "maximumRetryAttempts")
        ),
    ),
    delete=Call(
        op="DeleteFunctionEventInvokeConfig",
        params={"FunctionName": "{functionName}", "Qualifier": "{qualifier}"},
    ),
)
