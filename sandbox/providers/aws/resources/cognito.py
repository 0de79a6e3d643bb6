"""``aws:cognito/*``: user pools here, identity pools in ``_cognito_identity``."""

from typing import Any

from sandbox.providers.aws import rules
from sandbox.providers.aws.operations import Run
from sandbox.providers.aws.resources._cognito_identity import IDENTITY_POOL, ROLE_ATTACHMENT
from sandbox.providers.aws.shapes import bound, to_aws
from sandbox.providers.aws.table import AutoName, Call, Custom, Field, Resource, Tags, Values
from sandbox.providers.server import ProviderError

_POOL = {"UserPoolId": "{id}"}


def _mfa(run: Run) -> None:
    """Time-based one-time passwords are set by an operation of their own."""
    enabled = (run.inputs.get("softwareTokenMfaConfiguration") or {}).get("enabled", False)
    run.call(
        "SetUserPoolMfaConfig",
        UserPoolId=run.id,
        SoftwareTokenMfaConfiguration={"Enabled": enabled},
        MfaConfiguration=run.inputs.get("mfaConfiguration") or "OFF",
    )


def _add_attributes(run: Run) -> None:
    """Attributes can be added to a pool, never changed or removed: that is refused here too."""
    before = {schema["name"]: schema for schema in run.state.get("schemas") or []}
    wanted = {schema["name"]: schema for schema in run.inputs.get("schemas") or []}
    lost = [name for name, schema in before.items() if wanted.get(name) != schema]
    if lost:
        raise ProviderError(f"the attribute {lost[0]} of the user pool {run.id} can't be changed or removed")
    item = bound(run.entry)["schemas"]
    new = [schema for name, schema in wanted.items() if name not in before]
    if new:
        run.call(
            "AddCustomAttributes", UserPoolId=run.id, CustomAttributes=to_aws(new, item.field, item.shape)
        )


def _read_pool(run: Run) -> Values:
    answer = run.call("DescribeUserPool", UserPoolId=run.id)
    found: Values = dict(answer["UserPool"])
    if run.value("softwareTokenMfaConfiguration") is not None:
        mfa = run.call("GetUserPoolMfaConfig", UserPoolId=run.id)
        enabled = (mfa.get("SoftwareTokenMfaConfiguration") or {}).get("Enabled", False)
        found["SoftwareToken"] = {"enabled": enabled}
    run.response = answer
    return found


def _find_pool(run: Run) -> str | None:
    pools = run.call("ListUserPools", MaxResults=60)["UserPools"]
    found = [pool["Id"] for pool in pools if pool["Name"] == run.inputs["name"]]
    return str(found[0]) if len(found) == 1 else None


def _pool_rules(values: Values) -> dict[str, str]:
    if values.get("aliasAttributes") and values.get("usernameAttributes"):
        return {"aliasAttributes": "conflicts with usernameAttributes"}
    if values.get("mfaConfiguration") in ("ON", "OPTIONAL") and not (
        values.get("softwareTokenMfaConfiguration") or values.get("smsConfiguration")
    ):
        return {"mfaConfiguration": "ON and OPTIONAL need softwareTokenMfaConfiguration or smsConfiguration"}
    return {}


_LAMBDA = Field(pattern="", rule=rules.arn("lambda"))

USER_POOL = Resource(
    token="aws:cognito/userPool:UserPool",
    service="cognito-idp",
    fields={
        "name": Field("PoolName", read="Name", replace=True, computed=True, minimum=1, maximum=128),
        "accountRecoverySetting": Field(
            "AccountRecoverySetting", computed=True, sub={"recoveryMechanisms": Field(unordered=True)}
        ),
        "adminCreateUserConfig": Field(
            "AdminCreateUserConfig",
            computed=True,
            sub={
                "allowAdminCreateUserOnly": Field(default=False),
                "unusedAccountValidityDays": Field(computed=True),
                "inviteMessageTemplate": Field(computed=True),
            },
        ),
        "aliasAttributes": Field("AliasAttributes", replace=True, unordered=True),
        "autoVerifiedAttributes": Field("AutoVerifiedAttributes", unordered=True, clear=[]),
        "deletionProtection": Field("DeletionProtection", default="INACTIVE"),
        "deviceConfiguration": Field("DeviceConfiguration"),
        "emailConfiguration": Field("EmailConfiguration", computed=True),
        "emailVerificationMessage": Field("EmailVerificationMessage", computed=True, pattern=""),
        "emailVerificationSubject": Field("EmailVerificationSubject", computed=True, pattern=""),
        "lambdaConfig": Field(
            "LambdaConfig",
            clear={},
            sub=dict.fromkeys(
                (
                    "createAuthChallenge",
                    "customMessage",
                    "defineAuthChallenge",
                    "postAuthentication",
                    "postConfirmation",
                    "preAuthentication",
                    "preSignUp",
                    "preTokenGeneration",
                    "userMigration",
                    "verifyAuthChallengeResponse",
                ),
                _LAMBDA,
            )
            | {"preTokenGeneration": Field(computed=True), "preTokenGenerationConfig": Field(computed=True)},
        ),
        "mfaConfiguration": Field("MfaConfiguration", default="OFF"),
        "passwordPolicy": Field(
            "Policies.PasswordPolicy",
            computed=True,
            sub={
                "minimumLength": Field(minimum=6, maximum=99, computed=True),
                "requireLowercase": Field(default=False),
                "requireNumbers": Field(default=False),
                "requireSymbols": Field(default=False),
                "requireUppercase": Field(default=False),
                "passwordHistorySize": Field(default=0),
                "temporaryPasswordValidityDays": Field(computed=True),
            },
        ),
        "schemas": Field("Schema", unread=True, unordered=True),
        "signInPolicy": Field("Policies.SignInPolicy", computed=True),
        "smsAuthenticationMessage": Field("SmsAuthenticationMessage", pattern=""),
        "smsConfiguration": Field("SmsConfiguration", computed=True),
        "smsVerificationMessage": Field("SmsVerificationMessage", computed=True, pattern=""),
        "softwareTokenMfaConfiguration": Field(
            local=True,
            type="object",
            read="SoftwareToken",
            rule=lambda value: (
                None if isinstance(value.get("enabled"), bool) else "must have enabled: true or false"
            ),
        ),
        "userAttributeUpdateSettings": Field(
            "UserAttributeUpdateSettings",
            sub={
                "attributesRequireVerificationBeforeUpdates": Field(
                    "AttributesRequireVerificationBeforeUpdate", unordered=True
                )
            },
        ),
        "userPoolAddOns": Field("UserPoolAddOns"),
        "userPoolTier": Field("UserPoolTier", computed=True),
        "usernameAttributes": Field("UsernameAttributes", replace=True, unordered=True),
        "usernameConfiguration": Field(
            "UsernameConfiguration", replace=True, computed=True, sub={"caseSensitive": Field(default=False)}
        ),
        "verificationMessageTemplate": Field(
            "VerificationMessageTemplate",
            computed=True,
            sub={
                name: Field(computed=True, pattern="")
                for name in (
                    "defaultEmailOption",
                    "emailMessage",
                    "emailMessageByLink",
                    "emailSubject",
                    "emailSubjectByLink",
                    "smsMessage",
                )
            },
        ),
    },
    autoname=AutoName(limit=128),
    validate=_pool_rules,
    id="@Id",
    import_id="{id}",
    create=Call(op="CreateUserPool", result="UserPool"),
    read=_read_pool,
    update=(
        Call(op="UpdateUserPool", params=_POOL),
        Custom(run=_mfa, fields=("softwareTokenMfaConfiguration", "mfaConfiguration"), on_create=True),
        Custom(run=_add_attributes, fields=("schemas",)),
    ),
    delete=Call(op="DeleteUserPool", params=_POOL),
    outputs={
        "arn": "Arn",
        "endpoint": "cognito-idp.{region}.amazonaws.com/{id}",
        "creationDate": "CreationDate",
        "lastModifiedDate": "LastModifiedDate",
        "estimatedNumberOfUsers": lambda run, found: found.get("EstimatedNumberOfUsers", 0),
        "domain": lambda run, found: found.get("Domain") or "",
        "customDomain": lambda run, found: found.get("CustomDomain") or "",
    },
    tags=Tags(
        member="UserPoolTags",
        add="TagResource",
        remove="UntagResource",
        target={"ResourceArn": "{arn}"},
        read="UserPool.UserPoolTags",
    ),
    unsupported={
        "emailMfaConfiguration": "the emulator has no mail for it; use softwareTokenMfaConfiguration",
        "webAuthnConfiguration": "the emulator has no passkeys",
    },
    find=_find_pool,
    read_after_create=False,
)


def _client_rules(values: Values) -> dict[str, str]:
    if values.get("allowedOauthFlowsUserPoolClient") is not True:
        for name in ("allowedOauthFlows", "allowedOauthScopes"):
            if values.get(name):
                return {name: "needs allowedOauthFlowsUserPoolClient to be true"}
    return {}


def _find_client(run: Run) -> str | None:
    clients = run.call("ListUserPoolClients", UserPoolId=run.inputs["userPoolId"], MaxResults=60)
    found = [
        item["ClientId"] for item in clients["UserPoolClients"] if item["ClientName"] == run.inputs["name"]
    ]
    return str(found[0]) if len(found) == 1 else None


def _chosen(member: str, **options: Any) -> Field:
    """Cognito chooses a value when there is none."""
    return Field(member, computed=True, **options)


_CLIENT = {"UserPoolId": "{userPoolId}", "ClientId": "{id}"}

USER_POOL_CLIENT = Resource(
    token="aws:cognito/userPoolClient:UserPoolClient",
    service="cognito-idp",
    fields={
        "userPoolId": Field("UserPoolId", required=True, replace=True),
        "name": Field("ClientName", computed=True),
        "generateSecret": Field(
            "GenerateSecret", replace=True, default=False, read=lambda found: bool(found.get("ClientSecret"))
        ),
        "accessTokenValidity": _chosen("AccessTokenValidity"),
        "idTokenValidity": _chosen("IdTokenValidity"),
        "refreshTokenValidity": _chosen("RefreshTokenValidity"),
        "tokenValidityUnits": _chosen("TokenValidityUnits"),
        "allowedOauthFlows": Field("AllowedOAuthFlows", unordered=True, clear=[]),
        "allowedOauthFlowsUserPoolClient": Field("AllowedOAuthFlowsUserPoolClient", default=False),
        "allowedOauthScopes": Field("AllowedOAuthScopes", unordered=True, clear=[]),
        "analyticsConfiguration": Field("AnalyticsConfiguration"),
        "authSessionValidity": _chosen("AuthSessionValidity"),
        "callbackUrls": Field("CallbackURLs", unordered=True, clear=[]),
        "defaultRedirectUri": Field("DefaultRedirectURI"),
        "enablePropagateAdditionalUserContextData": _chosen("EnablePropagateAdditionalUserContextData"),
        "enableTokenRevocation": _chosen("EnableTokenRevocation"),
        "explicitAuthFlows": _chosen("ExplicitAuthFlows", unordered=True),
        "logoutUrls": Field("LogoutURLs", unordered=True, clear=[]),
        "preventUserExistenceErrors": _chosen("PreventUserExistenceErrors"),
        "readAttributes": _chosen("ReadAttributes", unordered=True),
        "refreshTokenRotation": _chosen("RefreshTokenRotation"),
        "supportedIdentityProviders": _chosen("SupportedIdentityProviders", unordered=True),
        "writeAttributes": _chosen("WriteAttributes", unordered=True),
    },
    autoname=AutoName(limit=128),
    validate=_client_rules,
    id="@ClientId",
    import_id="{userPoolId}/{id}",
    create=Call(op="CreateUserPoolClient", result="UserPoolClient"),
    read=Call(op="DescribeUserPoolClient", params=_CLIENT, result="UserPoolClient"),
    update=(Call(op="UpdateUserPoolClient", params=_CLIENT),),
    delete=Call(op="DeleteUserPoolClient", params=_CLIENT),
    outputs={
        "clientSecret": lambda run, found: found.get("ClientSecret") or run.state.get("clientSecret") or ""
    },
    secret_outputs=("clientSecret",),
    find=_find_client,
    read_after_create=False,
)

_GROUP = {"UserPoolId": "{userPoolId}", "GroupName": "{name}"}

USER_GROUP = Resource(
    token="aws:cognito/userGroup:UserGroup",
    service="cognito-idp",
    fields={
        "userPoolId": Field("UserPoolId", required=True, replace=True),
        "name": Field("GroupName", replace=True, computed=True, minimum=1, maximum=128, pattern=""),
        "description": Field("Description", clear="", maximum=2048),
        "precedence": Field("Precedence", minimum=0, computed=True),  # an unset one is read back as 0
        "roleArn": Field("RoleArn", clear="", rule=rules.arn("iam")),
    },
    autoname=AutoName(limit=128),
    identity=("userPoolId", "name"),
    id="{userPoolId}/{name}",
    create=Call(op="CreateGroup", result="Group"),
    read=Call(op="GetGroup", params=_GROUP, result="Group"),
    update=(Call(op="UpdateGroup", params=_GROUP),),
    delete=Call(op="DeleteGroup", params=_GROUP),
    read_after_create=False,
)

RESOURCES = (USER_POOL, USER_POOL_CLIENT, USER_GROUP, IDENTITY_POOL, ROLE_ATTACHMENT)
