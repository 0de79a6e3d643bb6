"""RDS instances that are real PostgreSQL servers, one container and one volume each.

Ministack starts them from an image of Docker Hub, with their port open to the whole network and their data in
memory, and takes them for available before they answer. Here they come from ``sandbox.images``, listen on
loopback and Docker's bridge, keep their data in a volume, and demand TLS and scram as RDS does.

Only PostgreSQL 17. The master user is a superuser here; on RDS it only may do much.
"""

import contextlib
import hashlib
import io
import logging
import re
import tarfile
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import docker
import docker.errors

from sandbox.aws.bridge import bridge_addresses
from sandbox.aws.patching import module, replace, replace_operation
from sandbox.environment import AwsSettings

logger = logging.getLogger("benchtop.aws")

IMAGE = "postgres:17-trixie"
MAJOR = "17"
DATA = "/var/lib/postgresql/data"
ASK_S = 0.2
"""Pause between two questions whether a starting server answers."""
SHARED_MEMORY = "256m"
"""For parallel queries; Docker's own 64 MB are too little."""

_RESERVED = ("admin", "rdsadmin", "rds_superuser")
_USER = re.compile("[A-Za-z][A-Za-z0-9_]{0,62}")
_REFUSED_IN_PASSWORDS = '/@" '


def _postgres(engine: Any) -> bool:
    return str(engine or "postgres") == "postgres"


def _connect(port: int, user: str, password: str, database: str) -> Any:
    import psycopg

    return psycopg.connect(
        host="127.0.0.1", port=port, user=user, password=password, dbname=database, sslmode="require",
        connect_timeout=3, autocommit=True,
    )  # fmt: skip


def _version(instance: dict[str, Any]) -> str:
    """The version of the server; raises psycopg.Error while it doesn't answer."""
    with _connect(
        instance["_HostPort"], instance["MasterUsername"], instance["_MasterUserPassword"], instance["DBName"]
    ) as connection:
        found: str = connection.execute("SHOW server_version").fetchone()[0]
        return found.split()[0]


def requests_are_checked() -> None:
    """``CreateDBInstance`` and ``ModifyDBInstance`` refuse what RDS refuses, and engines that aren't here.

    Ministack takes any user name and password, makes up a missing one, and any version.
    """

    def problem(params: dict[str, Any], *, creating: bool) -> tuple[str, str] | None:
        rds = module("services.rds")
        password, version = rds._p(params, "MasterUserPassword"), rds._p(params, "EngineVersion")
        if creating and not rds._p(params, "DBClusterIdentifier"):
            engine, user = rds._p(params, "Engine"), rds._p(params, "MasterUsername")
            if not _postgres(engine):
                return "InvalidParameterValue", f"Engine {engine} isn't in this sandbox; there is: postgres"
            if not user or not password:
                name = "MasterUserPassword" if user else "MasterUsername"
                return (
                    "InvalidParameterValue",
                    f"The parameter {name} must be provided and must not be blank.",
                )
            if user.lower() in _RESERVED or user.lower().startswith("pg_"):
                words = "cannot be used as it is a reserved word used by the engine"
                return "InvalidParameterValue", f"MasterUsername {user} {words}"
            if not _USER.fullmatch(user):
                words = "must begin with a letter and contain only alphanumeric characters."
                return "InvalidParameterValue", f"MasterUsername {words}"
        if version and version.split(".")[0] != MAJOR:
            return (
                "InvalidParameterCombination",
                f"Cannot find version {version} for postgres; there is: {MAJOR}",
            )
        if password and not 8 <= len(password) <= 128:
            words = "is not a valid password because it is not between 8 and 128 characters long."
            return "InvalidParameterValue", f"The parameter MasterUserPassword {words}"
        if password and not all(" " < sign <= "~" and sign not in _REFUSED_IN_PASSWORDS for sign in password):
            words = "Only printable ASCII characters besides '/', '@', '\"', ' ' may be used."
            return (
                "InvalidParameterValue",
                f"The parameter MasterUserPassword is not a valid password. {words}",
            )
        return None

    def check(creating: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            def checked(params: dict[str, Any]) -> Any:
                found = problem(params, creating=creating)
                return module("services.rds")._error(*found, 400) if found else original(params)

            return checked

        return make

    replace_operation("services.rds", "CreateDBInstance", check(creating=True))
    replace_operation("services.rds", "ModifyDBInstance", check(creating=False))


def servers_are_ours(settings: AwsSettings) -> None:
    """A server runs from our image, on loopback and the bridge only, with its data in a labelled volume.

    The image is made, when it has to be, while the instance is ``creating``. Names carry the sandbox: two of
    them share a Docker engine. The address of the endpoint is that of the bridge as it is now.
    """
    rds, bridge = module("services.rds"), bridge_addresses()
    address = bridge[0] if bridge else "127.0.0.1"
    for name, value in (("RDS_PERSIST", True), ("_MINISTACK_HOST", address)):
        getattr(rds, name)  # an AttributeError says that this ministack is another
        setattr(rds, name, value)
    plain: ContextVar[bool] = ContextVar("plain", default=False)

    def scope(_original: Callable[..., Any]) -> Callable[..., Any]:
        def of_sandbox(account: str | None = None, region: str | None = None) -> str:
            responses = module("core.responses")
            where = account or responses.get_account_id(), region or responses.get_region()
            text = ":".join((settings.instance, *where))
            return hashlib.sha256(text.encode()).hexdigest()[:12]

        return of_sandbox

    def image(original: Callable[..., Any]) -> Callable[..., Any]:
        def ours(engine: str, version: str, user: str, password: str, database: str) -> Any:
            if not _postgres(engine):
                return original(engine, version, user, password, database)
            variables = {"POSTGRES_USER": user, "POSTGRES_PASSWORD": password, "POSTGRES_DB": database}
            return IMAGE, variables, 5432, DATA

        return ours

    def local(original: Callable[..., Any]) -> Callable[..., Any]:
        # Not local: ministack then starts the server in the background, where the image can be made.
        return lambda client, name: False if name == IMAGE else original(client, name)

    def run(original: Callable[..., Any]) -> Callable[..., Any]:
        def started(client: Any, engine: str, options: dict[str, Any], *more: Any, **named: Any) -> Any:
            if options.get("image") != IMAGE:
                return original(client, engine, options, *more, **named)
            from sandbox.images.ensure import ensure

            identifier = options["labels"]["db_id"]
            made = ensure([IMAGE], lambda line: logger.info("database %s: %s", identifier, line))[IMAGE]
            instance = rds._instances.get(identifier)
            if instance is None:
                raise RuntimeError("it was deleted meanwhile")
            for volume in options["volumes"]:
                labels = {key: options["labels"][key] for key in ("ministack.instance", "db_id")}
                client.volumes.create(volume, labels=labels)
            port = next(iter(options["ports"].values()))
            options |= {
                "image": made, "stop_signal": "SIGINT", "shm_size": SHARED_MEMORY,
                "ports": {"5432/tcp": [(host, port) for host in dict.fromkeys(("127.0.0.1", *bridge))]},
                "command": ["postgres", "-c", f"hba_file={rds._PG_TLS_DIR}/pg_hba.conf"],
            }  # fmt: skip
            token = plain.set(not demands_tls(instance))
            try:
                return original(client, engine, options, tls_names=[], tls_ips=[address, "127.0.0.1"])
            finally:
                plain.reset(token)

        return started

    def archive(original: Callable[..., Any]) -> Callable[..., Any]:
        def with_access(certificate: str, key: str) -> bytes:
            packed = io.BytesIO(original(certificate, key))
            kind = "host" if plain.get() else "hostssl"
            rules = f"local all all trust\n{kind} all all all scram-sha-256\n".encode()
            entry = tarfile.TarInfo(f"{rds._PG_TLS_DIR.lstrip('/')}/pg_hba.conf")
            entry.mode, entry.size = 0o600, len(rules)
            with tarfile.open(fileobj=packed, mode="a") as bundle:
                bundle.addfile(entry, io.BytesIO(rules))
            return packed.getvalue()

        return with_access

    replace("services.rds", "_rds_docker_scope", scope)
    replace("services.rds", "_docker_image_for_engine", image)
    replace("services.rds", "_image_is_local", local)
    replace("services.rds", "_run_rds_container", run)
    replace("services.rds", "_pg_tls_archive", archive)


def demands_tls(instance: dict[str, Any]) -> bool:
    """``rds.force_ssl`` of the instance's parameter group; on by default since PostgreSQL 15."""
    names = [group.get("DBParameterGroupName") for group in instance.get("DBParameterGroups") or []]
    group = module("services.rds")._param_groups.get(names[0] if names else "") or {}
    chosen = (group.get("Parameters") or {}).get("rds.force_ssl", "1")
    return str(chosen.get("ParameterValue", "1") if isinstance(chosen, dict) else chosen) != "0"


def available_when_it_answers() -> None:
    """An instance is ``available`` when its server lets the master user in, and has its real version then.

    What a killed emulator left of a server that never answered is thrown away before the next start.
    """
    rds = module("services.rds")

    def start(original: Callable[..., Any]) -> Callable[..., Any]:
        def anew(identifier: str, instance: dict[str, Any]) -> None:
            if not _postgres(instance.get("Engine")):
                original(identifier, instance)
                return
            instance["Endpoint"]["Address"] = rds._MINISTACK_HOST
            volume = rds._rds_docker_volume_name(identifier)
            if not instance.get("_Answered"):
                with contextlib.suppress(docker.errors.NotFound):
                    rds._get_docker().containers.get(rds._rds_docker_name(identifier)).remove(force=True)
                _forget_volume(volume)
            original(identifier, instance)
            instance["Endpoint"]["Port"] = instance["_HostPort"]
            if rds._instances.get(identifier) is not instance:
                _forget_volume(volume)

        return anew

    def ready(original: Callable[..., Any]) -> Callable[..., Any]:
        def answering(instance: dict[str, Any]) -> None:
            ours = _postgres(instance.get("Engine")) and instance.get("_docker_container_id")
            if not ours or _wait(instance):
                original(instance)
            elif rds._instances.get(instance["DBInstanceIdentifier"]) is instance:
                instance["DBInstanceStatus"] = "failed"

        return answering

    def probe(original: Callable[..., Any]) -> Callable[..., Any]:
        def by_psycopg(host: str, port: int, engine: str, *more: Any) -> bool:
            if not _postgres(engine):
                return bool(original(host, port, engine, *more))
            try:
                _connect(port, *more).close()
            except Exception as error:
                logger.debug("the server on port %s does not answer yet: %s", port, error)
                return False
            return True

        return by_psycopg

    replace("services.rds", "_start_rds_container_for_instance", start)
    replace("services.rds", "_instance_available_unless_stopped", ready)
    replace("services.rds", "_try_database_connect", probe)


def _wait(instance: dict[str, Any]) -> bool:
    """Whether the server answers in the end; False when its container ends before."""
    import psycopg

    rds, began = module("services.rds"), time.monotonic()
    identifier, error = instance["DBInstanceIdentifier"], "its container ended"
    while True:
        try:
            version = _version(instance)
            break
        except psycopg.Error as found:
            error = str(found).strip().splitlines()[-1]
        try:
            container = rds._get_docker().containers.get(instance["_docker_container_id"])
            alive = container.status in ("created", "running", "restarting")
        except docker.errors.NotFound:
            alive = False
        if not alive:
            logger.error("database %s did not start: %s", identifier, error)
            return False
        time.sleep(ASK_S)
    instance["_Answered"] = True
    if instance.get("EngineVersion") == MAJOR:
        instance["EngineVersion"] = version
    waited = time.monotonic() - began
    logger.info("database %s answers on port %s after %.1f s", identifier, instance["_HostPort"], waited)
    return True


def passwords_are_changed() -> None:
    """``ModifyDBInstance`` changes the master user's password in the server, by a driver that is here."""

    def rotate(original: Callable[..., Any]) -> Callable[..., Any]:
        def by_psycopg(instance: dict[str, Any], old: str, new: str) -> None:
            if not _postgres(instance.get("Engine")):
                original(instance, old, new)
                return
            import psycopg
            from psycopg import sql

            user = instance["MasterUsername"]
            try:
                with _connect(instance["_HostPort"], user, old, instance["DBName"]) as connection:
                    change = sql.SQL("ALTER ROLE {} PASSWORD {}")
                    connection.execute(change.format(sql.Identifier(user), sql.Literal(new)))
            except psycopg.Error as error:
                instance["_MasterUserPassword"] = old
                name = instance["DBInstanceIdentifier"]
                logger.error("the password of database %s was not changed: %s", name, error)

        return by_psycopg

    replace("services.rds", "_rotate_instance_password", rotate)


def deleted_data_is_gone() -> None:
    """``DeleteDBInstance`` takes the volume with it; ministack leaves it for the next of that name."""
    rds = module("services.rds")

    def delete(original: Callable[..., Any]) -> Callable[..., Any]:
        def and_volume(params: dict[str, Any]) -> Any:
            volume = rds._rds_docker_volume_name(rds._p(params, "DBInstanceIdentifier"))
            answer = original(params)
            if answer[0] == 200:
                _forget_volume(volume)
            return answer

        return and_volume

    replace_operation("services.rds", "DeleteDBInstance", delete)


def _forget_volume(name: str) -> None:
    client = module("services.rds")._get_docker()
    try:
        client.volumes.get(name).remove(force=True)
    except docker.errors.NotFound:
        pass
    except docker.errors.APIError as error:
        logger.warning("the volume %s of a database could not be removed: %s", name, error)


def remove_volumes(instance: str) -> None:
    """Remove the data of every database of a sandbox; its containers must be gone."""
    try:
        client = docker.from_env(timeout=60)
    except docker.errors.DockerException:
        return  # no engine, no volumes
    try:
        for volume in client.volumes.list(filters={"label": f"ministack.instance={instance}"}):
            with contextlib.suppress(docker.errors.NotFound):
                volume.remove(force=True)
    finally:
        client.close()


def apply(settings: AwsSettings) -> None:
    """Make these adjustments, before the first request."""
    requests_are_checked()
    servers_are_ours(settings)
    available_when_it_answers()
    passwords_are_changed()
    deleted_data_is_gone()
