"""``aws:rds/instance``: a database server.

Its id is AWS's own of the server (``db-...``), as with the official provider; an import takes its identifier.
"""

from typing import Any

from sandbox.providers.aws import rules
from sandbox.providers.aws.errors import Refused
from sandbox.providers.aws.operations import Run, creates
from sandbox.providers.aws.table import AutoName, Call, Custom, Field, Resource, Tags, Values
from sandbox.providers.aws.tags import creation_tags
from sandbox.providers.server import ProviderError

AVAILABLE_S = 900
"""For creation, changes and deletion alike."""

_READY = ("available", "storage-optimization")
_BROKEN = ("failed", "incompatible-network", "incompatible-parameters", "incompatible-restore")

_IDENTIFIER = rules.matches(
    r"[A-Za-z](?!.*--)[A-Za-z0-9-]*(?<!-)",
    "letters, digits and single hyphens, with a letter first and no hyphen last",
)


def _password_problem(value: str) -> str | None:
    wrong = not value.isprintable() or not value.isascii() or any(character in value for character in '/"@ ')
    return 'must have printable ASCII characters and none of / " @ and space' if wrong else None


def _describe(run: Run) -> Values | None:
    name = run.value("identifier")
    found = run.optional("DescribeDBInstances", DBInstanceIdentifier=name).get("DBInstances") or []
    first: Values | None = found[0] if found else None
    return first


def _available(run: Run) -> bool | None:
    found = _describe(run)
    if found is None:
        raise ProviderError(f"the database {run.value('identifier')} went away while it was waited for")
    if found["DBInstanceStatus"] in _BROKEN:
        raise ProviderError(f"the database {run.value('identifier')} is {found['DBInstanceStatus']}")
    return True if found["DBInstanceStatus"] in _READY else None


def _await(run: Run) -> None:
    what = f"the start of database {run.value('identifier')}"
    run.wait_until(lambda: _available(run), what, AVAILABLE_S)


def _is_version(actual: str, given: str) -> bool:
    """``17`` stands for any 17, as with the official provider."""
    return actual == given or actual.startswith(f"{given}.")


def _read_instance(run: Run) -> Values | None:
    found = _describe(run)
    if found is not None and found["DBInstanceStatus"] == "creating":
        _await(run)  # an interrupted creation, taken over: it has no address yet
        found = _describe(run)
    if found is None:
        return None
    run.id = found["DbiResourceId"]
    run.response = found
    actual, given = str(found["EngineVersion"]), run.value("engineVersion")
    found["Actual"] = actual
    if given and _is_version(actual, given):
        found["EngineVersion"] = given
    found["Groups"] = [item["VpcSecurityGroupId"] for item in found.get("VpcSecurityGroups") or []]
    endpoint = found.get("Endpoint") or {}
    if endpoint:
        found["Where"] = f"{endpoint['Address']}:{endpoint['Port']}"
    return found


@creates("CreateDBInstance")
def _create_instance(run: Run) -> Any:
    if not run.inputs.get("password"):  # not said at preview, as an imported database needs none
        raise Refused("rds", "CreateDBInstance", "MissingParameter", "a new database needs a password", 400)
    extra = {"MasterUserPassword": run.inputs["password"], **creation_tags(run, "CreateDBInstance")}
    call = Call(op="CreateDBInstance", result="DBInstance")
    return run.perform(call, run.names_for(call), extra)


def _modify(run: Run) -> None:
    """After creation it only waits."""
    changed = [name for name in _CHANGEABLE if name in run.changed]
    if changed:
        extra: Values = {}
        if "password" in changed and run.inputs.get("password"):
            extra["MasterUserPassword"] = run.inputs["password"]
        if "maxAllocatedStorage" in changed:
            # A threshold of what there is already switches growth off.
            size = run.inputs.get("maxAllocatedStorage") or run.inputs["allocatedStorage"]
            extra["MaxAllocatedStorage"] = size
        if "enabledCloudwatchLogsExports" in changed:
            before = set(run.state.get("enabledCloudwatchLogsExports") or [])
            after = set(run.inputs.get("enabledCloudwatchLogsExports") or [])
            logs = {"EnableLogTypes": sorted(after - before), "DisableLogTypes": sorted(before - after)}
            extra["CloudwatchLogsExportConfiguration"] = {key: value for key, value in logs.items() if value}
        if run.inputs.get("allowMajorVersionUpgrade"):
            extra["AllowMajorVersionUpgrade"] = True
        call = Call(
            op="ModifyDBInstance",
            params={
                "DBInstanceIdentifier": "{identifier}",
                "ApplyImmediately": bool(run.inputs.get("applyImmediately")),
            },
        )
        skip = {"maxAllocatedStorage", "identifier"}
        run.perform(
            call, [name for name in run.names_for(call) if name in changed and name not in skip], extra
        )
    _await(run)


def _delete_instance(run: Run) -> None:
    final: Values = {"SkipFinalSnapshot": True}
    if not run.value("skipFinalSnapshot"):
        if not run.value("finalSnapshotIdentifier"):
            raise ProviderError(
                f"the database {run.value('identifier')} can't be deleted: it needs finalSnapshotIdentifier,"
                " or skipFinalSnapshot to be true (and an up, so that the state has it)"
            )
        name = run.value("finalSnapshotIdentifier")
        final = {"SkipFinalSnapshot": False, "FinalDBSnapshotIdentifier": name}
    kept = run.value("deleteAutomatedBackups")
    run.call(
        "DeleteDBInstance",
        DBInstanceIdentifier=run.value("identifier"),
        DeleteAutomatedBackups=True if kept is None else kept,
        **final,
    )
    gone = f"the end of database {run.value('identifier')}"
    run.wait_until(lambda: True if _describe(run) is None else None, gone, AVAILABLE_S)


def _find_instance(run: Run) -> str | None:
    found = _describe(run)
    return None if found is None else str(found["DbiResourceId"])


def _parse_instance(run: Run) -> None:
    run.state = {"identifier": run.id}


def _instance_rules(values: Values) -> dict[str, str]:
    found = {
        name: "is required for a new database"
        for name in ("allocatedStorage", "username")
        if values.get(name) is None
    }
    top, size = values.get("maxAllocatedStorage"), values.get("allocatedStorage")
    if isinstance(top, int) and isinstance(size, int) and 0 < top <= size:
        found["maxAllocatedStorage"] = f"must be more than allocatedStorage ({size}), or 0"
    return found


def _kept(name: str) -> str:
    return f"the emulator's databases have no {name}"


_NEW_ONLY = "a database here begins empty"

_FIELDS = {
    "identifier": Field("DBInstanceIdentifier", computed=True, replace=True, maximum=63, rule=_IDENTIFIER),
    "identifierPrefix": Field(local=True, type="string", replace=True, maximum=37),
    "instanceClass": Field("DBInstanceClass", required=True, pattern=r"db\.[a-z0-9-]+\.[a-z0-9]+"),
    "engine": Field("Engine", required=True, replace=True, allowed=("postgres",)),
    "engineVersion": Field("EngineVersion", computed=True, pattern=r"\d+(\.\d+)*", alike=_is_version),
    "allocatedStorage": Field("AllocatedStorage", computed=True, minimum=20, maximum=65536),
    "maxAllocatedStorage": Field("MaxAllocatedStorage", default=0),
    "storageType": Field("StorageType", computed=True, allowed=("gp2", "gp3", "io1", "io2", "standard")),
    "iops": Field("Iops", computed=True),
    "storageThroughput": Field(
        "StorageThroughput", computed=True, read=lambda found: found.get("StorageThroughput") or None
    ),
    "storageEncrypted": Field("StorageEncrypted", default=False, replace=True),
    "kmsKeyId": Field("KmsKeyId", computed=True, replace=True),
    "dbName": Field(
        "DBName",
        computed=True,
        replace=True,
        maximum=63,
        rule=rules.matches(r"[A-Za-z_][A-Za-z0-9_]*", "letters, digits and _, no digit first"),
    ),
    "username": Field(
        "MasterUsername",
        computed=True,
        replace=True,
        maximum=63,
        rule=rules.matches(
            r"(?!(admin|rdsadmin|postgres_rds)$)[A-Za-z][A-Za-z0-9_]*",
            "letters, digits and _, a letter first, and not be a reserved word such as admin",
        ),
    ),
    "password": Field(local=True, type="string", unread=True, minimum=8, maximum=128, rule=_password_problem),
    "dbSubnetGroupName": Field(
        "DBSubnetGroupName", computed=True, replace=True, read="DBSubnetGroup.DBSubnetGroupName"
    ),
    "vpcSecurityGroupIds": Field("VpcSecurityGroupIds", computed=True, unordered=True, read="Groups"),
    "publiclyAccessible": Field("PubliclyAccessible", default=False),
    "availabilityZone": Field("AvailabilityZone", computed=True, replace=True),
    "multiAz": Field("MultiAZ", computed=True),
    "backupRetentionPeriod": Field("BackupRetentionPeriod", computed=True, minimum=0, maximum=35),
    "backupWindow": Field("PreferredBackupWindow", computed=True),
    "maintenanceWindow": Field("PreferredMaintenanceWindow", computed=True),
    "copyTagsToSnapshot": Field("CopyTagsToSnapshot", default=False),
    "deletionProtection": Field("DeletionProtection", default=False),
    "autoMinorVersionUpgrade": Field("AutoMinorVersionUpgrade", default=True),
    "iamDatabaseAuthenticationEnabled": Field(
        "EnableIAMDatabaseAuthentication", default=False, read="IAMDatabaseAuthenticationEnabled"
    ),
    "parameterGroupName": Field(
        "DBParameterGroupName", computed=True, read="DBParameterGroups.0.DBParameterGroupName"
    ),
    "caCertIdentifier": Field("CACertificateIdentifier", computed=True),
    "licenseModel": Field("LicenseModel", computed=True, replace=True),
    "monitoringInterval": Field("MonitoringInterval", default=0, allowed=(0, 1, 5, 10, 15, 30, 60)),
    "monitoringRoleArn": Field("MonitoringRoleArn", computed=True, rule=rules.arn("iam")),
    "performanceInsightsEnabled": Field(
        "EnablePerformanceInsights", default=False, read="PerformanceInsightsEnabled"
    ),
    "performanceInsightsRetentionPeriod": Field("PerformanceInsightsRetentionPeriod", computed=True),
    "performanceInsightsKmsKeyId": Field("PerformanceInsightsKMSKeyId", computed=True, replace=True),
    "enabledCloudwatchLogsExports": Field(
        "EnableCloudwatchLogsExports",
        unordered=True,
        read="EnabledCloudwatchLogsExports",
        rule=lambda names: (
            None if set(names) <= {"postgresql", "upgrade"} else "must be of postgresql and upgrade"
        ),
    ),
    "allowMajorVersionUpgrade": Field(local=True, type="boolean"),
    "applyImmediately": Field(local=True, type="boolean", default=False),
    "deleteAutomatedBackups": Field(local=True, type="boolean", default=True),
    "skipFinalSnapshot": Field(local=True, type="boolean", default=False),
    "finalSnapshotIdentifier": Field(
        local=True, type="string", rule=rules.matches(r"[A-Za-z](?!.*--)[A-Za-z0-9-]*(?<!-)", "letters")
    ),
}
_CHANGEABLE = tuple(
    name for name, field in _FIELDS.items() if not field.replace and (not field.local or name == "password")
)

INSTANCE = Resource(
    token="aws:rds/instance:Instance",
    service="rds",
    fields=_FIELDS,
    autoname=AutoName(property="identifier", limit=63, lower=True, prefix_property="identifierPrefix"),
    identity=("identifier",),
    validate=_instance_rules,
    id="@DbiResourceId",
    import_id=_parse_instance,
    create=_create_instance,
    read=_read_instance,
    update=(Custom(run=_modify, fields=_CHANGEABLE, on_create=True),),
    delete=_delete_instance,
    outputs={
        "address": "Endpoint.Address",
        "arn": "DBInstanceArn",
        "endpoint": "Where",
        "engineVersionActual": "Actual",
        "hostedZoneId": "Endpoint.HostedZoneId",
        "port": "Endpoint.Port",
        "resourceId": "DbiResourceId",
        "status": "DBInstanceStatus",
    },
    secret_outputs=("password",),
    volatile=("engineVersionActual", "status"),
    tags=Tags(
        member="Tags",
        add="AddTagsToResource",
        remove="RemoveTagsFromResource",
        target={"ResourceName": "{arn}"},
        read="TagList",
    ),
    unsupported={
        "blueGreenUpdate": "the emulator changes databases in place",
        "manageMasterUserPassword": "give password, from aws.secretsmanager or random.RandomPassword",
        "masterUserSecretKmsKeyId": "give password, from aws.secretsmanager or random.RandomPassword",
        "passwordWo": "give password",
        "passwordWoVersion": "give password",
        "port": "the sandbox's databases are all on one address, each with a port of its own: use the output",
        "replicateSourceDb": _NEW_ONLY,
        "restoreToPointInTime": _NEW_ONLY,
        "s3Import": _NEW_ONLY,
        "snapshotIdentifier": _NEW_ONLY,
        **{
            name: _kept(words)
            for name, words in {
                "backupTarget": "Outposts",
                "characterSetName": "character sets of other engines",
                "customIamInstanceProfile": "hosts of their own",
                "customerOwnedIpEnabled": "Outposts",
                "databaseInsightsMode": "insights",
                "dedicatedLogVolume": "log volumes",
                "domain": "directories",
                "domainAuthSecretArn": "directories",
                "domainDnsIps": "directories",
                "domainFqdn": "directories",
                "domainIamRoleName": "directories",
                "domainOu": "directories",
                "engineLifecycleSupport": "extended support",
                "ncharCharacterSetName": "character sets of other engines",
                "networkType": "IPv6",
                "optionGroupName": "option groups: PostgreSQL has no options",
                "replicaMode": "replicas",
                "timezone": "time zones of other engines",
                "upgradeStorageConfig": "old storage",
                "warningEventCategories": "warnings of events",
            }.items()
        },
    },
    find=_find_instance,
)
