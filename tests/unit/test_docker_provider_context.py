import os
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.providers.docker import context


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "image"
    (root / "src" / "deep").mkdir(parents=True)
    (root / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (root / "src" / "a.py").write_text("print(1)\n")
    (root / "src" / "deep" / "b.txt").write_text("b")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("src/a.py")
    (root / "build.log").write_text("noise")
    (root / ".dockerignore").write_text("# noise\n*.log\n\n")
    return root


def digest(root: Path, dockerfile: Path | None = None, **settings: object) -> str:
    return context.digest(context.load(root, dockerfile or root / "Dockerfile"), settings)


def names(root: Path, dockerfile: Path | None = None) -> set[str]:
    return {entry.path for entry in context.load(root, dockerfile or root / "Dockerfile").entries}


def touch(root: Path) -> None:
    for path in root.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)


def chmod_group(root: Path) -> None:
    (root / "src" / "a.py").chmod(0o600)


def edit_ignored(root: Path) -> None:
    (root / "build.log").write_text("other noise")
    (root / "new.log").write_text("more")


@pytest.mark.parametrize("change", [touch, chmod_group, edit_ignored])
def test_what_does_not_change_the_digest(folder: Path, change: Callable[[Path], None]) -> None:
    before = digest(folder)
    change(folder)
    assert digest(folder) == before


def edit(root: Path) -> None:
    (root / "src" / "a.py").write_text("print(2)\n")


def rename(root: Path) -> None:
    (root / "src" / "a.py").rename(root / "src" / "c.py")


def make_executable(root: Path) -> None:
    (root / "src" / "a.py").chmod(0o755)


def retarget(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("run.sh")


def add_folder(root: Path) -> None:
    (root / "empty").mkdir()


def edit_dockerfile(root: Path) -> None:
    (root / "Dockerfile").write_text("FROM scratch\n")


@pytest.mark.parametrize("change", [edit, rename, make_executable, retarget, add_folder, edit_dockerfile])
def test_what_changes_the_digest(folder: Path, change: Callable[[Path], None]) -> None:
    before = digest(folder)
    change(folder)
    assert digest(folder) != before


def test_settings_are_part_of_the_digest_and_the_folders_name_is_not(folder: Path, tmp_path: Path) -> None:
    before = digest(folder, target="x")
    assert digest(folder, target="y") != before
    moved = folder.rename(tmp_path / "elsewhere")
    assert digest(moved, target="x") == before


def test_contents_and_names_cannot_be_confused(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "ab").write_text("c")
    before = digest(tmp_path)
    (tmp_path / "ab").unlink()
    (tmp_path / "a").write_text("bc")
    assert digest(tmp_path) != before


def test_ignore_rules_as_docker_has_them(folder: Path) -> None:
    (folder / ".dockerignore").write_text("*\n!src\nsrc/deep\nDockerfile\n")
    found = names(folder)
    # The Dockerfile is sent even when ignored: the engine needs it, and leaves it out of COPY.
    assert found == {"src", "src/a.py", "Dockerfile", ".dockerignore"}


def test_the_dockerfiles_own_ignore_file_comes_first(folder: Path) -> None:
    (folder / "Dockerfile.dockerignore").write_text("src\n")
    found = names(folder)
    assert "src/a.py" not in found
    assert "build.log" in found


def test_a_dockerfile_from_elsewhere_travels_under_another_name(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "Other"
    outside.write_text("FROM scratch\n")
    loaded = context.load(folder, outside)
    assert loaded.dockerfile.startswith(".dockerfile.")
    assert loaded.extra[loaded.dockerfile] == b"FROM scratch\n"
    assert loaded.dockerfile in loaded.extra[".dockerignore"].decode()
    with tempfile.TemporaryFile() as file:
        context.pack(loaded, file)
        file.seek(0)
        with tarfile.open(fileobj=file) as tar:
            packed = tar.getnames()
    assert packed.count(".dockerignore") == 1
    assert loaded.dockerfile in packed


def test_the_tar_is_the_same_after_a_touch_and_safe_for_zip_files(folder: Path) -> None:
    def packed() -> bytes:
        with tempfile.TemporaryFile() as file:
            context.pack(context.load(folder, folder / "Dockerfile"), file)
            file.seek(0)
            return file.read()

    before = packed()
    touch(folder)
    assert packed() == before
    with tempfile.TemporaryFile() as file:
        file.write(before)
        file.seek(0)
        with tarfile.open(fileobj=file) as tar:
            members = {member.name: member for member in tar}
    assert all(m.uid == m.gid == 0 and m.mtime == context.FIXED_MTIME for m in members.values())
    assert (members["run.sh"].mode, members["src/a.py"].mode, members["src"].mode) == (0o755, 0o644, 0o755)
    assert members["link"].issym()
    assert members["link"].linkname == "src/a.py"


def test_sockets_and_pipes_are_left_out(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert "pipe" not in names(folder)
