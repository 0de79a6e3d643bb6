"""The real engine runs real programs through our Python language host."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.bootstrap import engine

LATE_S = 9
"""A host that doesn't leave when it is told makes every command end 10 s late."""

PROGRAM = """
import pulumi

class Unit(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("test:index:Unit", name, {}, None)
        self.register_outputs({"name": name})

for number in range(3):
    Unit(f"unit-{number}")
config = pulumi.Config()
pulumi.export("greeting", config.require("greeting"))
pulumi.export("password", config.require_secret("password"))
pulumi.export("preview", pulumi.runtime.is_dry_run())
print("said by the program")
"""


@dataclass(frozen=True)
class Project:
    """A Pulumi project in a folder of its own, with its own home and backend."""

    folder: Path
    env: dict[str, str]

    def write(self, program: str, options: str = "") -> None:
        (self.folder / "Pulumi.yaml").write_text(f"name: tiny\nruntime:\n  name: python\n{options}")
        (self.folder / "__main__.py").write_text(program)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, fails: bool = False) -> str:
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=120)
        assert (process.returncode != 0) == fails, output
        return output

    def state(self) -> dict[str, object]:
        record = next((self.folder.parent / "state").glob(".pulumi/stacks/tiny/dev.json"))
        latest: dict[str, object] = json.loads(record.read_text())["checkpoint"]["latest"]
        return latest


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = engine.ensure()
    folders = {name: tmp_path / name for name in ("bin", "home", "state", "tiny")}
    for folder in folders.values():
        folder.mkdir()
    try:
        os.link(found.pulumi, folders["bin"] / "pulumi")
    except OSError:
        shutil.copy2(found.pulumi, folders["bin"] / "pulumi")
    launchers = {
        "pulumi-language-python": engine.language_host_launcher(),
        "pulumi-resource-pulumi-python": engine.dynamic_provider_launcher(),
    }
    for name, text in launchers.items():
        (folders["bin"] / name).write_text(text)
        (folders["bin"] / name).chmod(0o755)
    env = {
        "HOME": str(tmp_path),
        "PATH": os.pathsep.join([str(folders["bin"]), os.environ["PATH"]]),
        "PULUMI_HOME": str(folders["home"]),
        "PULUMI_BACKEND_URL": folders["state"].as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }
    made = Project(folder=folders["tiny"], env=env)
    made.write(PROGRAM)
    made.run("stack", "init", "dev")
    made.run("config", "set", "greeting", "hello")
    made.run("config", "set", "--secret", "password", "s3cr3t-word")
    return made


def _eventually(check: Callable[[], bool], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.1)
    return check()


def _processes_with(text: str) -> list[int]:
    """Processes whose command line or environment names ``text``."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if text.encode() in (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_preview_up_refresh_and_destroy(project: Project) -> None:
    preview = project.run("preview")
    assert "4 to create" in preview
    assert "said by the program" in preview
    assert "warning" not in preview

    began = time.monotonic()
    first = project.run("up", "--yes", "--skip-preview")
    assert time.monotonic() - began < LATE_S
    assert "4 created" in first
    assert "s3cr3t-word" not in first

    outputs = json.loads(project.run("stack", "output", "--json", "--show-secrets"))
    assert outputs == {"greeting": "hello", "password": "s3cr3t-word", "preview": False}
    assert "s3cr3t-word" not in json.dumps(project.state())

    second = project.run("up", "--yes", "--skip-preview")
    assert "4 unchanged" in second
    assert "4 unchanged" in project.run("refresh", "--yes", "--skip-preview")
    assert "4 deleted" in project.run("destroy", "--yes", "--skip-preview")
    assert not project.state().get("resources")


def test_an_error_shows_the_users_lines_and_none_of_ours(project: Project) -> None:
    project.write("def broken():\n    return 1 / 0\n\nbroken()\n")
    output = project.run("preview", fails=True)
    assert "ZeroDivisionError: division by zero" in output
    assert "__main__.py" in output
    assert "return 1 / 0" in output
    assert "program.py" not in output
    assert "run_in_stack" not in output


def test_an_error_in_the_syntax_names_the_line(project: Project) -> None:
    project.write("x = 1\ny = (\n")
    output = project.run("preview", fails=True)
    assert "SyntaxError" in output
    assert "line 2" in output
    assert "program.py" not in output


def test_an_exit_code_of_the_program_is_reported(project: Project) -> None:
    project.write("import sys\nsys.exit(3)\n")
    assert "non-zero exit code: 3" in project.run("preview", fails=True)


def test_a_missing_virtual_environment_is_one_clear_line(project: Project) -> None:
    project.write(PROGRAM, "  options:\n    virtualenv: nowhere\n")
    output = project.run("preview", fails=True)
    assert f"{project.folder}/nowhere is no virtual environment" in output


def test_the_virtual_environment_of_the_project_runs_the_program(project: Project) -> None:
    venv = project.folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True, timeout=60)
    site = next(venv.glob("lib/python3.*/site-packages"))
    own = Path(sys.prefix) / "lib" / site.parent.name / "site-packages"
    (site / "shared.pth").write_text(f"{own}\n")
    project.write(
        "import sys, pulumi\npulumi.export('prefix', sys.prefix)\n", "  options:\n    virtualenv: venv\n"
    )
    project.run("up", "--yes", "--skip-preview")
    assert json.loads(project.run("stack", "output", "--json")) == {"prefix": str(venv)}


def test_the_program_does_not_find_the_repositorys_modules(project: Project) -> None:
    project.write("import sandbox\n")
    assert "No module named 'sandbox'" in project.run("preview", fails=True)


def test_much_output_of_a_program_is_no_obstacle(project: Project) -> None:
    project.write("for line in range(5000):\n    print('x' * 200)\nprint('the end of it')\n")
    assert "the end of it" in project.run("preview")


def test_an_interrupt_ends_everything_at_once(project: Project, tmp_path: Path) -> None:
    project.write(f"import time\nopen({str(tmp_path / 'running')!r}, 'w').close()\ntime.sleep(120)\n")
    process = project.start("preview")
    assert _eventually((tmp_path / "running").exists, 30)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert time.monotonic() - began < LATE_S
    assert _eventually(lambda: not _processes_with(str(tmp_path)), 5)


def test_nothing_outlives_an_engine_that_was_killed(project: Project, tmp_path: Path) -> None:
    project.write(f"import time\nopen({str(tmp_path / 'running')!r}, 'w').close()\ntime.sleep(120)\n")
    process = project.start("preview")
    assert _eventually((tmp_path / "running").exists, 30)
    process.kill()
    process.wait(10)
    assert _eventually(lambda: not _processes_with(str(tmp_path)), 5), _processes_with(str(tmp_path))
    assert process.stdout is not None
    process.stdout.close()


def test_a_component_package_tells_its_schema(project: Project, tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "PulumiPlugin.yaml").write_text(
        f"runtime:\n  name: python\n  options:\n    virtualenv: {sys.prefix}\n"
    )
    (package / "__main__.py").write_text(
        """
from dataclasses import dataclass

import pulumi
from pulumi.provider.experimental import component_provider_host


@dataclass(kw_only=True)
class GreeterArgs:
    name: pulumi.Input[str]


class Greeter(pulumi.ComponentResource):
    greeting: pulumi.Output[str]

    def __init__(self, name: str, args: GreeterArgs, opts: pulumi.ResourceOptions | None = None):
        super().__init__("greet:index:Greeter", name, {}, opts)
        self.greeting = pulumi.Output.from_input("hello")
        self.register_outputs({"greeting": self.greeting})


component_provider_host(name="greet", components=[Greeter])
"""
    )
    schema = json.loads(project.run("package", "get-schema", str(package)))
    assert schema["resources"]["greet:index:Greeter"]["inputProperties"]["name"]["type"] == "string"


def test_a_dynamic_provider_works(project: Project) -> None:
    project.write(
        """
import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider


class Numbers(ResourceProvider):
    def create(self, inputs):
        return CreateResult("number-1", {"double": inputs["value"] * 2})


class Number(Resource):
    double: pulumi.Output[int]

    def __init__(self, name, value):
        super().__init__(Numbers(), name, {"value": value, "double": None})


pulumi.export("double", Number("n", 21).double)
"""
    )
    project.run("up", "--yes", "--skip-preview")
    assert json.loads(project.run("stack", "output", "--json")) == {"double": 42}


def test_about_and_installed_packages(project: Project) -> None:
    about = json.loads(project.run("about", "--json"))
    assert about["runtime"]["executable"].startswith(sys.prefix)
    assert {"name": "pytest", "version": pytest.__version__} in about["dependencies"]
