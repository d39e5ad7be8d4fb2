"""Deep books read back from every form, with what is known where samples are missing or do not read."""

import argparse
import gzip
import json
from pathlib import Path

import pytest

import l2vault
from l2vault import cli
from l2vault.book.deep import DeepSample
from l2vault.errors import VaultError
from l2vault.vault.archive.write import archive_hour, restore_hour
from l2vault.vault.checking.verify import Verification
from l2vault.vault.journal.deep_events import DeepMissed
from l2vault.vault.reading.deep import DeepReader
from l2vault.vault.store.catalog import Finding
from l2vault.vault.store.layout import HOUR_MS, Layout, packed_path
from l2vault.verbs import coverage, ls
from l2vault.verbs.context import Context
from support.hours import HOUR_AT_MS, INST, at, journal_of, line, put, started
from support.small_vault import DEEP_EVERY_MS, DEEP_FROM_MS, deep_samples, put_deep, small_vault

SAMPLES = list(deep_samples())
SPAN = HOUR_AT_MS, HOUR_AT_MS + 600_000


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "Vault")


def file_of(layout: Layout) -> Path:
    return packed_path(layout.of("deep").hour_file(INST, HOUR_AT_MS))


def read(layout: Layout) -> tuple[list[DeepSample], list[Finding]]:
    findings: list[Finding] = []
    return list(DeepReader(layout).samples(INST, SPAN, findings.append)), findings


def verified(layout: Layout) -> list[tuple[str, str]]:
    found = Verification(layout, SPAN[1]).run()
    return [(each.kind, each.text) for each in found if "books_full" in each.file]


def test_what_was_written_is_read_and_its_span_is_sampled(layout: Layout) -> None:
    put_deep(layout, SAMPLES)
    assert read(layout) == (SAMPLES, [])
    covered = DeepReader(layout).coverage(INST, SPAN)
    assert covered.samples == 20
    assert [(each.start_ms - HOUR_AT_MS, each.state) for each in covered.stretches] == [
        (0, "unknown"),
        (10_000, "proved"),
    ]
    assert verified(layout) == []


def test_samples_that_were_missed_have_the_cause_that_the_journal_has(layout: Layout) -> None:
    put_deep(layout, SAMPLES, missed=range(5, 9))
    last, after = DEEP_FROM_MS + 4 * DEEP_EVERY_MS, DEEP_FROM_MS + 9 * DEEP_EVERY_MS
    journal_of(
        layout,
        started(0),
        DeepMissed(at(last + 30_000), INST, at(last), "throttled", None, 0, "429"),
        DeepMissed(at(after), INST, at(last), "throttled", at(after), 4),
    )
    covered = DeepReader(layout).coverage(INST, (SAMPLES[0].ts_ms, SPAN[1]))
    (hole,) = [each for each in covered.stretches if each.state != "proved"]
    assert (hole.start_ms, hole.end_ms) == (HOUR_AT_MS + last + 45_000, HOUR_AT_MS + after)
    assert (hole.state, hole.cause) == ("missing", "throttled")


def test_behind_a_line_that_is_gone_no_sample_is_claimed_before_the_next_whole_one(layout: Layout) -> None:
    put_deep(layout, SAMPLES[:10])
    put_deep(layout, SAMPLES[10:])  # of another run: a whole book first
    file = file_of(layout)
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    del lines[6]
    file.write_bytes(gzip.compress(b"".join(lines)))
    samples, findings = read(layout)
    assert samples == [*SAMPLES[:6], *SAMPLES[10:]]
    assert len(findings) == 3 and "not the one before it" in findings[0].reason
    covered = DeepReader(layout).coverage(INST, (SAMPLES[0].ts_ms, SPAN[1]))
    assert covered.samples == 16
    (hole,) = [each for each in covered.stretches if each.state != "proved"]
    assert (hole.start_ms, hole.end_ms) == (SAMPLES[5].ts_ms + 45_000, SAMPLES[10].ts_ms)
    assert [kind for kind, _ in verified(layout)] == ["changes"] * 3


def test_an_archive_gives_the_lines_back_byte_for_byte(layout: Layout, tmp_path: Path) -> None:
    put_deep(layout, SAMPLES)
    file, deep = file_of(layout), layout.of("deep")
    written = gzip.decompress(file.read_bytes())
    hour = deep.parse_hour_file(file)
    assert hour is not None
    archive_hour(deep, hour)
    file.unlink()
    assert read(layout) == (SAMPLES, [])
    assert verified(layout) == []
    restored = tmp_path / "back.jsonl"
    assert restore_hour(deep.archived_hour(INST, HOUR_AT_MS), restored) == 20
    assert restored.read_bytes() == written


def test_the_verbs_show_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout, _ = small_vault(tmp_path / "Vault")
    for verb in (ls, coverage):
        parser = argparse.ArgumentParser()
        verb.configure(parser)
        assert verb.run(Context(layout.root), parser.parse_args(["--kind", "deep"])) == 0
    said = capsys.readouterr().out.splitlines()
    assert any(row.split()[:3] == [INST, "deep", "1"] for row in said)
    assert said[-1].split() == [INST, "20", "100.00", "%", "0.00", "%", "0.00", "%"]
    parser = argparse.ArgumentParser()
    coverage.configure(parser)
    coverage.run(Context(layout.root), parser.parse_args(["--kind", "deep", "--json"]))
    assert json.loads(capsys.readouterr().out)["schema"] == "l2vault.coverage.deep/1"


def test_without_deep_books_the_cure_is_named(layout: Layout) -> None:
    put(layout, [line(0)])
    with pytest.raises(VaultError, match="no deep books"):
        l2vault.open(layout.root).deep(INST)


def test_an_hour_of_samples_needs_none_before_it(layout: Layout) -> None:
    """The recorder begins each hour with a whole book, and so does whoever wrote this one."""
    late = [DeepSample(INST, each.ts_ms + HOUR_MS, *_sides(each), None, each.recv_us) for each in SAMPLES]
    put_deep(layout, [*SAMPLES, *late])
    span = HOUR_AT_MS + HOUR_MS, HOUR_AT_MS + 2 * HOUR_MS
    assert list(DeepReader(layout).samples(INST, span, lambda finding: None)) == late
    found = DeepReader(layout).at(INST, late[3].ts_ms + 29_999)
    assert found == late[3]
    assert DeepReader(layout).at(INST, SAMPLES[0].ts_ms - 1) is None


def _sides(sample: DeepSample) -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    return sample.bids, sample.asks


def test_a_merge_takes_the_hour_of_the_vault_that_sampled_more_of_it(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for root, missed in ((one, range(3, 15)), (other, range(2))):
        layout, _ = small_vault(root)
        file_of(layout).unlink()
        put_deep(layout, SAMPLES, missed)
    into = tmp_path / "into"
    assert cli.main(["merge", str(one), str(other), "--into", str(into), "--from", "2024-08-20T03:00"]) == 0
    merged = Layout(into)
    assert read(merged) == (SAMPLES[2:], [])
    covered = DeepReader(merged).coverage(INST, SPAN)
    (hole,) = [each for each in covered.stretches if each.state != "proved"]
    assert (hole.start_ms, hole.end_ms) == (SPAN[0], SAMPLES[2].ts_ms)
