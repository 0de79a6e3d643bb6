"""What is changed in ministack's process about events: who may deliver them, when, and where failures end.

See ``adjustments``: each function is one adjustment, its docstring is the reason.
"""

import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from sandbox.aws import roles
from sandbox.aws.patching import AdjustmentError, module, replace

logger = logging.getLogger("benchtop.aws")

TICK_S = 0.5
"""How often schedules are looked at."""
THROTTLED_S = 0.2
"""Pause before an asynchronous call that found no free execution environment is tried again."""
ALL_BUSY = 16
"""Asynchronous calls of one function that run at once; the others wait, as in Lambda's own queue."""
LONGEST_WAIT_S = 6 * 3600
"""How long Lambda keeps an asynchronous event."""


def permits(function_ref: str, service: str, source_arn: str) -> bool:
    """Whether a function's resource policy lets a service invoke it for a bucket or rule.

    False when there is no such function.
    """
    evaluator, responses = module("core.iam_evaluator"), module("core.responses")
    found = module("services.lambda_svc").function_policy_for_arn(function_ref)
    if found is None:
        return False
    policy, account = found
    context = evaluator.EvalContext(
        principal_arn="*", principal_type="Service", principal_account="", action="lambda:InvokeFunction",
        resource_arn=function_ref, region=responses.get_region(),
        service_context={"aws:sourcearn": source_arn, "aws:sourceaccount": account},
    )  # fmt: skip
    decision: str = evaluator.evaluate_resource_policy(policy, context, service=service).decision
    return decision == "Allow"


def buckets_need_permission() -> None:
    """A bucket calls a function only with a permission for ``s3.amazonaws.com`` and that bucket's ARN.

    Ministack takes any function, an absent one too, and delivers always. AWS refuses the configuration, and
    loses the event when the permission is taken away later.
    """

    def validate(original: Callable[..., Any]) -> Callable[..., Any]:
        def checked(configs: list[dict[str, Any]], region: str, bucket: str = "", skip: bool = False) -> Any:
            error = original(configs, region, bucket, skip)
            if error or skip:
                return error
            source = f"arn:aws:s3:::{bucket}"
            for config in configs:
                if config["type"] == "lambda" and not permits(config["arn"], "s3.amazonaws.com", source):
                    message = f"Unable to validate the following destination configurations: {config['arn']}"
                    return module("services.s3")._invalid_notification_config(message)
            return None

        return checked

    def deliver(original: Callable[..., Any]) -> Callable[..., Any]:
        def permitted(arn: str, payload: dict[str, Any], region: str) -> Any:
            source = payload["Records"][0]["s3"]["bucket"]["arn"]
            if permits(arn, "s3.amazonaws.com", source):
                return original(arn, payload, region)
            logger.warning("%s may not invoke %s: its event is lost", source, arn)
            return None

        return permitted

    replace("services.s3", "_validate_notification_configs", validate)
    replace("services.s3", "_deliver_event_to_lambda", deliver)


class Undelivered(Exception):
    """A rule's event that its target can't take; ``code`` as in the dead letter's ERROR_CODE."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def rules_need_permission() -> None:
    """A rule reaches a function or a queue only when its policy lets ``events.amazonaws.com`` for that rule,
    and runs a task only as the target's role. What can't be delivered goes to the target's dead-letter queue.

    Ministack delivers to functions and queues always, calls a function once and forgets its failure, runs no
    tasks and has no dead letters of targets. On AWS a function is called asynchronously, with its retries.
    """
    delivery: ContextVar[tuple[Any, Any, Any] | None] = ContextVar("delivery", default=None)

    def invoke(original: Callable[..., Any]) -> Callable[..., Any]:
        def for_rule(target: dict[str, Any], event: dict[str, Any], rule: Any, view: Any = None) -> Any:
            token = delivery.set((target, event, rule))
            try:
                return original(target, event, rule, view)
            finally:
                delivery.reset(token)

        return for_rule

    def dead_letter(error: Undelivered) -> None:
        target, event, rule = delivery.get() or ({}, {}, {})
        queue = (target.get("DeadLetterConfig") or {}).get("Arn", "")
        name = rule.get("Name")
        logger.warning("rule %s could not reach %s: %s", name, target.get("Arn"), error)
        if not queue:
            return
        bridge = module("services.eventbridge")
        if not module("services.sqs").queue_policy_allows(
            queue, "events.amazonaws.com", rule.get("Arn", ""), module("core.responses").get_account_id()
        ):
            logger.warning("%s takes no dead letter of rule %s: its policy refuses", queue, name)
            return
        attributes = {
            "RULE_ARN": rule.get("Arn", ""), "TARGET_ARN": target.get("Arn", ""), "ERROR_CODE": error.code,
            "ERROR_MESSAGE": str(error), "RETRY_ATTEMPTS": "0",
        }  # fmt: skip
        send(queue, json.dumps(bridge._pattern_event_view(event).event_with_detail()), attributes)

    def rule_arn() -> str:
        found = delivery.get()
        return str(found[2].get("Arn", "")) if found else ""

    def to_function(original: Callable[..., Any]) -> Callable[..., Any]:
        def permitted(arn: str, payload: str) -> None:
            lambda_svc = module("services.lambda_svc")
            function, config, _name = lambda_svc._get_func_record_for_ref(arn)
            if not function or not config:
                return dead_letter(Undelivered("RESOURCE_NOT_FOUND", f"Function not found: {arn}"))
            if not permits(arn, "events.amazonaws.com", rule_arn()):
                return dead_letter(Undelivered("NO_PERMISSIONS", f"{rule_arn()} may not invoke {arn}"))
            try:
                event = json.loads(payload)
            except ValueError:
                event = {"body": payload}
            record = lambda_svc._execution_record_for_config(function, config)
            lambda_svc.invoke_async_with_retry(record, event)
            return None

        return permitted

    def to_queue(original: Callable[..., Any]) -> Callable[..., Any]:
        def permitted(spec: Any, payload: str, parameters: Any = None) -> Any:
            sqs, account = module("services.sqs"), module("core.responses").get_account_id()
            if sqs._queue_by_arn(str(spec)) is None:
                return dead_letter(Undelivered("RESOURCE_NOT_FOUND", f"Queue not found: {spec}"))
            if not sqs.queue_policy_allows(str(spec), "events.amazonaws.com", rule_arn(), account):
                return dead_letter(Undelivered("NO_PERMISSIONS", f"{rule_arn()} may not send to {spec}"))
            return original(spec, payload, parameters)

        return permitted

    def to_other(original: Callable[..., Any]) -> Callable[..., Any]:
        def or_task(target: dict[str, Any], event: dict[str, Any], rule: Any, view: Any = None) -> Any:
            if ":ecs:" not in target.get("Arn", "") or "EcsParameters" not in target:
                return original(target, event, rule, view)
            token = delivery.set((target, event, rule))
            try:
                run_task(target, rule)
            except Undelivered as error:
                dead_letter(error)
            finally:
                delivery.reset(token)
            return None

        return or_task

    replace("services.eventbridge", "_invoke_target", invoke)
    replace("services.eventbridge", "_invoke_target", to_other)
    replace("services.eventbridge", "_dispatch_to_lambda", to_function)
    replace("services.eventbridge", "_dispatch_to_sqs", to_queue)


def run_task(target: dict[str, Any], rule: dict[str, Any]) -> None:
    """Run the task of a rule's target, as the target's role. Raises Undelivered."""
    from sandbox.aws import task_permissions

    ecs, role = module("services.ecs"), target.get("RoleArn") or ""
    given = target["EcsParameters"]
    definition = given.get("TaskDefinitionArn", "")
    if not role or not roles.trusts(role, "events.amazonaws.com"):
        raise Undelivered("NO_PERMISSIONS", f"events.amazonaws.com may not assume {role or 'no role'}")
    names = {"LaunchType": "launchType", "PlatformVersion": "platformVersion", "Group": "group",
             "TaskCount": "count", "PropagateTags": "propagateTags",
             "EnableExecuteCommand": "enableExecuteCommand"}  # fmt: skip
    request: dict[str, Any] = {"cluster": target["Arn"], "taskDefinition": definition,
                               "startedBy": f"events-rule/{rule.get('Name', '')}"}  # fmt: skip
    request |= {ours: given[theirs] for theirs, ours in names.items() if theirs in given}
    if given.get("CapacityProviderStrategy"):
        request["capacityProviderStrategy"] = given["CapacityProviderStrategy"]
    if network := (given.get("NetworkConfiguration") or {}).get("awsvpcConfiguration"):
        inside = {key[:1].lower() + key[1:]: value for key, value in network.items()}
        request["networkConfiguration"] = {"awsvpcConfiguration": inside}
    if target.get("Input"):
        request["overrides"] = json.loads(target["Input"])
    if why := task_permissions.role_start_denial(role, str(rule.get("Name", "rule")), request):
        raise Undelivered("NO_PERMISSIONS", why)
    status, _headers, body = ecs._run_task(request)
    answer = json.loads(body)
    if status >= 300:
        raise Undelivered("INVALID_PARAMETER", str(answer.get("message") or answer))
    if answer.get("failures"):
        raise Undelivered("ECS_TASK_FAILED", json.dumps(answer["failures"]))


def send(queue_arn: str, body: str, attributes: dict[str, str]) -> None:
    """Put a message into a queue, as a service does."""
    sqs, responses = module("services.sqs"), module("core.responses")
    queue, now = sqs._queue_by_arn(queue_arn), time.time()
    if queue is None:
        logger.warning("the dead-letter queue %s is gone; its message is lost", queue_arn)
        return
    message = {
        "id": responses.new_uuid(), "body": body, "md5_body": hashlib.md5(body.encode()).hexdigest(),
        "receipt_handle": None, "receive_count": 0,
        "sent_at": now, "visible_at": now + sqs.queue_delay(queue),
        "message_attributes": {
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
        },
        "sys": {"SenderId": responses.get_account_id(), "SentTimestamp": str(int(now * 1000))},
    }  # fmt: skip
    sqs._ensure_msg_fields(message)
    queue["messages"].append(message)
    module("core.concurrency").esm_wake.set()


def schedules_on_time() -> None:
    """Schedules are looked at twice a second, and so are queues that functions read.

    Ministack looks every ten seconds, late for a minute's rate, and at a queue whose message was delayed up
    to a second after its time.
    """
    bridge: Any = module("services.eventbridge")
    if not isinstance(getattr(bridge, "_SCHEDULER_TICK_INTERVAL", None), int):
        raise AdjustmentError("ministack has no number services.eventbridge._SCHEDULER_TICK_INTERVAL")
    bridge._SCHEDULER_TICK_INTERVAL = TICK_S

    def tick(original: Callable[..., Any]) -> Callable[..., Any]:
        def and_queues() -> None:
            module("core.concurrency").esm_wake.set()
            original()

        return and_queues

    replace("services.eventbridge", "_tick_scheduled_rules", tick)


def asynchronous_calls_wait() -> None:
    """An asynchronous call that finds every execution environment busy waits for one.

    Ministack counts it as a failed attempt: of a hundred objects written at once it loses those beyond the
    limit after three seconds. Lambda keeps such events for hours. At most ``ALL_BUSY`` calls of a function
    run at once, as each is a process or a container of this machine. Retries after errors of the function
    stay ministack's: 1 s and 2 s where AWS waits 60 s and 120 s.
    """
    gates: dict[str, threading.BoundedSemaphore] = {}
    waiting: ContextVar[bool] = ContextVar("asynchronous", default=False)

    def asynchronous(original: Callable[..., Any]) -> Callable[..., Any]:
        def marked(function: dict[str, Any], event: Any) -> Any:
            token = waiting.set(True)  # the thread that calls the function begins with a copy of this context
            try:
                return original(function, event)
            finally:
                waiting.reset(token)

        return marked

    def execute(original: Callable[..., Any]) -> Callable[..., Any]:
        def patiently(function: dict[str, Any], event: Any) -> Any:
            if not waiting.get():
                return original(function, event)
            config = function.get("config") or function
            gate = gates.setdefault(config.get("FunctionArn", ""), threading.BoundedSemaphore(ALL_BUSY))
            token = waiting.set(False)
            try:
                with gate:
                    until = time.monotonic() + LONGEST_WAIT_S
                    while True:
                        result = original(function, event)
                        disabled = function.get("concurrency") == 0
                        if not result.get("throttle") or disabled or time.monotonic() > until:
                            return result
                        time.sleep(THROTTLED_S)
            finally:
                waiting.reset(token)

        return patiently

    replace("services.lambda_svc", "invoke_async_with_retry", asynchronous)
    replace("services.lambda_svc", "_execute_function", execute)


def functions_use_their_role_for_events() -> None:
    """A function's role must allow what Lambda does with it: reading a queue, sending failures on.

    Ministack asks for nothing. AWS refuses the event source mapping, the dead-letter queue and the
    destination whose permissions the role lacks, and drops a failure that the role may not send any more.
    A dead letter is the event itself, with the error in its attributes; ministack sends the record that
    belongs to a destination.
    """
    refuse = module("core.responses").error_response_json
    actions = {"sqs": "sqs:SendMessage", "sns": "sns:Publish", "lambda": "lambda:InvokeFunction"}

    def lacks(role: str, name: str, target: str) -> str | None:
        action = actions.get(target.split(":")[2] if target.count(":") >= 5 else "")
        return roles.denial(role, name, action, target) if action and role else None

    def mapping(original: Callable[..., Any]) -> Callable[..., Any]:
        def checked(data: dict[str, Any]) -> Any:
            lambda_svc, source = module("services.lambda_svc"), str(data.get("EventSourceArn", ""))
            function, config, name = lambda_svc._get_func_record_for_ref(data.get("FunctionName", ""))
            if not function or not config or ":sqs:" not in source:
                return original(data)
            for action in ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes"):
                if roles.denial(config.get("Role", ""), name, f"sqs:{action}", source):
                    message = f"The function execution role does not have permissions to call {action} on SQS"
                    return refuse("InvalidParameterValueException", message, 400)
            queue = module("services.sqs")._queue_by_arn(source)
            visible = int((queue or {}).get("attributes", {}).get("VisibilityTimeout", 30))
            if queue is not None and visible < int(config.get("Timeout", 3)):
                message = (
                    f"Queue visibility timeout: {visible} seconds is less than Function timeout: "
                    f"{config.get('Timeout')} seconds"
                )
                return refuse("InvalidParameterValueException", message, 400)
            return original(data)

        return checked

    def dead_letters(original: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*arguments: Any) -> Any:
            data, lambda_svc = arguments[-1], module("services.lambda_svc")
            target = str((data.get("DeadLetterConfig") or {}).get("TargetArn") or "")
            known = lambda_svc._functions.get(arguments[0]) if len(arguments) > 1 else None
            role = data.get("Role") or ((known or {}).get("config") or {}).get("Role", "")
            if target and lacks(role, str(data.get("FunctionName") or arguments[0]), target):
                call = actions[target.split(":")[2]].split(":")[1]
                message = f"The provided execution role does not have permissions to call {call} on {target}"
                return refuse("InvalidParameterValueException", message, 400)
            return original(*arguments)

        return checked

    def destinations(original: Callable[..., Any]) -> Callable[..., Any]:
        def checked(name: str, qualifier: str | None, data: dict[str, Any]) -> Any:
            function = module("services.lambda_svc")._functions.get(name)
            for kind in ("OnFailure", "OnSuccess"):
                target = str(((data.get("DestinationConfig") or {}).get(kind) or {}).get("Destination") or "")
                if function and target and lacks(function["config"].get("Role", ""), name, target):
                    call = actions[target.split(":")[2]].split(":")[1]
                    message = f"The function's execution role lacks permission to call {call} on {target}"
                    return refuse("InvalidParameterValueException", message, 400)
            return original(name, qualifier, data)

        return checked

    def route(original: Callable[..., Any]) -> Callable[..., Any]:
        def permitted(target: str, name: str, event: Any, result: Any) -> Any:
            config = (module("services.lambda_svc")._functions.get(name) or {}).get("config") or {}
            if why := lacks(config.get("Role", ""), name, target):
                logger.warning("a failed event of %s is lost: %s", name, why)
            elif target != (config.get("DeadLetterConfig") or {}).get("TargetArn") or ":sqs:" not in target:
                original(target, name, event, result)
            else:
                error = result.get("body") if isinstance(result.get("body"), dict) else {}
                send(target, json.dumps(event), {
                    "RequestID": module("core.responses").new_uuid(), "ErrorCode": "200",
                    "ErrorMessage": str(error.get("errorMessage") or "Unhandled"),
                })  # fmt: skip

        return permitted

    replace("services.lambda_svc", "_create_esm", mapping)
    replace("services.lambda_svc", "_create_function", dead_letters)
    replace("services.lambda_svc", "_update_config", dead_letters)
    replace("services.lambda_svc", "_put_event_invoke_config", destinations)
    replace("services.lambda_svc", "_route_async_failure", route)


def apply() -> None:
    """Make these adjustments, before the first request."""
    buckets_need_permission()
    rules_need_permission()
    schedules_on_time()
    asynchronous_calls_wait()
    functions_use_their_role_for_events()
