"""Text that is no JSON any more, or JSON that is not what it was."""

import json

import msgspec
import pytest

from l2vault.book.change import BookChange
from l2vault.okx.messages import SchemaFailure, decode
from l2vault.sim.exchange.books import encode_push
from support.rehearsal import BTC, ETH, rehearse, timeline, update_tick


async def corrupted(clock, how, pushes=200):
    stage = await rehearse(clock, f"corrupt:how={how},push=1,k={pushes},conn=first", timeline(pushes), connections=2)
    struck, other = stage.viewers
    return struck.texts[2:], other.texts[2:]


@pytest.mark.parametrize("how", ["flip", "cut"])
async def test_corrupt_text_is_never_json(clock, how):
    for text, sent in zip(*await corrupted(clock, how), strict=True):
        assert text != sent
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)
        with pytest.raises(msgspec.DecodeError):
            msgspec.json.decode(text)


@pytest.mark.parametrize(("how", "shares"), [("flip", 0), ("cut", 1)])
async def test_corruption_falls_all_over_the_text(clock, how, shares):
    texts, sent = await corrupted(clock, how)
    length = len(sent[0])
    places = [len(text) if shares else text.index("~") for text in texts]

    assert min(places) < length * 0.2 and max(places) > length * 0.8


async def test_a_number_without_its_quotes_leaves_json_of_another_type(clock):
    kinds = set()
    for text, sent in zip(*await corrupted(clock, "unquoted"), strict=True):
        assert len(text) == len(sent) - 2
        json.loads(text)
        kinds.add(type(decode(text.encode())))
        assert repr(json.loads(text, parse_int=str, parse_float=str)) == repr(
            json.loads(sent, parse_int=str, parse_float=str)
        )
    assert kinds == {BookChange, SchemaFailure}  # a bare `ts` is tolerated, a bare price or size is not


async def test_the_same_push_is_corrupted_alike_in_every_run(clock):
    assert await corrupted(clock, "flip", 20) == await corrupted(clock, "flip", 20)


@pytest.mark.parametrize(
    ("field", "holder"),
    [
        ("ts", ["data", 0]),
        ("bids", ["data", 0]),
        ("asks", ["data", 0]),
        ("seqId", ["data", 0]),
        ("prevSeqId", ["data", 0]),
        ("checksum", ["data", 0]),
        ("instId", ["arg"]),
        ("arg", []),
        ("action", []),
        ("data", []),
    ],
)
async def test_a_field_is_missing_and_nothing_else(clock, field, holder):
    stage = await rehearse(clock, f"missing:push=2,field={field},conn=first", timeline(3), connections=2)
    struck, other = stage.viewers

    whole = json.loads(other.texts[3])
    part = whole
    for step in holder:
        part = part[step]
    del part[field]
    assert struck.texts[3] == json.dumps(whole, separators=(",", ":"))
    assert [struck.texts[place] for place in (2, 4)] == [other.texts[place] for place in (2, 4)]


@pytest.mark.parametrize("where", ["data", "push", "arg"])
async def test_an_unknown_field_is_added_and_nothing_else(clock, where):
    stage = await rehearse(clock, f"unknown-field:push=2,where={where}", timeline(3))

    push = json.loads(stage.viewers[0].texts[3])
    holder = {"data": push["data"][0], "push": push, "arg": push["arg"]}[where]
    assert holder.pop("newField") is not None
    assert push == json.loads(encode_push(update_tick(2).change))
    assert decode(stage.viewers[0].texts[3].encode()) == update_tick(2).change


async def test_a_level_may_have_a_fifth_member(clock):
    stage = await rehearse(clock, "unknown-field:push=3,where=level", timeline(3))

    data = json.loads(stage.viewers[0].texts[4])["data"][0]
    assert (data["asks"], data["bids"]) == ([["100.5", "13", "0", "1", "0"]], [["99.5", "23", "0", "2", "0"]])


async def test_a_full_book_can_be_struck_as_the_first_frame_of_its_connection(clock):
    stage = await rehearse(clock, "missing:frame=1,field=bids", timeline(1, BTC, ETH))

    frames = [json.loads(text) for text in stage.viewers[0].texts if '"data"' in text]
    held = [("bids" in frame["data"][0], frame["action"], frame["arg"]["instId"]) for frame in frames]
    assert held == [(False, "snapshot", BTC), (False, "snapshot", ETH), (True, "update", BTC), (True, "update", ETH)]


async def test_several_faults_may_strike_the_same_push(clock):
    spec = ";".join(f"missing:push=1,field={field}" for field in ("arg", "instId", "data", "ts", "action"))
    stage = await rehearse(clock, f"{spec};unknown-field:push=1,where=level;corrupt:push=1,how=unquoted", timeline(1))

    assert stage.viewers[0].texts[-1] == "{}"
