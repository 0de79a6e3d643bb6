"""Pulumi's Python language host, for an engine that came without one.

The engine starts it as ``pulumi-language-python [flags] <engine address>``, reads a port from its first
line and speaks gRPC (``pulumirpc.LanguageRuntime``) with it. The stubs are those of the installed SDK.
Programs and plugins run as child processes, whose output goes where the engine listens.

Differences from the official host: ``toolchain: pip`` only, no type checker, no debugger, no generation of
code (`pulumi import` imports and says that it can't write the program text).
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sandbox.engine import pythons

_PROGRAM = str(Path(__file__).with_name("program.py"))
_MESSAGE_LIMIT = 400 * 1024 * 1024
"""Bytes in one message, as the engine has it."""
_PARENT_CHECK_S = 0.5


def _spawn_program(interpreter: pythons.Interpreter) -> subprocess.Popen[bytes]:
    """Start the process that will run a program, waiting for its request."""
    return subprocess.Popen(
        [str(interpreter.executable), "-u", _PROGRAM],
        stdin=subprocess.PIPE,
        env=interpreter.environment(os.environ),
    )


class _Children:
    """The processes we started; none may outlive us, or the engine waits for the pipes they hold."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()

    def add(self, child: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        with self._lock:
            self._running.add(child)
        return child

    def forget(self, child: subprocess.Popen[bytes]) -> None:
        with self._lock:
            self._running.discard(child)

    def kill(self) -> None:
        # No lock: also called from a signal handler, which may have interrupted the holder.
        for child in list(self._running):
            if child.poll() is None:
                child.kill()


CHILDREN = _Children()


def _load_stubs() -> None:
    """Make ``pulumi.runtime.proto`` importable without importing the SDK, which takes far longer."""
    spec = find_spec("pulumi")
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"the Pulumi SDK is not installed in {sys.prefix}; run ./dev up")
    folder = Path(next(iter(spec.submodule_search_locations)))
    for name, path in (
        ("pulumi", folder),
        ("pulumi.runtime", folder / "runtime"),
        ("pulumi.runtime.proto", folder / "runtime" / "proto"),
    ):
        module = types.ModuleType(name)
        module.__path__ = [str(path)]
        sys.modules[name] = module


def _options(info: Any) -> dict[str, Any]:
    """A request's runtime options as a plain mapping."""
    return {key: info.options[key] for key in info.options} if info.HasField("options") else {}


def _available(package: pythons.PluginPackage) -> bool:
    """Whether to tell the engine of the package.

    With downloads switched off, a package whose plugin isn't in the plugin folder would only bring warnings:
    the environment has SDKs that the program at hand may never use.
    """
    if os.environ.get("PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION", "").lower() not in ("true", "1"):
        return True
    home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    return (home / "plugins" / f"resource-{package.name}-v{package.version}").is_dir()


def _plugin_command(request: Any, interpreter: pythons.Interpreter) -> list[str]:
    """How to start a policy pack, a component package or a provider written in Python."""
    python = [str(interpreter.executable), "-u"]
    folder = Path(request.info.program_directory)
    arguments = list(request.args)
    if request.kind == "analyzer":
        return [*python, "-m", "pulumi.policy", *arguments, str(folder)]
    if (folder / "__main__.py").is_file():
        return [*python, str(folder), *arguments]
    try:
        import tomllib

        name = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["name"]
    except (OSError, ValueError, KeyError) as error:
        raise pythons.OptionError(
            f"{folder} can't be run: it has neither __main__.py nor a pyproject.toml with a project name"
        ) from error
    return [*python, "-m", "pulumi.run.plugin", name, *arguments]


def _stream(command: list[str], cwd: str, env: Mapping[str, str], context: Any) -> Iterator[tuple[str, Any]]:
    """Run a command: yields ``("stdout" | "stderr", bytes)`` as they come, at last ``("exitcode", int)``."""
    child = CHILDREN.add(
        subprocess.Popen(
            command,
            cwd=cwd or None,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    )
    # The engine ends a plugin by giving up the call.
    context.add_callback(child.kill)
    events: queue.Queue[tuple[str, bytes]] = queue.Queue()

    def pump(name: str, stream: Any) -> None:
        while data := stream.read1(65536):
            events.put((name, data))
        events.put((name, b""))

    for name, stream in (("stdout", child.stdout), ("stderr", child.stderr)):
        threading.Thread(target=pump, args=(name, stream), daemon=True).start()
    open_streams = 2
    try:
        while open_streams:
            name, data = events.get()
            if data:
                yield name, data
            else:
                open_streams -= 1
        yield "exitcode", child.wait()
    finally:
        if child.poll() is None:
            child.kill()
        CHILDREN.forget(child)


def serve(engine_address: str, warm: subprocess.Popen[bytes] | None) -> Any:
    """Serve on a free port of loopback and print it. Returns the server, which ends when nobody holds it."""
    _load_stubs()
    import grpc
    from google.protobuf import empty_pb2
    from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

    class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
        def __init__(self) -> None:
            self.engine_address = engine_address
            self.warm = warm
            self.lock = threading.Lock()

        def Handshake(self, request: Any, context: Any) -> Any:
            self.engine_address = request.engine_address
            return language_pb2.LanguageHandshakeResponse()

        def GetPluginInfo(self, request: Any, context: Any) -> Any:
            return plugin_pb2.PluginInfo(version=pythons.installed_version("pulumi"))

        def About(self, request: Any, context: Any) -> Any:
            interpreter = self._interpreter(request.info, context)
            return language_pb2.AboutResponse(
                executable=str(interpreter.executable), version=interpreter.version()
            )

        def GetRequiredPackages(self, request: Any, context: Any) -> Any:
            import base64

            packages = []
            for package in pythons.plugin_packages(self._interpreter(request.info, context)):
                if not _available(package):
                    continue
                message = plugin_pb2.PackageDependency(
                    name=package.name, kind="resource", version="v" + package.version, server=package.server
                )
                if package.parameterization:
                    message.parameterization.CopyFrom(
                        plugin_pb2.PackageParameterization(
                            name=package.parameterization["name"],
                            version=package.parameterization["version"],
                            value=base64.b64decode(package.parameterization["value"]),
                        )
                    )
                packages.append(message)
            return language_pb2.GetRequiredPackagesResponse(packages=packages)

        def GetProgramDependencies(self, request: Any, context: Any) -> Any:
            found = pythons.dependencies(
                self._interpreter(request.info, context), request.transitiveDependencies
            )
            return language_pb2.GetProgramDependenciesResponse(
                dependencies=[
                    language_pb2.DependencyInfo(name=name, version=version) for name, version in found
                ]
            )

        def InstallDependencies(self, request: Any, context: Any) -> Iterator[Any]:
            folder = request.info.program_directory or request.directory
            options = _options(request.info)
            wanted = options.get("virtualenv") or ("venv" if request.is_plugin else None)
            commands: list[list[str]] = []
            if wanted:
                venv = Path(os.path.normpath(Path(request.info.root_directory or folder) / wanted))
                python = str(venv / "bin" / "python")
                if not Path(python).is_file():
                    commands.append([sys.executable, "-m", "venv", str(venv)])
            else:
                python = sys.executable
            if (Path(folder) / "requirements.txt").is_file():
                commands.append([python, "-m", "pip", "install", "-r", "requirements.txt"])
            elif (Path(folder) / "pyproject.toml").is_file():
                commands.append([python, "-m", "pip", "install", "-e", "."])
            for command in commands:
                for name, value in _stream(command, folder, os.environ, context):
                    if name != "exitcode":
                        yield language_pb2.InstallDependenciesResponse(**{name: value})
                    elif value:
                        context.abort(
                            grpc.StatusCode.UNKNOWN, f"`{' '.join(command)}` failed with exit code {value}"
                        )

        def Run(self, request: Any, context: Any) -> Any:
            if request.attach_debugger:
                return language_pb2.RunResponse(error="this language host has no debugger support")
            child = self._program(self._interpreter(request.info, context))
            context.add_callback(child.kill)
            message = {
                "project": request.project,
                "stack": request.stack,
                "organization": request.organization,
                "root_directory": request.info.root_directory,
                "monitor": request.monitor_address,
                "engine": self.engine_address,
                "parallel": request.parallel,
                "dry_run": request.dryRun,
                "config": dict(request.config),
                "secret_keys": list(request.configSecretKeys),
                "pwd": request.pwd,
                "entry_point": request.info.entry_point or request.program,
                "args": list(request.args),
            }
            try:
                child.communicate(json.dumps(message).encode() + b"\n")
            finally:
                CHILDREN.forget(child)
            code = child.returncode
            if code == 0:
                return language_pb2.RunResponse()
            if code == 32:  # program.REPORTED: the user has seen why
                return language_pb2.RunResponse(bail=True)
            if code < 0:
                return language_pb2.RunResponse(
                    error=f"the program was ended by {signal.Signals(-code).name}"
                )
            return language_pb2.RunResponse(error=f"Program exited with non-zero exit code: {code}")

        def RunPlugin(self, request: Any, context: Any) -> Iterator[Any]:
            try:
                options = _options(request.info)
                interpreter = pythons.choose(options, request.info.root_directory)
                command = _plugin_command(request, interpreter)
            except pythons.OptionError as error:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            base = dict(entry.split("=", 1) for entry in request.env if "=" in entry) or dict(os.environ)
            env = interpreter.environment(base)
            for name, value in _stream(command, request.pwd, env, context):
                yield language_pb2.RunPluginResponse(**{name: value})

        def Cancel(self, request: Any, context: Any) -> Any:
            CHILDREN.kill()
            return empty_pb2.Empty()

        def _interpreter(self, info: Any, context: Any) -> pythons.Interpreter:
            try:
                return pythons.choose(_options(info), info.root_directory)
            except pythons.OptionError as error:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
                raise

        def _program(self, interpreter: pythons.Interpreter) -> subprocess.Popen[bytes]:
            """The process with a head start when it is of the right Python and alive; else a new one."""
            with self.lock:
                child, self.warm = self.warm, None
            if child is not None:
                if pythons.same(interpreter, pythons.own()) and child.poll() is None:
                    return child
                child.kill()
                CHILDREN.forget(child)
            return CHILDREN.add(_spawn_program(interpreter))

    limits = [
        ("grpc.max_receive_message_length", _MESSAGE_LIMIT),
        ("grpc.max_send_message_length", _MESSAGE_LIMIT),
    ]
    # Each running program or plugin holds a thread.
    server = grpc.server(ThreadPoolExecutor(max_workers=64), options=limits)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageHost(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    return server


def _watch_parent(leave: Callable[[], None]) -> None:
    """Leave when the engine is gone: killed hard, it can't tell us."""
    parent = os.getppid()
    while os.getppid() == parent:
        threading.Event().wait(_PARENT_CHECK_S)
    leave()


def main() -> None:
    def leave(*_: object) -> None:
        CHILDREN.kill()
        # No orderly shutdown: the engine waits for us to go, and there is nothing to save.
        os._exit(0)

    signal.signal(signal.SIGTERM, leave)
    # Before anything slow is imported: the SDK loads in the other process meanwhile. It starts with
    # interrupts ignored, or one that comes while its interpreter starts would show the user a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warm = CHILDREN.add(_spawn_program(pythons.own()))
    signal.signal(signal.SIGINT, leave)
    addresses = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    server = serve(addresses[-1] if addresses else "", warm)
    _watch_parent(leave)
    del server


if __name__ == "__main__":
    main()
