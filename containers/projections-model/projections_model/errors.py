"""What goes wrong in a way that a person can do something about."""


class ModelError(Exception):
    """The run can't be made; one line that names what, where and what is allowed."""


class Superseded(Exception):
    """The run belongs to another attempt, is done or was cancelled: nothing is left to do here."""


class Interrupted(Exception):
    """SIGTERM: what was finished is in the storage, another attempt goes on from there."""


def one_line(error: BaseException) -> str:
    """The message of ``error`` on one line of at most 500 characters; other kinds than ours say what they
    are."""
    text = " ".join(str(error).split())
    known = isinstance(error, (ModelError, ValueError)) and text
    return (text if known else f"{type(error).__name__}: {text}")[:500]
