"""Builds, pushes and looks up images with the Docker engine. The provider calls it from threads."""

import ast
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import docker.errors
import requests.exceptions

from sandbox.images.client import STREAM_ERRORS, Client, DockerUnavailable, connect, engine_reason
from sandbox.providers.docker import context as contexts
from sandbox.providers.docker.dockerfile import PIP_INDEX_ARGUMENTS
from sandbox.providers.docker.reference import Reference, parse
from sandbox.providers.docker.report import Report
from sandbox.providers.server import ProviderError

CONTENT_LABEL = "benchtop.content"
"""Label of every image built here: the key of what it was built from, so that nothing is built twice."""

SILENCE_S = 1800
"""Longest silence (seconds) within a build, pull or push: one step may compile for long without a word."""

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
"""Docker knows these build arguments without declaration, and keeps them out of the image and its history."""


@dataclass(frozen=True)
class Plan:
    """All that decides what is built.

    key: see ``content_key``; arguments: build arguments that count for the content; passing: those that don't
    (proxies, package indexes). The base images must be in the engine.
    """

    context: contexts.Context
    key: str
    arguments: Mapping[str, str]
    passing: Mapping[str, str]
    platform: str = ""
    target: str = ""
    network: str = "host"
    hosts: Mapping[str, str] = field(default_factory=dict)
    cache_from: tuple[str, ...] = ()


@dataclass(frozen=True)
class Credentials:
    """Who pushes. Both empty: whatever ``docker login`` left on this machine."""

    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def config(self) -> dict[str, str] | None:
        if not (self.username and self.password):
            return None
        return {"username": self.username, "password": self.password}


def content_key(digest: str, base_image_ids: Mapping[str, str]) -> str:
    """One hash over the context's digest and the ids of the images that the build starts from."""
    return hashlib.sha256(json.dumps([digest, sorted(base_image_ids.items())]).encode()).hexdigest()


def proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """This machine's proxy settings as build arguments, in capitals and small: programs differ there."""
    found = {}
    for name in PROXY_VARIABLES:
        value = environment.get(name) or environment.get(name.lower())
        if value:
            found[name] = found[name.lower()] = value
    return found


class Builder:
    """The engine at ``host`` (empty: the environment's). One instance a provider process."""

    def __init__(self, host: str = "") -> None:
        self._host = host
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._active: set[Client] = set()
        self._cancelled = False

    def cancel(self) -> None:
        """Ends what is being built or pushed; those calls fail, and the engine removes what was half-made."""
        with self._guard:
            self._cancelled = True
            active = list(self._active)
        for client in active:
            client.interrupt()

    @contextmanager
    def client(self, timeout_s: int = 60) -> Iterator[Client]:
        """A connection for one operation. Raises ProviderError when no engine answers."""
        try:
            opened = connect(timeout_s, self._host)
        except DockerUnavailable as error:
            raise ProviderError(str(error)) from error
        with self._guard:
            self._active.add(opened)
        try:
            yield opened
        finally:
            with self._guard:
                self._active.discard(opened)
            opened.close()

    def platform(self) -> str:
        """Platform that the engine builds for by itself, like ``linux/amd64``."""
        with self.client() as client:
            version = client.version()
        return f"{version['Os']}/{version['Arch']}"

    def image_ids(self, references: list[str]) -> dict[str, str]:
        """Ids of those of these images that are in the engine."""
        found = {}
        with self.client() as client:
            for reference in references:
                try:
                    found[reference] = client.inspect_image(reference)["Id"]
                except docker.errors.ImageNotFound:
                    continue
        return found

    def fetch(self, reference: str, platform: str, report: Report) -> str:
        """Pulls a base image and returns its id."""
        report.step(f"Pulling {reference}")
        with self.client(SILENCE_S) as client:
            try:
                name = parse(reference)
                # docker-py takes a digest where others take a tag; without either it would pull every tag.
                pulled = client.pull(
                    name.repository, tag=name.digest or name.tag or "latest",
                    stream=True, decode=True, platform=platform or None,
                )  # fmt: skip
                self._follow(pulled, report)
                return str(client.inspect_image(reference)["Id"])
            except (docker.errors.APIError, ProviderError, ValueError) as error:
                raise ProviderError(
                    f"base image {reference} is not in the Docker engine and can't be pulled: "
                    f"{engine_reason(error)}. If it is an official one, write it as the default of an ARG "
                    f"before FROM (ARG BASE_IMAGE={reference}), so that the sandbox can put its own there"
                ) from error

    def build(self, plan: Plan, report: Report) -> str:
        """Id of the image: an existing one with the same content, else built now. Raises ProviderError."""
        with self._guard:
            lock = self._locks.setdefault(plan.key, threading.Lock())
        with lock, self.client(SILENCE_S) as client:
            existing = client.images(filters={"label": f"{CONTENT_LABEL}={plan.key}"}, quiet=True)
            if existing:
                report.step("Already built")
                return str(existing[0])
            report.step("Sending the build context")
            with tempfile.TemporaryFile() as tar:
                contexts.pack(plan.context, tar)
                tar.seek(0)
                return self._build(client, plan, tar, report)

    def _build(self, client: Client, plan: Plan, tar: Any, report: Report) -> str:
        try:
            events = client.build(
                fileobj=tar,
                custom_context=True,
                dockerfile=plan.context.dockerfile,
                buildargs={**plan.passing, **plan.arguments},
                labels={CONTENT_LABEL: plan.key},
                platform=plan.platform or None,
                target=plan.target or None,
                network_mode=plan.network,
                extra_hosts=dict(plan.hosts) or None,
                cache_from=list(plan.cache_from) or None,
                # A failed or interrupted build leaves no containers behind.
                rm=True,
                forcerm=True,
                decode=True,
            )
            image_id = self._follow(events, report).get("ID", "")
        except docker.errors.APIError as error:
            said = report.clean(engine_reason(error))
            raise ProviderError(f"the Docker engine refused the build: {said}") from error
        except requests.exceptions.RequestException as error:
            self._refuse_if_cancelled()
            raise ProviderError(f"the Docker engine stopped answering: {error}") from error
        except ProviderError as error:
            report.show_recent()
            raise ProviderError(
                report.clean(f"build failed: {error} (whole output: {report.file})")
            ) from error
        if not image_id:
            raise ProviderError("the Docker engine ended the build without an image")
        return str(image_id)

    def tag(self, image_id: str, name: Reference) -> None:
        with self.client() as client:
            client.tag(image_id, name.repository, name.tag or "latest")

    def push(self, name: Reference, credentials: Credentials, report: Report) -> str:
        """Pushes and returns ``repository@sha256:...`` as the registry has it. Raises ProviderError."""
        report.step(f"Pushing {name.tagged}")
        with self.client(SILENCE_S) as client:
            try:
                events = client.push(
                    name.repository, tag=name.tag or "latest",
                    stream=True, decode=True, auth_config=credentials.config,
                )  # fmt: skip
                digest = self._follow(events, report).get("Digest", "")
            except (requests.exceptions.RequestException, ProviderError) as error:
                self._refuse_if_cancelled()
                said = report.clean(engine_reason(error))
                raise ProviderError(f"push of {name.tagged} failed: {said}") from error
        if not digest:
            raise ProviderError(f"push of {name.tagged}: the registry gave no digest")
        return f"{name.repository}@{digest}"

    def pushed(self, repo_digest: str, name: Reference, credentials: Credentials) -> bool:
        """Whether the registry still has this digest, and our tag. Raises ProviderError when it can't tell.

        A tag that names another image by now isn't a loss: who runs ours names it by digest.
        """
        with self.client() as client:
            for reference in (repo_digest, name.tagged):
                try:
                    client.inspect_distribution(reference, auth_config=credentials.config)
                except docker.errors.NotFound:
                    return False
                except docker.errors.APIError as error:
                    raise ProviderError(
                        f"can't ask the registry for {reference}: {engine_reason(error)}"
                    ) from error
        return True

    def remote_digest(self, name: Reference, credentials: Credentials) -> str:
        """Digest of a tag in the registry; empty when it isn't there."""
        with self.client() as client:
            try:
                found = client.inspect_distribution(name.tagged, auth_config=credentials.config)
            except docker.errors.APIError:
                return ""
        return str(found["Descriptor"]["digest"])

    def untag(self, name: Reference, image_id: str) -> str:
        """Removes our tag, if it still names the image that we built; empty, or why it stays."""
        with self.client() as client:
            try:
                if client.inspect_image(name.tagged)["Id"] != image_id:
                    return "it names another image by now"
                # noprune keeps the layers below as build cache; `docker image prune` takes them.
                client.remove_image(name.tagged, noprune=True)
            except docker.errors.ImageNotFound:
                return ""
            except docker.errors.APIError as error:
                return engine_reason(error)
        return ""

    def _follow(self, events: Any, report: Report) -> dict[str, str]:
        """Reads a stream of events to its end; what the engine gave as result (``aux``), all together."""
        result: dict[str, str] = {}
        layers: dict[str, str] = {}
        for event in self._events(events):
            if "error" in event:
                raise ProviderError(engine_reason(Exception(event["error"])))
            if isinstance(event.get("aux"), dict):
                result |= event["aux"]
            if event.get("stream"):
                report.line(event["stream"])
            elif event.get("status"):
                layer, status = str(event.get("id", "")), str(event["status"])
                # Progress bars repeat a layer's status many times a second.
                if layers.get(layer) != status:
                    layers[layer] = status
                    report.line(f"{layer}: {status}" if layer else status)
        self._refuse_if_cancelled()
        return result

    def _events(self, events: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The same events; a stream that breaks off is an error of ours."""
        try:
            yield from events
        except STREAM_ERRORS as error:
            self._refuse_if_cancelled()
            raise ProviderError(f"the Docker engine broke off: {error}") from error

    def _refuse_if_cancelled(self) -> None:
        if self._cancelled:
            raise ProviderError("cancelled")


def index_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Where this machine's pip finds packages, as ``PIP_*`` variables: from its environment and its files."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"],
        env=dict(environment), capture_output=True, text=True, timeout=30, check=False,
    ).stdout  # fmt: skip
    pattern = r"^(?:global|install)\.(index-url|extra-index-url|trusted-host)=(['\"].*['\"])$"
    found = {
        f"PIP_{key.replace('-', '_').upper()}": " ".join(str(ast.literal_eval(value)).split())
        for key, value in re.findall(pattern, listed, re.MULTILINE)
    }
    # The environment wins over the files; the list has both, in the order of the alphabet.
    return found | {name: environment[name] for name in PIP_INDEX_ARGUMENTS if environment.get(name)}
