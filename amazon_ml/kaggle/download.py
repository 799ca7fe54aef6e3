"""From Kaggle to a folder of tiles: fetched, verified, unpacked; what is there is not fetched again.

Everything on the way lies in ``.download`` within the folder: archives that are not whole yet, which a later
call goes on with, and a journal for each source, which says what it offered and which files came of it.
"""

import logging
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from amazon_ml.data.catalog import find_layout, find_tiles
from amazon_ml.data.progress import watched
from amazon_ml.errors import InputError, WorkError
from amazon_ml.files import locked, read_json, write_json
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

log = logging.getLogger(__name__)

#: Pages that a listing may have, against a service that always has one more.
_MAX_PAGES = 1000


@dataclass(frozen=True)
class Source:
    """A kind of thing that Kaggle offers.

    Parameters
    ----------
    noun
        What it is called.
    listed
        Gives its files and their bytes, of a client and a name.
    fetch
        Downloads one of its files into a folder, of a client, a name, the file and the folder.
    exact
        Whether the bytes that are listed are those of the file or of what it unpacks to.
    """

    noun: str
    listed: Callable[[Any, str], dict[str, int]]
    fetch: Callable[[Any, str, str, Path], None]
    exact: bool


@dataclass(frozen=True)
class Journal:
    """What a source offered, and the files (path below the folder, bytes) that came of each of its own."""

    skip: list[str]
    offered: dict[str, int]
    came: dict[str, dict[str, int]]

    def lacks(self, name: str, folder: Path) -> bool:
        """Whether a file of the source has yet to come, or what came of it is no longer there."""
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
        raise InputError(f"--dataset {dataset}: name a data set as OWNER/SLUG, as in the address of its page")
    if competition is not None and not re.fullmatch(r"[\w-]+", competition):
        raise InputError(f"--competition {competition}: name a competition by the last part of its page's address")
    if dataset is None:
        competition = competition or PLANET_COMPETITION
    asked = {"dataset": dataset, "competition": competition}
    with locked(folder / ".download" / "lock", f"another download into {folder} is running; wait for it, or stop it"):
        for kind, name in asked.items():
            if name:
                _bring(SOURCES[kind], name, folder, folder / ".download" / f"{kind}-{name.replace('/', '-')}", skip)
    _tell_layout(folder)


def _bring(source: Source, name: str, folder: Path, workshop: Path, skip: Sequence[str]) -> None:
    """Bring all files of a source that are not there yet."""
    title, note = f"{source.noun} {name}", workshop / "journal.json"
    journal = _read_journal(note, skip)
    if journal.offered and not any(journal.lacks(file, folder) for file in journal.offered):
        log.info("%s is in %s already; nothing is downloaded. To fetch it anew, remove %s", title, folder, note)
        return
    api = sign_in()
    with explained(title):
        listed = source.listed(api, name)
    offered = {file: size for file, size in listed.items() if not is_skipped(file, skip)}
    if not offered:
        raise WorkError(f"{title} offers no file" + (f" that {list(skip)} leaves" if listed else ""))
    journal = Journal(list(skip), offered, {file: came for file, came in journal.came.items() if file in offered})
    left = {file: size for file, size in offered.items() if journal.lacks(file, folder)}
    needed = sum(size * (2 if _sounds_packed(source, file) else 1) for file, size in left.items())
    need_space(folder, needed - _bytes_in(workshop), f"downloading and unpacking {title}")
    for file, size in left.items():
        came = _bring_file(source, api, name, file, size, folder, workshop, skip)
        journal.came[file] = came
        write_json(note, asdict(journal))
        log.info("%s: %s files of %s", file, f"{len(came):,}", in_units(sum(came.values())))


def _bring_file(
    source: Source, api: Any, name: str, file: str, size: int, folder: Path, workshop: Path, skip: Sequence[str]
) -> dict[str, int]:
    """Fetch one file, unpack it if it is an archive, and put it into the folder; gives what came of it."""
    place = _place(file)
    holder, ready = workshop / "fetched" / file, workshop / "ready"
    fetched = _fetch(source, api, name, file, size, holder)
    shutil.rmtree(ready, ignore_errors=True)  # of a process that was killed
    if is_archive(fetched):
        log.info("unpacking %s", fetched.name)
        try:
            unpack(fetched, ready, skip=skip)
        except BrokenArchiveError as error:
            shutil.rmtree(holder)
            raise WorkError(f"{error}; it has been removed, and the same command fetches it anew") from error
    else:
        ready.mkdir()
        shutil.copyfile(fetched, ready / place.name)
    came = {str(path.relative_to(ready)): path.stat().st_size for path in sorted(ready.rglob("*")) if path.is_file()}
    if source.exact and size not in (fetched.stat().st_size, sum(came.values())):
        found = fetched.stat().st_size
        shutil.rmtree(holder)
        raise WorkError(f"{file} came with {found:,} bytes, and Kaggle lists {size:,}; run the same command again")
    target = folder / place.parent
    move_into(ready, target)
    shutil.rmtree(holder)
    shutil.rmtree(ready)
    return {str(Path(place.parent, path)): bytes_ for path, bytes_ in came.items()}


def _fetch(source: Source, api: Any, name: str, file: str, size: int, holder: Path) -> Path:
    """Download one file into a folder of its own, where what is there of it already is gone on with."""
    log.info("downloading %s, %s", file, in_units(size))
    holder.mkdir(parents=True, exist_ok=True)
    try:
        with watched(lambda: _bytes_in(holder), size, file), explained(f"{file} of {source.noun} {name}"):
            source.fetch(api, name, file, holder)
    except ValueError as error:  # the client's word for a file of the wrong length, which it would append to
        if isinstance(error, InputError):
            raise
        shutil.rmtree(holder)
        raise WorkError(f"{file} did not come whole; run the same command again") from error
    (fetched,) = (path for path in holder.iterdir() if path.suffix != ".kaggle-partial")
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
    """Where a file of a source belongs; of ``a.csv/a.csv``, as Kaggle lists some, the folder is dropped."""
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
    tiles, _ = find_tiles(layout.places, below=not layout.planet, leave_out=layout.tests)
    if len(tiles):
        log.info("%s and %s tiles; look at them: amazon-ml data check %s", layout.table, f"{len(tiles):,}", folder)
    else:
        log.warning("%s has a table and no tiles; name a data set that holds them with --dataset OWNER/SLUG", folder)


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _list_competition(api: Any, name: str) -> dict[str, int]:
    files: dict[str, int] = {}
    token = None
    for _ in range(_MAX_PAGES):
        page = api.competition_list_files(name, page_token=token, page_size=200)
        files |= {file.name: file.total_bytes for file in page.files}
        token = page.next_page_token
        if not token:
            return files
    raise WorkError(f"the competition {name} lists more than {_MAX_PAGES} pages of files")


def _fetch_competition(api: Any, name: str, file: str, folder: Path) -> None:
    api.competition_download_file(name, file, path=str(folder), quiet=True)


def _list_dataset(api: Any, name: str) -> dict[str, int]:
    from kagglesdk.datasets.types.dataset_api_service import ApiGetDatasetRequest

    request = ApiGetDatasetRequest()
    request.owner_slug, request.dataset_slug = name.split("/")
    with api.build_kaggle_client() as client:
        found = client.datasets.dataset_api_client.get_dataset(request)
    return {f"{request.dataset_slug}.zip": found.total_bytes}


def _fetch_dataset(api: Any, name: str, file: str, folder: Path) -> None:
    api.dataset_download_files(name, path=str(folder), quiet=True)


def _sounds_packed(source: Source, file: str) -> bool:
    return not source.exact or not file.lower().endswith(".csv")


SOURCES = {
    "competition": Source("competition", _list_competition, _fetch_competition, exact=True),
    "dataset": Source("data set", _list_dataset, _fetch_dataset, exact=False),
}
