"""Why a place is not fit to record, and what the page makes of text from outside."""

import pytest

from l2vault.config import Settings
from l2vault.probe.findings import Connection, ErrorFrame, Failure, Feed, Findings, Rest, RestBook
from l2vault.probe.plan import plan_of
from l2vault.probe.questions import question_rows
from l2vault.probe.stream import BookStream, TradeStream
from l2vault.probe.verdict import judge
from l2vault.verbs.format import PAGE_WIDTH
from l2vault.verbs.probe import _visible, page

BTC = "BTC-USDT-SWAP"
URL = "wss://ws.okx.com/ws/v5/public"


def findings(**changes):
    feeds = [Feed(number, {BTC: BookStream(BTC)}, {BTC: TradeStream(BTC)}) for number in (1, 2)]
    values = {
        "version": "0",
        "started_ms": 1_767_225_600_000,
        "region": "global",
        "inst_ids": (BTC,),
        "named_flags": (),
        "left_out": 0,
        "wanted_sec": 600.0,
        "feeds": feeds,
        "rest": Rest("https://www.okx.com"),
        "seconds": 30.0,
    }
    return Findings(**(values | changes))


def failed(stage, reason="x", status=None, is_certificate=False):
    found = findings(ended="no books")
    for feed in found.feeds:
        feed.failures.append(Failure(URL, stage, reason, status, is_certificate))
    return found


def recorded():
    """Both feeds with a book and a thousand messages."""
    found = findings()
    for feed in found.feeds:
        feed.connections.append(
            Connection(URL, "1.2.3.4:443", 2, None, 12, 30, 40, 35, "TLSv1.3, certificate of X", False)
        )
        feed.books[BTC].full_books = 1
        feed.books[BTC].messages = 1000
    return found


@pytest.mark.parametrize(
    ("found", "what", "cure"),
    [
        (failed("name resolution", "no such name"), "no connection to ws.okx.com: name resolution: no such", "DNS"),
        (failed("TCP", "no answer within 10 s"), "no connection to ws.okx.com: TCP: no answer", "port 443"),
        (
            failed("TLS", "the certificate of ws.okx.com is not trusted", None, True),
            "the certificate of",
            "interception",
        ),
        (failed("TLS", "wrong version"), "no connection to ws.okx.com: TLS: wrong", "virus scanner"),
        (failed("proxy", "407"), "no connection to ws.okx.com: proxy: 407", "HTTPS_PROXY"),
        (failed("upgrade", "HTTP 403", 403), "ws.okx.com refuses this address (HTTP 403)", "another --region"),
        (failed("upgrade", "HTTP 451", 451), "ws.okx.com refuses this address (HTTP 451)", "another --region"),
        (failed("upgrade", "HTTP 429", 429), "no connection to ws.okx.com: upgrade: HTTP 429", "wait"),
        (failed("upgrade", "HTTP 503", 503), "no connection to ws.okx.com: upgrade: HTTP 503", "later"),
    ],
)
def test_where_no_feed_connects_the_reason_is_the_stage_that_failed(found, what, cure):
    verdict = judge(found)

    assert not verdict.is_fit
    assert len(verdict.reasons) == 1  # both feeds failed alike
    assert verdict.reasons[0].what.startswith(what)
    assert cure in verdict.reasons[0].cure
    assert verdict.next_step == f"{verdict.reasons[0].cure}; then l2vault probe again"
    assert verdict.remarks == []


def test_feeds_with_a_book_each_are_fit():
    verdict = judge(recorded())

    assert verdict.is_fit
    assert verdict.next_step == f"l2vault record --inst {BTC}"


def test_interrupted_before_any_book_is_not_fit():
    found = recorded()
    found.ended, found.seconds = "interrupted", 2.0
    for feed in found.feeds:
        feed.books[BTC].full_books = feed.books[BTC].messages = 0

    assert judge(found).reasons[0].what == f"interrupted after 2 s, before a book of {BTC} came"


def test_books_that_differ_from_rest_are_not_fit():
    found = recorded()
    found.rest.books.append(RestBook(BTC, 1, (400, 400), 1, "mismatch", "3 levels differ, first 99.5"))

    (reason,) = judge(found).reasons
    assert reason.what == f"1 book of {BTC} differ from REST's: 3 levels differ, first 99.5"


def test_messages_without_number_and_checksum_are_not_fit():
    found = recorded()
    found.feeds[0].books[BTC].without_seq_id = 500

    assert judge(found).reasons[0].what.startswith("feed 1: 500 messages without seqId or checksum")


def test_messages_without_number_but_with_a_right_checksum_are():
    found = recorded()
    found.feeds[0].books[BTC].without_seq_id = found.feeds[0].books[BTC].checksums_right = 500

    assert judge(found).is_fit


def test_messages_that_come_late_are_not_fit():
    found = recorded()
    found.feeds[0].books[BTC].delays_ms.extend([7_000] * 100)

    assert judge(found).reasons[0].what == "messages come 7.0 s late (p95)"


def test_the_closed_port_in_the_settings_is_said_and_left_out():
    settings = Settings(ws_url=("wss://ws.okx.com:8443/ws/v5/public",), region="eea", instruments=(BTC,))
    plan = plan_of(settings, 60)

    assert plan.hosts.ws_urls == (URL,)
    assert plan.was_closed_port_named
    assert plan.named_flags == ("--region eea", f"--ws-url {URL}")
    found = recorded()
    found.was_closed_port_named = True
    assert judge(found).remarks[0].startswith("The settings name port 8443, which OKX closed on 2026-10-31")


def test_ten_instruments_are_probed_and_the_others_counted():
    settings = Settings(instruments=tuple(f"X{number}-USDT-SWAP" for number in range(13)))
    plan = plan_of(settings, 60)

    assert (len(plan.inst_ids), plan.left_out) == (10, 3)
    found = recorded()
    found.left_out = 3
    assert judge(found).remarks[0] == "3 instruments of the settings not probed: name them with --inst."


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ("open", "still open"),
        ("refused", "closed: refused"),
        ("no answer within 10 s", "closed: no answer within 10 s"),
    ],
)
def test_the_closed_port_is_a_question_with_an_answer(state, text):
    found = recorded()
    found.port_8443, found.old_port_host = state, "ws.okx.com"

    (row,) = [row for row in question_rows(found) if row.key == "port_8443"]
    assert (row.text, row.basis) == (text, "one TCP connect to ws.okx.com")


def test_text_from_outside_cannot_steer_a_terminal_or_widen_the_page():
    found = recorded()
    found.feeds[0].errors.append(ErrorFrame("60018", "\x1b[2J" + "word " * 60))
    text = page(found, judge(found))

    assert "\x1b" not in text
    assert all(len(line) <= PAGE_WIDTH for line in text.splitlines())
    assert _visible("a\nb\x07") == "a?b?"
