"""``ops quetzal scenario``: scenarios in the model's bucket: upload, list, copy, lock, delete."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from botocore.exceptions import ClientError

from lambdas.quetzal_api.runs import BASE, check_scenario
from ops.common.errors import error_code, not_found, refused, usage
from ops.common.output import iso, size
from ops.quetzal import sync
from ops.quetzal.runs import latest_runs
from ops.quetzal.target import Target, command

app = typer.Typer(no_args_is_help=True, help="Scenarios in the model's bucket.")

Name = Annotated[str, typer.Argument(help="Scenario.", metavar="SCENARIO")]


def lock_of(target: Target, scenario: str) -> dict[str, Any] | None:
    """Who locked a scenario and when, ``None`` when nobody did."""
    text = sync.read_text(target.client("s3"), target.model.bucket, f"{scenario}/{sync.LOCK}")
    if text is None:
        return None
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = {}  # a lock made by other tools: any content locks
    return found if isinstance(found, dict) else {}


def refuse_locked(target: Target, scenario: str) -> None:
    lock = lock_of(target, scenario)
    if lock is not None:
        who, when = lock.get("locked_by", "somebody"), lock.get("locked_at", "an unknown time")
        reason = f" ({lock['reason']})" if lock.get("reason") else ""
        raise refused(
            f"scenario {scenario} is locked by {who} since {when}{reason}: "
            f"`{target.again(f'scenario unlock {scenario}')}` first"
        )


def existing(target: Target, scenario: str) -> dict[str, sync.Stored]:
    """The objects of a scenario that must exist."""
    found = sync.stored(target.client("s3"), target.model.bucket, check_scenario(scenario))
    if not found:
        names = ", ".join(sync.scenarios_in(target.client("s3"), target.model.bucket)) or "none yet"
        raise not_found(f"model {target.model.name} has no scenario {scenario}; it has: {names}")
    return found


@command(app, "upload")
def upload(
    target: Target,
    folder: Annotated[Path, typer.Argument(help="Folder that holds inputs/.", metavar="FOLDER")],
    name: Annotated[
        str | None, typer.Argument(help="Scenario; default: the folder's name.", metavar="[SCENARIO]")
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete inputs that the folder doesn't have.")
    ] = False,
    without_base: Annotated[
        bool, typer.Option("--without-base", help="Allow another scenario before base.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Send a scenario folder: only what changed; outputs and logs of runs are never touched."""
    local = sync.local_files(folder)
    scenario = check_scenario(name if name is not None else folder.resolve().name)
    s3, bucket = target.client("s3"), target.model.bucket
    refuse_locked(target, scenario)
    if scenario != BASE and not without_base and not sync.stored(s3, bucket, BASE, "inputs/"):
        raise refused(
            f"model {target.model.name} has no scenario base yet, and base comes first: "
            f"`{target.again('scenario upload FOLDER base')}`, or add --without-base"
        )
    remote = sync.stored(s3, bucket, scenario)
    plan = sync.plan_upload(local, remote, delete, sync.remote_sha(s3, bucket, scenario))
    if not dry_run:
        with target.out.transfer(f"{scenario}: {len(plan.send)} files", plan.octets) as done:
            sync.upload(s3, bucket, scenario, local, plan, done)
    target.out.result(
        {
            "model": target.model.name, "bucket": bucket, "scenario": scenario, "dry_run": dry_run,
            "uploaded": plan.send, "unchanged": plan.same, "deleted": plan.delete, "bytes": plan.octets,
        }
    )  # fmt: skip
    would = "would be " if dry_run else ""
    for verb, paths in (("upload", plan.send), ("delete", plan.delete)):
        for path in paths if dry_run else ():
            target.out.say(f"{verb}  {path}")
    parts = [f"{len(plan.send)} {would}uploaded ({size(plan.octets)})", f"{len(plan.same)} unchanged"]
    if delete:
        parts.append(f"{len(plan.delete)} {would}deleted")
    target.out.say(f"{scenario}: {', '.join(parts)}, in s3://{bucket}/{scenario}/")
    stale = [path for path in remote if path.startswith("inputs/") and path not in local]
    if stale and not delete:
        target.out.note(
            f"{len(stale)} inputs there are not in the folder (--delete removes them): {stale[0]}, ..."
        )


@command(app, "list")
def list_(target: Target) -> None:
    """List scenarios: files, size, last change, lock, last run."""
    s3, bucket = target.client("s3"), target.model.bucket
    latest = latest_runs(target)
    found: list[dict[str, Any]] = []
    for name in sync.scenarios_in(s3, bucket):
        objects = sync.stored(s3, bucket, name)
        contents = [item for path, item in objects.items() if path != sync.LOCK]
        lock = lock_of(target, name) if sync.LOCK in objects else None
        found.append(
            {
                "scenario": name, "files": len(contents), "bytes": sum(item.size for item in contents),
                "last_modified": max((item.modified for item in objects.values()), default=None),
                "locked": lock is not None, "locked_by": (lock or {}).get("locked_by"),
                "locked_at": (lock or {}).get("locked_at"),
                "last_run_status": latest[name].status if name in latest else None,
            }
        )  # fmt: skip
    target.out.result({"model": target.model.name, "bucket": bucket, "scenarios": found})
    if not found:
        target.out.say(f"{bucket} has no scenario yet: `{target.again('scenario upload FOLDER base')}`")
        return
    target.out.table(
        ("SCENARIO", "FILES", "SIZE", "LAST MODIFIED", "LOCKED", "LAST RUN"),
        [
            (row["scenario"], row["files"], size(row["bytes"]), row["last_modified"],
             (row["locked_by"] or "yes") if row["locked"] else "", row["last_run_status"] or "")
            for row in found
        ],
    )  # fmt: skip


@command(app, "copy")
def copy(
    target: Target,
    source: Annotated[str, typer.Argument(help="Scenario to copy.", metavar="FROM")],
    to: Annotated[str, typer.Argument(help="New scenario.", metavar="TO")],
) -> None:
    """Make a new scenario from another one, inside the bucket; outputs and logs are not copied."""
    s3, bucket = target.client("s3"), target.model.bucket
    objects = existing(target, source)
    if check_scenario(to) == BASE:
        raise refused("base is the scenario that others are copied from: change it with `scenario upload`")
    if sync.stored(s3, bucket, to):
        raise refused(f"scenario {to} exists already: choose another name, or delete it first")
    paths = [path for path in objects if not sync.is_run_made(path)]
    with target.out.status(f"copying {len(paths)} files ..."):
        sync.copy(s3, bucket, source, to, paths)
    target.out.result({"model": target.model.name, "from": source, "to": to, "copied": paths})
    target.out.say(f"{to}: {len(paths)} files copied from {source}")


@command(app, "download")
def download(
    target: Target,
    name: Name,
    to: Annotated[Path | None, typer.Option("--to", help="Folder; default: ./SCENARIO.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Outputs and logs of runs too.")] = False,
) -> None:
    """Fetch a scenario's files."""
    objects = existing(target, name)
    wanted = [
        item
        for path, item in objects.items()
        if path != sync.LOCK and (everything or not sync.is_run_made(path))
    ]
    folder = to if to is not None else Path(name)
    with target.out.transfer(f"{name}: {len(wanted)} files", sum(item.size for item in wanted)) as done:
        sync.download(target.client("s3"), target.model.bucket, name, wanted, folder, done)
    target.out.result(
        {
            "model": target.model.name,
            "scenario": name,
            "folder": folder.resolve(),
            "files": [i.path for i in wanted],
        }
    )
    target.out.say(f"{name}: {len(wanted)} files in {folder.resolve()}")


@command(app, "lock")
def lock(
    target: Target,
    name: Name,
    reason: Annotated[str | None, typer.Option("--reason", help="Shown to whoever is refused.")] = None,
) -> None:
    """Lock a scenario: uploads and runs on it are refused until it is unlocked."""
    existing(target, name)
    who = str(target.client("sts").get_caller_identity()["Arn"])
    mark = {"locked_by": who, "locked_at": iso(datetime.now(UTC))} | ({"reason": reason} if reason else {})
    try:
        target.client("s3").put_object(
            Bucket=target.model.bucket, Key=f"{name}/{sync.LOCK}", Body=json.dumps(mark).encode(),
            ContentType="application/json", IfNoneMatch="*",
        )  # fmt: skip
    except ClientError as error:
        if error_code(error) not in {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}:
            raise
        refuse_locked(target, name)
        raise
    target.out.result({"model": target.model.name, "scenario": name, "locked": True, **mark})
    target.out.say(f"{name} is locked")


@command(app, "unlock")
def unlock(target: Target, name: Name) -> None:
    """Take a scenario's lock away; says whose it was."""
    existing(target, name)
    before = lock_of(target, name)
    if before is not None:
        sync.remove(target.client("s3"), target.model.bucket, [f"{name}/{sync.LOCK}"])
    was = None if before is None else before.get("locked_by", "somebody")
    target.out.result({"model": target.model.name, "scenario": name, "locked": False, "was_locked_by": was})
    target.out.say(f"{name} was not locked" if was is None else f"{name} is unlocked; it was locked by {was}")


@command(app, "delete")
def delete(
    target: Target,
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Delete a scenario with its outputs and logs (the bucket keeps old versions for its set time)."""
    s3, bucket = target.client("s3"), target.model.bucket
    objects = existing(target, name)
    refuse_locked(target, name)
    others = [other for other in sync.scenarios_in(s3, bucket) if other != BASE]
    if name == BASE and others:
        raise refused(f"base is deleted last, and there is still: {', '.join(others)}")
    if not yes:
        if target.out.as_json:
            raise usage("--json can't ask: add --yes to delete")
        total = size(sum(item.size for item in objects.values()))
        if not typer.confirm(f"Delete {len(objects)} files ({total}) of s3://{bucket}/{name}/?", err=True):
            raise refused(f"{name} is kept")
    sync.remove(s3, bucket, [f"{name}/{path}" for path in objects])
    target.out.result({"model": target.model.name, "scenario": name, "deleted": len(objects)})
    target.out.say(f"{name}: {len(objects)} files deleted")
