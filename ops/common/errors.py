"""Exit codes, the one kind of error that commands raise, and AWS errors put into one line."""

import re
from enum import IntEnum

from botocore import exceptions as boto


class ExitCode(IntEnum):
    """What ``$?`` tells a script. The numbers are an interface: never renumber."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    RUN_FAILED = 5
    RUN_STOPPED = 6
    UNREACHABLE = 7
    INVALID = 8
    DIFFERENT = 9
    INTERRUPTED = 130


MEANING: dict[ExitCode, str] = {
    ExitCode.OK: "done",
    ExitCode.UNEXPECTED: "unexpected error",
    ExitCode.USAGE: "wrong usage: unknown option, missing or malformed argument",
    ExitCode.NOT_FOUND: "not found: stack, model, scenario, run, user, file",
    ExitCode.REFUSED: "refused: locked or read-only scenario, missing base, missing data, permission denied",
    ExitCode.RUN_FAILED: "the run (or the notebook of a local test) failed",
    ExitCode.RUN_STOPPED: "the run was stopped or timed out",
    ExitCode.UNREACHABLE: "a service can't be reached, or there are no credentials",
    ExitCode.INVALID: "a file is not valid: step-functions.json, a secret-like file in a scenario, ...",
    ExitCode.DIFFERENT: "what was compared differs: workflow and file (`steps --check`), curves of runs",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C; a run that was followed goes on",
}
"""One line a code, for ``--help`` and the guide."""


def exit_code_help() -> str:
    """The table of exit codes in one paragraph, for ``--help``."""
    return "Exit codes: " + "; ".join(f"{code.value} {text}" for code, text in MEANING.items()) + "."


class OpsError(Exception):
    """An error that the operator can act on.

    ``message`` is one clear line: what, where, what is allowed. ``detail`` is shown below it
    (a traceback, a list of files); ``code`` becomes the exit code.
    """

    def __init__(self, code: ExitCode, message: str, detail: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.detail = detail


def not_found(message: str) -> OpsError:
    return OpsError(ExitCode.NOT_FOUND, message)


def refused(message: str) -> OpsError:
    return OpsError(ExitCode.REFUSED, message)


def invalid(message: str, detail: str | None = None) -> OpsError:
    return OpsError(ExitCode.INVALID, message, detail)


def usage(message: str) -> OpsError:
    return OpsError(ExitCode.USAGE, message)


DENIED = {
    "AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException",
    "UnauthorizedOperation", "NotAuthorizedException", "403", "Forbidden",
}  # fmt: skip
BAD_CREDENTIALS = {
    "InvalidClientTokenId", "InvalidAccessKeyId", "SignatureDoesNotMatch", "UnrecognizedClientException",
    "ExpiredToken", "ExpiredTokenException", "InvalidSignatureException", "IncompleteSignature",
}  # fmt: skip
MISSING = {
    "NoSuchBucket", "NoSuchKey", "404", "NotFound", "ResourceNotFoundException", "UserNotFoundException",
    "StateMachineDoesNotExist", "ExecutionDoesNotExist", "RepositoryNotFoundException",
}  # fmt: skip


def error_code(error: boto.ClientError) -> str:
    """The service's error code, ``""`` when the answer has none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def from_aws(error: Exception) -> OpsError:
    """One clear line for what botocore raised; the code says what an operator can do about it.

    >>> from_aws(boto.NoCredentialsError()).code
    <ExitCode.UNREACHABLE: 7>
    """
    start = "start the sandbox with `./dev up`, or check AWS_ENDPOINT_URL and the network"
    match error:
        case boto.ClientError():
            return _from_client_error(error)
        case boto.NoCredentialsError() | boto.PartialCredentialsError() | boto.CredentialRetrievalError():
            return OpsError(
                ExitCode.UNREACHABLE,
                "no AWS credentials: run `aws configure` or `aws sso login`, or for the sandbox `./dev up`",
            )
        case boto.NoRegionError():
            return OpsError(
                ExitCode.UNREACHABLE, "no AWS region: set AWS_REGION (the stack's output `region` too)"
            )
        case boto.EndpointConnectionError() | boto.ConnectTimeoutError() | boto.ReadTimeoutError():
            where = error.kwargs.get("endpoint_url", "the AWS endpoint")
            return OpsError(ExitCode.UNREACHABLE, f"{where} does not answer: {start}")
        case boto.HTTPClientError():  # connection refused half way, TLS, proxies
            return OpsError(ExitCode.UNREACHABLE, f"AWS can't be reached ({_one_line(str(error))}): {start}")
        case _:
            return OpsError(ExitCode.UNEXPECTED, f"AWS: {_one_line(str(error))}")


def _from_client_error(error: boto.ClientError) -> OpsError:
    code, action = error_code(error), error.operation_name
    text = _one_line(str(error.response.get("Error", {}).get("Message", "")) or str(error))
    if code in BAD_CREDENTIALS:
        return OpsError(ExitCode.UNREACHABLE, f"AWS does not accept the credentials ({code}): {text}")
    if code in DENIED:
        return OpsError(ExitCode.REFUSED, f"permission denied for {denied_action(error)}: {text}")
    if code in MISSING:
        return OpsError(ExitCode.NOT_FOUND, f"{action}: {text}")
    if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
        return OpsError(ExitCode.UNREACHABLE, f"{action}: the service failed ({code}): {text}")
    return OpsError(ExitCode.UNEXPECTED, f"{action}: {code}: {text}")


def denied_action(error: boto.ClientError) -> str:
    """The IAM action that was denied, from the message when AWS names it, else the operation's name."""
    named = re.search(r"perform:? ([a-z0-9-]+:[A-Za-z]+)", str(error))
    return named.group(1) if named else error.operation_name


def _one_line(text: str) -> str:
    return " ".join(text.split())
