"""What tests fork in place of starting it is a process of its own, and its failures are seen."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import forked
import pytest

TELL = """
import os, sys, time
print(os.getpid(), os.environ.get("ONLY_HERE"), os.getcwd(), flush=True)
print("an error", file=sys.stderr)
if sys.argv[1] == "wait":
    time.sleep(100)
raise ValueError(sys.argv[1]) if sys.argv[1] == "fail" else SystemExit(int(sys.argv[1]))
"""


def test_forked_process_has_its_own_number_environment_folder_output_and_end(tmp_path: Path) -> None:
    script = tmp_path / "tell.py"
    script.write_text(TELL)
    for word, status in (("0", 0), ("3", 3), ("fail", 1)):
        done = forked.run([str(script), word], environment={**os.environ, "ONLY_HERE": "x"}, folder=tmp_path)
        number, *rest = done.stdout.split()
        assert int(number) != os.getpid() and rest == ["x", str(tmp_path)]
        assert done.returncode == status and "an error" in done.stderr
        assert ("ValueError: fail" in done.stderr) == (word == "fail")
    assert forked.run(["no-verb"]).returncode == 2 and "ONLY_HERE" not in os.environ


def test_forked_process_ends_by_signals(tmp_path: Path) -> None:
    script = tmp_path / "tell.py"
    script.write_text(TELL)
    process = forked.Forked([str(script), "wait"])
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == -signal.SIGTERM == process.returncode


def test_stand_in_for_python_ends_as_what_it_stands_for_and_passes_signals_on(tmp_path: Path) -> None:
    script, python = tmp_path / "tell.py", forked.python()
    script.write_text(TELL)
    for words in ([str(script)], ["-c", TELL]):
        done = subprocess.run([python, *words, "85"], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 85 and done.stdout.split()[2] == str(tmp_path) and done.stderr == "an error\n"
    assert subprocess.run([python, "-P", "-m", "amazon_ml.cli", "no-verb"]).returncode == 2
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with subprocess.Popen([python, str(script), "wait"], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            number = int(process.stdout.readline().split()[0])
            assert number != process.pid
            process.send_signal(sign)
            assert process.wait(60) == -sign
        end = time.monotonic() + 60
        with pytest.raises(ProcessLookupError):
            while time.monotonic() < end:
                os.kill(number, 0)
                time.sleep(0.01)


def test_function_is_called_in_a_process_of_a_new_session() -> None:
    process = forked.Forked(["-c", "import os, time; assert os.getsid(0) == os.getpid(); time.sleep(100)"],
                            new_session=True)  # fmt: skip
    os.killpg(process.pid, signal.SIGUSR1)
    assert process.wait(60) == -signal.SIGUSR1
    assert forked.called(sys.exit, 7).wait(60) == 7


#: Ends with a reason while a thread is at work, and has something to do at the end.
REASON = """
import atexit, sys, threading, time
atexit.register(print, "at the end")
threading.Thread(target=lambda: (time.sleep(0.2), print("a thread"))).start()
sys.exit("a reason")
"""


def test_forked_process_waits_for_threads_and_does_what_is_to_be_done_at_the_end() -> None:
    done = forked.run(["-c", REASON])
    assert (done.returncode, done.stdout, done.stderr) == (1, "a thread\nat the end\n", "a reason\n")
