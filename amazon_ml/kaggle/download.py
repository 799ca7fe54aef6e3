"""From Kaggle to a folder of tiles: fetched, verified, unpacked; what is there is not fetched again.

Everything on the way lies in ``.download`` within the folder: archives that are not whole yet, which a later
call goes on with, and a journal of what was offered and which files came of it.
"""

import logging
import re
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from amazon_ml.data.catalog.layout import find_layout
from amazon_ml.data.catalog.tiles import find_tiles
from amazon_ml.errors import InputError, WorkError, listed
from amazon_ml.kaggle.archives import (
    BrokenArchiveError,
    in_units,
    inner_path,
    is_archive,
    is_skipped,
    move_into,
    need_space,
    unpack,
)
from amazon_ml.kaggle.client import PLANET_COMPETITION, explained, sign_in
from amazon_ml.runtime.files import read_json, write_json
from amazon_ml.runtime.locks import locked
from amazon_ml.runtime.progress import watched

log = logging.getLogger(__name__)

#: What lies in the folder of one download, beside hidden files.
_WORKSHOP = ("journal.json", "fetched", "ready")
#: Pages that a listing may have, against a service that always has one more.
_MAX_PAGES = 1000


@dataclass(frozen=True)
class Offer:
    """A file that Kaggle offers.

    Parameters
    ----------
    name
        As Kaggle lists it; it may have folders.
    size
        Its bytes, as Kaggle lists them.
    exact
        Whether it must have just these bytes, packed or unpacked.
    fetch
        Downloads it into a folder, or goes on with what is there of it.
    """

    name: str
    size: int
    exact: bool
    fetch: Callable[[Path], None]


@dataclass(frozen=True)
class Journal:
    """What was offered (name, bytes), and the files (path below the folder, bytes) that came of each name."""

    skip: list[str]
    offered: dict[str, int]
    came: dict[str, dict[str, int]]

    def lacks(self, name: str, folder: Path) -> bool:
        """Whether an offered file has yet to come, or what came of it is no longer there."""
        came = self.came.get(name)
        return came is None or not all(_has_size(folder / path, size) for path, size in came.items())


def download(
    folder: Path, dataset: str | None = None, competition: str | None = None, skip: Sequence[str] = ()
) -> None:
    """Download tiles and tables from Kaggle, unpacked into the layout that training finds.

    What is whole already is not fetched again, and what was interrupted goes on. Credentials are those
    of Kaggle's own client.

    Parameters
    ----------
    folder
        Where tiles and tables are put.
    dataset
        Data set with tiles, as OWNER/SLUG.
    competition
        Competition whose files are fetched; that of the Amazon where no data set is named either.
    skip
        Patterns of files that are left out, in archives as well, such as ['*-tif*'].
    """
    if dataset is not None and not re.fullmatch(r"[\w-]+/[\w-]+", dataset):
        raise InputError(f"`dataset` {dataset}: name a data set as OWNER/SLUG, as in the address of its page")
    if competition is not None and not re.fullmatch(r"[\w-]+", competition):
        raise InputError(f"`competition` {competition}: name a competition by the last part of its page's address")
    if dataset is None:
        competition = competition or PLANET_COMPETITION
    asked = {"data set": dataset, "competition": competition}
    _check_own(folder / ".download")
    with locked(folder / ".download" / "lock", f"another download into {folder} is running; wait for it, or stop it"):
        for kind, name in asked.items():
            if name:
                _bring(kind, name, folder, skip)
    _tell_layout(folder)


def _check_own(folder: Path) -> None:
    """Refuse a folder of a download that is a link, or in which there is one: files are removed below it."""
    linked = [path for path in (folder, *_entries(folder)) if path.is_symlink()]
    if linked:
        raise InputError(f"{linked[0]} is a link; nothing is written through it: remove it")


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _bring(kind: str, name: str, folder: Path, skip: Sequence[str]) -> None:
    """Bring all files of a data set or a competition that are not there yet."""
    title = f"{kind} {name}"
    workshop = folder / ".download" / title.replace(" ", "-").replace("/", "-")
    note = workshop / "journal.json"
    _check_own(workshop)
    foreign = [path.name for path in _entries(workshop) if path.name[0] != "." and path.name not in _WORKSHOP]
    if foreign:
        raise InputError(f"{workshop} holds {listed(foreign)}, which is of no download; move it away")
    journal = _read_journal(note, skip)
    if journal.offered and not any(journal.lacks(file, folder) for file in journal.offered):
        log.info("%s is in %s already; nothing is downloaded. To fetch it anew, remove %s", title, folder, note)
        return
    api = sign_in()
    with explained(title):
        offered = OFFERS[kind](api, name)
    offers = [offer for offer in offered if not is_skipped(offer.name, skip)]
    if not offers:
        raise WorkError(f"{title} offers no file" + (f" but what fits {list(skip)}" if offered else ""))
    journal = Journal(list(skip), {offer.name: offer.size for offer in offers}, journal.came)
    left = [offer for offer in offers if journal.lacks(offer.name, folder)]
    twice = 2 * sum(offer.size for offer in left)  # packed and unpacked; tiles hardly shrink when they are packed
    need_space(folder, twice - _bytes_in(workshop), f"downloading and unpacking {title}")
    for offer in left:
        came = _bring_file(offer, folder, workshop, skip)
        journal.came[offer.name] = came
        write_json(note, asdict(journal))
        log.info("%s: %s files of %s", offer.name, f"{len(came):,}", in_units(sum(came.values())))


def _bring_file(offer: Offer, folder: Path, workshop: Path, skip: Sequence[str]) -> dict[str, int]:
    """Fetch one file, unpack it if it is an archive, and put it into the folder; gives what came of it."""
    place = _place(offer.name)
    holder, ready = workshop / "fetched" / offer.name, workshop / "ready"
    fetched = _fetch(offer, holder)
    size = fetched.stat().st_size
    shutil.rmtree(ready, ignore_errors=True)  # of a process that was killed
    try:
        if is_archive(fetched.name):
            log.info("unpacking %s", fetched.name)
            unpack(fetched, ready, skip=skip)
        else:
            ready.mkdir()
            shutil.copyfile(fetched, ready / place.name)
    except BrokenArchiveError as error:
        shutil.rmtree(holder)
        raise WorkError(f"{error}; it has been removed, and the same command fetches it anew") from error
    came = {path.relative_to(ready): path.stat().st_size for path in sorted(ready.rglob("*")) if path.is_file()}
    if offer.exact and offer.size not in (size, sum(came.values())):
        shutil.rmtree(holder)
        raise WorkError(f"{offer.name} came with {size:,} bytes, and Kaggle lists {offer.size:,}; "
                        "run the same command again")  # fmt: skip
    move_into(ready, folder / place.parent)
    shutil.rmtree(holder)
    shutil.rmtree(ready)
    return {str(place.parent / path): size for path, size in came.items()}


def _fetch(offer: Offer, holder: Path) -> Path:
    """Download a file into a folder of its own, where what is there of it already is gone on with."""
    log.info("downloading %s, %s", offer.name, in_units(offer.size))
    holder.mkdir(parents=True, exist_ok=True)
    try:
        with watched(lambda: _bytes_in(holder), offer.size, offer.name), explained(offer.name):
            offer.fetch(holder)
        (fetched,) = (path for path in holder.iterdir() if path.suffix != ".kaggle-partial")
    except InputError:
        raise
    except ValueError as error:  # the client's word for a file of the wrong length, which it would append to
        shutil.rmtree(holder)
        raise WorkError(f"{offer.name} did not come whole; run the same command again") from error
    return fetched


def _read_journal(note: Path, skip: Sequence[str]) -> Journal:
    """Read a journal; one with other patterns does not count, since other files came by it."""
    if not note.exists():
        return Journal(list(skip), {}, {})
    content = read_json(note)
    try:
        journal = Journal(**content)
    except TypeError:
        raise InputError(f"{note} is no journal of a download; remove it") from None
    return journal if journal.skip == list(skip) else Journal(list(skip), {}, {})


def _place(file: str) -> Path:
    """Where an offered file belongs; of ``a.csv/a.csv``, as Kaggle lists some, the folder is dropped."""
    try:
        path = Path(inner_path(file))
    except ValueError as error:
        raise WorkError(f"Kaggle lists {error}; nothing is written") from None
    return path.parent.parent / path.name if path.parent.name == path.name else path


def _tell_layout(folder: Path) -> None:
    try:
        layout = find_layout(folder)
    except InputError as error:
        log.warning("this is no folder to train on yet: %s", error)
        return
    tiles, _ = find_tiles(layout.places, below=not layout.planet, exclude=layout.tests)
    if len(tiles):
        log.info("%s and %s tiles; look at them: amazon-ml data check %s", layout.table, f"{len(tiles):,}", folder)
    else:
        log.warning("%s has a table and no tiles; name a data set that holds them with `dataset` OWNER/SLUG", folder)


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # the client removes its notes while this is counting
            total += path.stat().st_size if path.is_file() else 0
    return total


def _of_competition(api: Any, name: str) -> list[Offer]:
    offers: list[Offer] = []
    token = None
    for _ in range(_MAX_PAGES):
        page = api.competition_list_files(name, page_token=token, page_size=200)
        for file in page.files:
            fetch = partial(_fetch_from_competition, api, name, file.name)
            offers.append(Offer(file.name, file.total_bytes, exact=True, fetch=fetch))
        token = page.next_page_token
        if not token:
            return offers
    raise WorkError(f"the competition {name} lists more than {_MAX_PAGES} pages of files")


def _fetch_from_competition(api: Any, name: str, file: str, holder: Path) -> None:
    api.competition_download_file(name, file, path=str(holder), quiet=True)


def _of_dataset(api: Any, name: str) -> list[Offer]:
    """Offer a data set as one zip: it may hold 100,000 tiles, each of which would be a call of its own."""
    from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetRequest

    request = ApiGetDatasetRequest()
    request.owner_slug, request.dataset_slug = name.split("/")
    with api.build_kaggle_client() as client:
        size = client.datasets.dataset_api_client.get_dataset(request).total_bytes
    return [Offer(f"{request.dataset_slug}.zip", size, exact=False, fetch=partial(_fetch_dataset, api, name))]


def _fetch_dataset(api: Any, name: str, holder: Path) -> None:
    api.dataset_download_files(name, path=str(holder), quiet=True)


#: What Kaggle offers, by what it is called.
OFFERS: dict[str, Callable[[Any, str], list[Offer]]] = {"data set": _of_dataset, "competition": _of_competition}
