"""Create, read and update as a whole, with recovery of what an interrupted ``up`` left."""

from typing import Any

from sandbox.providers.aws.diffing import diff
from sandbox.providers.aws.errors import Refused
from sandbox.providers.aws.journal import Journal, Note
from sandbox.providers.aws.operations import _PLACEHOLDER, Run
from sandbox.providers.aws.shapes import dig
from sandbox.providers.server import PartialFailure, ProviderError
from sandbox.providers.wire import Properties

Values = dict[str, Any]


def create(run: Run, journal: Journal) -> tuple[str, Values]:
    """Makes the resource; returns its id and state.

    Adoption: a resource is taken over, and updated to the inputs, only when the journal says that an earlier
    ``up`` of this very stack was making this very URN and didn't get to record it. Any other resource with
    the same name is an error, as with the official provider.
    """
    note = journal.find(run.urn)
    if note is not None:
        adopted = _adopt(run, note)
        if adopted is not None:
            journal.made(run.urn, run.id)
            return run.id, adopted
    names = {}
    if run.entry.autoname is not None:
        name = run.inputs.get(run.entry.autoname.property)
        names = {run.entry.autoname.property: name} if isinstance(name, str) else {}
    journal.begin(run.urn, names)
    try:
        result = run.create()
    except Refused:
        journal.settled(run.urn)
        raise
    run.state = run.assemble(result)
    template = run.entry.id
    run.id = str(dig(result, template[1:]) if template.startswith("@") else run.fill(template))
    journal.made(run.urn, run.id)
    run.state = run.assemble(result)  # again: outputs may be made of the id
    try:
        run.finish_create()
        return run.id, _after_write(run)
    except ProviderError as problem:
        reason = f"{run.entry.token} was created, but not finished: {problem}"
        raise PartialFailure(reason, run.id, Properties(run.state), Properties(run.inputs)) from problem


def _after_write(run: Run) -> Values:
    if not run.entry.read_after_create:
        return run.state
    found = run.read(importing=False)
    if found is None:
        raise ProviderError(f"{run.entry.token} {run.id} was gone right after it was made")
    return found[0]


def _adopt(run: Run, note: Note) -> Values | None:
    """State of what an earlier ``up`` made; None when there is nothing."""
    run.id = note.id
    if not run.id and run.entry.find is not None:
        run.id = str(run.entry.find(run) or "")
    elif not run.id and _known_before(run):
        run.id = str(run.fill(run.entry.id))
    if not run.id:
        return None
    wanted, run.inputs = run.inputs, {}
    address = {name for name, field in run.entry.fields.items() if field.required} | set(run.entry.identity)
    run.state = {name: value for name, value in wanted.items() if name in address}
    found = run.read(importing=True)
    run.inputs = wanted
    if found is None:
        run.id, run.state = "", {}
        return None
    changes = diff(run.entry, found[0], wanted, run.clients.settings.default_tags)
    if changes.replaces:
        run.state = found[0]
        run.delete()
        run.id, run.state = "", {}
        return None
    run.state = found[0]
    return _updated(run, {path.split(".")[0].split("[")[0] for path in changes.changes})


def _known_before(run: Run) -> bool:
    """True when the id is made of inputs only, such as a role's name."""
    template = run.entry.id
    names = _PLACEHOLDER.findall(template)
    known = {"account", "region", "partition"}
    return not template.startswith("@") and all(run.inputs.get(name) or name in known for name in names)


def read(run: Run) -> tuple[Values, Values] | None:
    """State and inputs as AWS has them; for an import ``run`` has neither."""
    importing = not run.state and not run.inputs
    if importing:
        run.parse_id()
    return run.read(importing)


def update(run: Run) -> Values:
    """Brings AWS to the new inputs. No difference means that an earlier attempt failed halfway: all is done
    again.
    """
    changes = diff(run.entry, run.state, run.inputs, run.clients.settings.default_tags)
    changed = {path.split(".")[0].split("[")[0] for path in changes.changes}
    if not changed:
        changed = {name for name in run.inputs if name in run.entry.fields} | {"tags"}
        if run.entry.tags is not None and run.entry.tags.remove:
            run.state["tagsAll"] = {}
    return _updated(run, changed)


def _updated(run: Run, changed: set[str]) -> Values:
    run.changed = changed
    run.update()
    given = {name: value for name, value in run.inputs.items() if not name.startswith("__")}
    run.state = {name: value for name, value in run.state.items() if name not in changed} | given
    if not run.entry.read_after_create and not run.entry.volatile:
        return run.assemble({})
    found = run.read(importing=False)
    if found is None:
        raise ProviderError(f"{run.entry.token} {run.id} is gone: run 'pulumi refresh'")
    return found[0]
