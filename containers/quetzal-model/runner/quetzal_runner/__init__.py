"""Runs one step of a Quetzal transport model: one notebook on one scenario.

On AWS Lambda ``python -m quetzal_runner`` serves the function through ``awslambdaric``; everywhere else the
same command answers the protocol of the Lambda runtime interface emulator on port 8080. Notebooks import
:mod:`quetzal_runner.notebook` for their parameters.
"""

from quetzal_runner.notebook import end_of_notebook, launcher_arg, return_event

__all__ = ["end_of_notebook", "launcher_arg", "return_event"]
