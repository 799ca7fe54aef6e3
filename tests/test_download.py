"""Downloads with the official client, from a Kaggle on this machine; what goes wrong on the way, and what is left."""

import logging
import os
import pty
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import forked
import pytest
from kaggle_server import KEY, PLANET, SIGNATURE, TOKEN, KaggleServer
from refused import holds
from test_archives import files_in, pack_7z, pack_tar, pack_zip

from amazon_ml.cli.main import main
from amazon_ml.data.catalog.catalog import read_catalog
from amazon_ml.kaggle import client
from amazon_ml.runtime.locks import locked
from amazon_ml.runtime.progress import watched

MIRROR = "somebody/tiles"


@pytest.fixture
def mirror(kaggle_server: KaggleServer, demo_tiles: Path, tmp_path: Path) -> Path:
    """Offer the generated tiles as the well-known mirror lays them out."""
    folder = tmp_path / "mirror"
    shutil.copytree(demo_tiles / "train-jpg", folder / "planet" / "planet" / "train-jpg")
    shutil.copyfile(demo_tiles / "train_v2.csv", folder / "planet" / "planet" / "train_classes.csv")
    shutil.copytree(demo_tiles / "test-jpg", folder / "planet" / "planet" / "test-jpg")
    shutil.copytree(demo_tiles / "test-jpg-additional", folder / "test-jpg-additional" / "test-jpg-additional")
    kaggle_server.datasets[MIRROR] = folder
    return folder


@pytest.fixture
def competition(kaggle_server: KaggleServer, demo_tiles: Path, tmp_path: Path) -> Path:
    """Offer the generated tiles as the competition gave them out: a tar in a 7z, a CSV in a zip, one in a folder."""
    folder = tmp_path / "competition"
    (folder / "sample_submission_v2.csv").mkdir(parents=True)
    tiles = {f"train-jpg/{path.name}": path.read_bytes() for path in (demo_tiles / "train-jpg").iterdir()}
    pack_tar(tmp_path / "train-jpg.tar", tiles)
    pack_7z(folder / "train-jpg.tar.7z", {"train-jpg.tar": (tmp_path / "train-jpg.tar").read_bytes()})
    pack_zip(folder / "train_v2.csv.zip", {"train_v2.csv": (demo_tiles / "train_v2.csv").read_bytes()})
    (folder / "sample_submission_v2.csv" / "sample_submission_v2.csv").write_text("image_name,tags\ntest_0,clear\n")
    (folder / "train-tif-v2.tar.7z").write_bytes(b"four bands, and not asked for")
    kaggle_server.competitions[PLANET] = folder
    return folder


@pytest.fixture
def large(kaggle_server: KaggleServer, tmp_path: Path) -> Path:
    """Offer a data set of 4 MiB that does not compress."""
    folder = tmp_path / "large"
    folder.mkdir()
    (folder / "noise.bin").write_bytes(os.urandom(4 << 20))
    kaggle_server.datasets[MIRROR] = folder
    return folder


def shown(folder: Path) -> dict[str, bytes]:
    """Give what a download brought, without its workshop."""
    return {name: content for name, content in files_in(folder).items() if not name.startswith(".download")}


def download(folder: Path, *options: str) -> int:
    return main(["data", "download", str(folder), *options])


def test_from_an_empty_folder_to_a_catalog(mirror: Path, demo_tiles: Path, tmp_path: Path) -> None:
    assert download(tmp_path / "planet", "--dataset", MIRROR) == 0
    assert shown(tmp_path / "planet") == files_in(mirror)
    got, drawn = read_catalog(tmp_path / "planet"), read_catalog(demo_tiles)
    assert got.sha256 == drawn.sha256
    assert len(got.unlabelled) == len(drawn.unlabelled) == 30


def test_the_competitions_own_archives(competition: Path, demo_tiles: Path, tmp_path: Path) -> None:
    assert download(tmp_path / "planet", "--skip=['*-tif*']") == 0
    assert read_catalog(tmp_path / "planet").sha256 == read_catalog(demo_tiles).sha256
    assert {Path(name).parts[0] for name in shown(tmp_path / "planet")} == {
        "train-jpg", "train_v2.csv", "sample_submission_v2.csv",
    }  # fmt: skip
    assert (tmp_path / "planet" / "sample_submission_v2.csv").read_text() == "image_name,tags\ntest_0,clear\n"
    assert files_in(tmp_path / "planet" / ".download" / f"competition-{PLANET}").keys() == {"journal.json"}


def test_tables_of_the_competition_beside_tiles_of_a_mirror(
    mirror: Path, competition: Path, demo_tiles: Path, tmp_path: Path
) -> None:
    (mirror / "planet" / "planet" / "train_classes.csv").unlink()
    skip = "--skip=['*.7z', '*-tif*']"
    assert download(tmp_path / "planet", "--dataset", MIRROR, "--competition", PLANET, skip) == 0
    assert read_catalog(tmp_path / "planet").sha256 == read_catalog(demo_tiles).sha256


def test_a_second_call_asks_kaggle_nothing(mirror: Path, kaggle_server: KaggleServer, tmp_path: Path) -> None:
    assert download(tmp_path / "planet", "--dataset", MIRROR) == 0
    before = shown(tmp_path / "planet")
    kaggle_server.asked.clear()
    assert download(tmp_path / "planet", "--dataset", MIRROR) == 0
    assert kaggle_server.asked == []
    assert shown(tmp_path / "planet") == before


def test_only_what_is_gone_is_fetched_again(competition: Path, kaggle_server: KaggleServer, tmp_path: Path) -> None:
    assert download(tmp_path / "planet", "--skip=['*-tif*']") == 0
    before = shown(tmp_path / "planet")
    (tmp_path / "planet" / "train_v2.csv").unlink()
    kaggle_server.asked.clear()
    assert download(tmp_path / "planet", "--skip=['*-tif*']") == 0
    assert [Path(asked.path).name for asked in kaggle_server.downloads()] == ["train_v2.csv.zip"]
    assert shown(tmp_path / "planet") == before


def test_a_cut_connection_is_taken_up_where_it_broke(large: Path, kaggle_server: KaggleServer, tmp_path: Path) -> None:
    kaggle_server.cut_after = 2_500_000
    assert download(tmp_path / "planet", "--dataset", MIRROR) == 0
    assert [asked.range for asked in kaggle_server.downloads()] == [None, f"bytes={2 << 20}-"]
    assert shown(tmp_path / "planet") == files_in(large)


@pytest.mark.parametrize(
    ("statuses", "words"),
    [*[([status], (status, "expired")) for status in (400, 401, 403, 404, 410)], ([503] * 5, (503,)), ([429, 503], ())],
)
def test_what_was_fetched_is_kept_where_a_server_refuses_the_rest(
    statuses: list[int], words: tuple[object, ...], large: Path, kaggle_server: KaggleServer, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the client's pauses
    kaggle_server.cut_after, kaggle_server.after_cut = 2_500_000, statuses
    if words:
        assert download(tmp_path / "planet", "--dataset", MIRROR) == 1
        assert holds(capsys.readouterr().err, *words) and len(kaggle_server.downloads()) == 1 + len(statuses)
    assert download(tmp_path / "planet", "--dataset", MIRROR) == 0
    assert {asked.range for asked in kaggle_server.downloads()} == {None, f"bytes={2 << 20}-"}
    assert shown(tmp_path / "planet") == files_in(large)


def test_a_killed_download_goes_on_where_it_was(large: Path, kaggle_server: KaggleServer, tmp_path: Path) -> None:
    kaggle_server.stall_after = 2_500_000
    killed = forked.Forked(["data", "download", str(tmp_path / "planet"), "--dataset", MIRROR])
    part = tmp_path / "planet" / ".download" / "data-set-somebody-tiles" / "fetched" / "tiles.zip" / "tiles.zip"
    while not (part.exists() and part.stat().st_size >= 2 << 20):
        assert killed.poll() is None
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert shown(tmp_path / "planet") == {}
    assert download(tmp_path / "planet", "--dataset", MIRROR) == 0
    assert kaggle_server.downloads()[-1].range == f"bytes={2 << 20}-"
    assert shown(tmp_path / "planet") == files_in(large)


def test_a_part_of_another_version_is_not_gone_on_with(
    large: Path, kaggle_server: KaggleServer, tmp_path: Path
) -> None:
    holder = tmp_path / "planet" / ".download" / "data-set-somebody-tiles" / "fetched" / "tiles.zip"
    holder.mkdir(parents=True)
    (holder / "tiles.zip").write_bytes(b"of last year")
    (holder / "tiles.zip.kaggle-partial").write_text('{"validator": "\\"old\\"", "size": 1000000}')
    assert download(tmp_path / "planet", "--dataset", MIRROR) == 0
    assert shown(tmp_path / "planet") == files_in(large)


@pytest.mark.parametrize(
    ("switch", "status", "words"),
    [
        ({"statuses": {"DownloadDataFile": 403}}, 2, "accept the competition's rules"),
        ({"competitions": {}}, 2, "Kaggle has no competition"),
        ({"statuses": {"ListDataFiles": 401}}, 2, "does not accept the credentials"),
        ({"statuses": {"DownloadDataFile": 503}}, 1, "status 503; try the same command later"),
        ({"statuses": {"ListDataFiles": 429}}, 1, "too many calls"),
        ({"storage_statuses": [404, 404]}, 2, "Kaggle has no"),
    ],
)
def test_refusals_are_told_in_words(
    switch: dict[str, object],
    status: int,
    words: str,
    competition: Path,
    kaggle_server: KaggleServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in switch.items():
        setattr(kaggle_server, name, value)
    assert download(tmp_path / "planet") == status
    assert words in capsys.readouterr().err
    assert shown(tmp_path / "planet") == {}


def test_no_network(
    mirror: Path, kaggle_server: KaggleServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kaggle_server.stop()
    assert download(tmp_path / "planet", "--dataset", MIRROR) == 1
    assert "cannot reach Kaggle" in capsys.readouterr().err


def test_a_slow_answer_is_waited_for(mirror: Path, kaggle_server: KaggleServer, tmp_path: Path) -> None:
    kaggle_server.delay = 0.3
    assert download(tmp_path / "planet", "--dataset", MIRROR) == 0


def test_a_server_that_says_nothing_is_not_waited_for_for_ever(
    mirror: Path, kaggle_server: KaggleServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(client, "_TIMEOUT", 0.3)
    kaggle_server.delay = 60
    assert download(tmp_path / "planet", "--dataset", MIRROR) == 1
    assert holds(capsys.readouterr().err, "0.3 s")


def test_a_download_that_stands_still_is_taken_up_where_it_stood(
    large: Path, kaggle_server: KaggleServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_TIMEOUT", 0.5)
    kaggle_server.stall_after = 2_500_000
    assert download(tmp_path / "planet", "--dataset", MIRROR) == 0
    assert [asked.range for asked in kaggle_server.downloads()] == [None, f"bytes={2 << 20}-"]
    assert shown(tmp_path / "planet") == files_in(large)


@pytest.mark.parametrize("token", [None, "wrong"])
def test_without_credentials_both_remedies_are_named(
    token: str | None, mirror: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KAGGLE_USERNAME")
    if token:
        monkeypatch.setenv("KAGGLE_API_TOKEN", token)
    assert download(tmp_path / "planet", "--dataset", MIRROR) == 2
    said = capsys.readouterr()
    assert "access_token" in said.err and "KAGGLE_USERNAME" in said.err
    assert said.out == ""


def test_secrets_are_neither_shown_nor_stored(mirror: Path, kaggle_server: KaggleServer, tmp_path: Path) -> None:
    surroundings = {**os.environ, "VERBOSE": "1", "KAGGLE_API_TOKEN": TOKEN}
    command = ["data", "download", str(tmp_path / "planet"), "--dataset", MIRROR]
    kaggle_server.cut_after = 1000
    said = forked.run(command, environment=surroundings)
    assert said.returncode == 0
    kept = b"".join(files_in(tmp_path / "planet").values()) + (said.stdout + said.stderr).encode()
    assert not any(secret.encode() in kept for secret in (TOKEN, KEY, SIGNATURE))


def test_a_hostile_data_set_leaves_nothing(
    kaggle_server: KaggleServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad").mkdir()
    pack_zip(tmp_path / "bad" / "raw.zip", {"train-jpg/a.jpg": b"tile", "../../../evil.sh": b"bad"})
    kaggle_server.datasets[MIRROR] = tmp_path / "bad"
    assert download(tmp_path / "planet", "--dataset", MIRROR) == 1
    assert "leads out of the folder" in capsys.readouterr().err
    assert files_in(tmp_path / "planet").keys() == {".download/lock"}
    assert not list(tmp_path.rglob("evil.sh"))


@pytest.mark.parametrize("content", [b"", b"<html>please sign in</html>", b"half an archive"])
def test_what_is_no_archive_is_fetched_anew(
    content: bytes, mirror: Path, kaggle_server: KaggleServer, tmp_path: Path
) -> None:
    (tmp_path / "bad").mkdir()
    pack_zip(tmp_path / "bad" / "raw.zip", files_in(mirror))
    if content == b"half an archive":
        os.truncate(tmp_path / "bad" / "raw.zip", (tmp_path / "bad" / "raw.zip").stat().st_size // 2)
    else:
        (tmp_path / "bad" / "raw.zip").write_bytes(content)
    kaggle_server.datasets[MIRROR] = tmp_path / "bad"
    assert download(tmp_path / "planet", "--dataset", MIRROR) == 1
    assert shown(tmp_path / "planet") == {}
    kaggle_server.datasets[MIRROR] = mirror
    assert download(tmp_path / "planet", "--dataset", MIRROR) == 0
    assert shown(tmp_path / "planet") == files_in(mirror)


def test_a_file_of_another_length_than_listed_is_refused(
    competition: Path, kaggle_server: KaggleServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kaggle_server.announced = 1234
    assert download(tmp_path / "planet", "--skip=['*.7z']") == 1
    assert holds(capsys.readouterr().err, "1,234")
    assert shown(tmp_path / "planet") == {}


def test_a_full_disk_is_told_before_the_download(
    mirror: Path, kaggle_server: KaggleServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kaggle_server.announced = 10**17
    assert download(tmp_path / "planet", "--dataset", MIRROR) == 1
    assert "make room" in capsys.readouterr().err
    assert kaggle_server.downloads() == []


def test_a_file_of_ones_own_is_not_written_over(
    competition: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "planet").mkdir()
    (tmp_path / "planet" / "train_v2.csv").write_text("image_name,tags\nmine,clear\n")
    assert download(tmp_path / "planet", "--skip=['*.7z']") == 2
    assert "differs" in capsys.readouterr().err
    assert (tmp_path / "planet" / "train_v2.csv").read_text() == "image_name,tags\nmine,clear\n"


def test_tables_without_tiles_are_told(competition: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert download(tmp_path / "planet", "--skip=['*.7z']") == 0
    assert "`dataset` OWNER/SLUG" in caplog.text


def test_hostile_names_in_a_listing_are_refused(
    competition: Path, kaggle_server: KaggleServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kaggle_server.renamed = "../../evil.csv"
    assert download(tmp_path / "planet") == 1
    assert "leads out of the folder" in capsys.readouterr().err
    assert kaggle_server.downloads() == []


def test_a_bar_is_shown_on_a_terminal(large: Path, kaggle_server: KaggleServer, tmp_path: Path) -> None:
    kaggle_server.cut_after = 2_500_000  # which the client waits two seconds after
    ours, theirs = pty.openpty()
    words = ["-m", "amazon_ml.cli", "data", "download", str(tmp_path / "planet"), "--dataset", MIRROR]
    with subprocess.Popen([forked.python(), *words], stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        said = b""
        with suppress(OSError):  # which a terminal gives that nobody writes to any more
            while more := os.read(ours, 4096):
                said += more
    os.close(ours)
    assert running.returncode == 0
    assert re.search(rb"tiles\.zip .*2\.\d/4\.2 MB", said)


def test_lines_say_how_far_it_is_where_there_is_no_terminal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amazon_ml.runtime.progress._SECONDS_BETWEEN_LINES", 0.01)
    with caplog.at_level(logging.INFO), watched(lambda: 1_500_000, 3_000_000, "tiles.zip"):
        time.sleep(0.2)
    assert "tiles.zip: 1.5 of 3.0 MB" in caplog.text


def test_two_downloads_into_one_folder_do_not_meet(
    mirror: Path, kaggle_server: KaggleServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with locked(tmp_path / "planet" / ".download" / "lock", "busy"):
        assert download(tmp_path / "planet", "--dataset", MIRROR) == 2
    assert holds(capsys.readouterr().err, tmp_path / "planet")
    assert kaggle_server.asked == []


@pytest.mark.parametrize(
    "options",
    [
        ("--dataset", "tiles"),
        ("--dataset", "https://www.kaggle.com/datasets/somebody/tiles"),
        ("--competition", "https://www.kaggle.com/c/planet"),
        ("--skip=['*']",),
    ],
)
def test_calls_that_are_wrong(options: tuple[str, ...], competition: Path, tmp_path: Path) -> None:
    assert download(tmp_path / "planet", *options) in (1, 2)
    assert shown(tmp_path / "planet") == {}


def test_a_folder_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert download(tmp_path / "file" / "planet") == 1
    assert holds(capsys.readouterr().err, tmp_path / "file" / "planet")


def test_a_broken_journal_is_named(mirror: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    note = tmp_path / "planet" / ".download" / "data-set-somebody-tiles" / "journal.json"
    note.parent.mkdir(parents=True)
    note.write_text('{"skip": []}')
    assert download(tmp_path / "planet", "--dataset", MIRROR) == 2
    assert str(note) in capsys.readouterr().err
