"""QuetzalModel: what is registered with the engine, in previews (unknown values) and in updates."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.parts import asl, sources
from components.parts.bucket import PrivateBucketArgs
from components.quetzal_model import QuetzalModel, QuetzalModelArgs
from lambdas.quetzal_api.routes import ROUTES
from sandbox.paths import ROOT
from tests.harness import UNKNOWN, Deployment, deploy

TASK = {
    "Type": "Task",
    "Resource": "arn:aws:states:::lambda:invoke",
    "Parameters": {"FunctionName": "${function_arn}", "Payload": {"notebook_path": "notebooks/a.ipynb"}},
    "OutputPath": "$.Payload",
}


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A small image context with one model."""
    folder = tmp_path / "image"
    model = folder / "models" / "tiny"
    (model / "notebooks").mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (model / "notebooks" / "a.ipynb").write_text("{}")
    workflow = {
        "Comment": "${function_arn} is filled in",
        "StartAt": "first",
        "States": {"first": {**TASK, "Next": "second"}, "second": {**TASK, "End": True}},
    }
    (model / "step-functions.json").write_text(json.dumps(workflow))
    return folder


def arguments(context: Path, **changed: Any) -> dict[str, Any]:
    return {
        "bucket_name": "quetzal-tiny",
        "context": str(context),
        "source": "tiny",
        "user_pool_id": "eu-west-3_Pool",
        "user_pool_client_id": "client",
        "identity_pool_id": "eu-west-3:pool",
        "alarm_topic_arn": "arn:aws:sns:eu-west-3:123456789012:topic",
        **changed,
    }


def model(context: Path, *, preview: bool = False, **changed: Any) -> Deployment:
    return deploy(
        lambda: QuetzalModel("tiny", QuetzalModelArgs(**arguments(context, **changed))), preview=preview
    )


def policy(made: Deployment, name: str) -> list[dict[str, Any]]:
    statements: list[dict[str, Any]] = json.loads(made.one(name).inputs["policy"])["Statement"]
    return statements


def actions(statements: list[dict[str, Any]], effect: str = "Allow") -> set[str]:
    return {action for item in statements if item["Effect"] == effect for action in item["Action"]}


@pytest.mark.parametrize("preview", [True, False])
def test_everything_of_the_model_is_inside_the_component(context: Path, preview: bool) -> None:
    made = model(context, preview=preview)
    component = made.one("tiny")
    assert component.type == "benchtop:index:QuetzalModel"
    inside = {item.urn for item in made.below(component.urn)}
    assert inside == {item.urn for item in made.resources} - {component.urn}
    assert all(item.name.startswith("tiny-") for item in made.resources if item is not component)


@pytest.mark.parametrize("preview", [True, False])
def test_the_function_has_the_settings_and_the_defaults_of_the_original(context: Path, preview: bool) -> None:
    function = model(context, preview=preview).one("tiny-runner-function").inputs
    assert (function["memorySize"], function["timeout"], function["ephemeralStorage"]) == (
        4016,
        300,
        {"size": 4016},
    )
    assert function["architectures"] == ["x86_64"]
    assert function["packageType"] == "Image"
    changed = model(context, preview=preview, memory_mb=10240, time_limit_s=900, storage_mb=512)
    function = changed.one("tiny-runner-function").inputs
    assert (function["memorySize"], function["timeout"], function["ephemeralStorage"]) == (
        10240,
        900,
        {"size": 512},
    )


def test_the_image_is_deployed_by_digest_and_the_function_knows_its_tag(context: Path) -> None:
    made = model(context)
    tag = sources.digest(context, arguments={"MODEL": "tiny"})[:16]
    image = made.one("tiny-image-image").inputs
    assert image["imageName"].endswith(f"/quetzal-tiny:{tag}")
    assert image["build"]["platform"] == "linux/amd64"
    assert image["build"]["args"] == {"MODEL": "tiny"}
    function = made.one("tiny-runner-function").inputs
    assert "@sha256:" in function["imageUri"]
    assert function["environment"]["variables"] == {"BUCKET_NAME": "quetzal-tiny", "MODEL_TAG": tag}


def test_the_registry_password_is_a_secret(context: Path) -> None:
    assert model(context).one("tiny-image-image").secrets & {"registry", "registry.password"}


@pytest.mark.parametrize("preview", [True, False])
def test_the_bucket_is_private_encrypted_versioned_and_open_to_the_front_end(
    context: Path, preview: bool
) -> None:
    made = model(context, preview=preview, front_end_origins=("https://maps.example.org",), log_days=30)
    assert made.one("tiny-data-bucket").inputs["bucket"] == "quetzal-tiny"
    access = made.one("tiny-data-public-access").inputs
    assert all(access[key] for key in access if key != "bucket")
    encryption = made.one("tiny-data-encryption").inputs["rules"][0]
    assert encryption["applyServerSideEncryptionByDefault"] == {"sseAlgorithm": "AES256"}
    assert made.one("tiny-data-versioning").inputs["versioningConfiguration"] == {"status": "Enabled"}
    assert made.one("tiny-data-ownership").inputs["rule"] == {"objectOwnership": "BucketOwnerEnforced"}
    cors = made.one("tiny-data-cors").inputs["corsRules"]
    assert cors[0]["allowedOrigins"] == ["https://maps.example.org"]
    assert cors[0]["allowedMethods"] == ["GET", "HEAD", "PUT", "POST", "DELETE"]
    assert cors[0]["maxAgeSeconds"] == 3000
    rules = {rule["id"]: rule for rule in made.one("tiny-data-lifecycle").inputs["rules"]}
    assert rules["logs"]["filter"] == {"tag": {"key": "kind", "value": "log"}}
    assert rules["logs"]["expiration"] == {"days": 30}
    assert rules["noncurrent-versions"]["noncurrentVersionExpiration"] == {"noncurrentDays": 30}
    assert rules["unfinished-uploads"]["abortIncompleteMultipartUpload"] == {"daysAfterInitiation": 7}


def test_the_bucket_refuses_requests_without_tls(context: Path) -> None:
    (statement,) = policy(model(context), "tiny-data-policy")
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == ["arn:aws:s3:::quetzal-tiny", "arn:aws:s3:::quetzal-tiny/*"]


@pytest.mark.parametrize("preview", [True, False])
def test_the_repository_scans_and_forgets_old_images(context: Path, preview: bool) -> None:
    made = model(context, preview=preview)
    repository = made.one("tiny-image-repository").inputs
    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
    assert repository["encryptionConfigurations"] == [{"encryptionType": "AES256"}]
    selection = json.loads(made.one("tiny-image-expiry").inputs["policy"])["rules"][0]["selection"]
    assert (selection["countType"], selection["countNumber"]) == ("imageCountMoreThan", 10)


@pytest.mark.parametrize("preview", [True, False])
def test_log_groups_are_made_before_the_functions_and_forget(context: Path, preview: bool) -> None:
    made = model(context, preview=preview)
    for part, group in (
        ("runner", "/aws/lambda/quetzal-tiny"),
        ("api-handler", "/aws/lambda/quetzal-tiny-api"),
    ):
        logs = made.one(f"tiny-{part}-logs")
        assert logs.inputs["name"] == group
        needed = made.one(f"tiny-{part}-function").depends_on
        assert {logs.urn, made.one(f"tiny-{part}-policy").urn} <= needed
    assert {item.inputs["retentionInDays"] for item in made.of_type(":LogGroup")} == {14}


def test_the_workflow_is_the_file_with_the_function_filled_in(context: Path) -> None:
    made = model(context)
    machine = made.one("tiny-workflow").inputs
    definition = json.loads(machine["definition"])
    arn = "arn:aws:lambda:eu-west-3:123456789012:function:quetzal-tiny"
    assert {state["Parameters"]["FunctionName"] for state in definition["States"].values()} == {arn}
    assert machine["type"] == "STANDARD"
    assert machine["loggingConfiguration"]["includeExecutionData"] is False
    assert machine["loggingConfiguration"]["logDestination"].endswith(
        ":/aws/vendedlogs/states/quetzal-tiny:*"
    )
    assert made.one("tiny-workflow-policy").urn in made.one("tiny-workflow").depends_on


@pytest.mark.parametrize("preview", [True, False])
def test_every_route_is_authorised_by_the_user_pool(context: Path, preview: bool) -> None:
    made = model(context, preview=preview, front_end_origins=("https://maps.example.org",))
    routes = made.of_type(":Route")
    assert {route.inputs["routeKey"] for route in routes} == set(ROUTES)
    authorizer = made.one("tiny-http-authorizer")
    assert {route.inputs["authorizationType"] for route in routes} == {"JWT"}
    assert all(route.inputs["authorizerId"] for route in routes)
    assert authorizer.inputs["jwtConfiguration"] == {
        "issuer": "https://cognito-idp.eu-west-3.amazonaws.com/eu-west-3_Pool",
        "audiences": ["client"],
    }
    cors = made.one("tiny-http-api").inputs["corsConfiguration"]
    assert cors["allowOrigins"] == ["https://maps.example.org"]
    stage = made.one("tiny-http-stage").inputs
    assert stage["defaultRouteSettings"]["throttlingRateLimit"] == 20
    assert "authorization" not in stage["accessLogSettings"]["format"].lower().replace("authorizer", "")


def test_the_api_function_carries_its_code_and_its_table(context: Path) -> None:
    made = model(context, shared_groups={"planners": "planners-role"})
    function = made.one("tiny-api-handler-function").inputs
    files = set(function["code"].assets)
    assert {"quetzal_api/__init__.py", "quetzal_api/handler.py", "quetzal_api/runs.py"} <= files
    assert not any("__pycache__" in name for name in files)
    assert function["handler"] == "quetzal_api.handler.handle"
    variables = function["environment"]["variables"]
    assert json.loads(variables["GROUPS"]) == ["planners", "tiny"]
    assert json.loads(variables["STEPS"]) == ["first", "second"]
    assert variables["STATE_MACHINE_ARN"].endswith(":stateMachine:quetzal-tiny")


def test_the_groups_role_is_for_people_signed_in_through_this_pool(context: Path) -> None:
    made = model(context)
    (trust,) = json.loads(made.one("tiny-users-role").inputs["assumeRolePolicy"])["Statement"]
    assert trust["Principal"] == {"Federated": "cognito-identity.amazonaws.com"}
    assert trust["Condition"]["StringEquals"] == {"cognito-identity.amazonaws.com:aud": "eu-west-3:pool"}
    assert trust["Condition"]["ForAnyValue:StringLike"] == {
        "cognito-identity.amazonaws.com:amr": "authenticated"
    }
    group = made.one("tiny-users-group").inputs
    assert group["name"] == "tiny"
    assert group["roleArn"].endswith("role/tiny-users-role-0000000")


def test_shared_groups_get_the_same_access_as_the_own_group(context: Path) -> None:
    made = model(
        context, shared_groups={"planners": "planners-role"}, access_table_arn="arn:aws:s3:::c/t.json"
    )
    own, shared = made.one("tiny-users-policy").inputs, made.one("tiny-users-planners-policy").inputs
    assert shared["role"] == "planners-role"
    assert own["policy"] == shared["policy"]
    assert "arn:aws:s3:::c/t.json" in own["policy"]


def policies(made: Deployment) -> Iterator[tuple[str, dict[str, Any]]]:
    for item in made.of_type("iam/rolePolicy:RolePolicy"):
        for statement in policy(made, item.name):
            yield item.name, statement


def test_no_action_has_a_wildcard_and_only_log_delivery_has_all_resources(context: Path) -> None:
    for name, statement in policies(model(context, tracing=True)):
        assert not any("*" in action for action in statement["Action"]), (name, statement)
        if "*" in statement["Resource"]:
            assert statement["Sid"] in ("DeliverLogs", "SendTraces"), (name, statement)


@pytest.mark.parametrize("name", ["tiny-runner-policy", "tiny-users-policy"])
def test_nobody_writes_base_but_base2_is_a_scenario_like_others(context: Path, name: str) -> None:
    denied = [item for item in policy(model(context), name) if item["Effect"] == "Deny"]
    assert len(denied) == 1
    assert set(denied[0]["Action"]) == {"s3:PutObject", "s3:DeleteObject"}
    assert denied[0]["Resource"] == ["arn:aws:s3:::quetzal-tiny/base/*"]


def test_the_api_starts_only_this_workflow_and_reads_only_locks(context: Path) -> None:
    statements = {item["Sid"]: item for item in policy(model(context), "tiny-api-handler-policy")}
    machine = "arn:aws:states:eu-west-3:123456789012:stateMachine:quetzal-tiny"
    assert statements["StartAndListRuns"]["Resource"] == [machine]
    assert statements["FollowAndStopRuns"]["Resource"] == [
        f"{machine.replace('stateMachine', 'execution')}:*"
    ]
    assert statements["SeeLocks"]["Resource"] == ["arn:aws:s3:::quetzal-tiny/*/.lock"]
    assert "s3:PutObject" not in actions(list(statements.values()))


@pytest.mark.parametrize("preview", [True, False])
def test_alarms_tell_the_topic(context: Path, preview: bool) -> None:
    alarms = model(context, preview=preview).of_type(":MetricAlarm")
    assert {item.inputs["metricName"] for item in alarms} == {
        "ExecutionsFailed",
        "ExecutionsTimedOut",
        "Errors",
        "Throttles",
        "5xx",
    }
    assert all(item.inputs["alarmActions"] == [arguments(Path())["alarm_topic_arn"]] for item in alarms)
    assert {item.inputs["treatMissingData"] for item in alarms} == {"notBreaching"}


@pytest.mark.parametrize("preview", [True, False])
def test_production_keeps_data_and_test_destroys_it(context: Path, preview: bool) -> None:
    kept = model(context, preview=preview, keep_data=True)
    for name, flag in (("tiny-data-bucket", "forceDestroy"), ("tiny-image-repository", "forceDelete")):
        assert kept.one(name).protect
        assert kept.one(name).retain_on_delete
        assert kept.one(name).inputs[flag] is False
        gone = model(context, preview=preview).one(name)
        assert (gone.protect, gone.retain_on_delete, gone.inputs[flag]) == (False, False, True)
    assert kept.one("tiny-data-public-access").retain_on_delete, "a kept bucket must not become public"


def test_two_models_share_no_resource_and_no_name(context: Path) -> None:
    def both() -> None:
        for name in ("north", "south"):
            QuetzalModel(name, QuetzalModelArgs(**arguments(context, bucket_name=f"quetzal-{name}")))

    made = deploy(both)
    north, south = ({i.urn for i in made.below(made.one(name).urn)} for name in ("north", "south"))
    assert len(north) == len(south) > 40
    assert not north & south
    for item in made.resources:
        other = {"north": "south", "south": "north"}[item.name.partition("-")[0]]
        assert f"quetzal-{other}" not in json.dumps(item.inputs, default=str), item.name


def test_tags_reach_everything_that_takes_tags(context: Path) -> None:
    made = model(context, tags={"owner": "planning"})
    untagged = {
        item.type.rsplit(":", 1)[-1]
        for item in made.resources
        if item.type.startswith("aws:") and item.inputs.get("tags") != {"owner": "planning"}
    }
    assert untagged == {
        "Authorizer",
        "BucketCorsConfiguration",
        "BucketLifecycleConfiguration",
        "BucketOwnershipControls",
        "BucketPolicy",
        "BucketPublicAccessBlock",
        "BucketServerSideEncryptionConfiguration",
        "BucketVersioning",
        "Integration",
        "LifecyclePolicy",
        "Permission",
        "RolePolicy",
        "Route",
        "UserGroup",
    }


def test_arguments_may_come_as_a_dict(context: Path) -> None:
    """A packaged component gets them that way."""
    made = deploy(lambda: QuetzalModel("tiny", arguments(context)))  # type: ignore[arg-type]
    assert made.one("tiny-workflow").inputs["name"] == "quetzal-tiny"


def test_the_caller_decides_the_parent_of_the_component_only(context: Path) -> None:
    def nested() -> None:
        outer = pulumi.ComponentResource("test:index:Outer", "outer")
        opts = pulumi.ResourceOptions(parent=outer)
        QuetzalModel("tiny", QuetzalModelArgs(**arguments(context)), opts)

    made = deploy(nested)
    assert "test:index:Outer$benchtop:index:QuetzalModel" in made.one("tiny").qualified_type
    assert made.one("tiny-workflow").parent == made.one("tiny").urn


@pytest.mark.parametrize("preview", [True, False])
def test_values_that_only_the_cloud_knows_may_come_from_resources(context: Path, preview: bool) -> None:
    unknown = model(context, preview=preview)
    definition = unknown.one("tiny-workflow").inputs["definition"]
    assert (definition == UNKNOWN) is preview


def test_a_broken_workflow_makes_nothing(context: Path) -> None:
    (context / "models" / "tiny" / "notebooks" / "a.ipynb").unlink()
    made: list[Deployment] = []
    with pytest.raises(
        asl.WorkflowError, match=r"'first', 'second': notebook 'notebooks/a.ipynb' does not exist"
    ):
        made.append(model(context))
    assert not made


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"memory_mb": 64}, r"memory_mb must be 128 to 10240 MB, got 64"),
        ({"time_limit_s": 901}, r"time_limit_s must be 1 to 900 s, got 901"),
        ({"storage_mb": 511}, r"storage_mb must be 512 to 10240 MB, got 511"),
        ({"log_days": 15}, r"log_days must be one of 1, 3, 5.*got 15"),
        ({"bucket_name": "Quetzal"}, r"bucket_name 'Quetzal' is not fit for a bucket"),
        ({"source": "nowhere"}, r"source 'nowhere' is no folder of"),
    ],
)
def test_wrong_arguments_name_field_value_and_what_is_allowed(
    context: Path, changed: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        QuetzalModelArgs(**arguments(context, **changed))


@pytest.mark.parametrize(
    "name", ["ab", "a" * 61, "-a-b", "a--b", "a.b.c", "A-b-c", "xn--abc", "abc-s3alias", "a_b_c"]
)
def test_names_unfit_for_buckets(name: str) -> None:
    with pytest.raises(ValueError, match="not fit for a bucket"):
        PrivateBucketArgs(bucket_name=name)
    assert PrivateBucketArgs(bucket_name="quetzal-paris-2")


def test_importing_the_stack_loads_no_client_of_a_cloud() -> None:
    """Every engine command imports it: seconds there are seconds everywhere."""
    code = "import sys, stacks.quetzal; print([m for m in ('boto3', 'docker', 'pandas') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
