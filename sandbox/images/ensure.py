"""Has every base image in the Docker engine, and writes the map that the docker provider reads."""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import docker
import docker.errors

from sandbox import paths
from sandbox.bootstrap import debian
from sandbox.bootstrap.errors import DevError
from sandbox.images import certificates, rootfs
from sandbox.images.client import STREAM_ERRORS, connect, engine_reason
from sandbox.images.recipes import ON_DEMAND, RECIPES, Recipe
from sandbox.images.rootfs import ImageError, Say

PULL_SILENCE_S = 20
"""Longest wait (seconds) for the hub's first answer, and for each one after it."""


def ensure(names: Iterable[str] | None, say: Say, *, make: bool = False) -> dict[str, str]:
    """A usable local reference for each official image, written to ``paths.base_images()`` as JSON.

    names: official references, all of ``RECIPES`` when None. make: build from Debian even where the hub
    answers (behind a TLS-inspecting proxy an official image trusts no such proxy, so pip inside it fails).
    Raises ImageError or sandbox.images.client.DockerUnavailable, each with a one-line message.
    """
    recipes = {**RECIPES, **ON_DEMAND}
    wanted = list(RECIPES) if names is None else list(names)
    for name in wanted:
        if name not in recipes:
            raise ImageError(f"no recipe for base image {name!r}; there are: {', '.join(recipes)}")
    client = connect(PULL_SILENCE_S)
    try:
        found = {name: _ensure_one(client, recipes[name], say, make) for name in wanted}
    finally:
        client.close()
    merged = {**read_map(paths.base_images()), **found}
    write_map(paths.base_images(), merged)
    return found


def read_map(file: Path) -> dict[str, str]:
    """The map from official to usable references; empty when nothing was ensured yet."""
    if not file.is_file():
        return {}
    content = json.loads(file.read_text())
    if not isinstance(content, dict) or not all(isinstance(v, str) for v in content.values()):
        raise ImageError(
            f"{file} must hold a JSON object of strings; delete it and run `python -m sandbox.images ensure`"
        )
    return content


def write_map(file: Path, content: Mapping[str, str]) -> None:
    """Written whole or not at all, as providers may read it at the same time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text(json.dumps(dict(sorted(content.items())), indent=2) + "\n")
    fresh.replace(file)


def has_image(client: docker.APIClient, reference: str) -> bool:
    try:
        client.inspect_image(reference)
    except docker.errors.ImageNotFound:
        return False
    return True


def _ensure_one(client: docker.APIClient, recipe: Recipe, say: Say, make: bool) -> str:
    extras = certificates.host_extras()
    ours = recipe.reference(certificates.fingerprint(extras), rootfs.architecture())
    if not make and has_image(client, recipe.official):
        say(f"{recipe.official}: already in the Docker engine")
        return recipe.official
    if has_image(client, ours):
        say(f"{recipe.official}: already made as {ours}")
        return ours
    if not make:
        refusal = pull(client, recipe.official, say)
        if refusal is None:
            return recipe.official
        say(f"{recipe.official}: its registry can't give it ({refusal}); making an equal one from Debian")
    rootfs.require_root(recipe)
    with _lock(ours):
        # Another process may have made it while this one waited.
        if not has_image(client, ours):
            _make(client, recipe, ours, extras, say)
    return ours


def pull(client: docker.APIClient, reference: str, say: Say) -> str | None:
    """Pulls an image; None when it's here, else why not, in one line."""
    say(f"{reference}: asking its registry")
    repository, tag = reference.rsplit(":", 1)
    try:
        for event in client.pull(repository, tag=tag, stream=True, decode=True):
            if "error" in event:
                return engine_reason(Exception(event["error"]))
    except docker.errors.APIError as error:
        return engine_reason(error)
    except STREAM_ERRORS:
        return f"no answer in {PULL_SILENCE_S} s"
    say(f"{reference}: pulled")
    return None


def _make(client: docker.APIClient, recipe: Recipe, ours: str, extras: Mapping[str, str], say: Say) -> None:
    started = time.monotonic()
    _ensure_debootstrap(recipe)
    log = paths.logs() / f"image-{recipe.repository.rsplit('/', 1)[-1]}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    cache = paths.cache() / "images"
    cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="root-", dir=cache))
    # Files of an image are readable to all, whatever the caller's umask is.
    umask = os.umask(0o022)
    try:
        root = work / "root"
        root.mkdir(mode=0o755)
        rootfs.make(recipe, root, cache / "debs" / recipe.suite, extras, log, say)
        say(f"{recipe.official}: loading into the Docker engine")
        _load(client, recipe, ours, bool(extras), root)
    finally:
        os.umask(umask)
        _discard(work)
    size = client.inspect_image(ours)["Size"] / 1e6
    say(f"{recipe.official}: made {ours}, {size:.0f} MB, in {time.monotonic() - started:.0f} s")


def _load(client: docker.APIClient, recipe: Recipe, ours: str, own_certificates: bool, root: Path) -> None:
    env = {"PATH": rootfs.IMAGE_PATH, "LANG": "C.UTF-8", **recipe.env}
    if own_certificates:
        # pip and requests bring a bundle of their own, which doesn't know this machine's authorities.
        env |= dict.fromkeys(("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"), rootfs.BUNDLE_IN_IMAGE)
    changes = [f"ENV {key}={json.dumps(value)}" for key, value in env.items()]
    changes += [f"CMD {json.dumps(list(recipe.cmd))}", f"WORKDIR {recipe.workdir}"]
    changes += [f"ENTRYPOINT {json.dumps(list(recipe.entrypoint))}"] if recipe.entrypoint else []
    changes += [*(f"VOLUME {path}" for path in recipe.volumes), *(f"EXPOSE {port}" for port in recipe.ports)]
    repository, tag = ours.rsplit(":", 1)
    # The engine answers only once it has taken the whole stream.
    loader = connect(300)
    try:
        answer = loader.import_image_from_stream(
            rootfs.pack(root), repository=repository, tag=tag, changes=changes
        )
    except docker.errors.APIError as error:
        raise ImageError(
            f"{recipe.official}: the Docker engine refused the image: {engine_reason(error)}"
        ) from error
    finally:
        loader.close()
    last = str(answer).strip().splitlines()[-1] if answer else "{}"
    if '"error"' in last:
        raise ImageError(f"{recipe.official}: the Docker engine refused the image: {last}")


def _ensure_debootstrap(recipe: Recipe) -> None:
    if debian.find("debootstrap") and rootfs.KEYRING.is_file():
        return
    try:
        debian.ensure_debian_package("debootstrap")
        debian.ensure_debian_package("debian-archive-keyring")
    except DevError as error:
        raise ImageError(f"{recipe.official}: can't be made here: {error}") from error


def _discard(work: Path) -> None:
    """Removes the half-made system; an interrupted debootstrap may have left /proc or /sys mounted in it."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    inside = [m.split()[1] for m in mounts if m.split()[1].startswith(f"{work}/")]
    for mount in sorted(inside, reverse=True):
        subprocess.run(["umount", "--lazy", mount], timeout=30, check=False)
    shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _lock(reference: str) -> Iterator[None]:
    """One maker an image at a time on this machine."""
    folder = paths.cache() / "images"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{reference.replace('/', '-').replace(':', '-')}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
