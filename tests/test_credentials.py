"""Files of Kaggle's credentials that are damaged: named, with status 2, and with nothing of what stands in them."""

import json
import os
from pathlib import Path

import pytest
from kaggle_server import KEY, PLANET, TOKEN, USER, KaggleServer

from amazon_ml.cli.main import main

WHOLE = json.dumps({"username": USER, "key": KEY})


def _download(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = main(["data", "download", str(folder / "tiles"), "--competition", PLANET])
    return status, capsys.readouterr().err


@pytest.fixture
def home(kaggle_server: KaggleServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the home folder of somebody who signs in by files only."""
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY", "KAGGLE_CONFIG_DIR"):
        monkeypatch.delenv(name)
    (tmp_path / "home" / ".kaggle").mkdir(parents=True)
    return tmp_path / "home"


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\0" * 60, WHOLE[:30].encode(), WHOLE[:-1].encode(), b"\xef\xbb\xbf" + WHOLE.encode(),
        WHOLE.encode("utf-16"), json.dumps([USER, KEY]).encode(), json.dumps(KEY).encode(), b"null", b"7",
        json.dumps({"user": USER, "key": KEY}).encode(), json.dumps({"username": USER, "key": None}).encode(),
        json.dumps({"username": USER, "key": KEY + "\n"}).encode(), b"[" * 100_000,
    ],
)  # fmt: skip
def test_damaged_file_of_a_key_is_named_and_not_shown(
    content: bytes, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / ".kaggle" / "kaggle.json").write_bytes(content)
    status, said = _download(tmp_path, capsys)
    assert status == 2 and str(home / ".kaggle" / "kaggle.json") in said
    assert KEY[:8] not in said and USER not in said and "Traceback" not in said


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf" + TOKEN.encode(), b"\xff\xfe\0"])
def test_damaged_file_of_a_token_is_named_and_not_shown(
    content: bytes, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / ".kaggle" / "access_token").write_bytes(content)
    status, said = _download(tmp_path, capsys)
    assert status == 2 and "access_token" in said and TOKEN not in said


def test_pipe_under_the_name_of_the_file_is_not_waited_for(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(home / ".kaggle" / "kaggle.json")
    status, said = _download(tmp_path, capsys)
    assert status == 2 and str(home / ".kaggle" / "kaggle.json") in said


def test_damaged_file_that_is_not_needed_does_not_matter(
    kaggle_server: KaggleServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home" / "kaggle").mkdir(parents=True)
    (tmp_path / "home" / "kaggle" / "kaggle.json").write_text("{")  # the name and the key are in the environment
    _, said = _download(tmp_path, capsys)
    assert "kaggle.json" not in said
