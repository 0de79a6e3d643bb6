"""Nothing is lost and nothing is done twice when a run is interrupted, whenever that is."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.projections_model_runs import IMAGE, chosen, data_folder, module, request

blocks, checkpoint, document, errors = (
    module(name) for name in ("blocks", "checkpoint", "document", "errors")
)
simulation, storage = module("simulation"), module("storage")
CURVES = ("Cumulative", "Epidemic", "Hospitalized", "ICU", "Fatalities")
DRAWS = 1700  # three whole blocks and a part


@pytest.fixture
def data(tmp_path: Path) -> Any:
    return storage.FolderStorage(data_folder(tmp_path / "data"))


@pytest.fixture
def store(tmp_path: Path) -> Any:
    return storage.FolderStorage(tmp_path / "store")


def wanted(**fields: Any) -> Any:
    return document.Request.of(request(chosen(**{"nDraws": DRAWS} | fields)))


def simulate(
    of: Any, data: Any, store: Any, stop_after: int | None = None, interval_s: float = 60
) -> tuple[Any, int]:
    """The output (``None``: interrupted) and the number of blocks that were simulated."""
    stop, done = simulation.Stop(), 0

    def on_block() -> None:
        nonlocal done
        done += 1
        if done == stop_after:
            stop.ask(errors.Interrupted)

    try:
        found = simulation.run(
            of, data, store, stop, simulation.Progress(0), interval_s=interval_s, on_block=on_block
        )
    except errors.Interrupted:
        return None, done
    return found, done


def curves(output: Any) -> Any:
    return {name: output[name] for name in CURVES}


def test_the_output_has_all_keys_and_ordered_bands(data: Any) -> None:
    found, done = simulate(wanted(), data, None)
    assert done == 4
    assert found["start_date"] == "2022-01-01" == found["days"][0]
    assert (found["status"], found["sim_time"], len(found["Confirmed"])) == ("complete", 28, 579)
    assert found["Deaths"] == [None] * 579
    for name in CURVES:
        assert list(found[name]) == found["days"]
        assert all(0 <= low <= middle <= high for low, middle, high in found[name].values())
    cumulative = list(found["Cumulative"].values())
    assert cumulative[0][0] >= found["Confirmed"][-1]
    for earlier, later in itertools.pairwise(cumulative):
        assert all(before <= after for before, after in zip(earlier, later, strict=True))
    assert all(found["ICU"][day][1] <= found["Hospitalized"][day][1] for day in found["days"])
    assert json.loads(simulation.encode(found)) == found


def test_bands_are_percentiles_of_all_draws(data: Any) -> None:
    found, _ = simulate(wanted(), data, None)
    projection = blocks.Projection(wanted().chosen, simulation.observations(wanted(), data))
    draws = np.concatenate([projection.block(number) for number in range(4)], axis=2)
    for number, name in enumerate(CURVES):
        expected = np.percentile(draws[number], (5, 50, 95), axis=1).T
        assert np.allclose(list(found[name].values()), expected, atol=0.001)


@pytest.mark.parametrize("boundary", [1, 2, 3, 4])
def test_an_interruption_after_any_block_changes_nothing(data: Any, store: Any, boundary: int) -> None:
    whole, _ = simulate(wanted(), data, None)
    assert simulate(wanted(), data, store, stop_after=boundary) == (None, boundary)
    resumed, done = simulate(wanted(), data, store)
    assert done == 4 - boundary  # nothing twice
    assert curves(resumed) == curves(whole)


def test_an_attempt_for_each_block_stores_each_block_once(data: Any, store: Any) -> None:
    for number in range(4):
        assert simulate(wanted(), data, store, stop_after=1) == (None, 1)
        assert len(store.list(f"runs/{wanted().id}/checkpoints/")) == number + 1
    resumed, done = simulate(wanted(), data, store)
    assert done == 0
    assert curves(resumed) == curves(simulate(wanted(), data, None)[0])


def test_checkpoints_are_written_meanwhile_and_only_new_blocks(data: Any, store: Any) -> None:
    simulate(wanted(), data, store, interval_s=0)
    names = [Path(key).name for key in store.list(f"runs/{wanted().id}/checkpoints/")]
    assert names == ["00000-00000.npz", "00001-00001.npz", "00002-00002.npz"]


def spoil(content: bytes, how: str) -> bytes:
    middle = len(content) // 2
    return {
        "cut": content[:middle],
        "flipped": content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :],
        "empty": b"",
        "rubbish": b"PK\x03\x04" + b"x" * 500,
    }[how]


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "rubbish"])
def test_a_damaged_checkpoint_is_computed_again(data: Any, store: Any, how: str) -> None:
    simulate(wanted(), data, store, stop_after=2)
    (key,) = store.list(f"runs/{wanted().id}/checkpoints/")
    store.write(key, spoil(store.read(key), how))
    found, done = simulate(wanted(), data, store)
    assert done == 4
    assert curves(found) == curves(simulate(wanted(), data, None)[0])


def test_a_checkpoint_of_other_inputs_or_another_version_is_not_trusted(
    data: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = wanted(quarantine_percent=75)
    simulate(other, data, store, stop_after=3)
    shutil.copytree(store.root / "runs" / other.id, store.root / "runs" / wanted().id)
    assert simulate(wanted(), data, store, stop_after=4) == (None, 4)
    monkeypatch.setenv("MODEL_VERSION", "next")
    assert simulate(wanted(), data, store, stop_after=4) == (None, 4)
    assert simulate(wanted(), data, store)[1] == 0
    monkeypatch.undo()
    (store.root / "runs" / wanted().id / "checkpoints" / "00000-00003.npz").rename(
        store.root / "runs" / wanted().id / "checkpoints" / "00001-00003.npz"
    )
    assert simulate(wanted(), data, store)[1] == 4


def test_large_runs_are_stored_in_several_objects(store: Any) -> None:
    spans = blocks.spans(200_000)
    saved = checkpoint.Checkpoints(
        storage=store, prefix="runs/x/checkpoints/", identity="i", spans=spans, days=365
    )
    groups = list(saved.groups([*range(0, 20), *range(30, 40)]))
    assert [block for group in groups for block in group] == [*range(0, 20), *range(30, 40)]
    assert all(group == list(range(group[0], group[-1] + 1)) and len(group) <= 6 for group in groups)
    counts = np.random.default_rng(1).integers(0, 2**31 - 1, (5, 365, 1000)).astype(np.int32)
    saved.save([4, 5], counts)
    ((loaded, found),) = list(saved.load())
    assert loaded == [4, 5]
    assert (found == counts).all()


def test_a_real_process_that_gets_sigterm_again_and_again(data: Any, tmp_path: Path) -> None:
    """Each attempt is told to stop as soon as it has stored something new; the last one is left alone."""
    of = wanted(nDraws=6000, sim_length=60)
    folder = tmp_path / "store" / "runs" / of.id / "checkpoints"
    (tmp_path / "request.json").write_text(json.dumps(request(of.chosen)))
    command = [sys.executable, "-m", "projections_model", "run", str(tmp_path / "request.json")]
    command += ["--data", str(data.root), "--store", str(tmp_path / "store")]
    command += ["--output", str(tmp_path / "out.json"), "--checkpoint-s", "0.02"]
    environment = {**os.environ, "PYTHONPATH": str(IMAGE)}
    codes: list[int | None] = []
    while len(codes) < 40:
        before = len(list(folder.glob("*.npz"))) if folder.is_dir() else 0
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and len(codes) < 6:
            if folder.is_dir() and len(list(folder.glob("*.npz"))) > before:
                told = time.monotonic()
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=30)
                assert time.monotonic() - told < 5
            time.sleep(0.01)
        _, said = process.communicate(timeout=60)
        codes.append(process.returncode)
        assert process.returncode in (0, 75), said
        if process.returncode == 0:
            break
    assert codes[-1] == 0
    assert codes.count(75) >= 3, codes
    spans = [tuple(map(int, re.findall(r"\d+", path.stem))) for path in sorted(folder.glob("*.npz"))]
    held = [block for first, last in spans for block in range(first, last + 1)]
    assert len(held) == len(set(held))  # no block was finished twice
    found = json.loads((tmp_path / "out.json").read_text())
    assert curves(found) == curves(simulate(of, data, None)[0])


def test_the_command_says_in_one_line_what_is_wrong(data: Any, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(json.dumps(request(chosen(county=["Atlantis"]))))
    command = [sys.executable, "-m", "projections_model", "run", str(tmp_path / "request.json"), "--data"]
    environment = {**os.environ, "PYTHONPATH": str(IMAGE)}
    found = subprocess.run(
        [*command, str(data.root)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert found.returncode == 1
    assert "county: unknown in Massachusetts: 'Atlantis', allowed are Barnstable, Berkshire" in found.stderr
    assert "Traceback" not in found.stderr
