"""What tests fork in place of starting it is a process of its own, and its failures are seen."""

import os
import signal
from pathlib import Path

import forked

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
