import pytest

from sandbox.providers.docker import dockerfile

OFFICIAL = "python:3.13-slim-trixie"
OURS = "benchtop/python:3.13-trixie-abc"


def test_the_default_of_a_global_argument_is_mapped_to_our_base_image() -> None:
    parsed = dockerfile.parse(f"# about\nARG BASE_IMAGE={OFFICIAL}\nFROM ${{BASE_IMAGE}}\nRUN true\n")
    mapped = parsed.mapped_arguments({OFFICIAL: OURS}, {})
    assert mapped == {"BASE_IMAGE": OURS}
    assert parsed.base_images(mapped) == [OURS]
    assert parsed.base_images({}) == [OFFICIAL]


def test_the_users_own_argument_wins_over_the_map() -> None:
    parsed = dockerfile.parse(f"ARG BASE={OFFICIAL}\nFROM $BASE\n")
    assert parsed.mapped_arguments({OFFICIAL: OURS}, {"BASE": "mine:1"}) == {}
    assert parsed.base_images({"BASE": "mine:1"}) == ["mine:1"]


def test_an_argument_after_from_is_not_mapped() -> None:
    parsed = dockerfile.parse(f"FROM scratch\nARG BASE={OFFICIAL}\n")
    assert parsed.mapped_arguments({OFFICIAL: OURS}, {}) == {}
    assert parsed.base_images({}) == []


def test_quotes_continued_lines_and_several_arguments_in_one() -> None:
    parsed = dockerfile.parse(
        'ARG VERSION="3.13" \\\n  # comment\n  SUITE=trixie\nFROM python:${VERSION}-slim-$SUITE AS base\n'
    )
    assert parsed.base_images({}) == [OFFICIAL]
    assert parsed.base_images({"SUITE": "bookworm"}) == ["python:3.13-slim-bookworm"]


def test_an_argument_may_use_an_earlier_one() -> None:
    parsed = dockerfile.parse("ARG V=3.13\nARG BASE=python:${V}-slim-trixie\nFROM $BASE\n")
    assert parsed.mapped_arguments({OFFICIAL: OURS}, {}) == {"BASE": OURS}


def test_stages_are_no_base_images_and_the_target_ends_the_search() -> None:
    parsed = dockerfile.parse(
        "FROM one AS Build\nFROM two AS test\nCOPY --from=build /a /a\n"
        "FROM build\nFROM --platform=linux/arm64 three\n"
    )
    assert parsed.base_images({}) == ["one", "two", "three"]
    assert parsed.base_images({}, target="test") == ["one", "two"]


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("a:${X:-1}", {}, "a:1"),
        ("a:${X:-1}", {"X": "2"}, "a:2"),
        ("a${X:+-slim}", {"X": "yes"}, "a-slim"),
        ("a${X:+-slim}", {}, "a"),
        ("$A/$B:${C}", {"A": "h", "B": "i", "C": "j"}, "h/i:j"),
    ],
)
def test_variables_of_from(text: str, values: dict[str, str], expected: str) -> None:
    assert dockerfile.expand(text, values) == expected


def test_the_escape_directive_changes_the_continuation() -> None:
    parsed = dockerfile.parse("# escape=`\nARG A=1 `\n  B=2\nFROM x:$B\n")
    assert parsed.base_images({}) == ["x:2"]


def test_the_body_of_a_here_document_is_not_read() -> None:
    parsed = dockerfile.parse("FROM one\nRUN <<END\nFROM two\nEND\n")
    assert parsed.base_images({}) == ["one"]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "ARG A=1\n"])
def test_without_from_it_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no FROM"):
        dockerfile.parse(text)


INDEX = {"PIP_INDEX_URL": "https://user:secret@index.example/simple"}


def test_the_package_index_is_passed_to_a_stage_that_leaves_no_trace() -> None:
    parsed = dockerfile.parse("FROM a AS build\nARG PIP_INDEX_URL\nRUN x\nFROM a\nCOPY --from=build /v /v\n")
    assert parsed.index_arguments(INDEX) == INDEX


@pytest.mark.parametrize(
    "text",
    [
        "FROM a\nARG PIP_INDEX_URL\nRUN x\n",
        "FROM a AS build\nARG PIP_INDEX_URL\nRUN x\nFROM build\n",
        "FROM a AS build\nRUN x\nFROM a\n",
    ],
)
def test_the_package_index_is_not_passed_where_it_would_stay_in_the_history(text: str) -> None:
    assert dockerfile.parse(text).index_arguments(INDEX) == {}


def test_the_target_decides_which_stage_is_the_final_one() -> None:
    parsed = dockerfile.parse("FROM a AS build\nARG PIP_INDEX_URL\nFROM a AS run\n")
    assert parsed.index_arguments(INDEX, target="build") == {}
    assert parsed.index_arguments(INDEX, target="run") == INDEX
