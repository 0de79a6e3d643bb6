"""Every entry of the light aws provider's table fits botocore's model and the Python SDK that programs
use.
"""

import ast
import importlib.util
import re
from functools import cache
from pathlib import Path

import pytest

from sandbox.providers.aws import resources as tables
from sandbox.providers.aws import schema
from sandbox.providers.aws.operations import fields_of
from sandbox.providers.aws.shapes import bound, operation, service_model
from sandbox.providers.aws.table import Call, Custom, Resource, UnknownType, entries, resource

ENTRIES = [entry for module in schema.MODULES for entry in entries(module)]

pytestmark = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.token.split(":")[1])


def calls(entry: Resource) -> list[Call]:
    steps = [entry.create, entry.read, entry.delete, *entry.update]
    found = [step for step in steps if isinstance(step, Call)]
    return found + [step.unset for step in found if step.unset is not None]


@cache
def sdk(token: str) -> tuple[set[str], set[str], set[str]]:
    """Inputs, required inputs and outputs of a type's class in pulumi_aws, in camelCase, read from its
    source.
    """
    _, path, name = token.split(":")
    module, file = path.split("/")
    package = importlib.util.find_spec("pulumi_aws")
    assert package is not None
    assert package.origin is not None
    folder = Path(package.origin).parent / ("lambda_" if module == "lambda" else module)
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", file).lower()
    tree = ast.parse((folder / f"{snake}.py").read_text())
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    inputs, required = set(), set()
    arguments = classes.get(f"{name}InitArgs") or classes[f"{name}Args"]
    for node in arguments.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
                inputs.add(camel(argument.arg))
                if default is None:
                    required.add(camel(argument.arg))
    getters = {
        camel(node.name)
        for node in classes[name].body
        if isinstance(node, ast.FunctionDef) and any("getter" in ast.unparse(d) for d in node.decorator_list)
    }
    return inputs, required, getters


def camel(snake: str) -> str:
    head, *rest = snake.rstrip("_").split("_")
    return head + "".join(part.capitalize() for part in rest)


def test_operations_and_members_exist(entry: Resource) -> None:
    for call in calls(entry):
        model = operation(entry.service, call.op)
        for path in call.params:
            assert path.split(".")[0] in model.input_shape.members, f"{call.op} has no parameter {path}"
        available = fields_of(entry.token, call.op)
        for name in call.fields or ():
            assert name in available, f"{call.op} has no member for {name}"
    assert set(bound(entry)) == set(entry.fields)


def test_every_input_can_be_updated_or_replaces(entry: Resource) -> None:
    covered = {name for name, field in entry.fields.items() if field.replace or field.local}
    for step in entry.update:
        if isinstance(step, Custom):
            covered |= set(step.fields)
        else:
            covered |= set(step.when) | set(step.fields or fields_of(entry.token, step.op))
    assert not set(entry.fields) - covered, "changes of these would be lost"


def test_names_are_those_of_the_sdk(entry: Resource) -> None:
    inputs, required, outputs = sdk(entry.token)
    ours = set(entry.fields)
    ours |= {"tags"} if entry.tags is not None else set()
    ours |= {"region"} if entry.regional else set()
    assert ours <= inputs, "the SDK has no such inputs"
    assert {name for name, field in entry.fields.items() if field.required} >= required
    assert set(entry.outputs) <= outputs, "the SDK has no such outputs"


def test_no_input_of_the_sdk_is_unknown_by_accident(entry: Resource) -> None:
    """Each is in the table, or refused with what to use instead."""
    inputs, _, _ = sdk(entry.token)
    known = set(entry.fields) | set(entry.unsupported) | {"tags", "region"}
    left = inputs - known
    assert left <= NOT_YET.get(entry.token, set()), f"neither known nor refused with a reason: {sorted(left)}"


NOT_YET = {
    "aws:cloudwatch/metricAlarm:MetricAlarm": {
        "evaluationCriteria",
        "evaluationInterval",
        "evaluationWindow",
        "warmUpConfiguration",
    },
    "aws:s3/bucketObjectv2:BucketObjectv2": {"etag", "overrideProvider"},
    "aws:s3/bucketObject:BucketObject": {"etag"},
    "aws:sns/topic:Topic": {"maximumMessageSize"},
}
"""Refused as unknown: rare, and the emulator hasn't them either."""


def test_replacement_identity_and_names_are_inputs(entry: Resource) -> None:
    assert set(entry.identity) <= set(entry.fields)
    assert all(entry.fields[name].replace for name in entry.identity)
    if entry.autoname is not None:
        assert {entry.autoname.property} <= set(entry.fields)
        assert not entry.autoname.prefix_property or entry.autoname.prefix_property in entry.fields


def test_tag_operations_exist(entry: Resource) -> None:
    if entry.tags is None:
        return
    for op in filter(None, (entry.tags.add, entry.tags.remove, entry.tags.clear, entry.tags.list)):
        shape = service_model(entry.service).operation_model(op).input_shape
        assert set(entry.tags.target) <= set(shape.members), f"{op} takes no {entry.tags.target}"


def test_every_table_is_listed(entry: Resource) -> None:
    folder = Path(next(iter(tables.__path__)))
    files = {path.stem.rstrip("_") for path in folder.glob("[a-z]*.py")}
    assert files == set(schema.MODULES)
    assert resource(entry.token) is entry


def test_unknown_type_says_where_to_add_it(entry: Resource) -> None:
    with pytest.raises(UnknownType, match=r"aws:kinesis/stream:Stream.*resources/kinesis\.py"):
        resource("aws:kinesis/stream:Stream")
