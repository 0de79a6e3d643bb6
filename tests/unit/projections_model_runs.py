"""Requests, data and a run table for the tests of the projections' model; real counties of the example."""

import csv
import datetime
import importlib
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from sandbox.paths import ROOT

IMAGE = ROOT / "containers" / "projections-model"
SOURCE = ROOT / "examples" / "projections-new-england" / "source"
HASH = json.loads((SOURCE / "commits.json").read_text())[0]["sha"]

if str(IMAGE) not in sys.path:
    sys.path.insert(0, str(IMAGE))
inputs = importlib.import_module("projections_inputs")


def module(name: str) -> Any:
    """A module of the model; it lives in an image, not in our environment."""
    return importlib.import_module(f"projections_model.{name}")


def chosen(**fields: Any) -> Any:
    """`ModelInput` of Middlesex, small enough for a test."""
    small = {
        "state": "Massachusetts",
        "county": ["Middlesex"],
        "data_hash": HASH,
        "nDraws": 500,
        "sim_length": 28,
    }
    return inputs.ModelInput.model_validate(small | fields)


def request(model_input: Any, **fields: Any) -> dict[str, Any]:
    """The document that the site writes."""
    run_id = model_input.run_id()
    return {
        "id": run_id,
        "timestamp": "2026-11-21T13:00:00.000Z",
        "model_input": model_input.as_dict(),
        "replicate": 0,
        "model_output": f"runs/{run_id}/output.json",
        "capacity_provider": "FARGATE",
        "webhook_url": None,
        "progress_delay": 0,
        "data": {name: f"hashes/{HASH}/{name}.csv" for name in ("confirmed", "deaths")},
        **fields,
    }


def data_folder(root: Path) -> Path:
    """``root`` with the newest data files of the example, by their keys in the bucket."""
    folder = root / "hashes" / HASH
    folder.mkdir(parents=True)
    for name in ("confirmed", "deaths"):
        shutil.copyfile(SOURCE / HASH / f"time_series_covid19_{name}_US.csv", folder / f"{name}.csv")
    return root


def observed(cumulative: list[int | None], population: int = 1_000_000, deaths: Any = None) -> Any:
    """Observations of a county that doesn't exist."""
    return module("observations").Observations(
        first=datetime.date(2020, 6, 1),
        confirmed=cumulative,
        deaths=deaths or [None] * len(cumulative),
        population=population,
    )


def jhu(rows: dict[str, list[Any]], population: int | str | None = None) -> bytes:
    """A file in JHU's form: county to cumulative counts from 2020-06-01 on, all in Massachusetts."""
    columns = ["UID", "iso2", "iso3", "code3", "FIPS", "Admin2", "Province_State", "Country_Region"]
    columns += ["Lat", "Long_", "Combined_Key"]
    first, length = datetime.date(2020, 6, 1), len(next(iter(rows.values())))
    days = [first + datetime.timedelta(number) for number in range(length)]
    people = [] if population is None else ["Population"]
    lines = [[*columns, *people, *(f"{day.month}/{day.day}/{day:%y}" for day in days)]]
    for county, counts in rows.items():
        place = f"{county}, Massachusetts, US"
        known = [
            "84025000",
            "US",
            "USA",
            "840",
            "25000",
            county,
            "Massachusetts",
            "US",
            "42.1",
            "-71.2",
            place,
        ]
        values = ["" if count is None else str(count) for count in counts]
        lines.append([*known, *([str(population)] if people else []), *values])
    text = []
    for line in lines:
        text.append(",".join(f'"{cell}"' if "," in cell else cell for cell in line))
    assert next(csv.reader(text[1:])), "not a CSV"
    return "\n".join(text).encode()


class RunTable:
    """One table, as far as the task uses it: conditional ``SET`` of one item."""

    def __init__(self, **item: Any) -> None:
        self.item: dict[str, Any] | None = item or None
        self.calls = 0

    def get_item(self, **_: Any) -> dict[str, Any]:
        return {"Item": self.item} if self.item is not None else {}

    def update_item(self, **call: Any) -> None:
        self.calls += 1
        values, names = call["ExpressionAttributeValues"], call["ExpressionAttributeNames"]
        attempt, states = call["ConditionExpression"].split(" AND ")
        assert attempt == "attempt = :attempt"
        assert states.startswith("#status IN (")
        allowed = [values[name] for name in states[len("#status IN (") : -1].split(", ")]
        item = self.item
        if item is None or item["attempt"] != values[":attempt"] or item["status"] not in allowed:
            error = {"Error": {"Code": "ConditionalCheckFailedException", "Message": "no"}}
            raise ClientError(error, "UpdateItem")
        expression = call["UpdateExpression"].removeprefix("SET ")
        end = "history = list_append(if_not_exists(history, :none), :note)"
        if expression.endswith(end):
            item["history"] = {"L": item.get("history", {"L": []})["L"] + values[":note"]["L"]}
            expression = expression.removesuffix(end).rstrip(", ")
        for part in expression.split(", "):
            name, value = part.split(" = ")
            item[names.get(name, name)] = values[value]
