import pytest

from sandbox.providers.docker import reference


@pytest.mark.parametrize(
    ("text", "domain", "path", "tag"),
    [
        ("app", "", "app", ""),
        ("org/app:1.0", "", "org/app", "1.0"),
        ("docker.io/org/app", "docker.io", "org/app", ""),
        ("127.0.0.1:4566/quetzal/cairns:latest", "127.0.0.1:4566", "quetzal/cairns", "latest"),
        ("localhost/app", "localhost", "app", ""),
        ("1.dkr.ecr.eu-west-1.amazonaws.com/a-b__c.d", "1.dkr.ecr.eu-west-1.amazonaws.com", "a-b__c.d", ""),
        ("[::1]:5000/app:v1", "[::1]:5000", "app", "v1"),
    ],
)  # fmt: skip
def test_parts_of_a_reference(text: str, domain: str, path: str, tag: str) -> None:
    found = reference.parse(text)
    assert (found.domain, found.path, found.tag, found.digest) == (domain, path, tag, "")


def test_a_digest_is_kept_apart() -> None:
    digest = "sha256:" + "a" * 64
    found = reference.parse(f"host.example/app:1@{digest}")
    assert (found.repository, found.tagged, found.digest) == (
        "host.example/app",
        "host.example/app:1",
        digest,
    )


@pytest.mark.parametrize(
    "text", ["", "/app", "app:", "app:bad tag", "a//b", "app@sha256:12", "-app", "http://host/app"]
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(ValueError, match="is no image name"):
        reference.parse(text)


def test_capitals_are_named_as_the_reason() -> None:
    with pytest.raises(ValueError, match="must be in lower case"):
        reference.parse("host.example:5000/MyApp:1")
