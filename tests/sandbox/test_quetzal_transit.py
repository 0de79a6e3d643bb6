"""The real model on the real bus network, as ``./dev up quetzal`` does it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.sandbox.conftest import Probes
from tests.sandbox.workspace import Stack

BASE = "examples/quetzal-cairns/scenarios/base"


@pytest.fixture(scope="module")
def cairns(project: Path, sandbox_env: dict[str, str]) -> Iterator[Probes]:
    stack = Stack(project, "quetzal-transit", sandbox_env)
    stack.configure({"quetzal:models": {"transit": {"source": "transit", "base_scenario": BASE}}})
    stack.up()
    deployed = Probes(stack, stack.outputs())
    for name in ("base", "demo"):
        uploaded = deployed.ops("transit", "scenario", "upload", BASE, name)
        assert uploaded.code == 0, uploaded.output
    yield deployed
    stack.remove()


def test_cairns_runs_from_feed_to_map(cairns: Probes, tmp_path: Path) -> None:
    run = cairns.ops("transit", "run", "demo", "--follow", "--json")
    assert run.code == 0, run.output
    steps = json.loads(run.stdout)["steps"]
    assert [step["status"] for step in steps] == ["SUCCESS"] * 4

    shown = cairns.ops("transit", "outputs", "demo", "--to", str(tmp_path))
    assert shown.code == 0, shown.output
    assert "map.png" in shown.output
    picture = next(tmp_path.rglob("map.png")).read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(picture) > 50_000, "a map of a network is no empty canvas"

    links = load(tmp_path, "links.geojson")
    nodes = load(tmp_path, "nodes.geojson")
    assert 300 <= len(nodes) <= 416, "the feed has 416 stops, of which a weekday morning serves most"
    expected = {
        "trip_id", "route_id", "agency_id", "direction_id", "a", "b", "shape_dist_traveled", "link_sequence",
        "time#am", "headway#am", "speed#am", "pickup_type", "drop_off_type", "route_short_name",
        "route_long_name", "route_type", "route_color", "length",
    }  # fmt: skip
    assert expected <= set(links[0]["properties"])
    headways = sorted(link["properties"]["headway#am"] / 60 for link in links)
    assert 5 <= headways[len(headways) // 2] <= 120, "minutes between buses on a weekday morning"
    speeds = sorted(link["properties"]["speed#am"] for link in links)
    assert 15 <= speeds[len(speeds) // 2] <= 60, "km/h of a bus in a town"
    known = {node["properties"]["index"] for node in nodes}
    assert {link["properties"][end] for link in links for end in ("a", "b")} <= known
    for node in nodes:
        longitude, latitude = node["geometry"]["coordinates"]
        assert 145 < longitude < 146.5, "Cairns"
        assert -17.6 < latitude < -16.4, "Cairns"

    bucket = cairns.models["transit"]["bucket"]
    log = boto3.client("s3").get_object(Bucket=bucket, Key="demo/logs/import_gtfs.txt")
    assert log["Body"].read()


def load(folder: Path, name: str) -> list[dict[str, Any]]:
    features: list[dict[str, Any]] = json.loads(next(folder.rglob(name)).read_text())["features"]
    return features
