"""The door to Kaggle's official client: signed in, quiet, and its failures put into words.

The client is imported when it is asked for and no sooner, since its import makes a folder for its
configuration, prints advice, and asks the service about a token.
"""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from amazon_ml.errors import InputError, WorkError
from amazon_ml.kaggle.credentials import check_files, find_faults

#: The competition that the package is named after.
PLANET_COMPETITION = "planet-understanding-the-amazon-from-space"

_CREDENTIALS = (
    "make a token at https://www.kaggle.com/settings/api and save it as ~/.kaggle/access_token, "
    "or set KAGGLE_USERNAME and KAGGLE_KEY to those of a kaggle.json"
)
#: What a status of the service means: whether the call is to be mended, and the words for it.
_REFUSALS: dict[int, tuple[type[InputError | WorkError], str]] = {
    401: (InputError, "Kaggle does not accept the credentials, asked for {what}; " + _CREDENTIALS),
    403: (InputError, "Kaggle refuses {what}; accept the competition's rules on its page at https://www.kaggle.com, "
                      "or ask the owner of a private data set for access"),
    404: (InputError, "Kaggle has no {what}; check the name, as it stands in the address of its page"),
    429: (WorkError, "Kaggle has had too many calls, the last for {what}; wait a while, then run the same command"),
}  # fmt: skip

#: Seconds that a server may say nothing. The client itself would mostly wait for ever.
_PATIENCE = 120.0

_UNKNOWN = (WorkError, "Kaggle answers {what} with status {status}; try the same command later")


def sign_in() -> Any:
    """Give the official client (``KaggleApi``), signed in.

    Raises
    ------
    InputError
        Without credentials, or with wrong ones.
    WorkError
        When Kaggle cannot be reached.
    """
    check_files()
    with explained("signing in"):
        try:
            from kaggle.api.kaggle_api_extended import KaggleApi

            api = KaggleApi()
            # With VERBOSE set it would print its requests, and read whole archives into memory to print them.
            api.args = [word for word in api.args if word != "--verbose"]
            api.authenticate()
        except SystemExit as ended:
            if ended.code != 1:  # not the client's own way to say no, but a signal
                raise
            faults = find_faults()
            raise InputError(faults or f"no credentials for Kaggle, or none that still count; {_CREDENTIALS}") from None
        except (
            AttributeError,
            KeyError,
            RecursionError,
            TypeError,
            ValueError,
        ):  # the client takes any JSON for keys and values
            if faults := find_faults():
                raise InputError(faults) from None
            raise
    return api


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Put the client's failures in this block into words about `what`, and hold back what it prints.

    What it prints may hold the credentials, and its exceptions hold signed addresses; neither is passed on.

    Raises
    ------
    InputError
        When the service refuses the call: credentials, rules, a wrong name.
    WorkError
        When the service or the network fails, or a file cannot be written.
    """
    import requests

    connections = logging.getLogger("urllib3.connectionpool")
    level = connections.level
    connections.setLevel(logging.ERROR)  # its warnings name signed addresses
    try:
        with redirect_stdout(io.StringIO()), _patience_ends():
            yield
    except requests.HTTPError as error:
        raise _refusal(error.response, what) from None
    except requests.ReadTimeout:
        raise WorkError(f"Kaggle has said nothing for {_PATIENCE:g} s, asked for {what}; "
                        "run the same command later") from None  # fmt: skip
    except (requests.ConnectionError, requests.Timeout):
        raise WorkError(f"cannot reach Kaggle for {what}; check the network and HTTPS_PROXY, "
                        "then run the same command") from None  # fmt: skip
    except requests.RequestException as error:
        raise WorkError(f"Kaggle's answer for {what} broke off or makes no sense ({type(error).__name__}); "
                        "run the same command again") from None  # fmt: skip
    except OSError as error:
        raise WorkError(f"cannot write {error.filename or what}: {error.strerror or error}") from None
    finally:
        connections.setLevel(level)


@contextmanager
def _patience_ends() -> Iterator[None]:
    """Have requests without a time limit of their own fail when the server is silent for `_PATIENCE`."""
    from requests.adapters import HTTPAdapter

    send = HTTPAdapter.send

    def send_for_a_while(self: HTTPAdapter, request: Any, *, timeout: Any = None, **options: Any) -> Any:
        return send(self, request, timeout=timeout or _PATIENCE, **options)

    HTTPAdapter.send = send_for_a_while  # type: ignore[assignment, method-assign]  # the client takes no time limit
    try:
        yield
    finally:
        HTTPAdapter.send = send  # type: ignore[method-assign]


def _refusal(response: Any, what: str) -> InputError | WorkError:
    status = 0 if response is None else response.status_code
    kind, words = _REFUSALS.get(status, _UNKNOWN)
    return kind(words.format(what=what, status=status))
