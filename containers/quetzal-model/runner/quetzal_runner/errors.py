"""Every failure a run can report. The class name is the ``errorType`` that Lambda and Step Functions show."""


class RunnerError(Exception):
    """A failure with a message meant for the person who started the run."""


class InvalidEvent(RunnerError):
    """The event lacks a field, or a field has a value that is not allowed."""


class ScenarioNotFound(RunnerError):
    """No object of the scenario exists, or the bucket doesn't."""


class ScenarioReadOnly(RunnerError):
    """The scenario may be copied but not run (``base``)."""


class ScenarioLocked(RunnerError):
    """Somebody put ``.lock`` into the scenario: it may not be run until unlocked."""


class AccessDenied(RunnerError):
    """The storage refused an action; the message names the action and the object."""


class NotebookError(RunnerError):
    """The notebook failed; the message ends with its traceback."""


class DeadlineExceeded(RunnerError):
    """The notebook was stopped because the function's time limit came near."""
