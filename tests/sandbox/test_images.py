"""The base images that this machine has, or has made."""

import json
import time
from pathlib import Path

import pytest

from sandbox import paths
from sandbox.images import ensure
from sandbox.images.client import Client, connect
from sandbox.images.recipes import PYTHON_313, RECIPES


@pytest.fixture(scope="module")
def reference() -> str:
    return ensure.ensure(None, print)[PYTHON_313.official]


def run(reference: str, command: str, network: str = "none") -> str:
    """What a shell command prints in a new container; fails with its output."""
    client = connect(120)
    container = client.create_container(
        reference, ["sh", "-euc", command], host_config=client.create_host_config(network_mode=network)
    )["Id"]
    try:
        client.start(container)
        status = client.wait(container, timeout=120)["StatusCode"]
        output: str = client.logs(container).decode()
    finally:
        client.remove_container(container, force=True)
        client.close()
    assert status == 0, output
    return output


@pytest.fixture
def client() -> Client:
    return connect()


def test_every_base_image_is_mapped_to_one_in_the_engine(reference: str, client: Client) -> None:
    mapped = json.loads(paths.base_images().read_text())
    assert set(RECIPES) <= set(mapped)
    assert mapped[PYTHON_313.official] == reference
    for usable in mapped.values():
        assert client.inspect_image(usable)["Id"].startswith("sha256:")


def test_a_second_run_skips(reference: str) -> None:
    lines: list[str] = []
    started = time.monotonic()
    assert ensure.ensure(None, lines.append) == {PYTHON_313.official: reference}
    assert time.monotonic() - started < 10
    assert len(lines) == len(RECIPES)
    assert "already" in lines[0]


def test_python_and_pip_behave_as_in_the_official_image(reference: str) -> None:
    shown = run(
        reference,
        "python -c 'import sys; print(sys.version_info[:2])'; python3 --version; pip --version; "
        "python -m venv /tmp/v; /tmp/v/bin/pip --version; echo $LANG",
    )
    assert "(3, 13)" in shown
    assert "Python 3.13" in shown
    assert shown.count("(python 3.13)") == 2
    assert "C.UTF-8" in shown


def test_pip_installs_into_the_system_from_the_index(reference: str) -> None:
    install = "pip install --no-cache-dir --disable-pip-version-check idna 2>&1"
    shown = run(reference, f"{install}; python -c 'import idna; print(idna.__file__)'", network="host")
    assert "externally-managed" not in shown
    assert "/usr/local/lib/python3.13/" in shown.splitlines()[-1]


def test_it_is_small_and_holds_nothing_of_this_machine(reference: str, client: Client) -> None:
    if reference == PYTHON_313.official:
        pytest.skip("the official image is used here")
    found = client.inspect_image(reference)
    assert found["Size"] < 130e6
    assert found["Architecture"] in ("amd64", "arm64")
    assert found["Config"]["Cmd"] == ["python3"]
    assert {variable.split("=")[0] for variable in found["Config"]["Env"]} <= {
        "PATH", "LANG", "PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE",
    }  # fmt: skip
    kept = run(reference, "find /var/lib/apt/lists /var/cache/apt /var/log /usr/share/man /tmp -type f")
    assert kept.strip() == ""


def test_nothing_of_the_making_stays_behind(reference: str) -> None:
    assert list((paths.cache() / "images").glob("root-*")) == []
    assert [
        line for line in Path("/proc/self/mounts").read_text().splitlines() if "/images/root-" in line
    ] == []
