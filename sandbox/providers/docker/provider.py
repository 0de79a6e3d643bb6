"""Answers the engine's questions about ``docker:index/image:Image``.

Differences from pulumi-docker: where the context lies isn't part of its hash, wrong inputs are errors at
preview, refresh notices an emptied registry, and official base images given as defaults of ``ARG`` are
replaced by the sandbox's own (``BENCHTOP_BASE_IMAGES``). Both ``builderVersion`` values use the classic
builder, as not every engine has BuildKit. Deleting removes our local tag; the layers stay as build cache, for
the next deployment, until ``docker image prune``.
"""

import asyncio
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pulumi.provider.experimental.provider import PropertyDiffKind

from sandbox import paths
from sandbox.providers.docker import inputs, recipe, reference
from sandbox.providers.docker.builder import Builder, Credentials
from sandbox.providers.docker.report import EngineLog, Report, secret_texts
from sandbox.providers.server import (
    CheckResult,
    DiffResult,
    Failure,
    LightProvider,
    Naming,
    ProviderError,
    urn_name,
    urn_type,
)
from sandbox.providers.wire import UNKNOWN, Properties, has_unknown

IMAGE_TYPE = "docker:index/image:Image"
PASSWORD = ("registry", "password")

NOT_COMPARED = (
    # Tokens of a registry are new every time and don't change the image.
    "registry.username",
    "registry.password",
    # Where the sources are doesn't matter: their hash is compared, from the state of the last build.
    "build.context",
    "build.dockerfile",
    "build.contextDigest",
    "build.baseImageIds",
    "buildOnPreview",
)

DECIDING = ("context", "dockerfile", "args", "target", "platform")
"""What of ``build`` decides the content of the image."""


class DockerProvider(LightProvider):
    """``engine_address``: where the engine takes log lines; empty for none."""

    def __init__(self, engine_address: str = "") -> None:
        self._log = EngineLog(engine_address)
        self._builder = Builder()

    def light_cancel(self) -> None:
        """Ends builds and pushes in progress."""
        self._builder.cancel()

    async def light_check_config(self, news: Properties) -> CheckResult:
        known = {"host", "version", "pluginDownloadURL"}
        failures = [
            Failure(name, f"the light docker provider has no setting {name!r}; it takes: host")
            for name in news.values
            if name not in known
        ]
        return CheckResult(news, failures)

    async def light_configure(self, args: Properties) -> None:
        host = args.values.get("host")
        if isinstance(host, str) and host:
            self._builder = Builder(host)

    async def light_invoke(self, token: str, args: Properties) -> Properties:
        raise ProviderError(f"the light docker provider has no function {token!r}")

    async def light_check(self, urn: str, olds: Properties, news: Properties, naming: Naming) -> CheckResult:
        _require_image(urn)
        return await asyncio.to_thread(self._check, news)

    def _check(self, news: Properties) -> CheckResult:
        values = inputs.without_nulls(news.values)
        failures = inputs.check_kinds(values)
        if failures:
            return _refused(news, failures)
        failures = inputs.check_names(values)
        build = values.get("build", {})
        if build is UNKNOWN:
            return CheckResult(Properties(values, _secrets(news)), _shown(failures))
        failures += inputs.check_paths(build) + inputs.check_hosts(build)
        if failures:
            return _refused(news, failures)
        build = dict(build)
        try:
            build.setdefault("platform", self._builder.platform())
            build |= self._fingerprint(build)
        except ProviderError as error:
            failures.append(Failure("", str(error)))
        except (OSError, ValueError) as error:
            failures.append(Failure("build", f"the context can't be read: {error}"))
        values["build"] = build
        return CheckResult(Properties(values, _secrets(news)), failures)

    def _fingerprint(self, build: Mapping[str, Any]) -> dict[str, Any]:
        """The hidden inputs that show at preview whether the image would change."""
        if any(has_unknown(build.get(name)) for name in DECIDING):
            return {"contextDigest": UNKNOWN}
        read = recipe.read(build)
        return {"contextDigest": read.digest, "baseImageIds": self._builder.image_ids(read.base_images())}

    async def light_diff(
        self, urn: str, resource_id: str, old_inputs: Properties, state: Properties, news: Properties
    ) -> DiffResult:
        _require_image(urn)
        found = inputs.differences(
            inputs.without_nulls(old_inputs.values), inputs.without_nulls(news.values), NOT_COMPARED
        )
        kinds = {(True, False): PropertyDiffKind.DELETE, (False, True): PropertyDiffKind.ADD}
        changes = {path: kinds.get((was, now), PropertyDiffKind.UPDATE) for path, was, now in found}
        build = news.values.get("build")
        built = state.values.get("build") or {}
        if isinstance(build, dict):
            if build.get("contextDigest") != built.get("contextDigest"):
                changes["build.contextDigest"] = PropertyDiffKind.UPDATE
            # A base image that was pruned since then says nothing; one that is another by now does.
            for name, image_id in (build.get("baseImageIds") or {}).items():
                if image_id != (built.get("baseImageIds") or {}).get(name, image_id):
                    changes["build.baseImageIds"] = PropertyDiffKind.UPDATE
        return DiffResult(changes)

    async def light_create(self, urn: str, news: Properties, preview: bool) -> tuple[str, Properties]:
        _require_image(urn)
        name = news.values.get("imageName")
        state = await self._deploy(urn, news, preview)
        return (name if isinstance(name, str) else ""), state

    async def light_update(
        self, urn: str, resource_id: str, state: Properties, news: Properties, preview: bool
    ) -> Properties:
        _require_image(urn)
        return await self._deploy(urn, news, preview)

    async def light_read(
        self, urn: str, resource_id: str, inputs: Properties, state: Properties
    ) -> tuple[str, Properties, Properties] | None:
        _require_image(urn)
        return await asyncio.to_thread(self._read, urn, resource_id, inputs, state)

    def _read(
        self, urn: str, resource_id: str, old: Properties, state: Properties
    ) -> tuple[str, Properties, Properties] | None:
        credentials = _credentials(old.values)
        if not state.values:
            return self._import(resource_id, credentials)
        digest = state.values.get("repoDigest")
        if isinstance(digest, str) and "@" in digest:
            try:
                name = reference.parse(str(state.values.get("imageName") or resource_id))
                there = self._builder.pushed(digest, name, credentials)
            except ProviderError as error:
                # The token in the state is that of the last `up` and may have expired: no proof of a loss.
                self._log.warning(urn, f"{urn_name(urn)}: {error}; taken as still there")
                there = True
            return (resource_id, state, old) if there else None
        image_id = str(state.values.get("imageId", ""))
        there = bool(image_id and self._builder.image_ids([image_id]))
        return (resource_id, state, old) if there else None

    def _import(
        self, resource_id: str, credentials: Credentials
    ) -> tuple[str, Properties, Properties] | None:
        """An image that is in its registry, by name. How it was built only the program knows."""
        try:
            name = reference.parse(resource_id)
        except ValueError as error:
            raise ProviderError(f"can't import: {error}") from error
        digest = self._builder.remote_digest(name, credentials)
        if not digest:
            return None
        known = {"imageName": resource_id, "buildOnPreview": False, "skipPush": False}
        outputs = {
            **known, "baseImageName": resource_id, "repoDigest": f"{name.repository}@{digest}",
            "registryServer": name.domain or reference.DEFAULT_DOMAIN,
        }  # fmt: skip
        return resource_id, Properties(outputs), Properties(known)

    async def light_delete(self, urn: str, resource_id: str, inputs: Properties, state: Properties) -> None:
        """Removes the local tag. The registry keeps the image, as with pulumi-docker: others may run it by
        its digest, and the repository's own deletion or lifecycle rules clear it away."""
        _require_image(urn)
        name, image_id = state.values.get("imageName"), state.values.get("imageId")
        if not isinstance(name, str) or not isinstance(image_id, str):
            return
        stays = await asyncio.to_thread(self._builder.untag, reference.parse(name), image_id)
        if stays:
            self._log.info(urn, f"local tag {name} stays: {stays}")

    async def _deploy(self, urn: str, news: Properties, preview: bool) -> Properties:
        """Builds and pushes (unless this is a preview); the state."""
        values = news.values
        outputs: dict[str, Any] = {k: v for k, v in values.items() if k != "registry"}
        if isinstance(values.get("registry"), dict):
            # The password stays in the inputs alone, where it is a secret.
            outputs["registry"] = {k: v for k, v in values["registry"].items() if k != "password"}
        build = values.get("build") if isinstance(values.get("build"), dict) else {}
        outputs |= _descriptive(values, build or {})
        if preview and not (values.get("buildOnPreview") is True and not has_unknown(values)):
            outputs |= {"repoDigest": UNKNOWN, "imageId": UNKNOWN}
        else:
            outputs |= await asyncio.to_thread(self._build_and_push, urn, news, preview)
        secrets = {path for path in _secrets(news) if path != PASSWORD}
        if ("imageName",) in secrets:
            secrets |= {("baseImageName",), ("repoDigest",)}
        return Properties(outputs, secrets)

    def _build_and_push(self, urn: str, news: Properties, preview: bool) -> dict[str, Any]:
        values = news.values
        build = dict(values.get("build") or {})
        report = Report(self._log, urn, _log_file(urn), secret_texts(values, _secrets(news)))
        built = recipe.make(self._builder, build, report)
        image_id = built.image_id
        name = reference.parse(values["imageName"])
        self._builder.tag(image_id, name)
        pushes = not values.get("skipPush") and not preview
        repo_digest: Any = self._builder.push(name, _credentials(values), report) if pushes else image_id
        if preview and not values.get("skipPush"):
            repo_digest = UNKNOWN
        return {
            "repoDigest": repo_digest,
            "imageId": image_id,
            "build": {**build, "contextDigest": built.digest, "baseImageIds": built.base_image_ids},
        }


def _refused(news: Properties, failures: Sequence[Failure]) -> CheckResult:
    return CheckResult(news, _shown(failures))


def _shown(failures: Sequence[Failure]) -> list[Failure]:
    """The engine shows ``{<nil>}`` as the value of what is inside an object: there the reason names it."""
    return [Failure("", f"{f.property}: {f.reason}") if "." in f.property else f for f in failures]


def _require_image(urn: str) -> None:
    if urn_type(urn) != IMAGE_TYPE:
        raise ProviderError(
            f"the light docker provider has no resource type {urn_type(urn)!r}; it has: {IMAGE_TYPE}"
        )


def _secrets(news: Properties) -> set[tuple[str | int, ...]]:
    """Secret paths, the password always among them, whether or not the program said so."""
    registry = news.values.get("registry")
    own = {PASSWORD} if isinstance(registry, dict) and registry.get("password") is not None else set()
    return news.secrets | own


def _credentials(values: Mapping[str, Any]) -> Credentials:
    registry = values.get("registry")
    if not isinstance(registry, dict):
        return Credentials()
    return Credentials(str(registry.get("username") or ""), str(registry.get("password") or ""))


def _descriptive(values: Mapping[str, Any], build: Mapping[str, Any]) -> dict[str, Any]:
    """Outputs that follow from the inputs."""
    name = values.get("imageName", UNKNOWN)
    registry = values.get("registry")
    server = registry.get("server") if isinstance(registry, dict) else None
    if server is None:
        domain = reference.parse(name).domain if isinstance(name, str) else ""
        server = (domain or reference.DEFAULT_DOMAIN) if name is not UNKNOWN else UNKNOWN
    context, dockerfile = build.get("context", "."), build.get("dockerfile", UNKNOWN)
    if context is not UNKNOWN and (dockerfile is not UNKNOWN or "dockerfile" not in build):
        folder, file = inputs.paths(build)
        dockerfile = os.path.relpath(file, folder)
    return {
        "imageName": name, "baseImageName": name, "registryServer": server,
        "context": context, "dockerfile": dockerfile, "platform": build.get("platform", UNKNOWN),
    }  # fmt: skip


def _log_file(urn: str) -> Path:
    """One file a resource; the hash tells apart stacks and parents that use the same name."""
    plain = "".join(c if c.isalnum() or c in "-_." else "-" for c in urn_name(urn))[:80]
    return paths.logs() / f"docker-{plain}-{hashlib.sha256(urn.encode()).hexdigest()[:8]}.log"
