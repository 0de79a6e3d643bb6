"""A container image built and pushed in the same ``up``, deployed by digest."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_docker as docker
from pulumi_aws import ecr

from components.parts import sources
from components.parts.common import kept

PLATFORM = "linux/amd64"
TAG_LENGTH = 16


@dataclass(frozen=True, kw_only=True)
class ContainerImageArgs:
    repository_name: str
    context: str
    """Folder that is sent to Docker; it holds the Dockerfile and its ``.dockerignore``."""
    dockerfile: str | None = None
    """File inside ``context``; ``Dockerfile`` when None."""
    build_args: Mapping[str, str] | None = None
    keep_images: int | None = None
    """How many images the repository keeps, the newest; 10 when None."""
    keep: bool | None = None
    """True: the repository is protected and retained. Else destroyed with its images."""
    tags: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        file = Path(self.context) / (self.dockerfile or "Dockerfile")
        if not file.is_file():
            raise ValueError(f"context {self.context!r} has no {self.dockerfile or 'Dockerfile'}")
        if self.keep_images is not None and self.keep_images < 1:
            raise ValueError(f"keep_images must be 1 or more, got {self.keep_images}")


class ContainerImage(pulumi.ComponentResource):
    """ECR repository and the image in it."""

    repository_url: pulumi.Output[str]
    repository_arn: pulumi.Output[str]
    digest_uri: pulumi.Output[str]
    """``<repository>@sha256:...``: what to deploy, since tags can move."""
    tag: pulumi.Output[str]
    """First hex digits of the digest of the sources."""

    def __init__(
        self, name: str, args: ContainerImageArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        args = ContainerImageArgs(**args) if isinstance(args, dict) else args
        super().__init__("benchtop:index:ContainerImage", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        dockerfile = args.dockerfile or "Dockerfile"
        context = Path(args.context)
        tag = sources.digest(context, dockerfile, args.build_args)[:TAG_LENGTH]
        repository = ecr.Repository(
            f"{name}-repository",
            name=args.repository_name,
            # Not immutable: an interrupted `up` may push a tag and not remember it, and the next one,
            # whose build may differ by a time stamp, would be refused for ever. Deployment is by digest.
            image_tag_mutability="MUTABLE",
            image_scanning_configuration={"scan_on_push": True},
            encryption_configurations=[{"encryption_type": "AES256"}],
            force_delete=not args.keep,
            tags=args.tags,
            opts=kept(self, args.keep),
        )
        ecr.LifecyclePolicy(
            f"{name}-expiry",
            repository=repository.name,
            policy=json.dumps(keep_newest(args.keep_images or 10)),
            opts=kept(self, args.keep, protect=False),
        )
        token = ecr.get_authorization_token_output(
            registry_id=repository.registry_id, opts=pulumi.InvokeOutputOptions(parent=self)
        )
        image = docker.Image(
            f"{name}-image",
            image_name=pulumi.Output.concat(repository.repository_url, ":", tag),
            build={
                "context": str(context),
                "dockerfile": str(context / dockerfile),
                "platform": PLATFORM,
                "args": dict(args.build_args or {}),
            },
            registry={
                "server": repository.repository_url,
                "username": token.user_name,
                "password": pulumi.Output.secret(token.password),
            },
            opts=child,
        )
        self.repository_url = repository.repository_url
        self.repository_arn = repository.arn
        self.digest_uri = image.repo_digest
        self.tag = pulumi.Output.from_input(tag)
        self.register_outputs(
            {
                "repository_url": self.repository_url,
                "repository_arn": self.repository_arn,
                "digest_uri": self.digest_uri,
                "tag": self.tag,
            }
        )


def keep_newest(count: int) -> dict[str, object]:
    """ECR lifecycle policy that expires all but the newest ``count`` images."""
    return {
        "rules": [
            {
                "rulePriority": 1,
                "description": f"keep the newest {count} images",
                "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": count},
                "action": {"type": "expire"},
            }
        ]
    }
