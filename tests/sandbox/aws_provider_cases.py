"""One case a type of the light aws provider: inputs, a change, and the id that import takes."""

import json
from collections.abc import Callable, Mapping

from sandbox.providers.wire import Asset
from tests.sandbox.aws_provider_cases_compute import COMPUTE_CASES
from tests.sandbox.aws_provider_cases_network import NETWORK_CASES
from tests.sandbox.aws_provider_support import (
    ALLOW,
    HANDLER,
    MACHINE,
    TRUST,
    Cloud,
    Values,
    function,
    package,
    resource_policy,
)

Inputs = Callable[[Cloud], Values]


TAGS = {"tags": {"team": "transit", "stage": "test"}}

CASES: Mapping[str, tuple[Inputs, Inputs | None, str]] = {
    # token: (inputs, what an update changes or None when every change replaces, id for import or "")
    "aws:s3/bucket:Bucket": (
        lambda c: {"forceDestroy": True, **TAGS},
        lambda c: {"tags": {"team": "roads"}},
        "{id}",
    ),
    "aws:s3/bucketVersioning:BucketVersioning": (
        lambda c: {"bucket": c.bucket.id, "versioningConfiguration": {"status": "Enabled"}},
        lambda c: {"versioningConfiguration": {"status": "Suspended"}},
        "{id}",
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
        lambda c: {
            "bucket": c.bucket.id,
            "rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}],
        },
        lambda c: {"rules": [{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms"}}]},
        "{id}",
    ),
    "aws:s3/bucketCorsConfiguration:BucketCorsConfiguration": (
        lambda c: {
            "bucket": c.bucket.id,
            "corsRules": [
                {
                    "allowedMethods": ["GET", "PUT"],
                    "allowedOrigins": ["https://a.example"],
                    "maxAgeSeconds": 60,
                }
            ],
        },
        lambda c: {"corsRules": [{"allowedMethods": ["GET"], "allowedOrigins": ["*"]}]},
        "{id}",
    ),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": (
        lambda c: {"bucket": c.bucket.id, "blockPublicAcls": True, "restrictPublicBuckets": True},
        lambda c: {"ignorePublicAcls": True},
        "{id}",
    ),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": (
        lambda c: {"bucket": c.bucket.id, "rule": {"objectOwnership": "BucketOwnerEnforced"}},
        lambda c: {"rule": {"objectOwnership": "BucketOwnerPreferred"}},
        "{id}",
    ),
    "aws:s3/bucketPolicy:BucketPolicy": (
        lambda c: {
            "bucket": c.bucket.id,
            "policy": resource_policy(c, "s3:GetObject", f"arn:aws:s3:::{c.bucket.id}/*"),
        },
        lambda c: {"policy": resource_policy(c, "s3:PutObject", f"arn:aws:s3:::{c.bucket.id}/*")},
        "{id}",
    ),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": (
        lambda c: {
            "bucket": c.bucket.id,
            "rules": [
                {
                    "id": "logs",
                    "status": "Enabled",
                    "filter": {"prefix": "logs/"},
                    "expiration": {"days": 30},
                    "noncurrentVersionExpiration": {"noncurrentDays": 7},
                    "abortIncompleteMultipartUpload": {"daysAfterInitiation": 2},
                },
                {
                    "id": "tagged",
                    "status": "Disabled",
                    "filter": {"and": {"prefix": "x/", "tags": {"a": "b"}}},
                    "transitions": [{"days": 30, "storageClass": "GLACIER"}],
                },
            ],
        },
        lambda c: {
            "rules": [
                {"id": "logs", "status": "Enabled", "filter": {"prefix": ""}, "expiration": {"days": 31}}
            ]
        },
        "{id}",
    ),
    "aws:s3/bucketObjectv2:BucketObjectv2": (
        lambda c: {
            "bucket": c.bucket.id,
            "key": "a/b.json",
            "content": "{}",
            "contentType": "application/json",
            **TAGS,
        },
        lambda c: {"content": '{"x": 1}'},
        "{id}",
    ),
    "aws:s3/bucketObject:BucketObject": (
        lambda c: {"bucket": c.bucket.id, "key": "c.txt", "source": Asset(text="one")},
        lambda c: {"source": Asset(text="two")},
        "{id}",
    ),
    "aws:iam/role:Role": (
        lambda c: {
            "assumeRolePolicy": TRUST,
            "description": "for tests",
            "inlinePolicies": [{"name": "read", "policy": ALLOW}],
            **TAGS,
        },
        lambda c: {
            "description": "changed",
            "maxSessionDuration": 7200,
            "tags": {"team": "roads", "new": "1"},
        },
        "{id}",
    ),
    "aws:iam/rolePolicy:RolePolicy": (
        lambda c: {"role": c.role.id, "policy": ALLOW},
        lambda c: {"policy": ALLOW.replace("GetObject", "PutObject")},
        "{id}",
    ),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": (
        lambda c: {"role": c.role.id, "policyArn": "arn:aws:iam::aws:policy/ReadOnlyAccess"},
        None,
        "{id}",
    ),
    "aws:lambda/function:Function": (
        lambda c: {**function(c), "memorySize": 256, "environment": {"variables": {"A": "1"}}, **TAGS},
        lambda c: {
            "timeout": 30,
            "environment": {"variables": {"A": "2"}},
            "code": package(HANDLER + "# changed\n"),
            "ephemeralStorage": {"size": 1024},
            "tags": {"team": "roads"},
        },
        "{id}",
    ),
    "aws:lambda/permission:Permission": (
        lambda c: {
            "action": "lambda:InvokeFunction",
            "function": c.function.id,
            "principal": "apigateway.amazonaws.com",
            "sourceArn": "arn:aws:execute-api:ca-central-1:000000000000:abc/*",
        },
        None,
        "{function}/{id}",
    ),
    "aws:sns/topic:Topic": (
        lambda c: {"displayName": "Alarms", **TAGS},
        lambda c: {"displayName": "", "tags": {}},
        "{id}",
    ),
    "aws:sns/topicSubscription:TopicSubscription": (
        lambda c: {
            "topic": c.topic.id,
            "protocol": "sqs",
            "endpoint": c.queue["arn"],
            "rawMessageDelivery": True,
        },
        lambda c: {"rawMessageDelivery": False, "filterPolicy": json.dumps({"kind": ["a"]})},
        "{id}",
    ),
    "aws:sqs/queue:Queue": (
        lambda c: {"messageRetentionSeconds": 1209600, **TAGS},
        lambda c: {
            "visibilityTimeoutSeconds": 60,
            "tags": {"team": "roads"},
            "redrivePolicy": json.dumps({"deadLetterTargetArn": c.queue["arn"], "maxReceiveCount": 4}),
        },
        "{id}",
    ),
    "aws:sfn/stateMachine:StateMachine": (
        lambda c: {"definition": MACHINE, "roleArn": c.role["arn"], **TAGS},
        lambda c: {"definition": MACHINE.replace("Only", "Other"), "tags": {"team": "roads"}},
        "{id}",
    ),
    "aws:ecr/repository:Repository": (
        lambda c: {"imageScanningConfiguration": {"scanOnPush": True}, "forceDelete": True, **TAGS},
        lambda c: {"imageTagMutability": "IMMUTABLE", "imageScanningConfiguration": {"scanOnPush": False}},
        "{id}",
    ),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": (
        lambda c: {
            "repository": c.repository.id,
            "policy": json.dumps(
                {
                    "rules": [
                        {
                            "rulePriority": 1,
                            "action": {"type": "expire"},
                            "selection": {
                                "tagStatus": "any",
                                "countType": "imageCountMoreThan",
                                "countNumber": 5,
                            },
                        }
                    ]
                }
            ),
        },
        None,
        "{id}",
    ),
    "aws:cloudwatch/logGroup:LogGroup": (
        lambda c: {"retentionInDays": 30, **TAGS},
        lambda c: {"retentionInDays": 7, "tags": {"x": "y"}},
        "{id}",
    ),
    "aws:cloudwatch/metricAlarm:MetricAlarm": (
        lambda c: {
            "comparisonOperator": "GreaterThanThreshold",
            "evaluationPeriods": 1,
            "threshold": 0,
            "period": 60,
            "metricName": "Errors",
            "namespace": "AWS/Lambda",
            "statistic": "Sum",
            "alarmActions": [c.topic.id],
            "dimensions": {"FunctionName": "x"},
            "treatMissingData": "notBreaching",
            **TAGS,
        },
        lambda c: {"threshold": 5, "alarmDescription": "more than five"},
        "{id}",
    ),
    "aws:cognito/userPool:UserPool": (
        lambda c: {
            "usernameAttributes": ["email"],
            "autoVerifiedAttributes": ["email"],
            "passwordPolicy": {"minimumLength": 12, "requireNumbers": True},
            "adminCreateUserConfig": {"allowAdminCreateUserOnly": True},
            "accountRecoverySetting": {"recoveryMechanisms": [{"name": "verified_email", "priority": 1}]},
            **TAGS,
        },
        lambda c: {
            "passwordPolicy": {"minimumLength": 14, "requireNumbers": True},
            "tags": {"team": "roads"},
        },
        "{id}",
    ),
    "aws:cognito/userPoolClient:UserPoolClient": (
        lambda c: {
            "userPoolId": c.pool.id,
            "generateSecret": True,
            "explicitAuthFlows": ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
        },
        lambda c: {"accessTokenValidity": 2},
        "{userPoolId}/{id}",
    ),
    "aws:cognito/userGroup:UserGroup": (
        lambda c: {"userPoolId": c.pool.id, "name": "planners", "roleArn": c.role["arn"]},
        lambda c: {"description": "those who plan"},
        "{id}",
    ),
    "aws:cognito/identityPool:IdentityPool": (
        lambda c: {
            "identityPoolName": "people",
            **TAGS,
            "cognitoIdentityProviders": [
                {"clientId": c.client.id, "providerName": c.pool["endpoint"], "serverSideTokenCheck": True}
            ],
        },
        lambda c: {"allowClassicFlow": True},
        "{id}",
    ),
    "aws:cognito/identityPoolRoleAttachment:IdentityPoolRoleAttachment": (
        lambda c: {
            "identityPoolId": c.identities.id,
            "roles": {"authenticated": c.role["arn"]},
            "roleMappings": [
                {
                    "identityProvider": f"{c.pool['endpoint']}:{c.client.id}",
                    "type": "Token",
                    "ambiguousRoleResolution": "Deny",
                }
            ],
        },
        lambda c: {"roles": {"authenticated": c.role["arn"], "unauthenticated": c.role["arn"]}},
        "{id}",
    ),
    "aws:apigatewayv2/api:Api": (
        lambda c: {
            "protocolType": "HTTP",
            "description": "runs",
            "corsConfiguration": {"allowOrigins": ["https://a.example"], "allowMethods": ["GET", "POST"]},
            **TAGS,
        },
        lambda c: {"description": "changed", "corsConfiguration": None},
        "{id}",
    ),
    "aws:apigatewayv2/authorizer:Authorizer": (
        lambda c: {
            "apiId": c.api.id,
            "authorizerType": "JWT",
            "identitySources": ["$request.header.Authorization"],
            "jwtConfiguration": {"audiences": [c.client.id], "issuer": f"https://{c.pool['endpoint']}"},
        },
        lambda c: {"jwtConfiguration": {"audiences": ["other"], "issuer": f"https://{c.pool['endpoint']}"}},
        "{apiId}/{id}",
    ),
    "aws:apigatewayv2/integration:Integration": (
        lambda c: {
            "apiId": c.api.id,
            "integrationType": "AWS_PROXY",
            "integrationUri": c.function["arn"],
            "payloadFormatVersion": "2.0",
        },
        lambda c: {"timeoutMilliseconds": 5000},
        "{apiId}/{id}",
    ),
    "aws:apigatewayv2/route:Route": (
        lambda c: {"apiId": c.api.id, "routeKey": "GET /runs/{id}"},
        lambda c: {"routeKey": "POST /runs"},
        "{apiId}/{id}",
    ),
    "aws:apigatewayv2/stage:Stage": (
        lambda c: {
            "apiId": c.api.id,
            "name": "$default",
            "autoDeploy": True,
            "defaultRouteSettings": {"throttlingBurstLimit": 10, "throttlingRateLimit": 5},
            **TAGS,
        },
        lambda c: {"description": "the only one"},
        "{apiId}/{id}",
    ),
    **COMPUTE_CASES,
    **NETWORK_CASES,
}
