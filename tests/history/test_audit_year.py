"""A year of audits: what is kept of a day, the grade of each hour, the table, and the picture."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from l2vault import cli
from l2vault.analytics.pictures import audits as picture
from l2vault.analytics.pictures import plot_audits
from l2vault.book.utc import DAY_MS, HOUR_MS, utc_text
from l2vault.vault.coverage.graded import GRADES, GradedYear, span_of
from l2vault.vault.store.audits import AuditedDay, AuditedHour, keep_audit, kept_audit, kept_audits
from l2vault.vault.store.layout import Layout
from support.hours import HOUR_AT_MS, INST
from support.small_vault import small_vault

START_MS, END_MS = span_of(2024)
DAY = "2024-08-20"


def audited(day: str, hours: dict[int, AuditedHour], is_sample: bool = False) -> AuditedDay:
    return AuditedDay(day, "file.tar.gz", is_sample, "2024-09-01T00:00:00.000Z", hours)


@pytest.mark.parametrize(
    ("lines", "grade"),
    [
        (AuditedHour(1_800), "all"),
        (AuditedHour(1_800, theirs=50, unseen=3), "all"),
        (AuditedHour(1_999, 1), "most"),
        (AuditedHour(999, 1), "most"),
        (AuditedHour(998, 1), "some"),
        (AuditedHour(99, 1), "some"),
        (AuditedHour(98, 1), "few"),
        (AuditedHour(0, 5), "few"),
        (AuditedHour(0, 0, 7), "no witness"),
        (AuditedHour(unseen=1_800), "no witness"),
    ],
)
def test_the_grade_of_an_hour_is_the_share_of_lines_that_a_believable_witness_confirms(
    lines: AuditedHour, grade: str
) -> None:
    year = GradedYear(INST, 2024, {START_MS: lines}, frozenset({START_MS + HOUR_MS}))
    assert year.grade(START_MS) == grade
    assert [year.grade(START_MS + HOUR_MS), year.grade(START_MS + 2 * HOUR_MS)] == ["no witness", "not recorded"]
    found = year.of((START_MS, START_MS + DAY_MS))
    assert found.recorded == 2 and found.judged == (0 if grade == "no witness" else 1) and found.lines == lines


def test_what_is_kept_of_a_day_is_the_newest_but_no_sample_replaces_the_whole(tmp_path: Path) -> None:
    layout, day_ms = Layout(tmp_path / "Vault"), HOUR_AT_MS // DAY_MS * DAY_MS
    for hours, is_sample, wanted in (
        ({0: AuditedHour(1)}, True, 1),
        ({0: AuditedHour(2)}, True, 2),
        ({0: AuditedHour(3), 23: AuditedHour(4), 24: AuditedHour(9)}, False, 3),
        ({0: AuditedHour(5)}, True, 3),
        ({0: AuditedHour(6), 23: AuditedHour(4)}, False, 6),
    ):
        keep_audit(layout, INST, audited(DAY, hours, is_sample))
        kept = kept_audit(layout, INST, day_ms)
        assert kept is not None and kept.hours[0].agreed == wanted
    found = kept_audits(layout, INST, (START_MS, END_MS))
    assert found == {day_ms: AuditedHour(6), day_ms + 23 * HOUR_MS: AuditedHour(4)}
    for damage in (
        b"{",
        b'{"day":1}',
        b'{"day":"","source":"","is_sample":false,"audited_at":"","hours":{"0":{"ours":-1}}}',
    ):
        layout.audit_file(INST, day_ms).write_bytes(damage)
        assert not kept_audits(layout, INST, (START_MS, END_MS))


def test_the_verb_gives_a_line_a_month(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layout, _ = small_vault(tmp_path / "Vault")
    words = ["audit", INST, "--vault", str(layout.root), "--year"]
    assert cli.main([*words, "2024"]) == 0
    assert "no day was audited" in capsys.readouterr().out
    keep_audit(layout, INST, audited(DAY, {3: AuditedHour(99, 1), 5: AuditedHour(unseen=4)}))
    keep_audit(layout, INST, audited("2024-02-29", {0: AuditedHour(10)}))
    assert cli.main([*words, "2024", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == "l2vault.audit.year/1"
    assert [(each["month"], each["agreed_share"]) for each in found["months"]] == [("2024-02", 1.0), ("2024-08", 0.99)]
    assert found["months"][1]["hours"] | {"not recorded": 0} == {
        **dict.fromkeys(GRADES, 0),
        **{"some": 1, "no witness": 1},
    }
    assert cli.main([*words, "2024", "--plot", str(tmp_path / "year.png")]) == 0
    assert "99.00 %" in capsys.readouterr().out and (tmp_path / "year.png").stat().st_size > 5_000
    assert cli.main([*words, "2025"]) == 1 and "was recorded in 2025" in capsys.readouterr().err
    for wrong in (["--day", DAY, "--year", "2024"], ["--day", DAY, "--plot", "x.png"], ["--year", "24"], []):
        assert cli.main(["audit", INST, "--vault", str(layout.root), *wrong]) == 2


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    kept: list[Figure] = []
    save = picture.save

    def keep(figure: Figure, path: Path) -> None:
        save(figure, path)
        kept.append(figure)

    monkeypatch.setattr(picture, "save", keep)
    return kept


def test_the_picture_tells_good_from_bad_from_no_witness_from_not_recorded(tmp_path: Path, drawn: list[Figure]) -> None:
    day_ms = HOUR_AT_MS // DAY_MS * DAY_MS
    hours = {day_ms + 3 * HOUR_MS: AuditedHour(100), day_ms + 4 * HOUR_MS: AuditedHour(50, 20)}
    recorded = frozenset({*hours, day_ms + 5 * HOUR_MS, day_ms + DAY_MS + 5 * HOUR_MS})
    plot_audits(GradedYear(INST, 2024, hours, recorded), tmp_path / "year.png")
    width, height = struct.unpack(">II", (tmp_path / "year.png").read_bytes()[16:24])
    assert (width, height) == (1680, 624)
    (figure,) = drawn
    above, below = figure.axes
    cells = np.asarray(above.images[0].get_array())
    assert cells.shape == (24, 31), "the month of which anything is there"
    column = (day_ms - span_of(2024)[0]) // DAY_MS - (31 + 29 + 31 + 30 + 31 + 30 + 31)
    assert [GRADES[each] for each in cells[2:7, column]] == [
        *("not recorded", "all", "few", "no witness", "not recorded")
    ]
    assert GRADES[cells[5, column + 1]] == "no witness"
    hatched = [path.get_extents() for each in above.collections for path in each.get_paths() if each.get_hatch()]
    assert [(round(each.width), each.y0) for each in hatched] == [(2, 5.0)], "two days as one bar"
    assert [bar.get_height() for bar in below.patches] == [20]
    colours = [picture.COLOURS[grade] for grade in GRADES]
    assert len(set(colours)) == len(colours)
    assert "2 of 4 recorded hours have a witness; of 170 lines compared" in figure.get_supxlabel()


def test_a_whole_year_is_drawn(tmp_path: Path, drawn: list[Figure]) -> None:
    hours = {ms: AuditedHour(1_800) for ms in range(START_MS, END_MS, HOUR_MS)}
    plot_audits(GradedYear(INST, 2024, hours, frozenset()), tmp_path / "whole.png")
    (figure,) = drawn
    assert np.asarray(figure.axes[0].images[0].get_array()).shape == (24, 366) and not figure.axes[1].patches
    assert utc_text(START_MS)[:10] in figure.get_suptitle()
