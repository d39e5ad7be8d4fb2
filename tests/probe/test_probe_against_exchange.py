"""The probe against the built-in exchange told to behave in each way: what it sees, and what it says of it."""

import asyncio
import json
import re

import pytest

from l2vault.config import Settings
from l2vault.probe.document import document_of
from l2vault.probe.questions import question_rows
from l2vault.probe.rows import all_rows
from l2vault.probe.run import _FeedRunner
from l2vault.probe.verdict import judge
from l2vault.sim.server.server import SimOptions, Simulator
from l2vault.verbs.documents import document
from l2vault.verbs.format import PAGE_WIDTH
from l2vault.verbs.probe import page
from support.probing import BTC, ETH, probe_of, probed
from support.virtual import over_sockets, running_clock


def rows(findings):
    return {row.key: row for row in [*all_rows(findings), *question_rows(findings)]}


def reasons(findings):
    return [reason.what for reason in judge(findings).reasons]


def test_an_exchange_like_okx_is_fit_to_record():
    findings = probed(seconds=60)
    seen = rows(findings)
    verdict = judge(findings)

    assert verdict.is_fit
    assert verdict.reasons == verdict.remarks == []
    assert verdict.next_step.startswith("l2vault record --ws-url ws://127.0.0.1:")
    assert verdict.next_step.endswith(f"--inst {BTC}")
    assert seen["feed_1"].data["address"].startswith("127.0.0.1:")
    assert seen["feed_2_times"].text.count("ms") == 3
    assert seen[f"{BTC}.in_band"].data["full_books"] >= 2
    assert min(seen[f"{BTC}.chain"].data["messages"]) > 200
    assert seen[f"{BTC}.chain"].text == "0 breaks, 0 heartbeats, 0 resets, 0 duplicates"
    assert all(5 < rate < 12 for rate in seen[f"{BTC}.rate"].data["per_second"])
    assert 5 < seen[f"{BTC}.levels"].data["median"] < seen[f"{BTC}.levels"].data["p95"] < 400
    assert 15_000 < seen[f"{BTC}.bytes"].data["full"][0] < 30_000
    assert 5 < seen[f"{BTC}.reach"].data["bids_bps"] < 60
    assert seen[f"{BTC}.reach"].data["levels"] == [400, 400]
    assert seen[f"{BTC}.checksum"].text == "zero or absent: OKX sends none to check by"
    assert seen[f"{BTC}.shared"].data["share"] == 1
    assert seen[f"{BTC}.rest"].data["at"] >= 2
    assert seen[f"{BTC}.audit"].data["equal"] >= 2
    assert seen[f"{BTC}.audit"].data["mismatch"] == 0
    assert seen[f"{BTC}.trade_ids"].data["unexplained"] == []
    assert seen[f"{BTC}.trade_ids"].data["fits"] > 50
    assert seen[f"{BTC}.trade_seq_ids"].text.startswith(
        "in 100.0% of pushes; above the last book's on arrival in 100.0%"
    )
    assert abs(seen["clock"].data["ahead_ms"]) <= seen["clock"].data["uncertainty_ms"] + 10
    assert seen["refused"].text == "no error frame, HTTP refusal or close"


def test_open_questions_that_can_be_seen_are_answered_and_the_others_say_why_not():
    seen = rows(probed(compression=True))

    assert seen["permessage_deflate"].text == "negotiated when offered"
    assert seen["partial_batch"].text == "the good arg acknowledged, the bad one refused with 60018"
    assert seen["snapshot"].text == "still sent in band"
    assert seen["source_0"].text.startswith("accepted: 400 bids, 400 asks, seqId ")
    assert seen["limit_headers"].text == "none"
    assert seen["trade_steps"].text.startswith("0 of ")
    assert seen["port_8443"].text == "not seen: not a host of OKX"
    assert seen["reset"].text == "not seen: needs a maintenance"
    assert seen["past_limits"].text == "not seen: would break a limit"
    assert not seen["archive_delay"].seen


def test_deflate_is_offered_and_may_not_be_taken():
    assert rows(probed(seconds=12))["permessage_deflate"].text == "offered, and not taken"


def test_the_frames_of_the_documentation_are_counted_and_break_nothing():
    findings = probed("heartbeat:push=120;reset:push=140;duplicate:push=160", seconds=30)
    seen = rows(findings)

    counts = seen[f"{BTC}.chain"].data
    assert counts["breaks"] == 0
    assert {counts[name] for name in ("heartbeats", "resets", "duplicates")} <= {1, 2}  # one feed may have come late
    assert re.fullmatch(r"seen [12] times?: seqId equal to prevSeqId", seen["heartbeat"].text)
    assert re.fullmatch(r"seen [12] times?: seqId below prevSeqId, chain kept", seen["reset"].text)
    assert judge(findings).is_fit


def test_a_lost_message_is_a_break_and_the_feed_is_subscribed_anew():
    findings = probed("drop:push=100,conn=first", seconds=24)
    seen = rows(findings)

    assert seen[f"{BTC}.chain"].data["breaks"] == 1
    assert seen[f"{BTC}.in_band"].data["full_books"] >= 3
    assert judge(findings).is_fit
    assert judge(findings).remarks == ["The chain broke 1 time; a recorder resyncs."]


def test_many_lost_messages_are_not_fit_to_record():
    findings = probed("drop:at=2s,every=4s")

    assert len(reasons(findings)) == 2
    assert reasons(findings)[0].startswith("feed 1 lost messages: the chain broke ")


def test_without_a_full_book_in_band_one_from_rest_is_joined():
    findings = probed("no-snapshot")
    seen = rows(findings)

    assert seen[f"{BTC}.in_band"].text == "no; updates came without one, joined with a book from REST"
    assert seen[f"{BTC}.in_band"].data["joined_by_rest"] >= 1
    assert seen[f"{BTC}.reach"].data["levels"] == [400, 400]
    assert seen["snapshot"].text == "not sent in band: updates came without one"
    assert judge(findings).is_fit
    assert judge(findings).remarks == ["No full book comes in band: each start depends on REST."]


def test_without_a_full_book_from_anywhere_it_is_not_fit():
    findings = probed("no-snapshot;rest:answer=503", seconds=60)

    assert findings.ended == "no books"
    assert reasons(findings) == [f"{BTC} has no full book in band, and none from REST fits"]


def test_feeds_batched_differently_share_fewer_numbers_and_rest_stands_between():
    few = "batch:merge=9,conn=first;batch:merge=9,offset=4,conn=second;batch:merge=9,conn=3"  # 2 of 9 numbers are seen
    findings = probed(few, seconds=120)
    seen = rows(findings)
    places = seen[f"{BTC}.rest"].data

    assert seen[f"{BTC}.shared"].data["share"] < 0.2
    assert places["outside"] == places["older"] == places["unnumbered"] == 0
    assert places["at"] + places["between"] >= 15
    assert places["between"] > 0  # each of them with a chance of 7 in 9, by when its request comes
    assert seen[f"{BTC}.chain"].data["breaks"] == 0
    assert judge(findings).is_fit


def test_rest_books_older_than_the_stream_are_counted():
    seen = rows(probed("rest:answer=older,path=books,by=3s", seconds=40))

    assert seen[f"{BTC}.rest"].data["older"] >= 1
    assert seen[f"{BTC}.audit"].data["mismatch"] == 0


def test_the_trade_chain_shows_holes_with_their_sizes_and_repeats():
    findings = probed("trade-drop:push=120,k=2,conn=first;trade-duplicate:push=160,conn=second", seconds=30)
    seen = rows(findings)[f"{BTC}.trade_ids"]

    (hole,) = seen.data["unexplained"]
    assert hole >= 2
    assert f"1 unexplained, of +{hole} ids" in seen.text
    assert seen.data["repeats"] == 1
    assert judge(findings).is_fit


def test_a_refused_instrument_is_named_with_the_cure():
    findings = probed(inst_ids=(BTC, "NEW-USDT-SWAP"), seconds=35)
    (reason,) = judge(findings).reasons

    assert reason.what.startswith("OKX refuses NEW-USDT-SWAP (60018: Wrong URL or channel:books")
    assert reason.cure == "check the name: a live perpetual swap, such as BTC-USDT-SWAP"
    assert rows(findings)["NEW-USDT-SWAP.messages"].text.startswith("OKX refused it: 60018")
    assert any("60018" in row.text for row in all_rows(findings) if row.section == "REFUSED")
    assert any("51001" in row.text for row in all_rows(findings) if row.section == "REFUSED")


@pytest.mark.parametrize("status", ["403", "451"])
def test_a_refused_upgrade_says_that_okx_does_not_serve_this_address(status):
    findings = probed(f"refuse:how={status}", seconds=600)
    (reason,) = judge(findings).reasons

    assert findings.ended == "no books"
    assert findings.seconds < 35
    assert reason.what == f"127.0.0.1 refuses this address (HTTP {status})"
    assert "another --region" in reason.cure
    assert not rows(findings)["feed_1"].seen


@pytest.mark.parametrize("how", ["tcp", "handshake"])
def test_a_connection_that_is_dropped_is_named_by_its_stage(how):
    (reason,) = reasons(probed(f"refuse:how={how}", seconds=600))

    assert reason.startswith("no connection to 127.0.0.1: upgrade: ")


@pytest.mark.parametrize("how", ["no-book", "accept-silent"])
def test_an_exchange_that_sends_no_books_is_given_up_after_thirty_seconds(how):
    findings = probed(how, seconds=600)

    assert findings.ended == "no books"
    assert reasons(findings) == [f"no books of {BTC} within 30 s"]


def test_one_feed_alone_is_fit_with_a_remark():
    findings = probed("refuse:how=403,conn=second")
    seen = rows(findings)

    assert judge(findings).is_fit
    assert judge(findings).remarks[0].startswith("Feed 2 never connected (upgrade: 127.0.0.1:")
    assert "answered HTTP 403: OKX does not serve this region" in judge(findings).remarks[0]
    assert seen[f"{BTC}.shared"].text == "not seen: too short a time with both feeds"
    assert "answered HTTP 403: OKX does not serve this region" in seen["permessage_deflate"].text


@pytest.mark.parametrize(
    ("answer", "said"),
    [("429", "HTTP 429, code 50011"), ("451", "HTTP 451"), ("timeout", "no answer within 0.3 s"), ("403", "HTTP 403")],
)
def test_rest_that_refuses_is_a_finding_and_the_books_are_still_fit(answer, said):
    findings = probed(f"rest:answer={answer}", seconds=15, within_sec=0.3)
    verdict = judge(findings)

    assert verdict.is_fit
    assert any(f"({said}" in remark for remark in verdict.remarks)
    assert any(said in row.text for row in all_rows(findings) if row.section == "REFUSED")
    assert rows(findings)["clock"].text == "not seen: /public/time gave no answer"


@pytest.mark.parametrize(("offset", "where"), [(5.0, "behind"), (-5.0, "ahead of")])
def test_a_clock_that_is_off_is_not_fit(offset, where):
    findings = probed(clock_offset_sec=offset, seconds=15)
    (reason,) = judge(findings).reasons

    assert reason.what.endswith(f"s {where} OKX's")
    clock = rows(findings)["clock"].data
    assert abs(clock["ahead_ms"] + offset * 1000) <= clock["uncertainty_ms"] + 10
    assert reason.cure == "set this machine's clock by NTP"
    assert rows(findings)["delay_books_corrected"].data["p50"] > -clock["uncertainty_ms"] - 10


def test_a_clock_that_is_behind_shows_without_rest_too():
    (reason,) = reasons(probed("rest:answer=403", clock_offset_sec=9.0, seconds=12))

    assert reason.endswith(" s behind OKX's")
    assert 7.0 < float(reason.split()[5]) <= 9.0


def test_checksums_are_verified_where_okx_provides_them():
    findings = probed("checksum:how=real")
    checked = rows(findings)[f"{BTC}.checksum"]

    assert checked.data["right"] > 100
    assert checked.data["wrong"] == 0
    assert judge(findings).is_fit


def test_a_wrong_checksum_is_not_fit():
    assert any("checksums wrong" in what for what in reasons(probed("checksum:how=wrong", seconds=10)))


def test_a_fault_of_ours_beside_the_reading_does_not_pass_for_silence_of_okx(monkeypatch):
    monkeypatch.setattr(_FeedRunner, "_seek_by_rest", lambda self, now_ms: 1 // 0)
    with pytest.raises(ExceptionGroup) as raised:
        probed(seconds=5)
    assert [type(error) for error in raised.value.exceptions] == [ZeroDivisionError]


def test_cut_connections_are_counted_with_their_codes():
    findings = probed("close:code=4005,at=5s,every=6s")

    assert any("was cut off" in what and "4005" in what for what in reasons(findings))
    assert any("closed: 4005" in row.text for row in all_rows(findings) if row.section == "REFUSED")


def test_the_close_after_a_notice_is_seen():
    seen = rows(probed("notice:at=5s,after=5s,code=1006,conn=first"))

    assert seen["close_after_notice"].text == "no close frame (1006)"


@over_sockets
async def test_interrupted_it_says_what_was_seen_so_far():
    clock = running_clock()
    simulator = Simulator(SimOptions(inst_ids=(BTC,)), clock)
    await simulator.start()
    stop = asyncio.Event()
    try:
        settings = Settings(instruments=(BTC,), ws_url=(simulator.ws_url,), rest_url=simulator.rest_url)
        probe = probe_of(settings, 600, clock)
        running = asyncio.create_task(probe.run(stop))
        await clock.sleep(10)
        assert probe.findings.feeds[0].books[BTC].messages > 20
        stop.set()
        findings = await running
    finally:
        await simulator.stop(grace_sec=0.2)

    assert findings.ended == "interrupted"
    verdict = judge(findings)
    assert verdict.is_fit
    assert verdict.remarks[0].startswith("Interrupted after ")
    assert "messages" in page(findings, verdict)


def test_the_page_is_narrow_and_the_json_says_the_same():
    findings = probed(inst_ids=(BTC, ETH), listed=(BTC, ETH), seconds=20)
    verdict = judge(findings)
    text, data = page(findings, verdict), json.loads(document("probe", document_of(findings, verdict)))

    assert all(len(line) <= PAGE_WIDTH and line == line.rstrip() for line in text.splitlines())
    assert text.endswith("\n")
    assert data["schema"] == "l2vault.probe/1"
    assert data["verdict"]["fit"] is True
    assert len({row["key"] for row in data["rows"]}) == len(data["rows"])
    flat = " ".join(text.split())
    for row in data["rows"]:
        assert " ".join(row["text"].split()) in flat
    assert [row["section"] for row in data["rows"]][-1] == "OPEN QUESTIONS"
