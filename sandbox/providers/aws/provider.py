"""The provider: from the engine's questions to the table and back."""

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from sandbox.providers.aws.table import Resource, UnknownType, resource
from sandbox.providers.server import (
    CheckResult,
    DiffResult,
    Failure,
    LightProvider,
    Naming,
    PartialFailure,
    ProviderError,
    urn_type,
)
from sandbox.providers.wire import UNKNOWN, Path, Properties, has_unknown

if TYPE_CHECKING:
    from sandbox.providers.aws.clients import Clients
    from sandbox.providers.aws.journal import Journal
    from sandbox.providers.aws.operations import Run

T = TypeVar("T")
Values = dict[str, Any]


def entry_for(urn: str) -> Resource:
    """The table entry of a URN's type. Raises :class:`ProviderError` when there is none."""
    try:
        return resource(urn_type(urn))
    except UnknownType as problem:
        raise ProviderError(str(problem)) from problem


class AwsProvider(LightProvider):
    """Checks and compares on the event loop; calls AWS on a pool of threads."""

    def __init__(self) -> None:
        self._clients: Clients | None = None
        self._journal: Journal | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._default_tags: dict[str, str] = {}
        # botocore takes 0.15 s to import: meanwhile the engine does its part of the start.
        self._warm = threading.Thread(target=_import_botocore, daemon=True)
        self._warm.start()

    # --- configuration

    async def light_check_config(self, news: Properties) -> CheckResult:
        from sandbox.providers.aws import config

        return CheckResult(news, config.problems(news.values))

    async def light_configure(self, args: Properties) -> None:
        from sandbox.providers.aws import config
        from sandbox.providers.aws.clients import THREADS, Clients
        from sandbox.providers.aws.journal import Journal

        found = config.problems(args.values)
        if found:
            raise ProviderError("; ".join(f"aws:{failure.property}: {failure.reason}" for failure in found))
        settings = config.settings(args.values)
        self._clients, self._journal = Clients(settings), Journal()
        self._default_tags = settings.default_tags
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="aws")

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._pool is None:
            raise ProviderError("the aws provider isn't configured yet")
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def _run(self, urn: str, inputs: Values, state: Values, resource_id: str = "") -> "Run":
        from sandbox.providers.aws.operations import Run

        if self._clients is None:
            raise ProviderError("the aws provider isn't configured yet")
        run = Run(entry_for(urn), self._clients, urn=urn, inputs=inputs, state=state)
        run.id = resource_id
        return run

    @property
    def journal(self) -> "Journal":
        if self._journal is None:
            raise ProviderError("the aws provider isn't configured yet")
        return self._journal

    # --- check and diff

    async def light_check(self, urn: str, olds: Properties, news: Properties, naming: Naming) -> CheckResult:
        from sandbox.providers.aws.inputs import checked

        entry = entry_for(urn)
        names = {}
        if not olds.values and entry.autoname is not None and self._journal is not None:
            note = self._journal.find(urn)
            names = note.names if note is not None else {}
        values, failures = checked(entry, urn, olds.values, news.values, naming, names)
        return CheckResult(
            Properties(values, news.secrets), [_discreet(failure, news) for failure in failures]
        )

    async def light_diff(
        self, urn: str, resource_id: str, old_inputs: Properties, state: Properties, news: Properties
    ) -> DiffResult:
        from sandbox.providers.aws.diffing import diff

        self._settle(urn, resource_id)
        return diff(entry_for(urn), state.values, news.values, self._default_tags)

    def _settle(self, urn: str, resource_id: str) -> None:
        """The engine's state has this resource, so the journal needn't."""
        note = self.journal.find(urn)
        if note is not None and note.id == resource_id:
            self.journal.settled(urn)

    # --- create, read, update, delete

    async def light_create(self, urn: str, news: Properties, preview: bool) -> tuple[str, Properties]:
        entry = entry_for(urn)
        if preview:
            return "", Properties(_preview_state(entry, news.values), _secrets(entry, news.secrets))
        run = self._run(urn, news.values, {})
        secrets = _secrets(entry, news.secrets)

        def work() -> tuple[str, Values]:
            from sandbox.providers.aws.lifecycle import create

            return create(run, self.journal)

        try:
            resource_id, state = await self._in_thread(work)
        except PartialFailure as problem:
            problem.state.secrets, problem.inputs.secrets = secrets, news.secrets
            raise
        return resource_id, Properties(state, secrets)

    async def light_read(
        self, urn: str, resource_id: str, inputs: Properties, state: Properties
    ) -> tuple[str, Properties, Properties] | None:
        from sandbox.providers.aws.lifecycle import read

        run = self._run(urn, inputs.values, state.values, resource_id)
        self._settle(urn, resource_id)
        found = await self._in_thread(lambda: read(run))
        if found is None:
            return None
        values, given = found
        secrets = _secrets(run.entry, inputs.secrets | state.secrets)
        hidden = {(name,) for name in run.entry.secret_outputs if name in given}
        return run.id, Properties(values, secrets), Properties(given, inputs.secrets | hidden)

    async def light_update(
        self, urn: str, resource_id: str, state: Properties, news: Properties, preview: bool
    ) -> Properties:
        from sandbox.providers.aws.lifecycle import update

        run = self._run(urn, news.values, state.values, resource_id)
        secrets = _secrets(run.entry, news.secrets)
        if preview:
            after = {**state.values, **_preview_state(run.entry, news.values, state.values)}
            return Properties(after, secrets)
        return Properties(await self._in_thread(lambda: update(run)), secrets)

    async def light_delete(self, urn: str, resource_id: str, inputs: Properties, state: Properties) -> None:
        run = self._run(urn, inputs.values, {**inputs.values, **state.values}, resource_id)
        await self._in_thread(run.delete)
        note = self.journal.find(urn)
        if note is not None and note.id == resource_id:
            self.journal.settled(urn)

    # --- functions and schema

    async def light_invoke(self, token: str, args: Properties) -> Properties:
        from sandbox.providers.aws.invokes import invoke

        if self._clients is None:
            raise ProviderError("the aws provider isn't configured yet")
        clients = self._clients
        return await self._in_thread(lambda: invoke(clients, token, args.values))

    def light_schema(self) -> str:
        from sandbox.providers.aws.schema import schema

        return json.dumps(schema())


def _discreet(failure: Failure, news: Properties) -> Failure:
    """A refusal quotes the value, but not a secret one."""
    root = failure.property.split(".")[0].split("[")[0]
    reason = failure.reason
    if any(path[0] == root for path in news.secrets):
        for text in sorted(_leaves(news.values.get(root)), key=len, reverse=True):
            reason = reason.replace(repr(text), "[secret]").replace(text, "[secret]")
    return Failure(failure.property, reason)


def _leaves(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set().union(*(_leaves(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(_leaves(item) for item in value))
    return {str(value)} if isinstance(value, str | int | float) and str(value) else set()


def _import_botocore() -> None:
    import botocore.client
    import botocore.session

    from sandbox.providers.aws import checks, diffing, inputs, journal, lifecycle, operations

    del botocore, checks, diffing, inputs, journal, lifecycle, operations


def _secrets(entry: Resource, inputs: set[Path]) -> set[Path]:
    """Outputs are as secret as the inputs of the same name; some always are."""
    found = set(inputs) | {(name,) for name in entry.secret_outputs}
    found |= {("tagsAll", *path[1:]) for path in inputs if path[0] == "tags"}
    return found


def _preview_state(entry: Resource, news: Values, old: Values | None = None) -> Values:
    """What is known before anything is done; with ``old`` for an update."""
    state = {name: value for name, value in news.items() if not name.startswith("__") and value is not None}
    for name, field in entry.fields.items():
        if name not in state:
            if field.default is not None:
                state[name] = field.default
            elif field.computed and old is None:
                state[name] = UNKNOWN
    unknown = entry.outputs if old is None else entry.volatile
    state.update(dict.fromkeys(unknown, UNKNOWN))
    if entry.tags is not None and (old is None or has_unknown(news.get("tags"))):
        state["tagsAll"] = UNKNOWN
    if entry.regional and old is None and "region" not in state:
        state["region"] = UNKNOWN
    return state
