"""Kaggle's official client: signed in, without its prints, and with plain error messages.

The client is imported as late as possible, since its import makes a folder for its configuration, prints advice, and
calls the service.
"""

import io
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from types import FrameType
from typing import Any

from amazon_ml.errors import InputError, WorkError
from amazon_ml.kaggle.credentials import check_files, find_faults

#: The competition that the package is named after.
PLANET_COMPETITION = "planet-understanding-the-amazon-from-space"

_CREDENTIALS = (
    "make a token at https://www.kaggle.com/settings/api and save it as ~/.kaggle/access_token, "
    "or set KAGGLE_USERNAME and KAGGLE_KEY to those of a kaggle.json"
)
#: The error for each status of the service, and its message.
_REFUSALS: dict[int, tuple[type[InputError | WorkError], str]] = {
    401: (InputError, "Kaggle does not accept the credentials for {what}; " + _CREDENTIALS),
    403: (InputError, "Kaggle refuses {what}; accept the competition's rules on its page at https://www.kaggle.com, "
                      "or ask the owner of a private data set for access"),
    404: (InputError, "Kaggle has no {what}; check the name, as it stands in the address of its page"),
    429: (WorkError, "Kaggle received too many calls, the last one for {what}; wait, then run the same command"),
}  # fmt: skip

#: Seconds that a server may be silent. The client itself mostly has no limit.
_TIMEOUT = 120.0

#: Statuses below 500 of requests that may succeed later: a time limit, too many calls.
_LATER = (408, 429)
#: Status of a request for bytes behind the end of a file; the client then begins again.
_PART_IS_TOO_LONG = 416

_UNKNOWN = (WorkError, "Kaggle answers {what} with status {status}; try the same command later")


def sign_in() -> Any:
    """Give the official client (``KaggleApi``), signed in.

    Raises
    ------
    InputError
        Where credentials are missing or wrong.
    WorkError
        Where Kaggle cannot be reached.
    """
    check_files()
    with translated_errors("signing in"):
        try:
            from kaggle.api.kaggle_api_extended import KaggleApi

            api = KaggleApi()
            # With VERBOSE set it would print its requests, and read whole archives into memory to print them.
            api.args = [word for word in api.args if word != "--verbose"]
            api.authenticate()
        except SystemExit as ended:
            if ended.code != 1:  # it ends with 1 where it refuses; anything else is a signal
                raise
            faults = find_faults()
            raise InputError(faults or f"there are no valid credentials for Kaggle; {_CREDENTIALS}") from None
        except (
            AttributeError,
            KeyError,
            RecursionError,
            TypeError,
            ValueError,
        ):  # the client takes any JSON as keys and values
            if faults := find_faults():
                raise InputError(faults) from None
            raise
    return api


@contextmanager
def translated_errors(what: str) -> Iterator[None]:
    """Turn errors of the client in this block into plain messages about `what`, and hide its prints.

    Its prints may hold the credentials, and its exceptions hold signed addresses; neither is shown.

    Raises
    ------
    InputError
        Where the service refuses the call: credentials, rules, a wrong name.
    WorkError
        Where the service or the network fails, or a file cannot be written.
    """
    import requests

    connections = logging.getLogger("urllib3.connectionpool")
    level = connections.level
    connections.setLevel(logging.ERROR)  # its warnings name signed addresses
    try:
        with redirect_stdout(io.StringIO()), _with_checked_requests(what), _with_interrupts():
            yield
    except requests.HTTPError as error:
        raise _refusal(error.response, what) from None
    except requests.ReadTimeout:
        raise WorkError(f"Kaggle did not answer within {_TIMEOUT:g} s, called for {what}; "
                        "run the same command later") from None  # fmt: skip
    except (requests.ConnectionError, requests.Timeout):
        raise WorkError(f"cannot reach Kaggle for {what}; check the network and HTTPS_PROXY, "
                        "then run the same command") from None  # fmt: skip
    except requests.RequestException as error:
        raise WorkError(f"Kaggle's answer for {what} is incomplete or cannot be read ({type(error).__name__}); "
                        "run the same command again") from None  # fmt: skip
    except OSError as error:
        raise WorkError(f"cannot write {error.filename or what}: {error.strerror or error}") from None
    finally:
        connections.setLevel(level)


@contextmanager
def _with_checked_requests(what: str) -> Iterator[None]:
    """Set a time limit for requests that have none of their own, and check answers to those for the rest of a file.

    The client has options for neither. It would write an error page over the part of a file that it has.
    """
    from requests.adapters import HTTPAdapter

    send = HTTPAdapter.send

    def checked_send(self: HTTPAdapter, request: Any, *, timeout: Any = None, **options: Any) -> Any:
        response = send(self, request, timeout=timeout or _TIMEOUT, **options)
        if "Range" in request.headers:
            _check_rest(response, what)
        return response

    HTTPAdapter.send = checked_send  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        HTTPAdapter.send = send  # type: ignore[method-assign]


def _check_rest(response: Any, what: str) -> None:
    """Check the answer to a request for the rest of a file.

    Raises
    ------
    requests.HTTPError
        Where the server may answer the same request later; the client repeats it some times.
    WorkError
        Where the address is not valid any more: signed ones expire. The client would repeat that in vain.
    """
    status = response.status_code
    if status < 400 or status == _PART_IS_TOO_LONG:
        return
    response.close()
    if status >= 500 or status in _LATER:
        response.raise_for_status()
    raise WorkError(f"Kaggle refuses the rest of {what} with status {status}, as for an address that has expired; "
                    "the same command gets a new one, and resumes where this one stopped")  # fmt: skip


@contextmanager
def _with_interrupts() -> Iterator[None]:
    """Raise an interrupt at the end of the block that code in it swallowed.

    What the client calls has clauses that catch every exception; Ctrl-C in one of them would have no effect.
    """
    own = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not own or threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupted = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if interrupted:
        raise KeyboardInterrupt


def _refusal(response: Any, what: str) -> InputError | WorkError:
    status = 0 if response is None else response.status_code
    kind, message = _REFUSALS.get(status, _UNKNOWN)
    return kind(message.format(what=what, status=status))
