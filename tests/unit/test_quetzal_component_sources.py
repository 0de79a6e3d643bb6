"""What an image's digest depends on, and what it doesn't; what goes into a Lambda archive."""

import os
from pathlib import Path

import pytest

from components.parts import sources
from components.parts.function import archive


@pytest.fixture
def context(tmp_path: Path) -> Path:
    for name in (
        "Dockerfile",
        "app/main.py",
        "app/__pycache__/main.pyc",
        "data/big.bin",
        "data/keep.txt",
        ".env",
        "a/b/c.log",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_everything_counts_without_a_dockerignore(context: Path) -> None:
    assert set(sources.context_files(context)) == {
        ".env",
        "Dockerfile",
        "a/b/c.log",
        "app/__pycache__/main.pyc",
        "app/main.py",
        "data/big.bin",
        "data/keep.txt",
    }


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("data", {".env", "Dockerfile", "a/b/c.log", "app/__pycache__/main.pyc", "app/main.py"}),
        (
            "# comment\n\n**/__pycache__\n.env\n*.bin\n**/*.log",
            {"Dockerfile", "app/main.py", "data/big.bin", "data/keep.txt"},
        ),
        ("*\n!app/*.py", {"Dockerfile", "app/main.py"}),
        ("data/*\n!data/keep.txt\n.e?v\na\n/app/", {"Dockerfile", "data/keep.txt"}),
        ("**\n", {"Dockerfile"}),
        (
            "data/[a-c]*",
            {".env", "Dockerfile", "a/b/c.log", "app/__pycache__/main.pyc", "app/main.py", "data/keep.txt"},
        ),
    ],
)
def test_dockerignore_is_honoured(context: Path, text: str, left: set[str]) -> None:
    (context / ".dockerignore").write_text(text)
    assert set(sources.context_files(context)) - {".dockerignore"} == left


def test_the_dockerfiles_own_ignore_file_wins(context: Path) -> None:
    (context / ".dockerignore").write_text("app")
    (context / "Dockerfile.dockerignore").write_text("data")
    assert "app/main.py" in sources.context_files(context)
    assert "data/keep.txt" not in sources.context_files(context)


def test_times_and_ignored_files_change_nothing(context: Path) -> None:
    (context / ".dockerignore").write_text(".env")
    before = sources.digest(context)
    for path in context.rglob("*"):
        os.utime(path, (1, 1))
    (context / ".env").write_text("AWS_SECRET_ACCESS_KEY=x")
    assert sources.digest(context) == before


def test_content_name_arguments_and_executable_bit_change_the_digest(context: Path) -> None:
    digests = {sources.digest(context), sources.digest(context, arguments={"MODEL": "a"})}
    (context / "app/main.py").write_text("other")
    digests.add(sources.digest(context))
    (context / "app/main.py").rename(context / "app/mian.py")
    digests.add(sources.digest(context))
    (context / "app/mian.py").chmod(0o755)
    digests.add(sources.digest(context))
    assert len(digests) == 5


def test_an_archive_holds_python_files_under_the_packages_name(tmp_path: Path) -> None:
    package = tmp_path / "service"
    (package / "__pycache__").mkdir(parents=True)
    (package / "handler.py").write_text("x = 1\n")
    (package / "__pycache__" / "handler.cpython-313.pyc").write_text("")
    made = archive(package)
    assert list(made.assets) == ["service/handler.py"]
    assert made.assets["service/handler.py"].text == "x = 1\n"  # type: ignore[union-attr]


def test_an_empty_folder_is_no_function(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no Python files"):
        sources.python_files(tmp_path)
