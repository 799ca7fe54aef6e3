"""A real browser without a window, spoken to in its DevTools protocol through a pipe."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

#: Names under which a Chromium may be installed.
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: The browser takes commands from descriptor 3 and answers to descriptor 4.
_LAUNCH = (
    "import os, sys; commands, answers = map(int, sys.argv[1:3]); "
    "os.dup2(commands, 3); os.dup2(answers, 4); os.execv(sys.argv[3], sys.argv[3:])"
)
_PATIENCE = 120


def find_browser() -> str | None:
    """Look a Chromium up on the PATH."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Browser:
    """One page in one browser, which ends with the `with` block.

    `complaints` are the errors and warnings of the console, and exceptions that no script caught.
    """

    def __init__(self, program: str, profile: Path) -> None:
        self.complaints: list[str] = []
        self._count, self._events = 0, list[dict[str, Any]]()
        to_browser, from_browser = os.pipe(), os.pipe()
        # High numbers, so that neither is in the way of 3 and 4.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (to_browser[0], from_browser[1])]
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={profile}"]
        command = [sys.executable, "-c", _LAUNCH, *map(str, ends), program, *flags]
        self._process = subprocess.Popen(command, pass_fds=ends, stderr=subprocess.DEVNULL)
        for end in (*ends, to_browser[0], from_browser[1]):
            os.close(end)
        self._commands, self._answers = os.fdopen(to_browser[1], "wb"), os.fdopen(from_browser[0], "rb")
        self._alarm = threading.Timer(_PATIENCE, self._process.kill)
        self._alarm.start()
        target = self._ask("Target.createTarget", {"url": "about:blank"}, None)["targetId"]
        self._session = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True}, None)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._send(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._alarm.cancel()
        self._process.kill()
        self._process.wait()
        self._answers.close()

    def open(self, path: Path, *, width: int, dark: bool = False) -> None:
        """Open a file, in a window of a width in pixels; wait until it is loaded."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self._send("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._send("Emulation.setEmulatedMedia", {"features": [scheme]})
        self._events.clear()
        self._send("Page.navigate", {"url": path.resolve().as_uri()})
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._receive()

    def evaluate(self, expression: str) -> Any:
        """Give the value of a JavaScript expression, a promise's once it is kept."""
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self._send("Runtime.evaluate", asked)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """Write the whole page as PNG."""
        shot = self._send("Page.captureScreenshot", {"captureBeyondViewport": True})
        path.write_bytes(base64.b64decode(shot["data"]))

    def _send(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        return self._ask(method, params or {}, self._session)

    def _ask(self, method: str, params: dict[str, Any], session: str | None) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        sent = {**message, "sessionId": session} if session else message
        self._commands.write(json.dumps(sent).encode() + b"\0")
        self._commands.flush()
        while True:
            answer = self._receive()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer["error"]
                result: dict[str, Any] = answer["result"]
                return result

    def _receive(self) -> dict[str, Any]:
        whole = bytearray()
        while not whole.endswith(b"\0"):
            part = self._answers.read(1)
            assert part, "the browser ended, or did not answer in time"
            whole += part
        message: dict[str, Any] = json.loads(whole[:-1])
        if "method" in message:
            self._events.append(message)
            self._keep_complaint(message["method"], message["params"])
        return message

    def _keep_complaint(self, method: str, params: dict[str, Any]) -> None:
        levels = {
            "Runtime.exceptionThrown": "error",
            "Runtime.consoleAPICalled": params.get("type"),
            "Log.entryAdded": params.get("entry", {}).get("level"),
        }
        if levels.get(method) in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(params))
