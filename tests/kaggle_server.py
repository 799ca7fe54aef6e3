"""A Kaggle on this machine that the official client talks to, unpatched: downloads, submissions, and what fails.

With ``KAGGLE_API_ENVIRONMENT=LOCALHOST`` the client calls ``http://localhost/api/v1/<service>/<method>``; the
server is its proxy, so that any free port will do. The fixture `kaggle_server` starts one.
"""

import base64
import io
import json
import re
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

PLANET = "planet-understanding-the-amazon-from-space"
USER, KEY, TOKEN = "tester", "0123456789abcdef0123456789abcdef", "KGAT_a-token-that-must-not-leak"
SIGNATURE = "a-signature-that-must-not-leak"
PAGE = 3  # files told at a time, so that every listing has pages


@dataclass(frozen=True)
class Asked:
    """One request: its HTTP method, its path, its ``Range`` and its body (JSON of a call, else empty)."""

    method: str
    path: str
    range: str | None
    call: dict[str, Any]


class KaggleServer(ThreadingHTTPServer):
    """What the server offers, what it has been asked, and its switches; all may be changed while it runs.

    Attributes
    ----------
    competitions, datasets
        Folders of files by slug and by ``owner/slug``.
    submissions
        Those made, the newest first, as the service tells them.
    uploads
        What was uploaded, by token.
    asked
        Every request, in order.
    rules_accepted
        Files and submissions are refused with 403 where this is false.
    statuses
        Status by method (``DownloadDataset``, ``CreateSubmission``, …), which answers every such call.
    upload_statuses, storage_statuses
        Statuses used up one by one, by uploads and by downloads from storage.
    cut_after, stall_after
        Bytes of a download after which the connection is cut, or stands still, once.
    after_cut
        Statuses used up one by one by downloads from storage, once a connection was cut.
    announced
        Bytes that every file is listed with, instead of its own.
    renamed
        Name that every file is listed with, instead of its own.
    delay
        Seconds before any answer.
    pending
        How many times submissions are listed before they have a score.
    scores
        Public and private score of every right submission.
    allowed
        Submissions allowed a day.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.competitions: dict[str, Path] = {}
        self.datasets: dict[str, Path] = {}
        self.submissions: list[dict[str, Any]] = []
        self.uploads: dict[str, bytes] = {}
        self.asked: list[Asked] = []
        self.rules_accepted = True
        self.statuses: dict[str, int] = {}
        self.upload_statuses: list[int] = []
        self.storage_statuses: list[int] = []
        self.cut_after: int | None = None
        self.stall_after: int | None = None
        self.after_cut: list[int] = []
        self.announced: int | None = None
        self.renamed: str | None = None
        self.delay = 0.0
        self.pending = 0
        self.scores = ("0.93", "0.92")
        self.allowed = 5
        self.stopped = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def environment(self, home: Path) -> dict[str, str]:
        """Give the variables that send the client here and keep it out of the real home."""
        return {
            "KAGGLE_API_ENVIRONMENT": "LOCALHOST",
            "HTTP_PROXY": self.url,
            "http_proxy": self.url,
            "NO_PROXY": "",
            "no_proxy": "",
            "HOME": str(home),
            "KAGGLE_CONFIG_DIR": str(home / "kaggle"),
            "KAGGLE_USERNAME": USER,
            "KAGGLE_KEY": KEY,
        }

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        self.stopped.set()
        self.shutdown()
        self.server_close()

    def downloads(self) -> list[Asked]:
        """List the requests for a file's bytes."""
        return [asked for asked in self.asked if asked.path.startswith("/storage/")]

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that were killed."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: KaggleServer

    def log_message(self, format: str, *args: object) -> None:
        """Write no line for each request."""

    def do_POST(self) -> None:
        call = json.loads(self._body() or b"{}")
        path = self._note(call)
        found = re.fullmatch(r"/api/v1/([\w.]+)/(\w+)", path)
        method = found[2] if found else ""
        if method == "IntrospectToken":
            known = call["token"] == TOKEN
            return self._tell({"active": known, "username": USER if known else "", "scope": "", "clientId": ""})
        if not self._is_known():
            return self._refuse(401, "Unauthenticated")
        if method in self.server.statuses:
            return self._refuse(self.server.statuses[method], "as it was switched")
        answer = METHODS.get(method)
        return answer(self, call) if answer else self._refuse(404, f"no method {path}")

    def do_GET(self) -> None:
        path = self._note({})
        if self.server.storage_statuses:
            return self._refuse(self.server.storage_statuses.pop(0), "as it was switched")
        _, _, kind, rest = path.split("/", 3)
        content = _zipped(self.server.datasets[rest]) if kind == "dataset" else Path("/", rest).read_bytes()
        return self._send(content)

    def do_PUT(self) -> None:
        body = self._body()
        token = self._note({}).rpartition("/")[2]
        status = self.server.upload_statuses.pop(0) if self.server.upload_statuses else 200
        if status == 200:
            self.server.uploads[token] = body
        self._answer(status, b"{}")

    def list_files(self, call: dict[str, Any]) -> None:
        folder = self.server.competitions.get(call["competitionName"])
        return self._list(folder, call, "files")

    def list_dataset(self, call: dict[str, Any]) -> None:
        return self._list(self._dataset(call)[1], call, "datasetFiles")

    def get_dataset(self, call: dict[str, Any]) -> None:
        name, folder = self._dataset(call)
        if folder is None:
            return self._refuse(404, "Not found")
        return self._tell({"ref": name, "totalBytes": self.server.announced or len(_zipped(folder))})

    def download_file(self, call: dict[str, Any]) -> None:
        folder = self.server.competitions.get(call["competitionName"])
        if not self.server.rules_accepted:
            return self._refuse(403, "You must accept this competition's rules")
        if folder is None or not (folder / call["fileName"]).is_file():
            return self._refuse(404, "Not found")
        return self._redirect(f"/storage/file{folder.resolve()}/{call['fileName']}")

    def download_dataset(self, call: dict[str, Any]) -> None:
        name, folder = self._dataset(call)
        return self._redirect(f"/storage/dataset/{name}") if folder else self._refuse(404, "Not found")

    def start_upload(self, call: dict[str, Any]) -> None:
        if not self._takes_submissions(call):
            return
        token = f"upload-{len(self.server.asked)}"
        self._tell({"token": token, "createUrl": f"{self.server.url}/upload/{token}?Signature={SIGNATURE}"})

    def create_submission(self, call: dict[str, Any]) -> None:
        if not self._takes_submissions(call):
            return None
        content = self.server.uploads.get(call["blobFileTokens"])
        if content is None:
            return self._refuse(400, "Submission not uploaded")
        faulty = not content.startswith(b"image_name,tags\n")
        submission = {
            "ref": 40_000_000 + len(self.server.submissions),
            "fileName": "submission.csv",
            "totalBytes": len(content),
            "date": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
            "description": call.get("submissionDescription", ""),
            "errorDescription": "the header must be image_name,tags" if faulty else "",
            "submittedBy": USER,
            **({"status": "ERROR"} if faulty else self._scored()),
        }
        self.server.submissions.insert(0, submission)
        return self._tell({"message": "Successfully submitted", "ref": submission["ref"]})

    def list_submissions(self, call: dict[str, Any]) -> None:
        told = [self._waiting(submission) for submission in self.server.submissions]
        self.server.pending = max(0, self.server.pending - 1)
        self._tell({"submissions": told, "nextPageToken": ""})

    def get_submission(self, call: dict[str, Any]) -> None:
        told = [self._waiting(submission) for submission in self.server.submissions if submission["ref"] == call["ref"]]
        self.server.pending = max(0, self.server.pending - 1)
        return self._tell(told[0]) if told else self._refuse(404, "Not found")

    def tell_limits(self, call: dict[str, Any]) -> None:
        made = len(self.server.submissions)
        self._tell({"numToday": made, "numTotal": made, "numAllowedNow": self.server.allowed - made})

    def _takes_submissions(self, call: dict[str, Any]) -> bool:
        if call["competitionName"] not in self.server.competitions:
            self._refuse(404, "Not found")
        elif not self.server.rules_accepted:
            self._refuse(403, "You must accept this competition's rules")
        else:
            return True
        return False

    def _scored(self) -> dict[str, str]:
        public, private = self.server.scores
        return {"status": "COMPLETE", "publicScore": public, "privateScore": private}

    def _waiting(self, submission: dict[str, Any]) -> dict[str, Any]:
        if not self.server.pending:
            return submission
        return {**submission, "status": "PENDING", "publicScore": "", "privateScore": ""}

    def _dataset(self, call: dict[str, Any]) -> tuple[str, Path | None]:
        name = f"{call['ownerSlug']}/{call['datasetSlug']}"
        return name, self.server.datasets.get(name)

    def _list(self, folder: Path | None, call: dict[str, Any], field: str) -> None:
        if folder is None:
            return self._refuse(404, "Not found")
        start = int(call.get("pageToken") or 0)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        told = [
            {
                "name": self.server.renamed or path.relative_to(folder).as_posix(),
                "totalBytes": self.server.announced or path.stat().st_size,
            }
            for path in files[start : start + PAGE]
        ]
        more = str(start + PAGE) if start + PAGE < len(files) else ""
        return self._tell({field: told, "nextPageToken": more})

    def _send(self, content: bytes) -> None:
        """Send a file's bytes, from where ``Range`` asks if ``If-Range`` still holds; cut or stall on the way."""
        etag = f'"{md5(content).hexdigest()}"'
        asked = self.headers.get("Range") if self.headers.get("If-Range", etag) == etag else None
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", etag)
        self.send_header("Last-Modified", "Thu, 20 Apr 2017 00:00:00 GMT")
        self.end_headers()
        stop = self.server.cut_after or self.server.stall_after
        if not stop:
            self.wfile.write(content[start:])
            return
        self.wfile.write(content[start : start + stop])
        self.wfile.flush()
        if self.server.stall_after:
            self.server.stall_after = None
            self.server.stopped.wait()
        self.server.cut_after = None
        self.server.storage_statuses += self.server.after_cut
        self.close_connection = True

    def _note(self, call: dict[str, Any]) -> str:
        path = unquote(urlsplit(self.path).path)  # a proxy is asked for whole addresses
        self.server.asked.append(Asked(self.command, path, self.headers.get("Range"), call))
        self.server.stopped.wait(self.server.delay)
        return path

    def _is_known(self) -> bool:
        kind, _, secret = self.headers.get("Authorization", "").partition(" ")
        return secret == (TOKEN if kind == "Bearer" else base64.b64encode(f"{USER}:{KEY}".encode()).decode())

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def _redirect(self, path: str) -> None:
        self._answer(302, b"", Location=f"{self.server.url}{quote(path)}?Signature={SIGNATURE}")

    def _refuse(self, status: int, message: str) -> None:
        self._answer(status, json.dumps({"code": status, "message": message}).encode())

    def _tell(self, content: object) -> None:
        self._answer(200, json.dumps(content).encode())

    def _answer(self, status: int, content: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


METHODS: dict[str, Callable[[_Handler, dict[str, Any]], None]] = {
    "ListDataFiles": _Handler.list_files,
    "DownloadDataFile": _Handler.download_file,
    "GetDataset": _Handler.get_dataset,
    "ListDatasetFiles": _Handler.list_dataset,
    "DownloadDataset": _Handler.download_dataset,
    "StartSubmissionUpload": _Handler.start_upload,
    "CreateSubmission": _Handler.create_submission,
    "ListSubmissions": _Handler.list_submissions,
    "GetSubmission": _Handler.get_submission,
    "GetSubmissionLimits": _Handler.tell_limits,
}


def _zipped(folder: Path) -> bytes:
    """Pack a folder; the same folder gives the same bytes. A folder's one file ``raw.zip`` is given as it is."""
    if (folder / "raw.zip").is_file():
        return (folder / "raw.zip").read_bytes()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.writestr(zipfile.ZipInfo(path.relative_to(folder).as_posix()), path.read_bytes())
    return stream.getvalue()
