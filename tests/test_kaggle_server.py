"""The official client finds on this machine's Kaggle what it finds on the real one."""

from pathlib import Path
from typing import Any

import pytest
from kaggle_server import PLANET, TOKEN, KaggleServer
from requests.exceptions import HTTPError


def _client() -> Any:
    from kaggle.api.kaggle_api_extended import KaggleApi

    api = KaggleApi()
    api.authenticate()
    return api


@pytest.fixture
def tables(kaggle_server: KaggleServer, tmp_path: Path) -> Path:
    folder = tmp_path / "tables"
    for n in range(5):
        (folder / f"table_{n}.csv").parent.mkdir(parents=True, exist_ok=True)
        (folder / f"table_{n}.csv").write_text(f"image_name,tags\ntrain_{n},clear\n")
    kaggle_server.competitions[PLANET] = folder
    return folder


def test_lists_in_pages_and_downloads(tables: Path, tmp_path: Path) -> None:
    api = _client()
    first = api.competition_list_files(PLANET)
    second = api.competition_list_files(PLANET, page_token=first.next_page_token)
    assert [file.name for file in [*first.files, *second.files]] == [f"table_{n}.csv" for n in range(5)]
    api.competition_download_file(PLANET, "table_3.csv", path=str(tmp_path), quiet=True)
    assert (tmp_path / "table_3.csv").read_bytes() == (tables / "table_3.csv").read_bytes()


def test_submits_and_scores(tables: Path, kaggle_server: KaggleServer) -> None:
    api = _client()
    kaggle_server.pending = 1
    ref = api.competition_submit(str(tables / "table_0.csv"), "a message", PLANET, quiet=True).ref
    waiting, scored = api.competition_submissions(PLANET)[0], api.competition_submissions(PLANET)[0]
    assert waiting.ref == scored.ref == ref and ref > 0
    assert (waiting.status.name, waiting.public_score) == ("PENDING", "")
    assert (scored.status.name, scored.public_score, scored.description) == ("COMPLETE", "0.93", "a message")
    assert api.competition_get_submission_limits(PLANET).num_allowed_now == 4


def test_a_refused_upload_submits_nothing_and_raises_nothing(tables: Path, kaggle_server: KaggleServer) -> None:
    kaggle_server.upload_statuses = [503]
    assert _client().competition_submit(str(tables / "table_0.csv"), "", PLANET, quiet=True).ref == 0
    assert kaggle_server.submissions == []


def test_refusals_reach_the_client(tables: Path, kaggle_server: KaggleServer, tmp_path: Path) -> None:
    kaggle_server.rules_accepted = False
    with pytest.raises(HTTPError, match="accept") as refused:
        _client().competition_download_file(PLANET, "table_0.csv", path=str(tmp_path), quiet=True)
    assert refused.value.response is not None and refused.value.response.status_code == 403
    with pytest.raises(HTTPError) as refused:
        _client().competition_list_files("no-such-competition")
    assert refused.value.response is not None and refused.value.response.status_code == 404


def test_tokens_are_told_from_wrong_ones(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    assert len(_client().competition_list_files(PLANET).files) == 3
    monkeypatch.setenv("KAGGLE_API_TOKEN", "wrong")
    with pytest.raises(SystemExit):
        _client()
