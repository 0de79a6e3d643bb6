"""``ops quetzal``: the commands of transport models, a file per concern."""

import typer

from ops.quetzal import access, image, local, results, runs, scenarios, steps
from ops.quetzal.target import command, place

app = typer.Typer(no_args_is_help=True, help="Transport models (QuetzalModel).")
app.add_typer(scenarios.app, name="scenario")
app.add_typer(access.app, name="access")
command(app, "push")(image.push)
command(app, "images")(image.images)
command(app, "steps")(steps.steps)
command(app, "run")(runs.run)
command(app, "status")(runs.status)
command(app, "runs")(runs.runs)
command(app, "stop")(runs.stop)
command(app, "logs")(results.logs)
command(app, "outputs")(results.outputs)
command(app, "token")(access.token)
command(app, "test-local", resolver=place)(local.run_locally)
