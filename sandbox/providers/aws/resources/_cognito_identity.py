"""Identity pools: credentials of a role for whoever a user pool let in."""

from sandbox.providers.aws.operations import Run
from sandbox.providers.aws.table import Call, Field, Resource, Tags, Values

_POOL = {"IdentityPoolId": "{id}"}


def _find_pool(run: Run) -> str | None:
    pools = run.call("ListIdentityPools", MaxResults=60)["IdentityPools"]
    found = [
        pool["IdentityPoolId"] for pool in pools if pool["IdentityPoolName"] == run.inputs["identityPoolName"]
    ]
    return str(found[0]) if len(found) == 1 else None


IDENTITY_POOL = Resource(
    token="aws:cognito/identityPool:IdentityPool",
    service="cognito-identity",
    fields={
        "identityPoolName": Field("IdentityPoolName", required=True),
        "allowUnauthenticatedIdentities": Field("AllowUnauthenticatedIdentities", default=False),
        "allowClassicFlow": Field("AllowClassicFlow", default=False),
        "cognitoIdentityProviders": Field(
            "CognitoIdentityProviders",
            unordered=True,
            clear=[],
            sub={"serverSideTokenCheck": Field(default=False)},
        ),
        "developerProviderName": Field("DeveloperProviderName", replace=True),
        "openidConnectProviderArns": Field("OpenIdConnectProviderARNs", unordered=True, clear=[]),
        "samlProviderArns": Field("SamlProviderARNs", clear=[]),
        "supportedLoginProviders": Field("SupportedLoginProviders", clear={}),
    },
    id="@IdentityPoolId",
    import_id="{id}",
    create=Call(op="CreateIdentityPool"),
    read=Call(op="DescribeIdentityPool", params=_POOL),
    update=(Call(op="UpdateIdentityPool", params=_POOL),),
    delete=Call(op="DeleteIdentityPool", params=_POOL),
    outputs={"arn": "arn:{partition}:cognito-identity:{region}:{account}:identitypool/{id}"},
    tags=Tags(
        member="IdentityPoolTags",
        add="TagResource",
        remove="UntagResource",
        target={"ResourceArn": "{arn}"},
        read="IdentityPoolTags",
    ),
    find=_find_pool,
    read_after_create=False,
)

_RULE = {"claim": "Claim", "matchType": "MatchType", "roleArn": "RoleARN", "value": "Value"}


def _mapping_problem(mappings: list[Values]) -> str | None:
    allowed = ("identityProvider", "type", "ambiguousRoleResolution", "mappingRules")
    for i, mapping in enumerate(mappings):
        if not isinstance(mapping, dict):
            return f"[{i}] must be an object with {', '.join(allowed)}"
        unknown = [key for key in mapping if key not in allowed]
        if unknown:
            return f"[{i}].{unknown[0]}: no such property; allowed: {', '.join(allowed)}"
        if not mapping.get("identityProvider"):
            return f"[{i}].identityProvider is required"
        if mapping.get("type") not in ("Token", "Rules"):
            return f"[{i}].type must be Token or Rules, not {mapping.get('type')!r}"
        if mapping.get("ambiguousRoleResolution") not in ("AuthenticatedRole", "Deny"):
            return f"[{i}].ambiguousRoleResolution must be AuthenticatedRole or Deny"
        if mapping["type"] == "Rules" and not mapping.get("mappingRules"):
            return f"[{i}].mappingRules is required with type Rules"
        for j, rule in enumerate(mapping.get("mappingRules") or []):
            for key in _RULE:
                if not rule.get(key):
                    return f"[{i}].mappingRules[{j}].{key} is required"
    return None


def _to_map(mappings: list[Values]) -> Values:
    found: Values = {}
    for mapping in mappings:
        item: Values = {"Type": mapping["type"]}
        if mapping.get("ambiguousRoleResolution"):
            item["AmbiguousRoleResolution"] = mapping["ambiguousRoleResolution"]
        if mapping.get("mappingRules"):
            listed = [{_RULE[key]: value for key, value in rule.items()} for rule in mapping["mappingRules"]]
            item["RulesConfiguration"] = {"Rules": listed}
        found[mapping["identityProvider"]] = item
    return found


def _to_list(found: Values) -> list[Values]:
    names = {member: key for key, member in _RULE.items()}
    result = []
    for provider, item in sorted(found.items()):
        mapping: Values = {"identityProvider": provider, "type": item["Type"]}
        if item.get("AmbiguousRoleResolution"):
            mapping["ambiguousRoleResolution"] = item["AmbiguousRoleResolution"]
        listed = (item.get("RulesConfiguration") or {}).get("Rules")
        if listed:
            mapping["mappingRules"] = [{names[key]: value for key, value in rule.items()} for rule in listed]
        result.append(mapping)
    return result


def _read_roles(run: Run) -> Values | None:
    found = run.call("GetIdentityPoolRoles", IdentityPoolId=run.id)
    return found if found.get("Roles") or found.get("RoleMappings") else None


ROLE_ATTACHMENT = Resource(
    token="aws:cognito/identityPoolRoleAttachment:IdentityPoolRoleAttachment",
    service="cognito-identity",
    fields={
        "identityPoolId": Field("IdentityPoolId", required=True, replace=True),
        "roles": Field("Roles", required=True),
        "roleMappings": Field(
            "RoleMappings", type="list", unordered=True, rule=_mapping_problem, out=_to_map, back=_to_list
        ),
    },
    identity=("identityPoolId",),
    id="{identityPoolId}",
    create=Call(op="SetIdentityPoolRoles"),
    read=_read_roles,
    update=(Call(op="SetIdentityPoolRoles"),),
    delete=Call(op="SetIdentityPoolRoles", params={"IdentityPoolId": "{id}", "Roles": {}}),
    read_after_create=False,
)
