"""OKX's limits on a client, kept and counted: new connections a second, requests an hour, bytes a request.

Times are monotonic milliseconds as the exchange counts them, which for accelerated runs are not those of the host.
"""

import logging
from collections import deque
from typing import Final

_log = logging.getLogger(__name__)

REQUEST_LIMIT_BYTES: Final = 64 * 1024
"""Docs, "Subscribe": the total length of the channels in one request is at most 64 KB; more is close code 1009."""

_CONNECTS: Final = 3
_CONNECTS_MS: Final = 1000
"""Docs, "Connect": three new connections a second for each IP address. Beyond it HTTP 429, as far as is known."""

_REQUESTS: Final = 480
_REQUESTS_MS: Final = 3_600_000
"""Docs, "Connect": subscribe, unsubscribe and login together, for each connection. Counted by request, not by arg."""


_REST: Final = {
    "/api/v5/market/books": 40,
    "/api/v5/market/books-full": 10,
    "/api/v5/market/books-rpi": 20,
    "/api/v5/market/trades": 100,
    "/api/v5/market/history-trades": 20,
    "/api/v5/public/instruments": 20,
    "/api/v5/public/time": 10,
    "/api/v5/public/mark-price": 10,
    "/api/v5/public/funding-rate": 20,
    "/api/v5/public/open-interest": 20,
    "/api/v5/public/price-limit": 20,
    "/api/v5/market/index-tickers": 20,
    "/api/v5/system/status": 1,
    "/api/v5/public/market-data-history": 5,
}
"""Docs: requests of each endpoint in 2 s from one IP address. Beyond it HTTP 429 with code 50011."""
_REST_MS: Final = 2000
_SLOW_REST_MS: Final = {"/api/v5/system/status": 5000}
"""Those whose limit is for another time than 2 s."""


class Allowance:
    """At most so many events within any span of `span_ms`. Refused ones do not use it up."""

    def __init__(self, most: int, span_ms: int) -> None:
        self._most = most
        self._span_ms = span_ms
        self._times_ms: deque[int] = deque()

    def take(self, now_ms: int) -> bool:
        times = self._times_ms
        while times and times[0] <= now_ms - self._span_ms:
            times.popleft()
        if len(times) >= self._most:
            return False
        times.append(now_ms)
        return True


class Limits:
    """What all clients together did and where they went too far. `is_kept` False counts nothing and allows all."""

    def __init__(self, is_kept: bool = True) -> None:
        self.connects = 0
        self.requests = 0
        self.connects_over = 0
        self.requests_over = 0
        self.oversized = 0
        self.rest_over = 0
        self._is_kept = is_kept
        self._connects = Allowance(_CONNECTS, _CONNECTS_MS)
        self._rest = {path: Allowance(most, _SLOW_REST_MS.get(path, _REST_MS)) for path, most in _REST.items()}

    @property
    def violations(self) -> int:
        return self.connects_over + self.requests_over + self.oversized + self.rest_over

    def allows_connect(self, now_ms: int) -> bool:
        """Count a client that wants to connect. OKX's limit is one of an address; all of ours have the same."""
        self.connects += 1
        if not self._is_kept or self._connects.take(now_ms):
            return True
        self.connects_over += 1
        _log.warning("a connection too many: OKX allows %d a second", _CONNECTS)
        return False

    def request_allowance(self) -> Allowance:
        """What one connection may ask."""
        return Allowance(_REQUESTS, _REQUESTS_MS)

    def allows_request(self, allowance: Allowance, conn_id: str, now_ms: int) -> bool:
        """Count a request of the connection `conn_id`, whose `allowance` it is."""
        self.requests += 1
        if not self._is_kept or allowance.take(now_ms):
            return True
        self.requests_over += 1
        _log.warning("peer %s asks too often: OKX allows %d requests an hour", conn_id, _REQUESTS)
        return False

    def allows_rest(self, path: str, now_ms: int) -> bool:
        """Count a request of the REST endpoint `path`; one that is not listed has no limit here."""
        allowance = self._rest.get(path)
        if not self._is_kept or allowance is None or allowance.take(now_ms):
            return True
        self.rest_over += 1
        seconds = _SLOW_REST_MS.get(path, _REST_MS) // 1000
        _log.warning("%s is asked too often: OKX allows %d requests in %d s", path, _REST[path], seconds)
        return False

    def note_oversized(self, conn_id: str) -> None:
        """The connection has been closed (1009) for a request of more than 64 KB."""
        self.oversized += 1
        _log.warning("peer %s sent more than %d bytes in one request", conn_id, REQUEST_LIMIT_BYTES)
