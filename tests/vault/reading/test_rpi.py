"""RPI books read back, with what is known where samples are missing or do not read; merged, kept and listed."""

import argparse
import gzip
import json
from pathlib import Path

import msgspec
import pytest

import l2vault
from l2vault import cli
from l2vault.book.deep import DeepSample
from l2vault.errors import VaultError
from l2vault.vault.checking.verify import Verification
from l2vault.vault.coverage.deep import DeepCoverage
from l2vault.vault.journal.deep_events import DeepMissed, RpiMissed
from l2vault.vault.reading.deep import DeepReader
from l2vault.vault.store.catalog import Finding
from l2vault.vault.store.layout import Layout, packed_path
from l2vault.verbs import coverage, ls
from l2vault.verbs.context import Context
from support.hours import HOUR_AT_MS, INST, at, journal_of, line, put, started
from support.small_vault import DEEP_EVERY_MS, DEEP_FROM_MS, deep_samples, put_deep, rpi_samples, small_vault

SAMPLES = list(rpi_samples())
SPAN = HOUR_AT_MS, HOUR_AT_MS + 600_000


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "Vault")


def reader(layout: Layout) -> DeepReader:
    return DeepReader(layout, kind="rpi")


def file_of(layout: Layout) -> Path:
    return packed_path(layout.of("rpi").hour_file(INST, HOUR_AT_MS))


def read(layout: Layout) -> tuple[list[DeepSample], list[Finding]]:
    findings: list[Finding] = []
    return list(reader(layout).samples(INST, SPAN, findings.append)), findings


def verified(layout: Layout) -> list[tuple[str, str]]:
    found = Verification(layout, SPAN[1]).run()
    return [(each.kind, each.text) for each in found if "books_rpi" in each.file]


def rewrite(layout: Layout, change) -> None:
    file = file_of(layout)
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    change(lines)
    file.write_bytes(gzip.compress(b"".join(lines)))


def test_what_was_written_is_read_and_lies_in_a_folder_of_its_own(layout: Layout) -> None:
    put_deep(layout, SAMPLES, kind="rpi")
    assert file_of(layout) == layout.root / "raw/okx/books_rpi" / INST / "2024-08-20" / "03.jsonl.gz"
    assert file_of(layout).is_file()
    assert read(layout) == (SAMPLES, [])
    assert all(sample.kind == "rpi" for sample in read(layout)[0])
    assert DeepReader(layout).instruments() == [], "they are no deep books"
    covered = reader(layout).coverage(INST, SPAN)
    assert isinstance(covered, DeepCoverage) and covered.samples == 20
    assert [(each.start_ms - HOUR_AT_MS, each.state) for each in covered.stretches] == [
        (0, "unknown"),
        (10_000, "proved"),
    ]
    assert verified(layout) == []


def test_what_the_journal_says_of_one_kind_is_nothing_of_the_other(layout: Layout) -> None:
    put_deep(layout, SAMPLES, range(5, 9), kind="rpi")
    put_deep(layout, deep_samples(), range(5, 9))
    last, after = DEEP_FROM_MS + 4 * DEEP_EVERY_MS, DEEP_FROM_MS + 9 * DEEP_EVERY_MS
    journal_of(
        layout,
        started(0),
        RpiMissed(at(last + 30_000), INST, at(last), "refused", None, 0, "51001"),
        RpiMissed(at(after), INST, at(last), "refused", at(after), 4),
        DeepMissed(at(after), INST, at(last), "throttled", at(after), 4),
    )
    span = SAMPLES[0].ts_ms, SPAN[1]
    holes = [
        [(each.start_ms, each.end_ms, each.state, each.cause) for each in found.stretches if each.state != "proved"]
        for found in (reader(layout).coverage(INST, span), DeepReader(layout).coverage(INST, span))
    ]
    bounds = HOUR_AT_MS + last + 45_000, HOUR_AT_MS + after
    assert holes == [[(*bounds, "missing", "refused")], [(*bounds, "missing", "throttled")]]


def test_behind_a_line_that_is_gone_no_sample_is_claimed_and_verify_names_it(layout: Layout) -> None:
    put_deep(layout, SAMPLES, kind="rpi")
    rewrite(layout, lambda lines: lines.pop(6))
    samples, findings = read(layout)
    assert samples == SAMPLES[:6]
    assert len(findings) == 13 and "no RPI book can be rebuilt" in findings[0].reason
    assert [kind for kind, _ in verified(layout)] == ["changes"] * 13


def test_an_altered_quantity_and_a_level_of_three_parts_are_found(layout: Layout) -> None:
    put_deep(layout, SAMPLES[:1], kind="rpi")

    def alter(lines: list[bytes]) -> None:
        assert b'"12.5","10"' in lines[0]
        lines[0] = lines[0].replace(b'"12.5","10"', b'"12.5","11"')

    rewrite(layout, alter)
    ((kind, text),) = verified(layout)
    assert kind == "changes" and "checksum" in text

    def cut(lines: list[bytes]) -> None:
        lines[0] = lines[0].replace(b'"12.5","11"', b'"12.5"')

    rewrite(layout, cut)
    ((kind, text),) = verified(layout)
    assert kind == "line" and "a level has not 4 parts" in text
    assert read(layout)[0] == []


def test_the_verbs_show_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout, _ = small_vault(tmp_path / "Vault")
    for verb in (ls, coverage):
        parser = argparse.ArgumentParser()
        verb.configure(parser)
        assert verb.run(Context(layout.root), parser.parse_args(["--kind", "rpi"])) == 0
    said = capsys.readouterr().out.splitlines()
    assert any(row.split()[:3] == [INST, "rpi", "1"] for row in said)
    assert said[-2].split()[:2] == ["instrument", "samples"]
    assert said[-1].split() == [INST, "20", "100.00", "%", "0.00", "%", "0.00", "%"]
    parser = argparse.ArgumentParser()
    coverage.configure(parser)
    coverage.run(Context(layout.root), parser.parse_args(["--kind", "rpi", "--json"]))
    row = json.loads(capsys.readouterr().out)
    assert (row["schema"], row["samples"], row["proved_share"]) == ("l2vault.coverage.rpi/1", 20, 1.0)


def test_okx_has_no_archive_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_vault(tmp_path / "Vault")
    words = ["coverage", "--vault", str(tmp_path / "Vault"), "--kind", "rpi", "--sources", "recorded,archive"]
    assert cli.main(words) == 2
    assert "OKX's archive has no RPI books" in capsys.readouterr().err


def test_without_rpi_books_the_cure_is_named(layout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    put(layout, [line(0)])
    words = r'no RPI books of BTC-USDT-SWAP.*Try: rpi = \["BTC-USDT-SWAP"\], or l2vault record --rpi'
    with pytest.raises(VaultError, match=words):
        l2vault.open(layout.root).rpi(INST)
    assert cli.main(["coverage", "--vault", str(layout.root), "--kind", "rpi"]) != 0
    assert "holds no RPI books" in capsys.readouterr().err


def test_the_public_door_gives_samples_frames_and_the_one_at_a_time(tmp_path: Path) -> None:
    layout, _ = small_vault(tmp_path / "Vault")
    rpi = l2vault.open(layout.root).rpi(INST)
    assert list(rpi) == SAMPLES and rpi.coverage.samples == 20
    assert rpi.at(SAMPLES[3].ts_ms + 29_999) == SAMPLES[3]
    with pytest.raises(VaultError, match="no RPI book of .*coverage --kind rpi"):
        rpi.at(SAMPLES[0].ts_ms - 1)
    frame = rpi.to_polars(raw=True)
    names = ["time", "side", "rank", "price", "size", "non_rpi", "rpi", "usd", "rpi_usd", "orders", "origin"]
    assert frame.columns == names and len(frame) == 20 * 5
    bid, _, inside = frame.rows()[:3]
    assert bid[:7] == (SAMPLES[0].ts_ms, "bid", 1, 59_999.0, 12.5, 10.0, 2.5)
    assert bid[7:9] == pytest.approx((0.01 * 12.5 * 59_999, 0.01 * 2.5 * 59_999)) and bid[9:] == (4, "recorded")
    assert inside[:7] == (SAMPLES[0].ts_ms, "ask", 1, 60_000.5, 4.0, 0.0, 4.0)
    assert rpi.to_pandas()["rpi"].sum() == pytest.approx(20 * 6.5)
    assert list(l2vault.open(layout.root, sources=["recorded"]).rpi(INST, last="1m")) == SAMPLES[-2:]


def test_a_merge_takes_the_hour_of_the_vault_that_sampled_more_of_it(tmp_path: Path) -> None:
    """By time, of RPI books: the one has more lines, and both have the same deep books."""
    one, other = tmp_path / "one", tmp_path / "other"
    first_ms = SAMPLES[0].ts_ms
    dense = [msgspec.structs.replace(SAMPLES[0], ts_ms=first_ms + 10_000 * at) for at in range(25)]
    for root, samples in ((one, dense), (other, SAMPLES[2:])):
        layout, _ = small_vault(root)
        file_of(layout).unlink()
        put_deep(layout, samples, kind="rpi")
    into = tmp_path / "into"
    assert cli.main(["merge", str(one), str(other), "--into", str(into), "--from", "2024-08-20T03:00"]) == 0
    merged = Layout(into)
    assert read(merged) == (SAMPLES[2:], [])
    (hole,) = [each for each in reader(merged).coverage(INST, SPAN).stretches if each.state != "proved"]
    assert (hole.start_ms, hole.end_ms) == (SPAN[0], SAMPLES[2].ts_ms)
    assert len(list(DeepReader(merged).samples(INST, SPAN, lambda finding: None))) == 20


def test_samples_of_the_two_kinds_are_never_equal() -> None:
    (sample,) = SAMPLES[:1]
    assert msgspec.structs.replace(sample, kind="deep") != sample
