"""``ops projections``: the commands of epidemic projections, a file per concern."""

import typer

from ops.projections import logs, oneoff, precompute, results, runs, users
from ops.projections.target import command

app = typer.Typer(no_args_is_help=True, help="Epidemic projections (FargateSpotRunner).")
app.add_typer(users.app, name="user")
command(app, "submit")(runs.submit)
command(app, "status")(runs.status)
command(app, "watch")(runs.watch)
command(app, "logs")(logs.logs)
command(app, "list")(runs.list_runs)
command(app, "retry")(runs.retry)
command(app, "cancel")(runs.cancel)
command(app, "precompute")(precompute.precompute)
command(app, "addhashes")(oneoff.addhashes)
command(app, "results")(results.results)
command(app, "compare")(results.compare)
command(app, "check")(results.check)
command(app, "open")(results.show_site)
