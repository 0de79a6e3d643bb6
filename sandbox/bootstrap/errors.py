"""Errors of ``./dev`` and their exit codes."""

OK = 0
FAILED = 1
USAGE = 2
MISSING = 3
BUSY = 4
INTERRUPTED = 130


class DevError(Exception):
    """Something that ends the command; the message is for the user: what, where, what to do."""

    code = FAILED


class Missing(DevError):
    """The machine lacks something that ``./dev`` can't bring."""

    code = MISSING


class Busy(DevError):
    """Another ``./dev`` is at work on the same thing."""

    code = BUSY


class StepFailed(DevError):
    """A program that a step ran failed or took too long; its output is in a log file."""


class Terminated(KeyboardInterrupt):
    """Somebody asked us to end (SIGTERM, or the terminal closed): what we started must end too."""
