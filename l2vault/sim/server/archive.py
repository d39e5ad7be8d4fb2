"""The archive served: OKX's index of it, and the files, on a port of their own, because files need HEAD and ranges.

A server of threads, which whoever has no event loop can use alone. What goes wrong is chosen by file name.
"""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec

from l2vault.book.utc import utc_text
from l2vault.errors import L2VaultError, UsageError
from l2vault.sim.exchange.archive import MODULES, ArchivedFile, etag
from l2vault.sim.exchange.hostile_files import MAKERS, hostile

INDEX_PATH: Final = "/api/v5/public/market-data-history"
FAULTS: Final = ("hole", "unlisted", "403", "cut", "wrong-size", "huge", "redirect", "no-range", *MAKERS)
"""`hole`: no such file, and the index does not have it; `unlisted`: only the index lacks it; `cut`: the connection ends
in the middle, once; `huge`: more bytes than the index says, without an end; `redirect`: to a host of somebody else.
The others are files that are not what they should be."""
_HOST: Final = "127.0.0.1"
_CHARS: Final = {"daily": len("2026-01-02"), "monthly": len("2026-01")}
"""Of the date of a file."""
_MEGABYTE: Final = 1_000_000
_BLOCK_BYTES: Final = 65_536
_HUGE_BYTES: Final = 60_000_000
_ELSEWHERE: Final = "https://files.example.com/day.tar.gz"


@dataclass(frozen=True, slots=True)
class ArchiveFault:
    """What is wrong with the files whose name fits a pattern with `*` and `?`."""

    kind: str
    pattern: str


def parse_archive_faults(text: str) -> tuple[ArchiveFault, ...]:
    """`torn=*2026-01-02*,403=*-trades-*`. Raises UsageError for a kind there is not."""
    found = []
    for word in text.split(","):
        kind, _, pattern = word.strip().partition("=")
        if kind not in FAULTS:
            raise UsageError(f"{kind[:64]!r} is no fault of the archive.", f"one of {', '.join(FAULTS)}")
        found.append(ArchiveFault(kind, pattern or "*"))
    return tuple(found)


class Shelf:
    """The files there are, and the index of them. `address` is where they are served, known once a port is open."""

    def __init__(self, files: Sequence[ArchivedFile], faults: Sequence[ArchiveFault] = ()) -> None:
        self.files = list(files)
        self.address = ""
        self._faults = faults

    def fault(self, file: ArchivedFile) -> str:
        """The kind of the first that fits, or nothing."""
        return next((fault.kind for fault in self._faults if fnmatchcase(file.name, fault.pattern)), "")

    def index(self, params: Mapping[str, str]) -> dict[str, Any]:
        """OKX's answer, envelope and all: newest first, sizes in megabytes with two decimals."""
        kinds = {str(module): kind for kind, module in MODULES.items()}
        kind = kinds.get(params.get("module", ""))
        begin, end = params.get("begin", ""), params.get("end", "")
        if kind is None or not begin.isdecimal() or not end.isdecimal() or params.get("dateAggrType") not in _CHARS:
            return {"code": "51000", "data": [], "msg": "Parameter module error."}
        chars = _CHARS[params["dateAggrType"]]
        families = [f"{family}-SWAP" for family in params.get("instFamilyList", "").split(",")]
        found = [
            file
            for file in self.files
            if file.kind == kind
            and file.is_listed
            and (file.inst_id in families or not file.inst_id)
            and len(file.date) == chars
            and utc_text(int(begin))[:chars] <= file.date <= utc_text(int(end))[:chars]
            and self.fault(file) not in ("hole", "unlisted")
        ]
        groups = [self._group(family, [file for file in found if file.inst_id in (family, "")]) for family in families]
        return {
            "code": "0",
            "data": [
                {"dateAggrType": "daily", "details": [group for group in groups if group["groupDetails"]], "ts": end}
            ],
            "msg": "",
        }

    def _group(self, inst_id: str, files: Sequence[ArchivedFile]) -> dict[str, Any]:
        details = []
        for file in sorted(files, key=lambda file: file.date, reverse=True):
            size = file.path.stat().st_size / _MEGABYTE * (10 if self.fault(file) == "wrong-size" else 1)
            url = f"{self.address}{file.target}"
            details.append({"dateTs": str(file.date_ms), "filename": file.name, "sizeMB": f"{size:.2f}", "url": url})
        family = inst_id.removesuffix("-SWAP")
        return {"groupDetails": details, "instFamily": family, "instId": "", "instType": "SWAP"}


class ArchiveServer:
    """Serves a shelf on 127.0.0.1 from its own threads until `close`: its files, and the index too."""

    def __init__(self, shelf: Shelf, port: int = 0) -> None:
        self.requests: Counter[str] = Counter()
        """By method and file name, for whoever must know what a client asked."""
        self.was_cut: set[str] = set()
        server = self

        class Handler(_Handler):
            owner, shelf_ = server, shelf

        try:
            self._http = ThreadingHTTPServer((_HOST, port), Handler)
        except (OSError, OverflowError) as error:
            raise L2VaultError(
                f"Port {port} on {_HOST} cannot be opened: {error}.", "another port, or 0 to let the system choose"
            ) from error
        self._http.daemon_threads = True
        self.host = f"{_HOST}:{self._http.server_address[1]}"
        self.url = shelf.address = f"http://{self.host}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), name="archive", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: ArchiveServer
    shelf_: Shelf
    protocol_version = "HTTP/1.1"
    timeout = 10

    def log_message(self, format: str, *args: object) -> None:
        """The requests are counted, not printed."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == INDEX_PATH:
            self.owner.requests["index"] += 1
            self._send(200, msgspec.json.encode(self.shelf_.index(dict(parse_qsl(url.query)))), {})
        else:
            self._answer()

    def _answer(self) -> None:
        file = next((file for file in self.shelf_.files if file.target == self.path), None)
        fault = "" if file is None else self.shelf_.fault(file)
        agent = self.headers.get("User-Agent", "")
        if file is None or fault == "hole":
            self._send(404, b"<Error><Code>NoSuchKey</Code></Error>", {})
            return
        self.owner.requests[f"{self.command} {file.name}"] += 1
        if fault == "403" or not agent or agent.startswith("Python-urllib"):
            self._send(403, b"<html><body><h1>403 Forbidden</h1></body></html>", {})
        elif fault == "redirect":
            self._send(302, b"", {"Location": _ELSEWHERE})
        else:
            self._file(file, fault)

    def _file(self, file: ArchivedFile, fault: str) -> None:
        data = hostile(fault, file.path) if fault in MAKERS else file.path.read_bytes()
        if fault == "huge":
            data += bytes(_HUGE_BYTES)
        tag = etag(file.path)
        fields = {"ETag": tag, "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        wanted = self.headers.get("Range", "")
        if wanted.startswith("bytes=") and self.headers.get("If-Range", tag) == tag and fault != "no-range":
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            from_, to = int(first), min(int(last) if last else len(data) - 1, len(data) - 1)
            if from_ >= len(data):
                self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
                return
            fields["Content-Range"] = f"bytes {from_}-{to}/{len(data)}"
            self._send(206, data[from_ : to + 1], fields)
        elif fault == "cut" and self.command == "GET" and file.name not in self.owner.was_cut:
            self.owner.was_cut.add(file.name)
            self._send(200, data, fields, len(data) // 2)
        else:
            self._send(200, data, fields)

    def _send(self, status: int, body: bytes, fields: Mapping[str, str], cut_at: int | None = None) -> None:
        self.send_response(status)
        for name, value in {**fields, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        if cut_at is not None:
            self.close_connection = True
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            for at in range(0, len(body if cut_at is None else body[:cut_at]), _BLOCK_BYTES):
                end = at + _BLOCK_BYTES if cut_at is None else min(at + _BLOCK_BYTES, cut_at)
                self.wfile.write(body[at:end])
        except OSError:  # the client has seen enough
            self.close_connection = True
