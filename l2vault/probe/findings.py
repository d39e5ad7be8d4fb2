"""Everything one run of the probe has seen, as values. Pure."""

from dataclasses import dataclass, field
from typing import Literal

from l2vault.probe.stream import BookStream, TradeStream


@dataclass(frozen=True, slots=True)
class Connection:
    """One connection that stood. Times of stages that could not be seen are None."""

    url: str
    address: str
    addresses: int
    proxy: str | None
    name_ms: int | None
    tcp_ms: int | None
    tls_ms: int | None
    upgrade_ms: int
    tls: str
    """Protocol and who signed the certificate; empty without TLS."""
    is_deflated: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """One connection that could not be made."""

    url: str
    stage: str
    reason: str
    status: int | None
    is_certificate: bool


@dataclass(frozen=True, slots=True)
class End:
    """How a connection ended before the probe wanted it to."""

    code: int | None
    """Of the close frame; None where there was none (1006)."""
    reason: str
    lived_ms: int


@dataclass(frozen=True, slots=True)
class ErrorFrame:
    """An `error` event on the websocket."""

    code: str
    message: str


@dataclass(slots=True)
class Feed:
    """One of the connections that do as the recorder's."""

    number: int
    books: dict[str, BookStream]
    trades: dict[str, TradeStream]
    connections: list[Connection] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    errors: list[ErrorFrame] = field(default_factory=list)
    refused: dict[str, ErrorFrame] = field(default_factory=dict)
    """By instrument, for `books`."""
    notices: list[str] = field(default_factory=list)
    unreadable_frames: int = 0


@dataclass(slots=True)
class Side:
    """The third, short connection, for what would disturb a recorder's: compression, and a request half of it wrong."""

    connection: Connection | None = None
    failure: Failure | None = None
    acked: bool | None = None
    """Whether the good instrument of the request was acknowledged; None where it was not tried."""
    full_book: bool = False
    error: ErrorFrame | None = None
    """For the instrument that does not exist."""


@dataclass(frozen=True, slots=True)
class TimeSample:
    """One answer of `/public/time`: the exchange's clock, ours when it arrived, and the round trip."""

    server_ms: int
    received_wall_ms: int
    rtt_ms: int


@dataclass(slots=True)
class RestBook:
    """A full book by REST, and what the streams say of it."""

    inst_id: str
    seq_id: int | None
    levels: tuple[int, int]
    newest_before: int | None
    """The newest `seqId` of the streams when it was asked for."""
    audit: str = ""
    """The recorder's own comparison with the book of feed 1: `equal`, `mismatch`, `consistent`, `inconclusive`..."""
    audit_detail: str = ""


@dataclass(frozen=True, slots=True)
class RestRefusal:
    path: str
    status: int
    said: str


@dataclass(slots=True)
class Rest:
    base_url: str
    proxy: str | None = None
    answers: int = 0
    refusals: list[RestRefusal] = field(default_factory=list)
    limit_headers: dict[str, str] = field(default_factory=dict)
    """Headers of a name that speaks of a rate limit, with an example of each."""
    books: list[RestBook] = field(default_factory=list)
    times: list[TimeSample] = field(default_factory=list)
    rows: dict[str, dict[str, object]] = field(default_factory=dict)
    """OKX's row of each instrument."""
    source_0: str = ""
    """What a book with the parameter `source=0` came to."""
    prev_funding: dict[str, bool | None] = field(default_factory=dict)
    """Whether `prevFundingTime` is in the funding rate of an instrument; None where there was no answer."""


@dataclass(slots=True)
class Findings:
    """A whole run. `port_8443` is what one TCP connect came to, empty where it was not tried."""

    version: str
    started_ms: int
    region: str
    inst_ids: tuple[str, ...]
    named_flags: tuple[str, ...]
    """Flags by which a recorder gets to the same addresses."""
    left_out: int
    """Instruments of the settings that were not probed."""
    wanted_sec: float
    feeds: list[Feed]
    rest: Rest
    side: Side = field(default_factory=Side)
    seconds: float = 0.0
    ended: Literal["complete", "interrupted", "no books"] = "complete"
    port_8443: str = ""
    old_port_host: str = ""
    was_closed_port_named: bool = False
