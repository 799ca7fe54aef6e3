"""Sending, by the official client to a Kaggle on this machine: what arrives, what is refused, what is recorded."""

import json
import os
import pty
import re
import signal
import sys
import threading
import time
from hashlib import sha256
from pathlib import Path

import pytest
from conftest import as_written, write_config
from kaggle_server import KEY, METHODS, PLANET, SIGNATURE, TOKEN, KaggleServer
from refused import holds, refused

from amazon_ml.cli.commands import submit
from amazon_ml.cli.main import main
from amazon_ml.kaggle import outcomes, send
from amazon_ml.kaggle.client import translated_errors
from amazon_ml.kaggle.records import locked_records
from amazon_ml.runs.hashes import write_text

ROWS = ["image_name,tags", "test_0,clear primary", "test_1,cloudy", "file_0,haze primary water"]


@pytest.fixture
def file(kaggle_server: KaggleServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A right submission in a run; the sample lies beside the run."""
    kaggle_server.competitions[PLANET] = tmp_path
    monkeypatch.setattr(outcomes, "_PAUSE", 0.02)
    monkeypatch.setattr(send, "_ARRIVAL", 0.3)
    run = tmp_path / "run"
    run.mkdir()
    write_config(run, {})
    (run / "provenance.json").write_text("{}")
    (run / "decision.json").write_text(json.dumps({"rule": "per_tag"}))
    metrics = {"tags": [], "tiles": 100, "beta": 2.0, "fbeta": {"cross_fitted": {"value": 0.91234}}}
    (run / "metrics.json").write_text(json.dumps(metrics))
    as_written(run)
    (tmp_path / "sample.csv").write_text("\n".join(ROWS) + "\n")
    write_text(run / "submission.csv", "\n".join(ROWS) + "\n")  # recorded, as `submit make` does
    return run / "submission.csv"


def send_it(file: Path, *options: str) -> int:
    sample = file.parents[1] / "sample.csv"
    return main(["submit", "send", str(file), "--sample", str(sample), "--message", "ours", *options])


def records(file: Path) -> list[dict[str, object]]:
    path = file.with_name("submissions.json")
    return json.loads(path.read_text()) if path.exists() else []


def calls(server: KaggleServer, method: str) -> int:
    return sum(asked.path.endswith(f"/{method}") for asked in server.asked)


def test_a_score_of_a_choice_among_rules_is_shown_as_that(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    decision = file.with_name("decision.json")
    write_text(decision, json.dumps({"rule": "fixed", "requested": "best"}))
    write_text(file, file.read_text(), made_of=[decision])
    assert send_it(file, "--yes") == 0
    assert re.search(r"decision +best \(chose fixed\)$", capsys.readouterr().out, re.MULTILINE)


def test_what_is_sent_is_shown_arrives_and_is_recorded_with_its_scores(
    file: Path, kaggle_server: KaggleServer, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert send_it(file, "--yes") == 0
    digest = sha256(file.read_bytes()).hexdigest()
    shown = dict(re.split(" {2,}", line, maxsplit=1) for line in capsys.readouterr().out.splitlines() if "  " in line)
    assert (shown["competition"], shown["file"], shown["rows"], shown["sha256"]) == (PLANET, str(file), "3", digest)
    assert (shown["tags per tile"], shown["decision"], shown["F2, cross-fitted"]) == ("2.00", "per_tag", "0.9123")
    (sent,) = kaggle_server.submissions
    assert kaggle_server.uploads.popitem()[1] == file.read_bytes()
    assert sent["description"] == "ours"
    (record,) = records(file)
    assert time.strptime(str(record.pop("time")), "%Y-%m-%dT%H:%M:%S+00:00")
    assert record == {
        "competition": PLANET, "file": str(file), "sha256": digest, "message": "ours", "ref": sent["ref"],
        "status": "complete", "public": 0.93, "private": 0.92,
    }  # fmt: skip
    assert f"submission {sent['ref']}: public score 0.93, private score 0.92" in caplog.text


def test_waits_for_the_scores_with_growing_pauses(file: Path, kaggle_server: KaggleServer) -> None:
    kaggle_server.pending = 5
    began = time.monotonic()
    assert send_it(file, "--yes", "--wait", "60") == 0
    assert time.monotonic() - began >= 0.02 * (1 + 2 + 4 + 8)
    assert calls(kaggle_server, "ListSubmissions") == 6
    assert [(r["status"], r["public"]) for r in records(file)] == [("complete", 0.93)]


def test_without_waiting_it_is_left_pending(file: Path, kaggle_server: KaggleServer) -> None:
    kaggle_server.pending = 5
    assert send_it(file, "--yes") == 0
    assert calls(kaggle_server, "ListSubmissions") == 1
    assert [(r["status"], r["public"]) for r in records(file)] == [("pending", None)]


def test_scores_are_fetched_later(file: Path, kaggle_server: KaggleServer, capsys: pytest.CaptureFixture[str]) -> None:
    kaggle_server.pending = 3
    assert send_it(file, "--yes") == 0
    assert send_it(file, "--yes") == 0
    assert main(["submit", "scores", str(file.parent)]) == 0
    assert [r["status"] for r in records(file)] == ["pending", "complete"]
    capsys.readouterr()
    assert main(["submit", "scores", str(file.parent), "--wait", "30"]) == 0
    assert [(r["public"], r["private"]) for r in records(file)] == [(0.93, 0.92)] * 2
    first, second = (line for line in capsys.readouterr().out.splitlines() if "ours" in line)
    assert first.split()[1:] == ["ours", "complete", "40000000", "0.93", "0.92"]
    assert second.split()[1:] == ["ours", "complete", "40000001", "0.93", "0.92"]
    kaggle_server.asked.clear()
    assert main(["submit", "scores", str(file.parent)]) == 0
    assert kaggle_server.asked == []


def test_scores_that_are_still_not_there_end_with_1_only_if_waited_for(
    file: Path, kaggle_server: KaggleServer, capsys: pytest.CaptureFixture[str]
) -> None:
    kaggle_server.pending = 10_000
    assert send_it(file, "--yes") == 0
    assert main(["submit", "scores", str(file.parent)]) == 0
    assert main(["submit", "scores", str(file.parent), "--wait", "0.1"]) == 1
    assert "40000000" in capsys.readouterr().err
    assert [r["status"] for r in records(file)] == ["pending"]


def test_scores_of_what_was_never_sent_are_refused(file: Path, kaggle_server: KaggleServer) -> None:
    assert main(["submit", "scores", str(file.parent)]) == 2
    assert main(["submit", "scores", str(file.parents[1])]) == 2
    assert kaggle_server.asked == []


def test_two_do_not_send_at_once(file: Path, kaggle_server: KaggleServer, capsys: pytest.CaptureFixture[str]) -> None:
    with locked_records(file.parent):
        assert send_it(file, "--yes") == 2
    assert holds(capsys.readouterr().err, file.parent)
    assert kaggle_server.asked == []


def test_scores_that_do_not_come_in_time_end_with_1_and_say_it_arrived(
    file: Path, kaggle_server: KaggleServer, capsys: pytest.CaptureFixture[str]
) -> None:
    kaggle_server.pending = 10_000
    assert send_it(file, "--yes", "--wait", "0.2") == 1
    assert holds(capsys.readouterr().err, "0.2 s")
    assert [r["status"] for r in records(file)] == ["pending"]


def test_interrupted_while_waiting_it_is_known_to_have_arrived(file: Path, kaggle_server: KaggleServer) -> None:
    kaggle_server.pending = 10_000

    def interrupt() -> None:
        while calls(kaggle_server, "ListSubmissions") < 3:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs have it ignored
    threading.Thread(target=interrupt, daemon=True).start()
    assert send_it(file, "--yes", "--wait", "60") == 130
    assert [(r["ref"], r["status"]) for r in records(file)] == [(40_000_000, "pending")]


def test_an_interrupt_that_the_client_swallows_is_not_lost() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), translated_errors("a list"):
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        except BaseException:
            pass
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_refused_upload_is_no_success(
    file: Path, kaggle_server: KaggleServer, capsys: pytest.CaptureFixture[str]
) -> None:
    kaggle_server.upload_statuses = [503]
    assert send_it(file, "--yes") == 1
    assert "nothing was submitted" in capsys.readouterr().err
    assert kaggle_server.submissions == []
    assert [(r["status"], "ref" in r) for r in records(file)] == [("refused", False)]


def test_what_was_refused_is_sent_again_without_a_warning(
    file: Path, kaggle_server: KaggleServer, caplog: pytest.LogCaptureFixture
) -> None:
    kaggle_server.upload_statuses = [503]
    assert send_it(file, "--yes") == 1
    assert send_it(file, "--yes") == 0
    assert "the same file" not in caplog.text
    assert [r["status"] for r in records(file)] == ["refused", "complete"]


def test_a_submission_that_is_not_listed_is_no_success(
    file: Path, kaggle_server: KaggleServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(METHODS, "ListSubmissions", lambda handler, call: handler._tell({"submissions": []}))
    assert send_it(file, "--yes") == 1
    assert holds(capsys.readouterr().err, 40000000)
    assert [(r["ref"], r["status"]) for r in records(file)] == [(40_000_000, "sent")]


def test_a_list_that_fails_for_a_while_is_asked_again(
    file: Path, kaggle_server: KaggleServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(send, "_ARRIVAL", 20.0)
    kaggle_server.statuses["ListSubmissions"] = 503

    def mend() -> None:
        while calls(kaggle_server, "ListSubmissions") < 3:
            time.sleep(0.01)
        kaggle_server.statuses.clear()

    threading.Thread(target=mend, daemon=True).start()
    assert send_it(file, "--yes") == 0
    assert "status 503" in caplog.text
    assert [r["status"] for r in records(file)] == ["complete"]


def test_what_kaggle_finds_wrong_ends_with_1_and_its_words(
    file: Path, kaggle_server: KaggleServer, capsys: pytest.CaptureFixture[str]
) -> None:
    kaggle_server.scores = ("", "")
    file.write_text(file.read_text().replace("\n", "\r\n"))  # a remark for the lint, an error for this server
    assert send_it(file, "--yes", "--wait", "5") == 1
    assert holds(capsys.readouterr().err, 40000000, "image_name,tags")
    assert [(r["status"], r["error"]) for r in records(file)] == [("error", "the header must be image_name,tags")]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("\n".join(ROWS[:-1]), "missing"),
        ("\n".join(ROWS).replace("cloudy", ""), "untagged"),
        ("\n".join(ROWS[1:]), "header"),
    ],
)
def test_faulty_files_are_refused_before_anything_is_sent(
    file: Path, kaggle_server: KaggleServer, content: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(content + "\n")
    assert send_it(file, "--yes") == 1
    assert kind in capsys.readouterr().err
    assert kaggle_server.asked == [] and records(file) == []


def test_a_run_of_other_tiles_is_not_sent_to_the_competition(file: Path, kaggle_server: KaggleServer) -> None:
    assert main(["submit", "send", str(file), "--message", "ours", "--yes"]) == 1
    assert kaggle_server.asked == []


@pytest.mark.parametrize(
    ("method", "status", "code", "words"),
    [
        ("StartSubmissionUpload", 403, 2, "accept the competition's rules"),
        ("CreateSubmission", 403, 2, "accept the competition's rules"),
        ("StartSubmissionUpload", 404, 2, "check the name"),
        ("StartSubmissionUpload", 429, 1, "too many"),
        ("CreateSubmission", 500, 1, "status 500"),
    ],
)
def test_refusals_are_put_into_words(
    file: Path, kaggle_server: KaggleServer, method: str, status: int, code: int, words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    kaggle_server.statuses[method] = status
    assert send_it(file, "--yes") == code
    shown = capsys.readouterr().err
    assert words in shown
    assert ("it may have arrived" in shown) == (code == 1)
    assert kaggle_server.submissions == []
    assert [r["status"] for r in records(file)] == ["refused" if code == 2 else "sending"]


def test_wrong_tokens_are_told_and_not_shown(
    file: Path, kaggle_server: KaggleServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KAGGLE_KEY", "wrong-key-0123")
    assert send_it(file, "--yes") == 2
    shown = "".join(capfd.readouterr())
    assert "does not accept the credentials" in shown and "wrong-key-0123" not in shown
    assert kaggle_server.submissions == []


def test_no_secret_is_shown_or_stored(
    file: Path, kaggle_server: KaggleServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level("DEBUG", logger="amazon_ml")
    monkeypatch.setenv("VERBOSE", "1")
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    assert send_it(file, "--yes") == 0
    shown = "".join(capfd.readouterr()) + caplog.text
    stored = "".join(path.read_text() for path in file.parent.iterdir())
    assert not [secret for secret in (KEY, TOKEN, SIGNATURE) if secret in shown + stored]


def test_slow_answers_are_waited_for(file: Path, kaggle_server: KaggleServer) -> None:
    kaggle_server.delay = 0.4
    assert send_it(file, "--yes", "true", "--wait", "30") == 0
    assert [r["status"] for r in records(file)] == ["complete"]


def test_nobody_to_ask_is_refused(
    file: Path, kaggle_server: KaggleServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Path(os.devnull).open() as nobody:
        monkeypatch.setattr(sys, "stdin", nobody)
        assert send_it(file) == 2
    assert "--yes" in capsys.readouterr().err
    assert kaggle_server.asked == []


@pytest.mark.parametrize(
    ("answer", "code", "sent"), [("y", 0, 1), ("yes", 0, 1), ("n", 1, 0), ("", 1, 0), ("\x04", 1, 0)]
)
def test_who_is_there_is_asked(
    file: Path, kaggle_server: KaggleServer, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, sent: int
) -> None:
    ours, terminal = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    with os.fdopen(terminal) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert send_it(file) == code
    os.close(ours)
    assert len(kaggle_server.submissions) == sent


@pytest.mark.parametrize(
    ("changed", "content"),
    [("submission.csv", "\n".join(ROWS).replace("primary", "water")), ("decision.json", '{"rule": "global"}')],
)
def test_what_changes_while_a_person_is_asked_is_not_sent(
    changed: str, content: str, file: Path, kaggle_server: KaggleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text(file, file.read_text(), made_of=[file.with_name("decision.json")])
    monkeypatch.setattr(submit, "_confirm", lambda: write_text(file.with_name(changed), content))
    with refused(file=file):
        submit.send(file, message="ours", sample=file.parents[1] / "sample.csv")
    assert kaggle_server.asked == [] and records(file) == []


def test_the_same_file_again_is_warned_of_and_recorded_beside_the_first(
    file: Path, kaggle_server: KaggleServer, caplog: pytest.LogCaptureFixture
) -> None:
    assert send_it(file, "--yes") == 0
    assert "the same file" not in caplog.text
    assert send_it(file, "--yes") == 0
    assert "the same file was sent on" in caplog.text and "as submission 40000000" in caplog.text
    assert [r["ref"] for r in records(file)] == [40_000_000, 40_000_001]


def test_outside_of_a_run_it_is_sent_without_a_record_unless_the_run_is_named(file: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "copy.csv"
    elsewhere.write_bytes(file.read_bytes())
    options = ["--sample", str(tmp_path / "sample.csv"), "--message", "ours", "--yes"]
    assert main(["submit", "send", str(elsewhere), *options]) == 0
    assert list(tmp_path.rglob("submissions.json")) == []
    assert main(["submit", "send", str(elsewhere), *options, "--run", str(file.parent)]) == 0
    assert [r["file"] for r in records(file)] == [str(elsewhere)]


def test_nothing_is_sent_where_it_cannot_be_recorded(file: Path, kaggle_server: KaggleServer) -> None:
    file.with_name("submissions.json").symlink_to(file.parent)
    assert send_it(file, "--yes") == 2
    assert kaggle_server.asked == []


def test_a_folder_that_is_no_run_gets_no_record(file: Path, kaggle_server: KaggleServer, tmp_path: Path) -> None:
    assert send_it(file, "--yes", "--run", str(tmp_path / "elsewhere")) == 2
    assert kaggle_server.asked == [] and not (tmp_path / "elsewhere").exists()


def test_broken_records_are_refused_before_anything_is_sent(file: Path, kaggle_server: KaggleServer) -> None:
    file.with_name("submissions.json").write_text('{"ref": 1}')
    assert send_it(file, "--yes") == 2
    assert kaggle_server.asked == []
