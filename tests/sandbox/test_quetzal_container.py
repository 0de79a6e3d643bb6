"""The image of the transit model, really built and run: as Lambda runs it, on the real Cairns network."""

import json
import queue
import shutil
import struct
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import docker
import pytest

from sandbox.images.ensure import ensure
from sandbox.paths import ROOT

PATH = "/2015-03-31/functions/function/invocations"
BASE = "python:3.13-slim-trixie"
STEPS = ("import_gtfs", "preparation", "assignment", "results")

Invoke = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    found = docker.from_env(timeout=600)
    yield found
    found.close()


@pytest.fixture(scope="module")
def image(client: docker.DockerClient) -> str:
    base = ensure([BASE], print)[BASE]
    built, _ = client.images.build(
        path=str(ROOT / "containers" / "quetzal-model"),
        buildargs={"BASE_IMAGE": base, "MODEL": "transit"},
        network_mode="host",
        tag="benchtop-test/quetzal-transit",
        rm=True,
    )
    return str(built.id)


@pytest.fixture(scope="module")
def scenarios(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of scenarios that the container's user may write to, ``cairns`` among them."""
    folder = tmp_path_factory.mktemp("scenarios")
    shutil.copytree(ROOT / "examples" / "quetzal-cairns" / "scenarios" / "base", folder / "cairns")
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o777 if path.is_dir() else 0o666)
    return folder


@pytest.fixture(scope="module")
def invoke(client: docker.DockerClient, image: str, scenarios: Path) -> Iterator[Invoke]:
    """A container as strict as Lambda: a user without rights, nothing writable but ``/tmp``."""
    container = client.containers.run(
        image,
        detach=True,
        read_only=True,
        tmpfs={"/tmp": "size=512m"},
        cap_drop=["ALL"],
        ports={"8080/tcp": ("127.0.0.1", None)},
        environment={"LOCAL_SCENARIOS": "/scenarios", "AWS_LAMBDA_FUNCTION_TIMEOUT": "300"},
        volumes={str(scenarios): {"bind": "/scenarios", "mode": "rw"}},
    )

    def invoke(notebook: str, scenario: str = "cairns/", **params: Any) -> dict[str, Any]:
        event = {
            "notebook_path": f"notebooks/{notebook}.ipynb",
            "scenario_path_S3": scenario,
            "launcher_arg": {"training_folder": "/tmp", "params": params},
            "metadata": {"user_email": "lambda_test@test.com"},
        }
        container.reload()
        port = container.ports["8080/tcp"][0]["HostPort"]
        request = urllib.request.Request(f"http://127.0.0.1:{port}{PATH}", json.dumps(event).encode())
        until = time.monotonic() + 30
        while True:
            try:
                with urllib.request.urlopen(request, timeout=310) as answer:
                    result: dict[str, Any] = json.loads(answer.read())
                    return result
            except (ConnectionError, urllib.error.URLError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    yield invoke
    container.remove(force=True)


@pytest.fixture(scope="module")
def ran(invoke: Invoke, scenarios: Path) -> Path:
    """The scenario's folder after all four steps."""
    for step in STEPS:
        answer = invoke(step)
        assert "errorType" not in answer, answer
    return scenarios / "cairns"


def indicators(folder: Path, period: str = "am") -> dict[str, float]:
    found = json.loads((folder / "outputs" / "indicators.json").read_text())
    return {entry["name"]: entry["value"] for entry in found if entry["period"] == period}


def test_the_network_has_quetzals_columns(ran: Path) -> None:
    links = json.loads((ran / "outputs" / "links.geojson").read_text())["features"]
    nodes = json.loads((ran / "outputs" / "nodes.geojson").read_text())["features"]
    wanted = {
        "index", "trip_id", "route_id", "agency_id", "direction_id", "a", "b", "shape_dist_traveled",
        "link_sequence", "time#am", "headway#am", "speed#am", "pickup_type", "drop_off_type",
        "route_short_name", "route_long_name", "route_type", "route_color", "length", "volume#am",
        "boardings#am", "alightings#am",
    }  # fmt: skip
    assert wanted <= set(links[0]["properties"])
    assert {"index", "stop_id", "stop_name", "stop_code", "boardings#am"} <= set(nodes[0]["properties"])
    names = {node["properties"]["index"] for node in nodes}
    for link in links:
        values = link["properties"]
        assert values["index"].startswith("link_")
        assert {values["a"], values["b"]} <= names
        assert values["time#am"] > 0
        assert 600 <= values["headway#am"] <= 7200
        assert values["speed#am"] == pytest.approx(values["length"] / values["time#am"] * 3.6, abs=0.1)
        for longitude, latitude in link["geometry"]["coordinates"]:
            assert 145.5 < longitude < 146
            assert -17.3 < latitude < -16.6


def test_the_indicators_are_plausible_and_agree(ran: Path) -> None:
    found = indicators(ran)
    assert 380 <= found["stops"] <= 416
    assert found["routes"] == 16
    assert 15 < found["mean commercial speed"] < 40
    assert 20 < found["mean headway of a route"] < 90
    assert found["OD trips"] == pytest.approx(3000, rel=0.01)
    assert found["served OD share"] > 90
    assert 10 < found["mean travel time"] < 60
    parts = ("of which in the vehicle", "of which waiting", "of which walking")
    assert sum(found[name] for name in parts) == pytest.approx(found["mean travel time"], abs=0.01)
    riders = found["OD trips"] * (1 - found["trips on foot all the way"] / 100)
    assert riders == pytest.approx(found["boardings"] / (1 + found["mean transfers"]), rel=0.001)
    assert 0.8 < riders / found["OD trips"] <= 1
    rows = (ran / "outputs" / "indicators.csv").read_text().splitlines()
    assert rows[0] == "name,value,unit,period"
    assert len(rows) == len(found) + 1


def test_passengers_are_conserved_at_each_stop_of_a_trip(ran: Path) -> None:
    links = [f["properties"] for f in json.loads((ran / "outputs" / "links.geojson").read_text())["features"]]
    following = {(link["trip_id"], link["link_sequence"]): link for link in links}
    for link in links:
        after = following.get((link["trip_id"], link["link_sequence"] + 1))
        on = (after["volume#am"] - after["boardings#am"]) if after else 0
        assert link["volume#am"] - link["alightings#am"] == pytest.approx(on, abs=0.05)


def test_the_map_is_a_picture(ran: Path) -> None:
    content = (ran / "outputs" / "map.png").read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    assert (width, height) == (1950, 1650)
    assert len(content) > 100_000


def test_logs_and_info_are_there(ran: Path) -> None:
    for step in STEPS:
        assert (ran / "logs" / f"{step}.txt").stat().st_size > 0
    assert "1339" not in (ran / "logs" / "import_gtfs.txt").read_text()
    assert "622 trips" in (ran / "logs" / "import_gtfs.txt").read_text()
    info = json.loads((ran / "info.json").read_text())
    assert list(info["steps"]) == [f"notebooks/{step}.ipynb" for step in STEPS]


def test_the_same_inputs_give_the_same_results(ran: Path, invoke: Invoke, scenarios: Path) -> None:
    copy(scenarios, "again")
    for step in STEPS:
        assert "errorType" not in invoke(step, "again/")
    for name in ("indicators.csv", "links.geojson", "nodes.geojson"):
        assert (scenarios / "again/outputs" / name).read_bytes() == (ran / "outputs" / name).read_bytes()


def test_two_periods_and_an_od_matrix_of_the_planner(invoke: Invoke, scenarios: Path) -> None:
    folder = copy(scenarios, "survey")
    line = {"type": "LineString", "coordinates": [[145.6710, -16.7440], [145.7786, -16.9210]]}
    trip = {"type": "Feature", "properties": {"volume": 120}, "geometry": line}
    (folder / "inputs/od").mkdir(mode=0o777)
    collection = {"type": "FeatureCollection", "features": [trip]}
    (folder / "inputs/od/od.geojson").write_text(json.dumps(collection))
    series = [{"start_time": "07:00", "end_time": "09:00", "value": "am"},
              {"start_time": "18:00:00", "end_time": "24:30:00", "value": "evening"}]  # fmt: skip
    for step in STEPS:
        answer = invoke(step, "survey/", timeseries=series, day="2014-06-07")
        assert "errorType" not in answer, answer
    morning, evening = indicators(folder), indicators(folder, "evening")
    assert morning["OD trips"] == evening["OD trips"] == 120
    # Palm Cove to the city: about 27 km by road.
    assert 18 * 120 < morning["passenger-kilometres"] < 40 * 120
    assert json.loads((folder / "model/network.json").read_text())["date"] == "20140607"


def test_a_network_of_the_planner_is_taken(ran: Path, invoke: Invoke, scenarios: Path) -> None:
    folder = copy(scenarios, "edited")
    (folder / "inputs/pt").mkdir(mode=0o777)
    for name in ("links.geojson", "nodes.geojson"):
        content = json.loads((ran / "outputs/pt" / name).read_text())
        if name == "links.geojson":
            for feature in content["features"]:
                feature["properties"]["headway#am"] = 600
        (folder / "inputs/pt" / name).write_text(json.dumps(content))
    for step in STEPS:
        assert "errorType" not in invoke(step, "edited/")
    assert indicators(folder)["mean travel time"] < indicators(ran)["mean travel time"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"files": ["other.zip"]}, "files: no other.zip in inputs/gtfs; there is cairns-gtfs.zip"),
    ({"files": ["../params.json"]}, "files: no ../params.json in inputs/gtfs"),
    ({"trips": "many"}, "trips: must be a number, got 'many'"),
    ({"trips": -1}, "trips: must be 0..1e+07, got -1"),
    ({"timeseries": []}, "timeseries: must be a list of periods"),
    ({"timeseries": [{"value": "am"}]}, "lacks end_time, start_time"),
    ({"timeseries": [{"start_time": "9", "end_time": "10:00", "value": "am"}]}, "a time is HH:MM"),
    ({"timeseries": [{"start_time": "10:00", "end_time": "9:00", "value": "am"}]}, "before it starts at 10"),
    ({"day": "someday"}, "day: must be a weekday or a date, got 'someday'"),
    ({"dates": ["2014-06-08"]}, "no trip runs on 20140608: the feed covers 20140602 to 20140608"),
    ({"day": "sunday"}, "day: no trip runs on any sunday of the feed"),
]
CHECK = """
import json, sys, transit_model as model
trips = {f"2014060{day}": 600 if day < 7 else 0 for day in range(2, 9)}
for params in json.loads(sys.argv[1]):
    try:
        scenario = model.Scenario({"training_folder": "/scenarios/cairns", "params": params})
        scenario.feeds(), scenario.number("trips", 0, 1e7)
        model.choose_date(trips, scenario.params["day"], scenario.params["dates"])
        print("allowed")
    except model.ParameterError as error:
        print(error)
"""


def test_a_wrong_parameter_is_one_clear_line(
    client: docker.DockerClient, image: str, scenarios: Path
) -> None:
    given = json.dumps([params for params, _ in WRONG])
    mounts = {str(scenarios): {"bind": "/scenarios", "mode": "ro"}}
    raw = client.containers.run(
        image, ["-c", CHECK, given], entrypoint="/opt/venv/bin/python", volumes=mounts, remove=True
    )
    said = raw.decode().splitlines()
    assert len(said) == len(WRONG)
    for line, (params, says) in zip(said, WRONG, strict=True):
        assert says in line, params


def test_a_failing_notebook_answers_with_its_traceback(ran: Path, invoke: Invoke) -> None:
    answer = invoke("import_gtfs", day="2020-01-01")
    lines = answer["errorMessage"].splitlines()
    assert answer["errorType"] == "NotebookError"
    assert lines[0] == "notebooks/import_gtfs.ipynb failed"
    assert "  notebooks/import_gtfs.ipynb, cell 5," in answer["errorMessage"]
    assert lines[-1].endswith("no trip runs on 20200101: the feed covers 20140526 to 20141228")
    assert lines[-1] in (ran / "logs" / "import_gtfs.txt").read_text()


class RuntimeApi(ThreadingHTTPServer):
    """Lambda's runtime API for one invocation: hands out the event, takes the answer."""

    def __init__(self, event: dict[str, Any], limit_s: float) -> None:
        super().__init__(("127.0.0.1", 0), self.Request)
        self.event, self.limit_s = event, limit_s
        self.given = False
        self.answers: queue.Queue[tuple[str, Any]] = queue.Queue()

    class Request(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server: "RuntimeApi"

        def do_GET(self) -> None:
            if self.server.given:
                time.sleep(60)  # as Lambda: the next event comes when there is one
            self.server.given = True
            body = json.dumps(self.server.event).encode()
            until_ms = int((time.time() + self.server.limit_s) * 1000)
            self.send_response(200)
            self.send_header("Lambda-Runtime-Aws-Request-Id", "r-1")
            self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:x:0:function:y")
            self.send_header("Lambda-Runtime-Deadline-Ms", str(until_ms))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.server.answers.put((self.path.rsplit("/", 1)[1], json.loads(body)))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""


@pytest.mark.parametrize(
    ("notebook", "limit_s", "kind", "error"),
    [("results", 120, "response", None), ("import_gtfs", 3, "error", "DeadlineExceeded")],
)
def test_lambdas_own_runtime_runs_the_same_handler(
    client: docker.DockerClient,
    image: str,
    ran: Path,
    notebook: str,
    limit_s: float,
    kind: str,
    error: str | None,
) -> None:
    event = {
        "notebook_path": f"notebooks/{notebook}.ipynb",
        "scenario_path_S3": "cairns/",
        "launcher_arg": {"training_folder": "/tmp", "params": {}},
    }
    api = RuntimeApi(event, limit_s)
    threading.Thread(target=api.serve_forever, daemon=True).start()
    container = client.containers.run(
        image,
        detach=True,
        read_only=True,
        tmpfs={"/tmp": "size=512m"},
        network_mode="host",
        environment={
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.server_address[1]}",
            "AWS_LAMBDA_FUNCTION_NAME": "model",
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "LOCAL_SCENARIOS": "/scenarios",
        },
        volumes={str(ran.parent): {"bind": "/scenarios", "mode": "rw"}},
    )
    try:
        found, answer = api.answers.get(timeout=120)
    finally:
        container.remove(force=True)
        api.shutdown()
        api.server_close()
    assert found == kind, answer
    assert answer.get("errorType") == error
    if error is None:
        assert answer["result"]["routes"] == 16


def test_base_is_refused(invoke: Invoke) -> None:
    answer = invoke("import_gtfs", "base/")
    assert answer["errorType"] == "ScenarioReadOnly"


def test_the_image_holds_the_model_and_no_tools_or_data(client: docker.DockerClient, image: str) -> None:
    script = (
        "import os, pathlib, json; task = pathlib.Path('/var/task'); "
        "print(json.dumps({'uid': os.getuid(), 'pip': pathlib.Path('/opt/venv/bin/pip').exists(), "
        "'files': sorted(p.relative_to(task).as_posix() for p in task.rglob('*') if p.is_file())}))"
    )
    raw = client.containers.run(image, ["-c", script], entrypoint="/opt/venv/bin/python", remove=True)
    found = json.loads(raw)
    assert found["uid"] != 0
    assert not found["pip"]
    for step in STEPS:
        assert {f"notebooks/{step}.ipynb", f"notebooks/{step}.py"} <= set(found["files"])
    assert "step-functions.json" in found["files"]
    assert not [name for name in found["files"] if any(bad in name for bad in (".env", ".zip", "scenarios"))]


def copy(scenarios: Path, name: str) -> Path:
    """A scenario with the inputs of ``cairns`` and no results."""
    target = scenarios / name
    shutil.copytree(ROOT / "examples" / "quetzal-cairns" / "scenarios" / "base", target)
    for path in [target, *target.rglob("*")]:
        path.chmod(0o777 if path.is_dir() else 0o666)
    return target
