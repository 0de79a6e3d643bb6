"""``ops quetzal push`` and ``images``: the model's container image, deployed by digest.

``push`` builds, pushes and deploys in one partial ``pulumi up``: the targets are the image that the
function was made from, the function, and what depends on them. A tag alone would change nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ops.common import stack
from ops.common.errors import invalid
from ops.common.output import duration, size
from ops.quetzal.target import Target, choose

FUNCTION = "aws:lambda/function:Function"
IMAGE = "docker:index/image:Image"


def targets_of_push(resources: Sequence[Mapping[str, Any]], function_name: str) -> list[str]:
    """URNs of a function and of the image it was made from, by the engine's own dependencies.

    Raises ``OpsError`` (INVALID) when the stack's state doesn't hold such a pair.
    """
    functions = stack.urns_of(resources, FUNCTION, name=function_name)
    if not functions:
        raise invalid(f"the stack's state has no function named {function_name}")
    images = {str(resource["urn"]) for resource in resources if resource.get("type") == IMAGE}
    made_from = [urn for urn in stack.depends_through(resources, functions[0], "imageUri") if urn in images]
    if not made_from:
        raise invalid(
            f"function {function_name} was not made from an image of this stack, so there is nothing to push"
        )
    return [*made_from, functions[0]]


def digest(uri: str) -> str:
    """``sha256:...`` of ``repository@sha256:...``; ``""`` without one."""
    return uri.partition("@")[2]


def push(target: Target) -> None:
    """Build the model's image, push it and deploy it; nothing is built when its sources are unchanged."""
    before = digest(target.model.image_digest_uri)
    targets = targets_of_push(stack.state(target.stack), target.model.function_name)
    target.out.note(f"old image  {before or 'none'}")
    began = datetime.now(UTC)
    changes = stack.deploy(
        target.stack,
        targets,
        f"ops quetzal push {target.model.name}",
        lambda line: target.out.note(line.rstrip()),
    )
    after = digest(choose(stack.outputs(target.stack), target.model.name, target.stack).image_digest_uri)
    seconds = (datetime.now(UTC) - began).total_seconds()
    target.out.result(
        {
            "model": target.model.name, "old_digest": before, "new_digest": after, "changed": before != after,
            "resource_changes": changes, "seconds": round(seconds, 1),
        }
    )  # fmt: skip
    target.out.say(f"old image  {before or 'none'}")
    target.out.say(
        f"new image  {after}" if after != before else "new image  the same: its sources are unchanged"
    )
    target.out.say(f"{target.model.name} deployed in {duration(seconds)}")


def images(target: Target) -> None:
    """List the images in the model's repository, newest first; the deployed one is marked."""
    repository = target.model.repository_url.partition("/")[2]
    if not repository:
        raise invalid(f"the output of model {target.model.name} has no repository_url")
    deployed = digest(target.model.image_digest_uri)
    pages = target.client("ecr").get_paginator("describe_images").paginate(repositoryName=repository)
    found = [
        {
            "digest": item["imageDigest"], "tags": sorted(item.get("imageTags") or []),
            "bytes": item.get("imageSizeInBytes"), "pushed": item.get("imagePushedAt"),
            "deployed": item["imageDigest"] == deployed,
        }
        for page in pages
        for item in page["imageDetails"]
    ]  # fmt: skip
    found.sort(key=lambda item: item["pushed"] or datetime.min.replace(tzinfo=UTC), reverse=True)
    target.out.result(
        {"model": target.model.name, "repository": target.model.repository_url, "images": found}
    )
    target.out.table(
        ("DIGEST", "TAGS", "SIZE", "PUSHED", "DEPLOYED"),
        [
            (item["digest"][:19], ", ".join(item["tags"]), size(item["bytes"] or 0), item["pushed"],
             "yes" if item["deployed"] else "")
            for item in found
        ],
    )  # fmt: skip
