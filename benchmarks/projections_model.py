"""How fast the projections' model is: draws a second on one core, and the memory it takes.

    python benchmarks/projections_model.py [--draws 50000] [--days 56] [--runs 3] [--json FILE]

Runs the model's own command on a county of the example, pinned to one core, from the start of Python to the
output document. Exit codes: 0 measured, 1 the command failed or took longer than it may, 2 wrong arguments.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
IMAGE = ROOT / "containers" / "projections-model"
SOURCE = ROOT / "examples" / "projections-new-england" / "source"
sys.path[:0] = [str(ROOT), str(IMAGE)]

from projections_inputs import ModelInput  # noqa: E402 (found by the line above)

from benchmarks.timing import CommandError, Spread, run  # noqa: E402

LIMIT_S = 20.0
"""What 50,000 draws of 56 days may take on one core."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Time the projections' model on one core.")
    parser.add_argument("--draws", type=int, default=50_000)
    parser.add_argument("--days", type=int, default=56)
    parser.add_argument(
        "--county", action="append", help="of Massachusetts; may be repeated; default Middlesex"
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="every single measurement")
    chosen = parser.parse_args()
    if chosen.runs < 1:
        parser.error("--runs: must be 1 or more")
    newest = json.loads((SOURCE / "commits.json").read_text())[0]["sha"]
    fields = {"state": "Massachusetts", "county": chosen.county or ["Middlesex"], "data_hash": newest}
    try:
        inputs = ModelInput.model_validate({**fields, "nDraws": chosen.draws, "sim_length": chosen.days})
    except ValueError as error:
        parser.error(str(error))
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        try:
            found = _measure(inputs, newest, Path(folder), chosen.runs)
        except CommandError as error:
            print(error, file=sys.stderr)
            return 1
    _print(found, chosen.draws, chosen.days)
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=1) + "\n")
    usual = (chosen.draws, chosen.days) == (50_000, 56)
    return 1 if usual and found["seconds"][0] > LIMIT_S else 0


def _measure(inputs: ModelInput, newest: str, folder: Path, runs: int) -> dict[str, Any]:
    data = folder / "hashes" / newest
    data.mkdir(parents=True)
    for name in ("confirmed", "deaths"):
        shutil.copyfile(SOURCE / newest / f"time_series_covid19_{name}_US.csv", data / f"{name}.csv")
    document = {
        "id": inputs.run_id(),
        "model_input": inputs.as_dict(),
        "data": {name: f"hashes/{newest}/{name}.csv" for name in ("confirmed", "deaths")},
    }
    (folder / "request.json").write_text(json.dumps(document))
    command: list[str | Path] = [sys.executable, "-m", "projections_model", "run", folder / "request.json"]
    command += ["--data", folder, "--output", folder / "output.json"]
    environment = {**os.environ, "PYTHONPATH": str(IMAGE)}
    seconds, cpu, simulating = [], [], []
    for _ in range(runs):
        timing = run(command, environment=environment, folder=folder, timeout_s=600)
        seconds.append(timing.seconds)
        cpu.append(timing.cpu_seconds)
        simulating.append(json.loads((folder / "output.json").read_text())["sim_seconds"])
    return {
        "seconds": sorted(seconds),
        "cpu_seconds": sorted(cpu),
        "sim_seconds": sorted(simulating),
        "peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def _print(found: dict[str, Any], draws: int, days: int) -> None:
    simulating = Spread.of(found["sim_seconds"])
    runs = len(found["seconds"])
    print(f"{draws} draws of {days} days on one core, {runs} runs; median (range) in seconds")
    print(f"  from start to output document  {Spread.of(found['seconds'])}")
    print(f"  CPU of that                    {Spread.of(found['cpu_seconds'])}")
    print(f"  CPU of the simulation          {simulating}")
    print(f"  throughput                     {draws / simulating.median:.0f} draws/s/core,", end=" ")
    print(f"{draws * days / simulating.median / 1e6:.2f} million draw-days/s/core")
    print(f"  peak memory                    {found['peak_mb']:.0f} MB")


if __name__ == "__main__":
    sys.exit(main())
