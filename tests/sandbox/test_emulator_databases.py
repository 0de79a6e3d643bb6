"""RDS instances in the emulator: real PostgreSQL servers that keep what is written to them."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import docker
import psycopg
import pytest
from botocore.exceptions import ClientError

from sandbox.aws.bridge import bridge_addresses
from sandbox.environment import aws_settings
from sandbox.images.ensure import ensure
from tests.sandbox.conftest import sandbox_command

IMAGE = "postgres:17-trixie"
PASSWORD = "It's-a$ecret:0"


@dataclass
class Database:
    name: str
    host: str = ""
    port: int = 0

    def describe(self) -> dict[str, Any]:
        found = boto3.client("rds").describe_db_instances(DBInstanceIdentifier=self.name)["DBInstances"]
        described: dict[str, Any] = found[0]
        return described

    def wait(self) -> dict[str, Any]:
        boto3.client("rds").get_waiter("db_instance_available").wait(
            DBInstanceIdentifier=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
        )
        described = self.describe()
        self.host, self.port = described["Endpoint"]["Address"], described["Endpoint"]["Port"]
        return described

    def connect(self, password: str = PASSWORD, **options: Any) -> psycopg.Connection[Any]:
        settings = {
            "sslmode": "require",
            "connect_timeout": 5,
            "dbname": "covid",
            "host": self.host,
            **options,
        }
        return psycopg.connect(port=self.port, user="planner", password=password, autocommit=True, **settings)


def create(name: str, **more: Any) -> Database:
    settings = {
        "Engine": "postgres", "EngineVersion": "17", "DBInstanceClass": "db.t4g.micro",
        "AllocatedStorage": 20, "MasterUsername": "planner", "MasterUserPassword": PASSWORD,
        "DBName": "covid", **more,
    }  # fmt: skip
    boto3.client("rds").create_db_instance(DBInstanceIdentifier=name, **settings)
    return Database(name)


def held(kind: str) -> list[str]:
    """Names of this sandbox's containers or volumes of databases."""
    client = docker.from_env()
    try:
        label = {"label": f"ministack.instance={aws_settings().instance}"}
        if kind == "volumes":
            return [str(volume.name) for volume in client.volumes.list(filters=label)]
        found = client.containers.list(all=True, filters=label)
        return [str(one.name) for one in found if one.labels.get("ministack") == "rds"]
    finally:
        client.close()


@pytest.fixture(scope="module")
def database(sandbox_env: dict[str, str]) -> Iterator[Database]:
    ensure([IMAGE], print)
    began = time.monotonic()
    made = create(f"covid-{secrets.token_hex(4)}")
    assert made.describe()["DBInstanceStatus"] == "creating"
    made.wait()
    print(f"available after {time.monotonic() - began:.1f} s")
    assert time.monotonic() - began < 12
    yield made
    boto3.client("rds").delete_db_instance(DBInstanceIdentifier=made.name, SkipFinalSnapshot=True)
    assert not [name for kind in ("containers", "volumes") for name in held(kind) if made.name in name]


def test_it_is_postgresql_17_on_the_bridge_and_loopback_only(database: Database) -> None:
    assert database.host == bridge_addresses()[0]
    for host in (database.host, "127.0.0.1"):
        with database.connect(host=host) as connection:
            row = connection.execute(
                "SELECT current_user, current_database(), current_setting('server_version')"
            )
            user, name, version = row.fetchone() or ("", "", "")
        assert (user, name, version.split(".")[0]) == ("planner", "covid", "17")
    assert version.startswith(database.describe()["EngineVersion"])
    with open("/proc/net/tcp") as table:
        listening = [line.split()[1] for line in table if line.split()[3] == "0A"]
    assert sum(entry.endswith(f":{database.port:04X}") for entry in listening) == 2
    assert f"00000000:{database.port:04X}" not in listening


def test_it_demands_tls_and_the_password(database: Database) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba.conf entry for host .* no encryption"):
        database.connect(sslmode="disable")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        database.connect("wrong")


def test_a_parameter_group_may_allow_plain_connections(database: Database) -> None:
    rds, name = boto3.client("rds"), f"plain-{secrets.token_hex(4)}"
    rds.create_db_parameter_group(
        DBParameterGroupName=name, DBParameterGroupFamily="postgres17", Description="x"
    )
    off = {"ParameterName": "rds.force_ssl", "ParameterValue": "0", "ApplyMethod": "immediate"}
    rds.modify_db_parameter_group(DBParameterGroupName=name, Parameters=[off])
    plain = create(name, DBParameterGroupName=name)
    plain.wait()
    assert plain.port != database.port
    plain.connect(sslmode="disable").close()
    plain.connect(sslmode="require").close()
    rds.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
    rds.delete_db_parameter_group(DBParameterGroupName=name)


def test_a_new_password_counts_at_once(database: Database) -> None:
    rds = boto3.client("rds")
    for old, new in ((PASSWORD, "another-One%7"), ("another-One%7", PASSWORD)):
        rds.modify_db_instance(
            DBInstanceIdentifier=database.name, MasterUserPassword=new, ApplyImmediately=True
        )
        database.connect(new).close()
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            database.connect(old)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("MasterUserPassword", "short", "between 8 and 128"),
        ("MasterUserPassword", "with/slash!", "printable ASCII characters besides"),
        ("MasterUsername", "admin", "reserved word"),
        ("MasterUsername", "o'dd", "must begin with a letter"),
        ("EngineVersion", "16.4", "Cannot find version 16.4"),
        ("Engine", "mysql", "there is: postgres"),
    ],
)
def test_what_rds_refuses_is_refused(
    sandbox_env: dict[str, str], setting: str, value: str, message: str
) -> None:
    with pytest.raises(ClientError, match=message):
        create(f"refused-{secrets.token_hex(4)}", **{setting: value})


def test_deleting_one_that_is_still_made_leaves_nothing(sandbox_env: dict[str, str]) -> None:
    name = f"brief-{secrets.token_hex(4)}"
    create(name)
    boto3.client("rds").delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
    deadline = time.monotonic() + 20
    quiet = 0
    while quiet < 10 and time.monotonic() < deadline:
        left = [one for kind in ("containers", "volumes") for one in held(kind) if name in one]
        quiet = 0 if left else quiet + 1
        time.sleep(0.3)
    assert left == []


def test_data_outlives_the_emulator(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS number")
    sandbox_command("stop")
    assert held("containers") == []
    with pytest.raises(psycopg.OperationalError, match="refused"):
        database.connect()
    before = database.host, database.port
    sandbox_command("start")
    database.wait()
    assert (database.host, database.port) == before
    with database.connect() as connection:
        assert connection.execute("SELECT sum(number) FROM kept").fetchone() == (500500,)


def in_image(*command: str, **variables: str) -> str:
    """What a command prints in a new container of the image, errors too."""
    client, image = docker.from_env(), ensure([IMAGE], print)[IMAGE]
    try:
        container = client.containers.run(image, list(command), environment=variables, detach=True)
        try:
            container.wait(timeout=60)
            return str(container.logs().decode())
        finally:
            container.remove(force=True, v=True)
    finally:
        client.close()


def test_the_image_starts_as_the_official_one() -> None:
    assert in_image("postgres", "--version").startswith("postgres (PostgreSQL) 17.")
    assert "POSTGRES_PASSWORD" in in_image()
    assert in_image("id", "-un") == "root\n"
    # A server that ends by itself after it was set up: the name has every sign that needs care.
    odd = {"POSTGRES_USER": "odd user", "POSTGRES_PASSWORD": "p'a$s\\word", "POSTGRES_DB": 'o"dd db'}
    shown = in_image(
        "bash", "-c", "docker-entrypoint.sh postgres >/dev/null 2>&1 &"
        " for try in $(seq 200); do pg_isready -qh 127.0.0.1 && break; sleep .2; done;"
        ' PGPASSWORD="$POSTGRES_PASSWORD" psql -Ath 127.0.0.1 -U "$POSTGRES_USER" "$POSTGRES_DB"'
        " -c 'SELECT current_user, current_database()' -c 'SHOW password_encryption' -c 'SHOW lc_messages'",
        **odd,
    )  # fmt: skip
    assert shown.splitlines() == ['odd user|o"dd db', "scram-sha-256", "en_US.utf8"]
