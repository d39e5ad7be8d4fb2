"""What an output becomes: the journal's event word for word, and the phrases the owner's operators grep for."""

import logging
from collections.abc import Callable

import pytest

from l2vault.book.utc import utc_text
from l2vault.okx.messages import Notice, Refusal, SchemaFailure, Unknown
from l2vault.okx.pipeline import Lost, Synced
from l2vault.okx.session import Dead, Refused
from l2vault.okx.websocket import FeedDown, FeedOutput, FeedUp
from l2vault.recording.counters import Counters
from l2vault.recording.router import Asks, Router
from l2vault.recording.slots import SlotLedger
from l2vault.recording.tails import Tail
from l2vault.vault.journal import events as noted
from support import wire
from support.manual_clock import ManualClock

BTC = "BTC-USDT-SWAP"
AT = "2026-01-01T00:00:00.000Z"
T1_MS, T2_MS = 1_767_225_600_000, 1_767_225_602_100
T1, T2 = "2026-01-01T00:00:00.000Z", "2026-01-01T00:00:02.100Z"
URL = "wss://ws.okx.com:8443/ws/v5/public"

EVENTS: dict[str, tuple[FeedOutput, noted.Event | None]] = {
    "a full book": (Synced(BTC, T1_MS, 7), noted.Synced(AT, 2, BTC, T1, 7, "stream")),
    "a full book by REST": (Synced(BTC, T1_MS, 7, "rest"), noted.Synced(AT, 2, BTC, T1, 7, "rest")),
    "a full book without a time": (Synced(BTC, None, None), noted.Synced(AT, 2, BTC, None, None)),
    "a gap": (Lost(BTC, "chain", "why", T1_MS, T2_MS), noted.Lost(AT, 2, BTC, "chain", T1, T2, "why")),
    "silence": (Lost(BTC, "silence", "why", T1_MS, None), noted.Lost(AT, 2, BTC, "silence", T1, None, "why")),
    "our restart": (Lost(BTC, "our_restart", "x", T1_MS, None), noted.Lost(AT, 2, BTC, "our_restart", T1, None, "x")),
    "a loss before any book": (
        Lost(BTC, "schema", "why", None, None, frame=b"{"),
        noted.Lost(AT, 2, BTC, "schema", None, None, "why"),
    ),
    "a refused instrument": (Refused(BTC, "60018", "no", 30_000), noted.Refused(AT, 2, BTC, "60018", "no")),
    "a notice": (Notice("64008", "soon"), noted.Noticed(AT, 2, "64008", "soon")),
    "a connection": (FeedUp(URL), noted.Connected(AT, 2, URL)),
    "the end of a connection": (FeedDown("1006", True, 1.0), noted.Disconnected(AT, 2, "1006")),
    "no connection": (FeedDown("refused", False, 1.0), None),
    "an error that names nobody": (Refusal("60012", "what?", None), None),
    "an unreadable frame": (SchemaFailure(None, "why", b"{"), None),
    "something new": (Unknown("event greeting"), None),
    "a connection given up": (Dead("no answer to ping"), None),
}


class Deaf:
    """Audits that nobody listens to, and a time that nothing proves."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def taken(output: FeedOutput) -> list[noted.Event]:
    """What feed 2 makes of it in the journal."""
    put: list[noted.Event] = []
    ignored = lambda *_: None  # noqa: E731
    asks = Asks(
        Deaf(), ignored, ignored, ignored, ignored, lambda *_: Tail(), Deaf(), ignored, lambda _, outputs: outputs
    )  # type: ignore[arg-type]
    clock = ManualClock()
    router = Router({}, Counters((BTC,)), clock, put.append, SlotLedger(2000), asks)  # type: ignore[arg-type]
    router.take(2, [output])
    return put


@pytest.mark.parametrize("case", EVENTS)
def test_each_output_becomes_its_event_or_none(case: str) -> None:
    output, event = EVENTS[case]
    assert taken(output) == ([] if event is None else [event])


CAUSES = ("chain", "checksum", "invariant", "schema", "silence", "conflict", "audit", "disconnect", "notice")


@pytest.mark.parametrize("cause", [*CAUSES, "our_restart"])
def test_every_cause_of_a_loss_is_one_the_journal_can_hold(cause: str) -> None:
    (event,) = taken(Lost(BTC, cause, "why", T1_MS, T2_MS))  # type: ignore[arg-type]
    assert isinstance(event, noted.Lost)
    assert event.cause == cause


def said(output: FeedOutput, caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """The log lines of an output as (level, text), all of the one logger operators know."""
    caplog.clear()
    caplog.set_level(logging.DEBUG)
    taken(output)
    assert {record.name for record in caplog.records} <= {"l2vault.recorder"}
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_a_broken_chain_is_a_gap_detected_and_a_forced_resubscribe(caplog: pytest.LogCaptureFixture) -> None:
    lost = Lost(BTC, "chain", "expected prevSeqId 5, got 7", T1_MS, T2_MS)
    assert said(lost, caplog) == [
        ("ERROR", f"GAP DETECTED: {BTC} on feed 2: expected prevSeqId 5, got 7; last good book {T1}"),
        ("WARNING", f"Forced resubscribe: {BTC} (chain)"),
    ]


def test_a_wrong_checksum_is_a_checksum_mismatch_and_a_forced_resubscribe(caplog: pytest.LogCaptureFixture) -> None:
    lost = Lost(BTC, "checksum", "computed 1, OKX says 2", T1_MS, T2_MS)
    assert said(lost, caplog) == [
        ("ERROR", f"Checksum mismatch: {BTC} on feed 2: computed 1, OKX says 2; last good book {T1}"),
        ("WARNING", f"Forced resubscribe: {BTC} (checksum)"),
    ]


def test_a_message_with_missing_fields_is_a_build_fail_that_quotes_it(caplog: pytest.LogCaptureFixture) -> None:
    frame = wire.update(BTC, T2_MS, 5, 6, ts=None)
    lost = Lost(BTC, "schema", "Object missing required field `ts`", T1_MS, None, frame=frame)
    assert said(lost, caplog) == [
        (
            "ERROR",
            f"BUILD_FAIL: Missing required fields for {BTC}: Object missing required field `ts`; "
            f"last good book {T1}; the message: '{frame.decode()}'",
        ),
        ("WARNING", f"Forced resubscribe: {BTC} (schema)"),
    ]


def test_an_unreadable_frame_that_names_nobody_is_a_build_fail_too(caplog: pytest.LogCaptureFixture) -> None:
    assert said(SchemaFailure(None, "truncated", b'{"arg"'), caplog) == [
        (
            "ERROR",
            "BUILD_FAIL: Missing required fields for an unknown instrument: truncated; the message: '{\"arg\"'",
        )
    ]


@pytest.mark.parametrize(("length", "end"), [(400, "x'"), (401, "x'..."), (30_000, "x'...")])
def test_a_long_message_is_quoted_by_its_beginning(length: int, end: str, caplog: pytest.LogCaptureFixture) -> None:
    frame = b"{" + b"x" * (length - 1)
    ((_, text),) = said(SchemaFailure(None, "why", frame), caplog)
    quoted = text.split("the message: ", 1)[1]
    assert quoted.startswith("'{xxx")
    assert quoted.endswith(end)
    assert quoted.count("x") == 399


@pytest.mark.parametrize("frame", [b"<html>\r\n<body>", b"\x1b[2J\x1b[H", b"\xff\xfe\x00", "€".encode() * 200])
def test_a_quoted_message_cannot_break_out_of_its_line(frame: bytes, caplog: pytest.LogCaptureFixture) -> None:
    ((_, text),) = said(SchemaFailure(None, "why", frame), caplog)
    assert text.isprintable()


@pytest.mark.parametrize("cause", ["invariant", "silence", "conflict", "audit"])
def test_every_other_loss_that_resubscribes_says_so(cause: str, caplog: pytest.LogCaptureFixture) -> None:
    lost = Lost(BTC, cause, "why", T1_MS, T2_MS)  # type: ignore[arg-type]
    assert said(lost, caplog) == [
        ("WARNING", f"{BTC} lost on feed 2 ({cause}): why; last good book {T1}"),
        ("WARNING", f"Forced resubscribe: {BTC} ({cause})"),
    ]


@pytest.mark.parametrize("cause", ["disconnect", "notice"])
def test_a_lost_connection_forces_no_resubscribe_of_ours(cause: str, caplog: pytest.LogCaptureFixture) -> None:
    lost = Lost(BTC, cause, "1006", None, None)  # type: ignore[arg-type]
    assert said(lost, caplog) == [("WARNING", f"{BTC} lost on feed 2 ({cause}): 1006; last good book none")]


def test_our_own_restart_is_no_trouble_to_log(caplog: pytest.LogCaptureFixture) -> None:
    assert said(Lost(BTC, "our_restart", "the recorder stopped", T1_MS, None), caplog) == []


@pytest.mark.parametrize(
    ("output", "level", "text"),
    [
        (Synced(BTC, T1_MS, 7), "INFO", f"{BTC} in sync on feed 2: full book of {T1}, seqId 7"),
        (Synced(BTC, T1_MS, 7, "rest"), "INFO", f"{BTC} in sync on feed 2: full book by REST of {T1}, seqId 7"),
        (
            Refused(BTC, "60018", "Wrong URL", 30_400),
            "ERROR",
            f"OKX does not know {BTC} (60018). Check its name at OKX; asking again in 30 s, the others go on",
        ),
        (
            Refused(BTC, "63999", "Internal system error", 60_000),
            "ERROR",
            f"OKX refused {BTC} (63999): Internal system error; asking again in 60 s",
        ),
        (Notice("64008", "soon closed"), "WARNING", "OKX announces on feed 2: 64008 soon closed"),
        (Refusal("60012", "Illegal", None), "WARNING", "OKX reports an error on feed 2: 60012 Illegal"),
        (Unknown("event greeting"), "DEBUG", "ignored on feed 2: event greeting"),
        (Dead("no answer to ping"), "WARNING", "Closing feed 2: no answer to ping"),
        (FeedUp(URL), "INFO", f"Feed 2 connected to {URL}"),
        (FeedDown("1006", True, 0.75), "WARNING", "Feed 2 lost: 1006. Next try in 0.8 s"),
        (FeedDown("handed over", True, 0.1, is_last=True), "INFO", "Feed 2 ended: handed over"),
        (FeedDown("no route", False, 30.0), "WARNING", "Feed 2 cannot connect: no route. Next try in 30.0 s"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_every_change_of_state_is_one_line_of_log(
    output: FeedOutput, level: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert said(output, caplog) == [(level, text)]


def test_the_times_of_this_table_are_what_they_say() -> None:
    assert (utc_text(T1_MS), utc_text(T2_MS)) == (T1, T2)


def test_a_feed_that_goes_on_elsewhere_says_why_and_where(caplog: pytest.LogCaptureFixture) -> None:
    assert said(FeedDown("no route", False, 3.0, moved_to=URL), caplog) == [
        ("WARNING", f"Feed 2 failed 3 times in a row at one address and goes on at {URL}"),
        ("WARNING", "Feed 2 cannot connect: no route. Next try in 3.0 s"),
    ]


def test_what_is_refused_or_cannot_be_read_of_trades_is_said_of_trades(caplog: pytest.LogCaptureFixture) -> None:
    words = "OKX refused trades of BTC-USDT-SWAP (60018: doesn't exist); asking again in 30 s, the books go on"
    assert said(Refused(BTC, "60018", "doesn't exist", 30_000, "trades"), caplog) == [("ERROR", words)]
    told = said(SchemaFailure(BTC, "px is ''", b"{}", "trades"), caplog)
    assert "BUILD_FAIL: Missing required fields for trades of BTC-USDT-SWAP: px is ''" in told[0][1]
