"""``steps`` and ``push`` on a deployed model: the same program, a part of it."""

import json
import socket
from pathlib import Path

from sandbox.images.client import connect
from tests.sandbox.conftest import Probes


def test_the_workflow_of_the_file_is_compared_and_deployed(probes: Probes) -> None:
    file = probes.stack.project / "containers" / "quetzal-model" / "models" / "probe" / "step-functions.json"
    before = file.read_text()
    same = probes.ops("alpha", "steps", "--check", "--json")
    assert same.code == 0, same.output
    assert json.loads(same.stdout)["same"] is True
    definition = json.loads(before)
    definition["States"][definition["StartAt"]]["Retry"][0]["MaxAttempts"] = 1
    try:
        file.write_text(json.dumps(definition))
        assert probes.ops("alpha", "steps", "--check").code == 9
        applied = probes.ops("alpha", "steps", "--apply", "--json")
        assert applied.code == 0, applied.output
        shown = json.loads(applied.stdout)
        assert (shown["applied"], shown["same"]) == (True, True)
        assert shown["deployed"][0]["retries"] == 1
        # The other model has the same source and was no target.
        assert probes.ops("beta", "steps", "--check").code == 9
        definition["States"][definition["StartAt"]]["Next"] = "nowhere"
        file.write_text(json.dumps(definition))
        broken = probes.ops("alpha", "steps", "--apply")
        assert broken.code == 8
        assert "nowhere" in broken.output
    finally:
        file.write_text(before)
    assert probes.ops("alpha", "steps", "--apply").code == 0
    assert probes.ops("beta", "steps", "--check").code == 0


def test_a_push_deploys_changed_notebooks_by_digest_and_nothing_when_unchanged(probes: Probes) -> None:
    unchanged = probes.ops("alpha", "push", "--json")
    assert unchanged.code == 0, unchanged.output
    assert json.loads(unchanged.stdout)["changed"] is False
    notebook = (
        probes.stack.project
        / "containers"
        / "quetzal-model"
        / "models"
        / "probe"
        / "notebooks"
        / "probe.ipynb"
    )
    before = notebook.read_text()
    content = json.loads(before)
    content["cells"][0]["source"].append("\nprint('from the new image')\n")
    try:
        notebook.write_text(json.dumps(content))
        pushed = probes.ops("alpha", "push", "--json")
        assert pushed.code == 0, pushed.output
        digests = json.loads(pushed.stdout)
        assert digests["changed"]
        run = probes.ops("alpha", "run", probes.scenario("alpha"))
        assert run.code == 0, run.output
        assert "from the new image" in run.output
        listed = json.loads(probes.ops("alpha", "images", "--json").stdout)["images"]
        assert [item["digest"] for item in listed if item["deployed"]] == [digests["new_digest"]]
        assert digests["old_digest"] in [item["digest"] for item in listed]
    finally:
        notebook.write_text(before)
    assert probes.ops("alpha", "push").code == 0


def test_a_local_test_uses_the_deployed_image_and_leaves_no_container(probes: Probes, tmp_path: Path) -> None:
    scenario = probes.stack.project / "examples" / "probe" / "scenarios" / "base"
    before = {item["Id"] for item in connect().containers(all=True)}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    common = ("test-local", "--scenario", str(scenario), "--port", port, "--to", str(tmp_path), "--json")
    good = probes.ops("alpha", *common, "--param", "write.outputs/hello=there")
    assert good.code == 0, good.output
    shown = json.loads(good.stdout)
    assert [step["status"] for step in shown["steps"]] == ["SUCCESS", "SUCCESS"]
    assert shown["event"]["answer"] == 42
    assert (tmp_path / "outputs" / "hello").read_text() == "there"
    assert not (scenario / "outputs").exists(), "the folder given stays as it is"
    pushed = connect().inspect_image(shown["image"])["RepoDigests"]
    assert probes.models["alpha"]["image_digest_uri"] in pushed, "nothing was built again"
    failed = probes.ops("alpha", *common, "--notebook", "probe", "--param", "fail=the bridge is out")
    assert failed.code == 5
    assert "ValueError: the bridge is out" in json.loads(failed.stdout)["steps"][0]["error"]["message"]
    assert {item["Id"] for item in connect().containers(all=True)} <= before
