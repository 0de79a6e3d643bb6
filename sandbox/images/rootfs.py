"""Makes a minimal Debian system in a folder with debootstrap, and cleans it for use as an image."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from sandbox.images.recipes import COMMON_PACKAGES, Recipe

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
"""Keys that the packages are checked with; the host's, when it's a Debian or has debian-archive-keyring."""

DEFAULT_MIRROR = "http://deb.debian.org/debian"
DEBOOTSTRAP_TIMEOUT_S = 900
COMMAND_TIMEOUT_S = 300
PROGRESS_EVERY_S = 5.0
IMAGE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BUNDLE_IN_IMAGE = "/etc/ssl/certs/ca-certificates.crt"

Say = Callable[[str], None]

# Like the official slim images: documentation and translations away, licences kept.
SLIM_EXCLUDES = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/lintian/*",
)
_EMPTIED = (
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
    "var/cache/apt",
    "var/cache/debconf",
    "var/lib/apt/lists",
    "var/log",
    "tmp",
    "run",
)


class ImageError(Exception):
    """A base image can't be made; the message is one line for the user."""


def architecture() -> str:
    """Debian's name for this machine's architecture."""
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    machine = os.uname().machine
    return names.get(machine, machine)


def require_root(recipe: Recipe) -> None:
    """One clear line when this machine can't run debootstrap."""
    if sys.platform != "linux" or os.geteuid() != 0:
        raise ImageError(
            f"{recipe.official}: Docker Hub can't give it, and making an equal image needs root on Linux: "
            f"run `docker pull {recipe.official}` where the hub answers, or this as root"
        )


def mirrors() -> list[tuple[str, str]]:
    """(Debian mirror, its security counterpart), in order: what this machine's apt uses, then Debian's own.

    A mirror with a password in its URL is left out, as the URL stays in the image's apt sources.
    """
    default = (DEFAULT_MIRROR, f"{DEFAULT_MIRROR}-security")
    if shutil.which("apt-get") is None:
        return [default]
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI) $(RELEASE)", "Created-By: Packages"],
        capture_output=True, text=True, timeout=30, check=False,
    ).stdout  # fmt: skip
    rows = [line.split() for line in listed.splitlines() if line.startswith("Debian ")]
    usable = [(r[1].rstrip("/"), r[2]) for r in rows if len(r) == 3 and "@" not in urlsplit(r[1]).netloc]
    main = next((uri for uri, release in usable if "-" not in release), None)
    security = next((uri for uri, release in usable if release.endswith("-security")), default[1])
    found = [(main, security)] if main and main.startswith(("http://", "https://")) else []
    return [*found, *([default] if (main or "") != DEFAULT_MIRROR else [])]


def host_environment() -> dict[str, str]:
    """Environment for debootstrap: this process's, and apt's proxy where no other is set."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    env["PATH"] = env.get("PATH", "") + ":/usr/sbin:/sbin"
    if "http_proxy" not in env and shutil.which("apt-config"):
        answer = subprocess.run(
            ["apt-config", "shell", "PROXY", "Acquire::http::Proxy"],
            capture_output=True, text=True, timeout=30, check=False,
        ).stdout  # fmt: skip
        found = re.search(r"PROXY='(http[^']+)'", answer)
        if found:
            env["http_proxy"] = found.group(1)
    return env


def make(recipe: Recipe, root: Path, debs: Path, extras: Mapping[str, str], log: Path, say: Say) -> None:
    """A finished system in ``root``, ready to be packed.

    debs: folder that keeps downloaded packages for the next time; extras: certificates to trust, by hash;
    log: file that the tools' whole output is appended to. Raises ImageError.
    """
    debs.mkdir(parents=True, exist_ok=True)
    tried: list[str] = []
    for mirror, security in mirrors():
        say(f"{recipe.official}: debootstrap {recipe.suite} from {mirror}")
        command = [
            "debootstrap", "--variant=minbase", f"--cache-dir={debs}",
            f"--include={','.join((*COMMON_PACKAGES, *recipe.packages))}",
            recipe.suite, str(root), mirror,
        ]  # fmt: skip
        failure = _run_logged(command, host_environment(), log, say, DEBOOTSTRAP_TIMEOUT_S, recipe.official)
        if failure is None:
            _configure(recipe, root, mirror, security)
            break
        tried.append(f"{mirror}: {failure}")
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
    else:
        raise ImageError(f"{recipe.official}: debootstrap failed ({'; '.join(tried)}); see {log}")

    say(f"{recipe.official}: setting up and cleaning")
    if extras:
        folder = root / "usr/local/share/ca-certificates"
        folder.mkdir(parents=True, exist_ok=True)
        for key, pem in extras.items():
            (folder / f"host-{key[:16]}.crt").write_text(pem)
        _inside(root, "update-ca-certificates", log, recipe.official)
    for path, text in recipe.scripts.items():
        script = root / path.lstrip("/")
        script.write_text(text)
        script.chmod(0o755)
    for command_line in recipe.setup:
        _inside(root, command_line, log, recipe.official)
    _inside(root, recipe.check, log, recipe.official)
    clean(root)


def _configure(recipe: Recipe, root: Path, mirror: str, security: str) -> None:
    """Package management of the new system, as Debian's own container images have it."""
    sources = root / "etc/apt/sources.list"
    sources.unlink(missing_ok=True)
    signed = f"Signed-By: {KEYRING}\n"
    suites = f"{recipe.suite} {recipe.suite}-updates"
    (root / "etc/apt/sources.list.d/debian.sources").write_text(
        f"Types: deb\nURIs: {mirror}\nSuites: {suites}\nComponents: main\n{signed}\n"
        f"Types: deb\nURIs: {security}\nSuites: {recipe.suite}-security\nComponents: main\n{signed}"
    )
    excludes = [*SLIM_EXCLUDES, *(f"path-exclude={pattern}" for pattern in recipe.exclude)]
    (root / "etc/dpkg/dpkg.cfg.d/image").write_text("\n".join(excludes) + "\n")
    # No daemon starts while packages are installed in an image, and apt keeps nothing it can fetch again.
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    (root / "etc/apt/apt.conf.d/image-clean").write_text(
        'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };\n'
        'Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";\nAcquire::Languages "none";\n'
    )


def clean(root: Path) -> None:
    """Takes out what an image doesn't need, and what debootstrap copied from this machine."""
    for folder in _EMPTIED:
        _empty(root / folder)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True, exist_ok=True)
    (root / "var/lib/apt/lists/partial").mkdir(parents=True, exist_ok=True)
    for file in (root / "usr/share/doc").rglob("*"):
        if not file.is_dir() and file.name != "copyright":
            file.unlink()
    for stale in (*(root / "var/lib/dpkg").glob("*-old"), *(root / "etc").glob("*-")):
        stale.unlink()
    # debootstrap copies this machine's name and resolver.
    for name in ("etc/hostname", "etc/resolv.conf"):
        (root / name).unlink(missing_ok=True)


def pack(root: Path) -> Iterator[bytes]:
    """The system as a tar stream, without what the container runtime mounts itself. Raises ImageError."""
    command = ["tar", "--numeric-owner", "--sort=name", "-C", str(root), "-c"]
    command += [f"--exclude=./{folder}/*" for folder in ("dev", "proc", "sys")] + ["."]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as packer:
        assert packer.stdout is not None
        while chunk := packer.stdout.read(1 << 20):
            yield chunk
    if packer.returncode:
        raise ImageError(f"tar of {root} ended with status {packer.returncode}")


def _empty(folder: Path) -> None:
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _inside(root: Path, command: str, log: Path, name: str) -> None:
    """Runs a shell command in the new system, with nothing of this machine's environment."""
    env = {"PATH": IMAGE_PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    with log.open("ab") as out:
        out.write(f"$ {command}\n".encode())
        out.flush()
        try:
            done = subprocess.run(
                ["chroot", str(root), "/bin/sh", "-euc", command],
                env=env, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                timeout=COMMAND_TIMEOUT_S, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise ImageError(
                f"{name}: {command!r} took longer than {COMMAND_TIMEOUT_S} s; see {log}"
            ) from error
    if done.returncode:
        raise ImageError(f"{name}: {command!r} ended with status {done.returncode}; see {log}")


def _run_logged(
    command: list[str], env: Mapping[str, str], log: Path, say: Say, timeout_s: int, name: str
) -> str | None:
    """Runs a long tool, its output in ``log`` and a line of it now and then on the screen.

    None when it succeeded, else the last thing it said.
    """
    started = said = time.monotonic()
    last = ""
    with log.open("a") as out:
        out.write(f"$ {' '.join(command)}\n")
        process = subprocess.Popen(
            ["timeout", "--kill-after=10", str(timeout_s), *command],
            env=dict(env), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            for line in process.stdout:
                out.write(line)
                last = line.strip() or last
                now = time.monotonic()
                if now - said >= PROGRESS_EVERY_S:
                    said = now
                    say(f"{name}: {last.removeprefix('I: ')} ({now - started:.0f} s)")
            status = process.wait()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if status == 124:
        return f"took longer than {timeout_s} s"
    return None if status == 0 else (last.removeprefix("E: ") or f"status {status}")
