import pytest

from l2vault.errors import UsageError
from l2vault.sim.faults.kinds import KINDS
from l2vault.sim.faults.plan import ConnectionSlot, Fault, FaultPlan, When, Who
from l2vault.sim.faults.spec import parse_faults

BTC = "BTC-USDT-SWAP"


def only(spec):
    (fault,) = parse_faults(spec).faults
    return fault


def test_a_plan_in_one_line_is_read_in_order_with_its_seed():
    plan = parse_faults(f"seed=7; drop:inst={BTC},at=12.5s,k=3 ;close:code=4004,at=30s,conn=first;")

    assert plan == FaultPlan(
        (
            Fault("drop", BTC, Who(), When(start=12_500, pushes=3), {"channel": "books"}),
            Fault("close", "all", Who(place=1), When(start=30_000), {"code": 4004}),
        ),
        seed=7,
    )


TOML = f"""
seed = 7

[[fault]]
kind = "drop"
inst = "{BTC}"
at = 12.5
k = 3

[[fault]]
kind = "checksum"
how = "real"
push = 40
every = 20
times = 2
for = "1500ms"
conn = "odd"

[[fault]]
kind = "state"
to = "preopen"
crossed = false
for = "2m"

[[fault]]
kind = "batch"
conn = 2
p = 0.25
until = "1h"
"""
INLINE = (
    f"seed=7;drop:inst={BTC},at=12.5,k=3;checksum:how=real,push=40,every=20,times=2,for=1500ms,conn=odd;"
    "state:to=preopen,crossed=no,for=2m;batch:conn=2,p=0.25,until=1h"
)


def test_a_plan_in_a_file_is_the_same_as_in_one_line(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(TOML, encoding="utf-8")

    assert parse_faults(str(path)) == parse_faults(INLINE)


@pytest.mark.parametrize("name", ["plan", "plan.toml"])
def test_a_file_is_known_by_its_name_or_by_being_there(tmp_path, monkeypatch, name):
    (tmp_path / name).write_text('[[fault]]\nkind = "drop"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    assert parse_faults(name) == parse_faults("drop")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_needs_nothing_but_its_name_and_is_complete_then(kind):
    fault = only(kind)

    assert (fault.kind, fault.inst_id, fault.who) == (kind, "all", Who())
    assert fault == only(f"{kind}:")
    assert set(fault.params) == set(KINDS[kind].params)


@pytest.mark.parametrize(
    ("spec", "when"),
    [
        ("drop", When(pushes=1)),
        ("drop:at=250ms", When(start=250, pushes=1)),
        ("drop:at=1.5m,every=2h", When(start=90_000, every=7_200_000, pushes=1)),
        ("drop:for=10", When(lasts_ms=10_000)),
        ("drop:push=7,k=2", When("push", 7, pushes=2)),
        ("drop:push=7,every=3,times=4", When("push", 7, 3, times=4, pushes=1)),
        ("drop:frame=1", When("frame", 1, pushes=1)),
        ("drop:p=0.5,at=3s,until=9s,times=2", When(start=3000, chance=0.5, times=2, until_ms=9000, pushes=1)),
        ("error:request=3,k=2", When("request", 3, pushes=2)),
        ("rest:at=2s,k=2", When(start=2000, pushes=2)),
        ("rest", When()),
        ("stall:at=5s", When(start=5000, lasts_ms=10_000)),
        ("stall:at=5s,for=2s", When(start=5000, lasts_ms=2000)),
        ("no-book:at=5s", When(start=5000)),
        ("checksum:how=wrong", When()),
        ("checksum:how=wrong,k=1", When(pushes=1)),
    ],
)
def test_when_a_fault_strikes_is_read_from_the_common_keys(spec, when):
    assert only(spec).when == when


@pytest.mark.parametrize(
    ("word", "sits", "not_there"),
    [
        ("all", [(1, 1), (9, 3)], []),
        ("first", [(1, 1), (5, 1)], [(1, 2)]),
        ("second", [(2, 2), (7, 2)], [(2, 1)]),
        ("third", [(3, 3)], [(3, 1)]),
        ("fourth", [(8, 4)], [(4, 1)]),
        ("3", [(3, 1), (3, 3)], [(4, 3)]),
        ("odd", [(1, 1), (7, 2)], [(2, 1)]),
        ("even", [(2, 1), (8, 5)], [(1, 2)]),
    ],
)
def test_connections_are_chosen_by_place_or_by_number(word, sits, not_there):
    who = only(f"drop:conn={word}").who

    assert all(who.matches(ConnectionSlot(*slot)) for slot in sits)
    assert not any(who.matches(ConnectionSlot(*slot)) for slot in not_there)


@pytest.mark.parametrize(
    ("spec", "params"),
    [
        ("ts:how=back,by=90s", {"how": "back", "by": 90_000}),
        ("cut:keep=2KB", {"keep": 2048}),
        ("big-frame:size=3MB", {"size": 3 * 1024 * 1024}),
        ("tick-size:tick=0.05,notice=1m,how=levels", {"tick": "0.05", "notice": 60_000, "how": "levels"}),
        ("reset:to=0,lost=first", {"to": 0, "lost": "first"}),
        ("rest:answer=older,path=books,by=500ms", {"answer": "older", "path": "books", "by": 500}),
        ("missing:field=prevSeqId", {"field": "prevSeqId", "channel": "books"}),
    ],
)
def test_parameters_have_the_units_of_their_kind(spec, params):
    assert only(spec).params == params


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("drp:at=1s", ["kind of fault 'drp'", "Try: drop"]),
        ("drop;haertbeat", ["kind of fault 'haertbeat'", "Try: heartbeat"]),
        ("zzzzzz:at=1s", ["kind of fault 'zzzzzz'", "Try: one of drop, duplicate"]),
        ("drop:ta=1s", ["key 'ta' in drop", "Try: at"]),
        ("close:cod=4004", ["key 'cod' in close", "Try: code"]),
        ("close:k=2", ["key 'k' in close", "Try: one of code"]),
        ("deflate:inst=BTC", ["key 'inst' in deflate"]),
        ("drop:at=soon", ["at=soon of drop", "Try: 10s"]),
        ("drop:push=0", ["push=0 of drop", "whole number"]),
        ("drop:push=3s", ["push=3s of drop"]),
        ("drop:push=3,every=2s", ["every=2s of drop"]),
        ("drop:at=1s,push=3", ["drop has at and push", "contradict"]),
        ("drop:k=2,for=3s", ["drop has k and for"]),
        ("drop:p=0.1,every=3s", ["drop has p and every"]),
        ("drop:times=3", ["times of drop says nothing", "every=30s,times=3"]),
        ("drop:every=0s,at=1s", ["every=0s of drop"]),
        ("drop:for=0s", ["for=0s of drop"]),
        ("drop:p=0", ["p=0 of drop", "0.01"]),
        ("drop:p=1.5", ["p=1.5 of drop"]),
        ("drop:p=x", ["p=x of drop"]),
        ("drop:conn=frist", ["conn=frist of drop", "Try: first"]),
        ("drop:conn=0", ["conn=0 of drop"]),
        ("drop:at", ["'at' of drop is no key=value"]),
        ("drop:at=", ["'at=' of drop is no key=value"]),
        ("drop:at=1s,at=2s", ["drop has at twice"]),
        ("close:code=999", ["code=999 of close", "Try: 1006, 4004"]),
        ("close:code=1005", ["code=1005 of close"]),
        ("close:code=2000", ["code=2000 of close"]),
        ("notice:code=1015", ["code=1015 of notice"]),
        ("close:code=99999999999999999999", ["code=9999"]),
        ("refuse:how=tpc", ["how=tpc of refuse", "Try: tcp"]),
        ("reset:lost=nobody", ["lost=nobody of reset", "none, all, first"]),
        ("tick-size:tick=1e-3", ["tick=1e-3 of tick-size"]),
        ("tick-size:tick=0.0", ["tick=0.0 of tick-size"]),
        ("seed=x;drop", ["seed=x", "seed=7"]),
        ("sede=3;drop", ["key 'sede' in the plan", "Try: seed"]),
        ("nothing.tml", ["'nothing.tml' is neither a file nor a kind", "drop:inst="]),
        ("dorp", ["'dorp' is neither a file nor a kind", "Try: drop"]),
        ("", ["neither a file nor a plan", "drop:inst="]),
    ],
)
def test_what_cannot_be_is_refused_with_its_name_and_the_cure(spec, words):
    with pytest.raises(UsageError) as refused:
        parse_faults(spec)

    assert refused.value.exit_code == 2
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[fault]\n", ["is not TOML"]),
        ("seed = " + "9" * 5_000, ["is not TOML"]),
        ("a = " + "[" * 5_000, ["is not TOML"]),
        ('fault = "drop"\n', ["`fault`", "[[fault]]"]),
        ('[[fault]]\nat = "3s"\n', ["has no kind", "drop"]),
        ('[[fault]]\nkind = "dropp"\n', ["kind of fault 'dropp'", "Try: drop"]),
        ('[[faults]]\nkind = "drop"\n', ["key 'faults' in the plan", "Try: fault"]),
        ("seed = -1\n", ["seed=-1"]),
    ],
)
def test_what_a_file_may_not_say_is_refused_too(tmp_path, text, words):
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(UsageError) as refused:
        parse_faults(str(path))

    for word in words:
        assert word in str(refused.value)


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(UsageError, match=r"missing\.toml"):
        parse_faults("missing.toml")
