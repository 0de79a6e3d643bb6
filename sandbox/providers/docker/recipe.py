"""From the ``build`` input to the image: for the provider, and for operators who try a model locally."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.images.ensure import read_map
from sandbox.images.rootfs import ImageError
from sandbox.providers.docker import context as contexts
from sandbox.providers.docker import dockerfile as dockerfiles
from sandbox.providers.docker import inputs
from sandbox.providers.docker.builder import Builder, Plan, content_key, index_settings, proxies
from sandbox.providers.docker.report import Report
from sandbox.providers.server import ProviderError


@dataclass(frozen=True)
class Recipe:
    """A build's sources as they are now."""

    context: contexts.Context
    dockerfile: dockerfiles.Dockerfile
    digest: str
    """Of everything that decides the image but for the base images' content."""
    arguments: dict[str, str]
    """Build arguments, with this machine's base images in place of official defaults."""
    target: str

    def base_images(self) -> list[str]:
        return list(self.dockerfile.base_images(self.arguments, self.target))


@dataclass(frozen=True)
class Built:
    """An image in the local engine."""

    image_id: str
    digest: str
    base_image_ids: dict[str, str]


def read(build: Mapping[str, Any]) -> Recipe:
    """The sources that ``build`` (the input of ``docker.Image``) names.

    Raises:
        OSError, ValueError: the context or the Dockerfile can't be read; the message names the file.
    """
    folder, file = inputs.paths(build)
    context = contexts.load(folder, file)
    try:
        parsed = dockerfiles.parse(context.dockerfile_text)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    given = build.get("args") or {}
    arguments = {**parsed.mapped_arguments(_base_image_map(), given), **given}
    settings = {"args": sorted(arguments.items()), **{key: build.get(key) for key in ("target", "platform")}}
    return Recipe(context, parsed, contexts.digest(context, settings), arguments, build.get("target", ""))


def make(builder: Builder, build: Mapping[str, Any], report: Report) -> Built:
    """Build the image, unless the engine has one of the same content.

    Raises:
        ProviderError: what failed, with the end of the build's output.
    """
    try:
        recipe = read(build)
    except (OSError, ValueError) as error:
        raise ProviderError(f"the build context can't be read: {error}") from error
    platform = build.get("platform", "")
    bases = recipe.base_images()
    ids = builder.image_ids(bases)
    for base in bases:
        if base not in ids:
            ids[base] = builder.fetch(base, platform, report)
    parsed, arguments, target = recipe.dockerfile, recipe.arguments, recipe.target
    indexes = index_settings(os.environ) if parsed.asks_for_an_index() else {}
    kept = sorted(parsed.kept_arguments(target) & indexes.keys() - arguments.keys())
    if kept:
        report.warning(
            f"{', '.join(kept)} of this machine not passed: the final stage declares it, so it would "
            "stay in the image's history; declare it in an earlier stage and copy what was installed"
        )
    plan = Plan(
        context=recipe.context,
        key=content_key(recipe.digest, ids),
        arguments=arguments,
        passing={**proxies(os.environ), **parsed.index_arguments(indexes, target)},
        platform=platform,
        target=target,
        network=build.get("network", "host"),
        hosts=dict(host.split(":", 1) for host in build.get("addHosts", [])),
        cache_from=tuple((build.get("cacheFrom") or {}).get("images", ())),
    )
    return Built(builder.build(plan, report), recipe.digest, ids)


def _base_image_map() -> dict[str, str]:
    file = os.environ.get("BENCHTOP_BASE_IMAGES")
    if not file:
        return {}
    try:
        return read_map(Path(file))
    except (ImageError, json.JSONDecodeError, OSError) as error:
        raise ProviderError(f"BENCHTOP_BASE_IMAGES: {error}") from error
