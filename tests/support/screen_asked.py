"""The screen's application, asked as ASGI without a socket."""

import asyncio
import json
import struct
from pathlib import Path
from urllib.parse import urlencode

import numpy as np

from l2vault.clock import Clock
from l2vault.web.app import Screen
from l2vault.web.guard import Guard
from support.hours import INST


class ClockAt(Clock):
    """Stands still."""

    def __init__(self, wall_ms: int) -> None:
        super().__init__()
        self.at_ms = wall_ms

    def wall_ms(self) -> int:
        return self.at_ms


class Asked:
    """One application, asked without a socket."""

    def __init__(self, root: Path, guard: Guard | None = None, clock: Clock | None = None) -> None:
        self.screen = Screen(root, guard or Guard("127.0.0.1"), clock or Clock())

    def raw(self, path: str, method: str = "GET", headers: dict[str, str] | None = None, **asked: object):
        sent: list[dict] = []
        given = {"host": "127.0.0.1"} | (headers or {})
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": urlencode(asked).encode(),
            "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        }

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        asyncio.run(self.screen.app(scope, receive, send))
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], headers, b"".join(each.get("body", b"") for each in sent[1:])

    def json(self, path: str, **asked: object) -> dict:
        status, _, body = self.raw(path, **asked)
        assert status == 200, body
        return json.loads(body)

    def window(self, **asked: object) -> tuple[dict, dict[str, np.ndarray]]:
        while True:
            status, _, body = self.raw("/api/books", inst=INST, **asked)
            assert status == 200, body
            assert body[:4] == b"L2W1"
            length = struct.unpack("<I", body[4:8])[0]
            head = json.loads(body[8 : 8 + length])
            if not head["unread_hours"]:
                break
        arrays = {
            name: np.frombuffer(body, place["dtype"], place["count"], 8 + length + place["offset"])
            for name, place in head["arrays"].items()
        }
        arrays["size"] = arrays["size"].reshape(head["columns"], head["rows"])
        return head, arrays
