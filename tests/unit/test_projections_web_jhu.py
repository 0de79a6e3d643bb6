"""What a file of case data must be: JHU CSSE's US time series, or nothing is loaded."""

import importlib
from pathlib import Path

import pytest

from tests.unit import projections_site
from tests.unit.projections_git_host import COLUMNS, CONFIRMED, DEATHS, blob, files, git_host

database = projections_site.database
models = importlib.import_module("covid.models")
jhu = importlib.import_module("covid.data.jhu")
load = importlib.import_module("covid.data.load")
sources = importlib.import_module("covid.data.sources")


def spoiled(old: str, new: str, *, of: str = CONFIRMED) -> dict[str, bytes]:
    made = files()
    text = made[of].decode()
    assert old in text
    return {**made, of: text.replace(old, new, 1).encode()}


BROKEN: dict[str, tuple[dict[str, bytes], str]] = {
    "HTML": ({**files(), CONFIRMED: b"<html></html>"}, "the header begins '<html></html>'"),
    "empty": ({**files(), DEATHS: b""}, "deaths: the header begins"),
    "bytes": ({**files(), CONFIRMED: b"\xff\xfe\x00"}, "no CSV"),
    "another column": (spoiled("Admin2", "County"), "the header begins"),
    "no population": (spoiled("Population,", "", of=DEATHS), "the header begins"),
    "no day": (spoiled("12/3/21", "Dec 3"), "column 'Dec 3' is no day"),
    "impossible day": (spoiled("12/3/21", "13/33/21"), "is no day"),
    "days out of order": (spoiled("12/3/21", "12/2/21"), "doesn't follow 2021-12-02"),
    "a day left out": (spoiled(",12/20/21", ",12/21/21"), "doesn't follow 2021-12-19"),
    "short row": (spoiled("-72.0,x,0,1,", "-72.0,x,0,"), "line 2: 30 columns, the header has 31"),
    "text for a number": (spoiled(",x,0,1,2,", ",x,0,one,2,"), "'one' is no count"),
    "negative": (spoiled(",x,0,1,2,", ",x,0,-1,2,"), "'-1' is no count"),
    "not a number": (spoiled(",x,0,1,2,", ",x,0,nan,2,"), "'nan' is no count"),
    "infinite": (spoiled(",x,0,1,2,", ",x,0,inf,2,"), "'inf' is no count"),
    "fraction": (spoiled(",x,0,1,2,", ",x,0,1.5,2,"), "'1.5' is no count"),
    "another country": (spoiled("County 1,Vermont,US", "County 1,Vermont,Canada"), "'Canada' is not US"),
    "twice": (spoiled("County 1", "County 0"), "County 0, Vermont is there twice"),
    "too few counties": (files(counties=4), "4 counties are in both files; expected at least 5"),
    "no days": ({**files(), CONFIRMED: f"{COLUMNS}\n".encode()}, "no column with a day"),
    "no numbers": ({**files(), CONFIRMED: f"{COLUMNS},12/1/21\n".encode()}, "confirmed cases: no numbers"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_is_not_jhus_series_is_refused(database: None, case: str) -> None:
    content, words = BROKEN[case]
    with git_host() as host:
        host.add(20)
        host.commits.insert(0, ("c" * 40, "2022-01-01T00:00:00Z", content))
        with pytest.raises(sources.DataError) as caught:
            load.add(sources.open_source(host.url, timeout_s=5))
    assert words in str(caught.value)
    assert str(caught.value).startswith("cccccccccccc of 2022-01-01: ")
    assert "\n" not in str(caught.value)
    for model in (models.HashValue, models.HashFile, models.County):
        assert not model.objects.exists()
    assert not list(projections_site.FILES.rglob("*.csv"))


def test_empty_cells_and_decimals_of_whole_numbers_are_fine(tmp_path: Path) -> None:
    made = spoiled(",x,0,1,2,", ",x,,1.0,2,")
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
    summary = jhu.check(tmp_path / CONFIRMED, tmp_path / DEATHS)
    assert (len(summary.places), str(summary.last_day)) == (6, "2021-12-20")


def test_the_last_day_is_the_last_with_a_number(tmp_path: Path) -> None:
    for name, content in files(20).items():
        lines = content.decode().splitlines()
        if name == CONFIRMED:
            lines[1:] = [",".join([*line.split(",")[:-2], "", ""]) for line in lines[1:]]
        (tmp_path / name).write_text("\n".join(lines))
    assert str(jhu.check(tmp_path / CONFIRMED, tmp_path / DEATHS).last_day) == "2021-12-18"


def test_blob_ids_are_gits() -> None:
    assert blob(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
