"""``random.RandomPassword`` under the real engine: made once, kept, replaced on demand, never in plain."""

import json
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest

from tests.sandbox.aws_provider_project import Project, client

PROGRAM = """
import pulumi_random as random

key = random.RandomPassword("key", length=40, special=False,
    keepers={"turn": pulumi.Config().get("turn") or "1"})
queue = aws.sqs.Queue("user", tags={"length": key.result.apply(lambda text: str(len(text)))})
pulumi.export("key", key.result)
pulumi.export("hash", key.bcrypt_hash)
pulumi.export("queue", queue.url)
"""


@pytest.fixture(scope="module")
def project(sandbox_env: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    made = Project(tmp_path_factory.mktemp("random") / f"random-{token_hex(3)}", sandbox_env)
    made.program(PROGRAM)
    assert made.changes("up") == {"create": 2}
    yield made
    made.run("destroy", "--yes", "--skip-preview")


def test_a_second_up_and_a_refresh_keep_the_password(project: Project) -> None:
    before = project.outputs()
    assert project.changes("up") == {"same": 2}
    assert project.changes("refresh") == {"same": 2}
    assert project.preview() == []
    after = project.outputs()
    assert (after["key"], after["hash"]) == (before["key"], before["hash"])
    assert len(after["key"]) == 40
    assert after["key"].isalnum()


def test_the_password_is_never_in_plain(project: Project) -> None:
    found = project.outputs()
    state = project.state()
    shown = project.run("stack", "output", "--json")
    for secret in (found["key"], found["hash"]):
        assert secret not in state
        assert secret not in shown
    files = [path for path in project.folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert found["key"].encode() not in path.read_bytes(), path
    key = next(
        item
        for item in json.loads(state)["deployment"]["resources"]
        if item["type"] == "random:index/randomPassword:RandomPassword"
    )
    assert key["id"] == "none"
    assert all("ciphertext" in key["outputs"][name] for name in ("result", "bcryptHash"))


def test_what_is_made_of_it_has_the_real_value(project: Project) -> None:
    queue = project.outputs()["queue"]
    assert client("sqs").list_queue_tags(QueueUrl=queue)["Tags"] == {"length": "40"}


def test_new_keepers_replace_it(project: Project) -> None:
    before = project.outputs()["key"]
    project.run("config", "set", "turn", "2")
    steps = {step["urn"].rsplit("::", 1)[1]: step["op"] for step in project.preview()}
    assert steps["key"] in ("replace", "create-replacement")
    counts = project.changes("up")
    assert counts["create-replacement"] == counts["delete-replaced"] == 1
    assert project.outputs()["key"] != before
    assert project.changes("up") == {"same": 2}


def test_wrong_inputs_are_refused_at_preview(sandbox_env: dict[str, str], tmp_path: Path) -> None:
    wrong = Project(tmp_path / f"wrong-{token_hex(3)}", sandbox_env)
    wrong.program('import pulumi_random as random\nrandom.RandomPassword("key", length=2, min_upper=3)\n')
    assert "must be at least 3" in wrong.run("preview", fails=True)
