"""How a command fails: one line on stderr that says what to type, and a code that scripts test.

Exit codes: 0 done, 1 it failed, 2 usage or settings, 3 the server, 4 not found, 5 conflict or wrong
state, 6 timed out, 130 and 143 interrupted before a clean end.
"""

import traceback
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import cast

import click

from hms_async import errors
from hms_async.telemetry.text import as_text, clean

USAGE, STORE, NOT_FOUND, CONFLICT, TIMED_OUT, INTERRUPTED = 2, 3, 4, 5, 6, 130

DEBUG = "hms_async.debug"
"""Where in a context's `meta` it is kept that the user wants tracebacks."""

_CODES: tuple[tuple[type[errors.HMSError], int], ...] = (
    (errors.ConfigInvalid, USAGE),
    (errors.PayloadInvalid, USAGE),
    (errors.StoreError, STORE),
    (errors.EnqueueUnknown, STORE),
    (errors.QueueNotFound, NOT_FOUND),
    (errors.IncidentNotFound, NOT_FOUND),
    (errors.MessageNotFound, NOT_FOUND),
    (errors.TaskNotFound, NOT_FOUND),
    (errors.CaseNotFound, NOT_FOUND),
    (errors.TokenNotFound, NOT_FOUND),
    (errors.OperationNotFound, NOT_FOUND),
    (errors.OperationEnded, CONFLICT),
    (errors.TooManyOperations, CONFLICT),
    (errors.QueueNotEmpty, CONFLICT),
    (errors.QueueClosing, CONFLICT),
    (errors.OperationTimeout, TIMED_OUT),
    (errors.AddressInUse, CONFLICT),
    (errors.QueueFull, CONFLICT),
    (errors.IdInUse, CONFLICT),
    (errors.AlreadySettled, CONFLICT),
    (errors.LeaseLost, CONFLICT),
    (errors.WrongState, CONFLICT),
    (errors.ResultTimeout, TIMED_OUT),
)


class Failure(Exception):
    """The end of a command that did not do what it was asked.

    Args:
        message: What failed, and what to type.
        exit_code: What the process ends with.
        code: The stable code of the error, such as `HMS-E004`.
    """

    def __init__(self, message: str, *, exit_code: int = 1, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
        self.code = code

    def show(self) -> None:
        """Write it to stderr; what came from outside cannot steer the terminal."""
        first, *rest = self.message.splitlines() or [""]
        lines = [f"{f'error {self.code}'.rstrip()}: {first}", *rest]
        click.echo("\n".join(map(clean, lines)), err=True)


@contextmanager
def reported(context: click.Context) -> Generator[None]:
    """Turn whatever leaves a command into the one line that its user sees.

    Raises:
        SystemExit: With the code of the failure.
    """
    try:
        yield
    except (click.exceptions.NoArgsIsHelpError, click.exceptions.Exit, SystemExit, BrokenPipeError):
        raise
    except (KeyboardInterrupt, click.Abort):
        # The terminal has just echoed ^C: what comes next starts on a line of its own.
        click.echo(err=True)
        raise SystemExit(INTERRUPTED) from None
    except BaseException as error:
        if context.meta.get(DEBUG):
            traceback.print_exc()
        failure = as_failure(error)
        failure.show()
        raise SystemExit(failure.exit_code) from error


def as_failure(error: BaseException) -> Failure:
    """Return an error as the end of a command."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    if isinstance(error, Failure):
        return error
    if isinstance(error, click.UsageError) and error.ctx is not None:
        message = f"{error.format_message()}  ({error.ctx.command_path} --help)"
        return Failure(message, exit_code=error.exit_code)
    if isinstance(error, click.ClickException):
        return Failure(error.format_message(), exit_code=error.exit_code)
    if isinstance(error, errors.HMSError):
        exit_code = next((code for kind, code in _CODES if isinstance(error, kind)), 1)
        return Failure(str(error), exit_code=exit_code, code=error.code)
    return Failure(f"{described(error)}  (--debug shows the traceback)")


def described(error: BaseException) -> str:
    """Return what a foreign exception says, and the line of the user's that led to it."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({shortened(error.filename)}:{error.lineno})"
    message = f"{type(error).__name__}: {as_text(error)}"
    if isinstance(error, errors.HMSError):
        message = str(error)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if shortened(frame.filename) != frame.filename]
    if not frames:
        return message
    where = (own or frames)[-1]
    return f"{message} ({shortened(where.filename)}:{where.lineno})"


def shortened(filename: str) -> str:
    """Return a path as seen from the current directory, if it is in there.

    Packages that are installed there are not: a virtual environment often is in there.
    """
    path, here = Path(filename), Path.cwd()
    if path.is_relative_to(here) and "site-packages" not in path.parts:
        return str(path.relative_to(here))
    return filename


def unknown_queue(name: str, known: Iterable[str], *, create: bool = False) -> Failure:
    """Return the failure for a queue that nobody created.

    Args:
        name: What was asked for.
        known: The names that exist.
        create: Whether creating it is the likelier wish than having mistyped it.
    """
    near = nearest(name, known)
    to_create = f"hms queue create {name} --sla 2h"
    if near and create:
        hint = f"{near}  Or create it: {to_create}"
    else:
        hint = f"{near}  (hms queue ls)" if near else f"Create it: {to_create}"
    return Failure(
        f'no queue "{name}". {hint}', exit_code=NOT_FOUND, code=errors.QueueNotFound.code
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `Did you mean "kyc"?`, or nothing when no name is near."""
    near = [f'"{word}"' for word in get_close_matches(name, list(known), n=2)]
    return f"Did you mean {' or '.join(near)}?" if near else ""
