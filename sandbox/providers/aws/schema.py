"""A small Pulumi schema made from the table: enough for ``pulumi import`` and ``pulumi package
get-schema``.
"""

from typing import Any

from sandbox.providers.aws.table import Field, Resource, entries

MODULES = (
    "apigatewayv2",
    "cloudwatch",
    "cognito",
    "dynamodb",
    "ec2",
    "ecr",
    "ecs",
    "iam",
    "lambda",
    "lb",
    "rds",
    "s3",
    "secretsmanager",
    "sfn",
    "sns",
    "sqs",
    "vpc",
)
"""Modules that have a table; a new file in ``resources`` is added here."""

_ANY = {"$ref": "pulumi.json#/Any"}
_TYPES: dict[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "archive": {"$ref": "pulumi.json#/Archive"},
    "asset": {"$ref": "pulumi.json#/Asset"},
}


def schema() -> dict[str, Any]:
    """The package schema: https://www.pulumi.com/docs/iac/guides/building-extending/packages/schema/"""
    from sandbox.providers.server import sdk_version

    return {
        "name": "aws",
        "version": sdk_version("pulumi_aws"),
        "meta": {"moduleFormat": "(.*)(?:/[^/]*)"},
        "provider": {},
        "resources": {entry.token: _resource(entry) for module in MODULES for entry in entries(module)},
        "language": {"python": {"moduleNameOverrides": {"lambda": "lambda_"}}},
    }


def _resource(entry: Resource) -> dict[str, Any]:
    from sandbox.providers.aws.shapes import bound

    places = bound(entry)
    inputs = {name: _type(field, places[name].shape) for name, field in entry.fields.items()}
    if entry.tags is not None:
        inputs["tags"] = {"type": "object", "additionalProperties": {"type": "string"}}
    if entry.regional:
        inputs["region"] = {"type": "string"}
    outputs = {name: {"type": "string"} for name in entry.outputs}
    return {
        "inputProperties": inputs,
        "requiredInputs": [name for name, field in entry.fields.items() if field.required],
        "properties": {**inputs, **outputs},
    }


def _type(field: Field, shape: Any) -> dict[str, Any]:
    if field.json:
        return _TYPES["string"]
    if field.type:
        return _TYPES.get(field.type, _ANY)
    if shape is None or field.listed or field.single:
        return _ANY
    names = {
        "long": "integer",
        "float": "number",
        "double": "number",
        "timestamp": "string",
        "blob": "string",
    }
    return _TYPES.get(names.get(shape.type_name, shape.type_name), _ANY)
