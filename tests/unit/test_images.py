import json
import os
from pathlib import Path

import pytest

from sandbox.images import certificates, ensure, rootfs
from sandbox.images.client import DockerUnavailable, connect
from sandbox.images.recipes import PYTHON_313, RECIPES

ONE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
TWO = "-----BEGIN CERTIFICATE-----\nBBBB\nCCCC\n-----END CERTIFICATE-----\n"


def test_only_what_the_distribution_does_not_trust_is_added(tmp_path: Path) -> None:
    own = tmp_path / "distribution"
    own.mkdir()
    (own / "one.crt").write_text(ONE)
    bundle = tmp_path / "bundle.crt"
    bundle.write_text(f"# comment\n{ONE}{TWO}")
    extras = certificates.host_extras({"SSL_CERT_FILE": str(bundle)}, own)
    mine = certificates.parse_bundle(TWO)
    assert mine.items() <= extras.items()
    assert not certificates.parse_bundle(ONE).keys() & extras.keys()


def test_the_same_certificate_is_one_however_it_is_wrapped() -> None:
    assert certificates.parse_bundle(TWO) == certificates.parse_bundle(TWO.replace("BBBB\nCCCC", "BBBBCCCC"))
    assert certificates.parse_bundle(
        TWO + "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----"
    ) == certificates.parse_bundle(TWO)


def test_the_tag_follows_recipe_certificates_and_architecture() -> None:
    tags = {PYTHON_313.reference(c, a) for c in ("x", "y") for a in ("amd64", "arm64")}
    assert len(tags) == 4
    assert all(tag.startswith("benchtop/python:3.13-trixie-") for tag in tags)
    assert PYTHON_313.reference("x", "amd64") == PYTHON_313.reference("x", "amd64")
    assert RECIPES["python:3.13-slim-trixie"] is PYTHON_313


def test_the_map_is_merged_sorted_and_readable(tmp_path: Path) -> None:
    file = tmp_path / "state" / "base-images.json"
    assert ensure.read_map(file) == {}
    ensure.write_map(file, {"b": "2", "a": "1"})
    assert ensure.read_map(file) == {"a": "1", "b": "2"}
    assert json.loads(file.read_text()) == {"a": "1", "b": "2"}
    assert [entry.name for entry in file.parent.iterdir()] == ["base-images.json"]


def test_a_damaged_map_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "base-images.json"
    file.write_text("[1]")
    with pytest.raises(rootfs.ImageError, match=r"base-images\.json must hold a JSON object"):
        ensure.read_map(file)


def test_an_image_without_recipe_is_named() -> None:
    with pytest.raises(rootfs.ImageError, match=r"'ruby:4'; there are: python:3\.13-slim-trixie"):
        ensure.ensure(["ruby:4"], print)


def test_no_engine_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    with pytest.raises(DockerUnavailable) as caught:
        connect()
    assert "unix:///nowhere/docker.sock (No such file or directory)" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_root_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(rootfs.ImageError, match=r"docker pull python:3\.13-slim-trixie"):
        rootfs.require_root(PYTHON_313)


def test_cleaning_takes_caches_docs_and_this_machines_name_but_keeps_licences(tmp_path: Path) -> None:
    kept = ["usr/share/doc/bash/copyright", "etc/passwd", "usr/lib/python3.13/os.py"]
    gone = [
        "usr/share/doc/bash/README", "usr/share/man/man1/bash.1", "usr/share/locale/fr/x.mo", "etc/hostname",
        "var/cache/apt/archives/x.deb", "var/lib/apt/lists/index", "var/log/dpkg.log", "etc/resolv.conf",
        "etc/passwd-",
    ]  # fmt: skip
    for name in [*kept, *gone]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    rootfs.clean(tmp_path)
    assert [name for name in kept if not (tmp_path / name).exists()] == []
    assert [name for name in gone if (tmp_path / name).exists()] == []
    assert (tmp_path / "var/lib/apt/lists/partial").is_dir()


def test_a_mirror_with_a_password_is_never_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "apt-get"
    fake.write_text("#!/bin/sh\necho 'Debian http://me:pw@mirror.example/debian/ bookworm'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert rootfs.mirrors() == [(rootfs.DEFAULT_MIRROR, f"{rootfs.DEFAULT_MIRROR}-security")]
    fake.write_text("#!/bin/sh\necho 'Debian http://mirror.example/debian/ bookworm'\n")
    assert rootfs.mirrors()[0][0] == "http://mirror.example/debian"
