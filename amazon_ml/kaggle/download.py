"""Download tiles from Kaggle: fetch, verify and unpack them; existing files are not fetched again.

Unfinished work lies in ``.download`` within the folder: incomplete archives, which a later call resumes, and a journal
of the offered files and of the files that were unpacked from each.
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
from amazon_ml.kaggle.client import PLANET_COMPETITION, sign_in, translated_errors
from amazon_ml.runtime.files import read_json, write_json
from amazon_ml.runtime.locks import locked
from amazon_ml.runtime.progress import watched

log = logging.getLogger(__name__)

#: Names in the folder of one download, without hidden files.
_WORKSHOP = ("journal.json", "fetched", "ready")
#: Most pages of a listing, in case that a service always gives another one.
_MAX_PAGES = 1000


@dataclass(frozen=True)
class Offer:
    """A file that Kaggle offers.

    Parameters
    ----------
    name
        Name in Kaggle's list; it may have folders.
    size
        Size in bytes in Kaggle's list.
    exact
        Whether its size must be exactly this, packed or unpacked.
    fetch
        Downloads it into a folder, or resumes its download.
    """

    name: str
    size: int
    exact: bool
    fetch: Callable[[Path], None]


@dataclass(frozen=True)
class Journal:
    """Offered files with their bytes, and the files that were unpacked from each, with their bytes."""

    skip: list[str]
    offered: dict[str, int]
    came: dict[str, dict[str, int]]

    def lacks(self, name: str, folder: Path) -> bool:
        """Whether an offered file is not fetched yet, or files that were unpacked from it are missing."""
        came = self.came.get(name)
        return came is None or not all(_has_size(folder / path, size) for path, size in came.items())


def download(
    folder: Path, dataset: str | None = None, competition: str | None = None, skip: Sequence[str] = ()
) -> None:
    """Download tiles and tables from Kaggle, and unpack them into the layout that training reads.

    Complete files are not fetched again, and an interrupted download is resumed. The credentials are those of Kaggle's
    own client.

    Parameters
    ----------
    folder
        Folder for tiles and tables.
    dataset
        Data set of tiles, as OWNER/SLUG.
    competition
        Competition whose files are fetched; by default that of the Amazon, where no data set is named.
    skip
        Patterns of files that are left out, also in archives, such as ['*-tif*'].
    """
    if dataset is not None and not re.fullmatch(r"[\w-]+/[\w-]+", dataset):
        raise InputError(
            f"`dataset` {dataset}: name a data set as OWNER/SLUG, as in the address of its page", option="dataset"
        )
    if competition is not None and not re.fullmatch(r"[\w-]+", competition):
        raise InputError(
            f"`competition` {competition}: name a competition by the last part of its page's address",
            option="competition",
        )
    if dataset is None:
        competition = competition or PLANET_COMPETITION
    requested = {"data set": dataset, "competition": competition}
    _check_own(folder / ".download")
    with locked(folder / ".download" / "lock", f"another download into {folder} is running; wait for it, or stop it"):
        for kind, name in requested.items():
            if name:
                _fetch_all(kind, name, folder, skip)
    _log_layout(folder)


def _check_own(folder: Path) -> None:
    """Check that the folder of a download is no link and holds none, since files are removed below it."""
    linked = [path for path in (folder, *_entries(folder)) if path.is_symlink()]
    if linked:
        raise InputError("this is a link, and nothing is written through links", file=linked[0], remedy="remove it")


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _fetch_all(kind: str, name: str, folder: Path, skip: Sequence[str]) -> None:
    """Fetch all files of a data set or a competition that are missing."""
    title = f"{kind} {name}"
    workshop = folder / ".download" / title.replace(" ", "-").replace("/", "-")
    note = workshop / "journal.json"
    _check_own(workshop)
    foreign = [path.name for path in _entries(workshop) if path.name[0] != "." and path.name not in _WORKSHOP]
    if foreign:
        raise InputError(
            f"the folder holds {listed(foreign)}, which is not part of a download", file=workshop, remedy="move it away"
        )
    journal = _read_journal(note, skip)
    if journal.offered and not any(journal.lacks(file, folder) for file in journal.offered):
        log.info("%s is in %s already; nothing is downloaded. To fetch it again, remove %s", title, folder, note)
        return
    api = sign_in()
    with translated_errors(title):
        offered = OFFERS[kind](api, name)
    offers = [offer for offer in offered if not is_skipped(offer.name, skip)]
    if not offers:
        raise WorkError(f"{title} offers no file" + (f" beside those that fit {list(skip)}" if offered else ""))
    journal = Journal(list(skip), {offer.name: offer.size for offer in offers}, journal.came)
    left = [offer for offer in offers if journal.lacks(offer.name, folder)]
    twice = 2 * sum(offer.size for offer in left)  # packed and unpacked; packing hardly makes tiles smaller
    need_space(folder, twice - _bytes_in(workshop), f"downloading and unpacking {title}")
    for offer in left:
        came = _fetch_and_unpack(offer, folder, workshop, skip)
        journal.came[offer.name] = came
        write_json(note, asdict(journal))
        log.info("%s: %s files of %s", offer.name, f"{len(came):,}", in_units(sum(came.values())))


def _fetch_and_unpack(offer: Offer, folder: Path, workshop: Path, skip: Sequence[str]) -> dict[str, int]:
    """Fetch one file, unpack it if it is an archive, and move the files into the folder; return their sizes."""
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
        raise WorkError(f"{error}; it was removed, and the same command fetches it again") from error
    came = {path.relative_to(ready): path.stat().st_size for path in sorted(ready.rglob("*")) if path.is_file()}
    if offer.exact and offer.size not in (size, sum(came.values())):
        shutil.rmtree(holder)
        raise WorkError(f"{offer.name} has {size:,} bytes, and Kaggle lists {offer.size:,}; "
                        "run the same command again")  # fmt: skip
    move_into(ready, folder / place.parent)
    shutil.rmtree(holder)
    shutil.rmtree(ready)
    return {str(place.parent / path): size for path, size in came.items()}


def _fetch(offer: Offer, holder: Path) -> Path:
    """Download a file into a folder of its own; an incomplete download there is resumed."""
    log.info("downloading %s, %s", offer.name, in_units(offer.size))
    holder.mkdir(parents=True, exist_ok=True)
    try:
        with watched(lambda: _bytes_in(holder), offer.size, offer.name), translated_errors(offer.name):
            offer.fetch(holder)
        (fetched,) = (path for path in holder.iterdir() if path.suffix != ".kaggle-partial")
    except InputError:
        raise
    except ValueError as error:  # the client raises it for a file of the wrong length, which it would append to
        shutil.rmtree(holder)
        raise WorkError(f"{offer.name} is incomplete; run the same command again") from error
    return fetched


def _read_journal(note: Path, skip: Sequence[str]) -> Journal:
    """Read a journal; one with other patterns does not count, since it left out other files."""
    if not note.exists():
        return Journal(list(skip), {}, {})
    content = read_json(note)
    try:
        journal = Journal(**content)
    except TypeError:
        raise InputError("this is not the journal of a download", file=note, remedy="remove it") from None
    return journal if journal.skip == list(skip) else Journal(list(skip), {}, {})


def _place(file: str) -> Path:
    """Give the place of an offered file; Kaggle lists some as ``a.csv/a.csv``, where the folder is dropped."""
    try:
        path = Path(inner_path(file))
    except ValueError as error:
        raise WorkError(f"Kaggle lists {error}; nothing is written") from None
    return path.parent.parent / path.name if path.parent.name == path.name else path


def _log_layout(folder: Path) -> None:
    try:
        layout = find_layout(folder)
    except InputError as error:
        log.warning("training cannot use this folder yet: %s", error)
        return
    tiles, _ = find_tiles(layout.places, below=not layout.planet, exclude=layout.tests)
    if len(tiles):
        log.info(
            "%s and %s tiles; check them with amazon-ml data check %s",
            listed(layout.table_paths),
            f"{len(tiles):,}",
            folder,
        )
    else:
        log.warning("%s has a table and no tiles; name a data set that holds them with `dataset` OWNER/SLUG", folder)


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # the client removes its notes at the same time
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
    """Offer a data set as one zip, since it may hold 100,000 tiles, and single files would be a call each."""
    from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetRequest

    request = ApiGetDatasetRequest()
    request.owner_slug, request.dataset_slug = name.split("/")
    with api.build_kaggle_client() as client:
        size = client.datasets.dataset_api_client.get_dataset(request).total_bytes
    return [Offer(f"{request.dataset_slug}.zip", size, exact=False, fetch=partial(_fetch_dataset, api, name))]


def _fetch_dataset(api: Any, name: str, holder: Path) -> None:
    api.dataset_download_files(name, path=str(holder), quiet=True)


#: Functions that list the files of a data set or a competition.
OFFERS: dict[str, Callable[[Any, str], list[Offer]]] = {"data set": _of_dataset, "competition": _of_competition}
