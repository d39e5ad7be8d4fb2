"""Pictures: each is written whole, draws what it is told, and stands empty and one-sided input."""

import struct
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import polars as pl
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from l2vault.analytics.heatmap.heatmap import heatmap
from l2vault.analytics.pictures import Steps, canvas, draw_heatmap, draw_series, draw_shifts, draw_walls, draw_zones
from l2vault.analytics.pictures import coverage as coverage_module
from l2vault.analytics.pictures.coverage import STATE_COLOURS, plot_coverage
from l2vault.analytics.pictures.heat_colours import lights_of, pixels_of
from l2vault.analytics.pictures.wall_marks import END_MARKERS
from l2vault.analytics.provenance import Provenance, VisibleRange, aware
from l2vault.book.utc import utc_text
from l2vault.errors import UsageError
from l2vault.vault.coverage.model import Coverage, Hole, Stretch
from support.books import T0_MS, Drawn, drawn, hand_made

END_MS = T0_MS + 20_000
BOOKS = hand_made(
    drawn(0, "99 5 2, 98.5 1 1", "100 7 3, 101 3 1"),
    drawn(2_000, "99 4 2, 98.5 900 1", "100 7 3, 101 3 1", until_ms=8_000),
    drawn(16_000, "98 4 2, 97 1 1", "98.5 2 1, 103 8 1", until_ms=20_000),
    depth=2,
)
COVERAGE = Coverage(
    "BTC-USDT-SWAP",
    T0_MS,
    END_MS,
    [
        Stretch(T0_MS, T0_MS + 6_000, 2_000, "recorded", ""),
        Stretch(T0_MS + 8_000, T0_MS + 14_000, 2_000, "missing", "chain"),
        Stretch(T0_MS + 16_000, T0_MS + 18_000, 2_000, "recorded", ""),
    ],
    [Hole(T0_MS + 8_000, T0_MS + 16_000, "missing", "chain", 4)],
)
PROVENANCE = Provenance(
    "walls/2",
    "BTC-USDT-SWAP",
    aware(T0_MS),
    aware(END_MS),
    "USDT",
    3,
    2_000,
    0.6,
    {"recorded": 0.6, "missing": 0.4},
    1,
    {"bid": VisibleRange(8.6, 12.0), "ask": VisibleRange(9.0, 18.4)},
    {"threshold": 1e6},
)
WALLS = pl.DataFrame(
    {
        "side": ["bid", "ask", "ask", "bid"],
        "price": [98.5, 101.0, 100.0, 98.0],
        "t_from": [T0_MS + 2_000, T0_MS, T0_MS + 1_000, T0_MS + 16_000],
        "t_to": [T0_MS + 8_000, T0_MS + 8_000, T0_MS + 3_000, END_MS],
        "peak": [2.1e6, 1e6, 3e6, 1.2e6],
        "end": ["gap", "gap", "pulled", "standing"],
        "track": [0, 1, 2, 0],
    }
)
SERIES = pl.DataFrame(
    {
        "t_from": [T0_MS, T0_MS + 2_000, T0_MS + 16_000],
        "t_to": [T0_MS + 2_000, T0_MS + 8_000, END_MS],
        "bid": [99.0, 99.0, 98.0],
        "ask": [100.0, None, 98.5],
        "spread": [1.0, 1.0, 0.5],
        "top5": [0.2, -0.6, None],
        "bid_visible_bps": [8.6, 9.0, float("inf")],
        "bid_2bps": [1e6, 2e6, 0.0],
        "ask_2bps": [None, None, None],
    },
    schema_overrides={"ask_2bps": pl.Float64},
)
STOOD = SERIES.select("t_from", "t_to")
ZONES = pl.DataFrame(
    {
        "side": ["bid", "bid", "ask"],
        "price_from": [95.0, 98.0, 100.0],
        "price_to": [95.5, 98.5, 100.5],
        "size": [1e6, 2e6, 5e5],
        "persistence": [0.2, 0.9, None],
        "seen_share": [1.0, 0.5, 0.2],
        "tests": [0, 3, 1],
        "holds": [0, 2, 1],
        "breaks": [0, 1, 0],
        "score": [1.0, 3.0, None],
    }
)
SHIFTS = pl.DataFrame(
    {
        "t_from": [T0_MS, T0_MS, T0_MS + 10_000],
        "t_to": [T0_MS + 10_000, T0_MS + 10_000, END_MS],
        "side": ["bid", "ask", "bid"],
        "band": ["0-2"] * 3,
        "added": [1e6, 2e6, 3e6],
        "pulled": [5e5, 0.0, None],
        "consumed": [0.0, 1e5, 0.0],
        **{name: [0.0] * 3 for name in ("moved_in", "moved_out", "entered_view", "left_view")},
        "net_flow": [5e5, 1.9e6, None],
        "z": [None, 4.0, -3.5],
        "is_alert": [False, True, True],
    }
)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """What was drawn."""
    kept: list[Figure] = []
    save = canvas.save

    def keep(figure: Figure, path: Path) -> None:
        save(figure, path)
        kept.append(figure)

    monkeypatch.setattr(canvas, "save", keep)
    monkeypatch.setattr(coverage_module, "save", keep)
    return kept


def _size(path: Path) -> tuple[int, int]:
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert data[-8:-4] == b"IEND"
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def _words(figure: Figure) -> str:
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    legends = [text.get_text() for axes in figure.axes if (legend := axes.get_legend()) for text in legend.get_texts()]
    return "\n".join([figure.get_suptitle(), figure.get_supxlabel(), *texts, *legends])


def _bars(axes: Axes) -> int:
    return sum(len(found.get_segments()) for found in axes.collections if type(found) is LineCollection)


def _everything_is_inside(figure: Figure) -> bool:
    """Titles, footnote, labels and legends: nothing is cut off at the edge."""
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    box = figure.get_tightbbox(renderer)
    width, height = figure.get_size_inches()
    return bool(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height)


class Interrupted(Figure):
    """At Ctrl-C in the middle of it."""

    def savefig(self, target, **_):
        if isinstance(target, Path):
            target.write_bytes(b"half")
        else:
            target.write(b"half")
        raise KeyboardInterrupt


def test_a_picture_has_its_name_once_it_is_whole_and_the_former_one_until_then(tmp_path):
    path = tmp_path / "walls.png"
    path.write_bytes(b"the former one")
    (tmp_path / "link.png").symlink_to(path)
    with pytest.raises(KeyboardInterrupt):
        canvas.save(Interrupted(), path)
    assert path.read_bytes() == b"the former one"
    canvas.save(canvas.new_figure(1), tmp_path / "link.png")
    assert path.read_bytes().startswith(b"\x89PNG") and (tmp_path / "link.png").is_symlink()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["link.png", "walls.png"]
    with pytest.raises(FileNotFoundError):
        canvas.save(canvas.new_figure(1), tmp_path / "none" / "walls.png")


def test_one_giant_does_not_hide_the_rest_of_the_last_book(tmp_path: Path, figures: list[Figure]) -> None:
    heat = heatmap(BOOKS)
    price = float(heat.closing.filter(side="ask")["price"].max())  # type: ignore[arg-type]
    many = pl.DataFrame({"side": "ask", "price": heat.price[:-1] + 1e-9, "size": 1e6})
    giant = pl.DataFrame({"side": ["ask"], "price": [price], "size": [5e8]})
    for book, limit in ((many, 1e6), (pl.concat([many, giant]), 3e6)):
        draw_heatmap(replace(heat, closing=book), COVERAGE, None, tmp_path / "heat.png")
        profile = figures[-1].axes[1]
        assert profile.get_xlim() == (0, pytest.approx(limit * 1.05))
        assert [text.get_text() for text in profile.texts[:-1]] == ["501 M"][: limit > 1e6]


def test_a_heatmap_shows_cells_lines_walls_and_coverage(tmp_path: Path, figures: list[Figure]) -> None:
    path = tmp_path / "heat.png"
    draw_heatmap(heatmap(BOOKS), COVERAGE, WALLS, path)
    assert _size(path) == (1680, 1032)
    (figure,) = figures
    axes, profile, _, strip, _ = figure.axes
    assert _bars(axes) == 2 * len(WALLS), "each with its outline"
    assert len(profile.patches) > 0
    assert [text.get_text() for text in profile.texts] == [canvas.plain(heatmap(BOOKS).last_price or 0)]
    colours = {to_hex(bars.get_facecolor()[0]).upper() for bars in strip.collections if bars.get_paths()}
    assert colours == {STATE_COLOURS["recorded"], STATE_COLOURS["missing"]}
    assert axes.get_xlim() == strip.get_xlim() == (T0_MS / canvas.DAY_MS, END_MS / canvas.DAY_MS)
    words = _words(figure)
    for word in (
        "BTC-USDT-SWAP",
        "heatmap/1",
        "best bid",
        "beyond the visible range",
        "not covered",
        "2.1 M",
        "pulled",
    ):
        assert word in words
    assert "consumed" not in words
    assert _everything_is_inside(figure)


def test_a_wall_is_as_wide_and_as_bright_as_it_is_large(tmp_path: Path, figures: list[Figure]) -> None:
    walls = pl.concat([WALLS.head(1).with_columns(peak=pl.lit(peak)) for peak in (1e6, 4e6, 2e6)])
    draw_heatmap(heatmap(BOOKS), None, walls, tmp_path / "heat.png")
    lines = [found for found in figures[0].axes[0].collections if type(found) is LineCollection][-1]
    wide, middle, thin = lines.get_linewidths()
    assert thin < middle < wide == 5.0
    assert len({to_hex(colour) for colour in lines.get_colors()}) == 3  # type: ignore[arg-type, union-attr]
    assert lights_of(heatmap(BOOKS), 4e6).norm.vmax == pytest.approx(4e6, rel=0.01), "the scale ends at the largest"


def _trades(*rows: tuple[int, float, bool, float, int]) -> pl.DataFrame:
    """A row of each: ms after the first book, price, whether the taker bought, size, how many trades."""
    names = {"t": pl.Int64, "price": pl.Float64, "is_buy": pl.Boolean, "size": pl.Float64, "count": pl.Int64}
    return pl.DataFrame([(T0_MS + at_ms, *rest) for at_ms, *rest in rows], names, orient="row")


def _dots(figure: Figure) -> list[PathCollection]:
    return [found for found in figure.axes[0].collections if type(found) is PathCollection]


def test_trades_are_dots_by_size_and_side(tmp_path: Path, figures: list[Figure]) -> None:
    trades = _trades((0, 99.0, False, 1e5, 1), (9_000, 100.0, True, 2e5, 4), (9_001, 100.0, True, 2e5, 2))
    draw_heatmap(heatmap(BOOKS), None, None, tmp_path / "heat.png", trades)
    (dots,) = _dots(figures[0])
    assert dots.get_sizes().tolist() == pytest.approx([110, 2 + 108 / 4])
    assert "all 2 dots, up to 400 k, of 7 trades" in _words(figures[0]).replace("\n", " ")


def test_neither_side_of_the_trades_hides_the_other(tmp_path: Path, figures: list[Figure]) -> None:
    rows = [(at * 500, 99.0 + at % 2 / 2, at % 3 == 0, 1e5 * (1 + at * 7 % 11), 1) for at in range(30)]
    draw_heatmap(heatmap(BOOKS), None, None, tmp_path / "heat.png", _trades(*rows))
    (dots,) = _dots(figures[0])  # one collection, drawn in the order of its rows
    sizes = dots.get_sizes()
    assert (np.diff(sizes) <= 0).all(), "the small ones on top"
    colours = [to_hex(colour) for colour in dots.get_edgecolors()]  # type: ignore[union-attr]
    for side in set(colours):
        others = [size for size, colour in zip(sizes, colours, strict=True) if colour != side]
        assert any(size > min(others) for size, colour in zip(sizes, colours, strict=True) if colour == side)
    assert len(set(colours)) == 2
    assert max(alpha for *_, alpha in dots.get_facecolors()) < 0.7  # type: ignore[union-attr]


def test_trades_that_no_book_places_around_mid_are_counted_and_said(tmp_path: Path, figures: list[Figure]) -> None:
    trades = _trades((0, 99.0, False, 1e5, 1), (9_000, 100.0, True, 2e5, 4))  # the later one in a hole
    draw_heatmap(heatmap(BOOKS, is_around_mid=True), None, None, tmp_path / "heat.png", trades)
    words = _words(figures[0]).replace("\n", " ")
    assert "all 1 dots, up to 100 k, of 5 trades (4 of them without a book or beyond the prices drawn)" in words
    draw_heatmap(heatmap(BOOKS, is_around_mid=True), None, None, tmp_path / "heat.png", trades.tail(1))
    assert "none of 4 trades within the prices drawn" in _words(figures[1]).replace("\n", " ")


def _walk_of_mid() -> list[Drawn]:
    """Books of uneven length whose mid jumps by up to 20 bps, some without a mid, with a hole."""
    rng = np.random.default_rng(7)
    books, at_ms = [], 0
    for number in range(120):
        mid = 1000 + float(rng.integers(-20, 21)) / 10
        asks = f"{mid + 0.5} 5 1, 1004 900 1"
        hole = at_ms + 150 if number == 70 else None
        books.append(drawn(at_ms, "" if number in (30, 31) else f"{mid - 0.5} 5 1, 996 5 1", asks, until_ms=hole))
        at_ms += int(rng.integers(2, 9)) * 100
    return books


def _true_distances(books: list[Drawn], price: float, t_from: int, t_to: int) -> list[tuple[int, int, float]]:
    """From when to when a price was so many bps from the mid of the book that stood, of a life."""
    found = []
    for book, after in zip(books, [*books[1:], None], strict=True):
        past = book.until_ms or (book.at_ms + 2_000 if after is None else after.at_ms)
        begin, end = max(t_from, T0_MS + book.at_ms), min(t_to, T0_MS + past)
        if begin < end and book.bids:
            mid = (float(book.bids[0][0]) + float(book.asks[0][0])) / 2
            found.append((begin, end, (price - mid) / mid * 1e4))
    return found


def test_around_mid_a_wall_is_drawn_where_it_was_in_the_books_of_each_time_bin(
    tmp_path: Path, figures: list[Figure]
) -> None:
    books = _walk_of_mid()
    heat = heatmap(hand_made(*books), columns=12, is_around_mid=True)
    width_ms = heat.provenance.setting("bin_ms")
    assert width_ms > 4_000, "many books to a bin"
    lives = [(T0_MS + 700, T0_MS + 21_300), (T0_MS + 13_050, T0_MS + 13_250), (T0_MS + 30_000, T0_MS + 52_000)]
    walls = pl.concat(
        WALLS.head(1).with_columns(price=pl.lit(1004.0), t_from=pl.lit(begin), t_to=pl.lit(end)) for begin, end in lives
    )
    draw_heatmap(heat, None, walls, tmp_path / "heat.png")
    axes = figures[0].axes[0]
    _, lines = [found for found in axes.collections if type(found) is LineCollection]
    low, high = axes.get_ylim()
    for life, path in zip(lives, lines.get_segments(), strict=True):
        true = _true_distances(books, 1004.0, *life)
        drawn_ms: list[tuple[float, float]] = []
        points = [point for point in path if np.isfinite(point[1])]
        for (begin, y), (end, same) in zip(points[::2], points[1::2], strict=True):
            begin_ms, end_ms = begin * canvas.DAY_MS, end * canvas.DAY_MS
            drawn_ms.append((begin_ms, end_ms))
            own = [(min(past, end_ms) - max(since, begin_ms), bps) for since, past, bps in true]
            own = [(ms, bps) for ms, bps in own if ms > 1]
            nearest = min(abs(bps - y) for _, bps in own)
            assert y == same and low < y < high
            assert nearest < 1e-9, "at a distance that it truly had in that bin"
            whole = sum(ms for ms, _ in own)
            assert sum(ms for ms, bps in own if bps < y - 1e-9) <= whole / 2 + 1
            assert sum(ms for ms, bps in own if bps > y + 1e-9) <= whole / 2 + 1
            column = int(np.searchsorted(heat.t_ms, (begin_ms + end_ms) / 2)) - 1
            row = int(np.searchsorted(heat.price, y, side="right")) - 1
            assert heat.size["ask"][column, row] > 0, "the cell under it holds it"
        told_ms = sum(end - begin for begin, end in drawn_ms)
        true_ms = sum(past - since for since, past, _ in true)
        assert true_ms - 1 <= told_ms <= life[1] - life[0] + 1


def test_the_range_of_a_wall_around_mid_and_its_end_are_what_the_books_say(
    tmp_path: Path, figures: list[Figure]
) -> None:
    books = _walk_of_mid()
    heat = heatmap(hand_made(*books), columns=12, is_around_mid=True)
    begin, end = T0_MS + 700, T0_MS + 21_300
    wall = WALLS.head(1).with_columns(price=pl.lit(1004.0), t_from=pl.lit(begin), t_to=pl.lit(end))
    around = heat.distances(1004.0, begin, end)
    true = _true_distances(books, 1004.0, begin, end)
    for since, past, low, high in zip(around.t_from, around.t_to, around.low, around.high, strict=True):
        own = [bps for start, stop, bps in true if start < past and stop > since]
        assert (low, high) == pytest.approx((min(own), max(own)))
    draw_heatmap(heat, None, wall, tmp_path / "heat.png")
    (mark,) = _dots(figures[0])
    ((_, y),) = np.asarray(mark.get_offsets())
    assert y == pytest.approx(true[-1][2])
    (label,) = figures[0].axes[0].texts
    assert min(abs(label.xy[1] - max(around.high)), abs(label.xy[1] - min(around.low))) < 1e-9, "where it hides no part"  # type: ignore[attr-defined]


def test_a_wall_that_no_book_places_around_mid_is_not_drawn(tmp_path: Path, figures: list[Figure]) -> None:
    wall = WALLS.head(1).with_columns(t_from=pl.lit(T0_MS + 9_000), t_to=pl.lit(T0_MS + 12_000))  # in a hole
    draw_heatmap(heatmap(BOOKS, is_around_mid=True), None, wall, tmp_path / "heat.png")
    assert not figures[0].axes[0].texts
    assert all(not len(mark.get_offsets()) for mark in _dots(figures[0]))


def test_the_end_of_a_wall_is_marked_beside_it_and_below_all_walls(tmp_path: Path, figures: list[Figure]) -> None:
    draw_heatmap(heatmap(BOOKS), None, WALLS, tmp_path / "heat.png")
    draw_walls(WALLS, PROVENANCE, tmp_path / "walls.png")
    for figure in figures:
        axes = figure.axes[0]
        figure.canvas.draw()
        marks = _dots(figure)
        assert sum(len(mark.get_offsets()) for mark in marks) == len(WALLS)
        lowest_wall = min(found.get_zorder() for found in axes.collections if type(found) is LineCollection)
        for mark in marks:
            half_px = float(mark.get_sizes()[0]) ** 0.5 / 2 / 72 * canvas.DPI
            ends = axes.transData.transform(mark.get_offsets())  # type: ignore[arg-type]
            places = mark.get_offset_transform().transform(mark.get_offsets())  # type: ignore[arg-type]
            assert (places[:, 0] - ends[:, 0] >= half_px).all() and (places[:, 1] == ends[:, 1]).all()
            assert (places[:, 0] + half_px < figure.get_size_inches()[0] * canvas.DPI).all()
            assert mark.get_zorder() < lowest_wall


def test_captions_count_lives_and_walls(tmp_path: Path, figures: list[Figure]) -> None:
    many = pl.concat([WALLS.with_columns(track=pl.col("track") + 10 * at) for at in range(300)])
    for walls in (WALLS, many, WALLS.head(1)):
        draw_heatmap(heatmap(BOOKS), None, walls, tmp_path / "heat.png")
    draw_walls(WALLS, PROVENANCE, tmp_path / "walls.png")
    all_lives, heaviest, single, ledger = (_words(figure).replace("\n", " ") for figure in figures)
    assert "all 4 lives of 3 walls marked" in all_lives
    assert "the 40 heaviest of 1,200 lives of 900 walls marked" in heaviest
    assert "all 1 life of 1 wall marked" in single
    assert "4 of 4 lives of 3 walls drawn" in ledger


def test_however_much_the_legend_says_the_cells_have_the_width(tmp_path: Path, figures: list[Figure]) -> None:
    ends = list(END_MARKERS)
    walls = pl.concat(
        [WALLS.head(1).with_columns(end=pl.lit(end), peak=pl.lit(1e6 + at)) for at, end in enumerate(ends)]
    )
    trades = _trades((0, 99.0, False, 1e5, 1), (9_000, 100.0, True, 2e5, 4))
    for own, few in ((walls, trades), (None, None)):
        draw_heatmap(heatmap(BOOKS), COVERAGE, own, tmp_path / "heat.png", few)
    for figure in figures:
        axes, profile, bar, _, key = figure.axes
        cells, last, colours = (each.get_window_extent() for each in (axes, profile, bar))
        assert 4 < last.x0 - cells.x1 < 30, "the last book is beside the cells"
        assert cells.width > 0.7 * figure.get_size_inches()[0] * canvas.DPI
        legend = key.get_legend()
        assert legend is not None
        box = legend.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.get_size_inches()[0] * canvas.DPI and box.y0 >= cells.y1
        tag = profile.texts[-1]
        patch = tag.get_bbox_patch()
        assert patch is not None
        assert last.x1 - 15 < patch.get_window_extent().x0 and patch.get_window_extent().x1 < colours.x0 - 4
    wide, narrow = (figure.axes[0].get_window_extent().width for figure in figures)
    assert abs(wide - narrow) < 30, "the labels of the colour bar apart"


def test_a_last_book_of_before_the_end_of_the_span_has_its_time(tmp_path: Path, figures: list[Figure]) -> None:
    heat = heatmap(BOOKS)
    until = heat.provenance.until
    assert until is not None
    later = replace(heat.provenance, end=until + timedelta(minutes=7))
    for own in (heat, replace(heat, provenance=later)):
        draw_heatmap(own, None, None, tmp_path / "heat.png")
    titles = [figure.axes[1].get_title() for figure in figures]
    assert titles == ["last book", f"last book\n{until:%H:%M:%S}"]


def test_sizes_beyond_the_last_book_are_written_beside_it_and_off_the_tag(
    tmp_path: Path, figures: list[Figure]
) -> None:
    bids = ", ".join(f"{99.5 - rank / 2} {50_000 if rank == 20 else 10} 1" for rank in range(40))
    asks = ", ".join(f"{100 + rank / 2} {70_000 if rank == 0 else 10} 1" for rank in range(40))  # beside the last mid
    draw_heatmap(heatmap(hand_made(drawn(0, bids, asks))), None, None, tmp_path / "heat.png")
    profile, bar = figures[0].axes[1:3]
    *sizes, tag = profile.texts
    assert [text.get_text() for text in sizes] == ["70 k", "44.8 k"]
    boxes = [text.get_window_extent() for text in sizes] + [tag.get_bbox_patch().get_window_extent()]  # type: ignore[union-attr]
    assert not any(one.overlaps(other) for at, one in enumerate(boxes) for other in boxes[:at])
    boxes.pop()
    assert all(profile.get_window_extent().x1 <= box.x0 and box.x1 < bar.get_window_extent().x0 for box in boxes)


def test_sizes_far_apart_have_colours_apart_even_if_the_largest_cells_are_alike() -> None:
    levels = ", ".join(f"{90 - rank / 2} {5000 if rank < 4 else 1400 if rank < 8 else 10} 1" for rank in range(40))
    heat = heatmap(hand_made(drawn(0, levels, "91 10 1")))
    lights = lights_of(heat, 0.0)
    total = heat.total[heat.total > 0]
    dim, lit, full = (lights.of(np.array([size]))[0, :3] for size in (np.median(total), 1_200.0, total.max()))
    assert np.abs(full - lit).max() > 0.3 and np.abs(lit - dim).max() > 0.3


def test_what_is_out_of_reach_fades_with_its_age() -> None:
    far = [drawn(at * 2_000, f"{90 + at * 2} 5 1", f"{90.5 + at * 2} 5 1") for at in range(24)]
    heat = heatmap(hand_made(*far, depth=1))
    pixels = pixels_of(heat, lights_of(heat, 0.0))
    never = pixels[-1, 0, :3].sum()
    light = pixels[0, :, :3].sum(axis=1) - never  # the lowest price: seen in the first book alone
    assert light[0] > 1.4 * light[1] > 0
    assert (np.diff(light[1:]) <= 0).all()
    assert light[-1] < 0.3 * light[1]


def test_labels_of_walls_lie_apart(tmp_path: Path, figures: list[Figure]) -> None:
    crowd = pl.concat([WALLS.with_columns(price=pl.col("price") + shift / 100) for shift in range(12)])
    draw_heatmap(heatmap(BOOKS), None, crowd, tmp_path / "heat.png")
    boxes = [text.get_window_extent() for text in figures[0].axes[0].texts]
    assert 1 < len(boxes) <= 8
    assert not any(one.overlaps(other) for at, one in enumerate(boxes) for other in boxes[:at])


def test_where_the_books_are_a_narrow_band_labels_are_led_out_of_it(tmp_path: Path, figures: list[Figure]) -> None:
    far = [drawn(at * 2_000, f"{90 + at / 2} 5 1", f"{90.5 + at / 2} 5 1") for at in range(80)]
    draw_heatmap(heatmap(hand_made(*far, depth=1)), None, WALLS.head(1), tmp_path / "heat.png")
    (label,) = figures[0].axes[0].texts
    assert label.get_text() == "2.1 M"
    assert label.arrow_patch is not None  # type: ignore[attr-defined]
    assert label.get_position()[1] > 98.5 + 1  # books around it reach that far


def test_a_heatmap_of_an_empty_side_is_drawn(tmp_path: Path, figures: list[Figure]) -> None:
    books = hand_made(drawn(0, "99 5 1", "100 1 1"), drawn(2_000, "99 5 1", ""))
    draw_heatmap(heatmap(books), None, WALLS.clear(), tmp_path / "heat.png")
    assert _size(tmp_path / "heat.png") == (1680, 1032)
    assert "all 0 walls" not in _words(figures[0])


def test_series_share_a_panel_by_kind_and_break_at_holes(tmp_path: Path, figures: list[Figure]) -> None:
    path = tmp_path / "series.png"
    draw_series(SERIES, SERIES.columns[2:], PROVENANCE, path)
    assert _size(path)[0] == 1680
    (figure,) = figures
    labels = [axes.get_ylabel() for axes in figure.axes]
    assert labels == ["price, USDT", "spread, USDT", "top5", "bids, USDT", "asks, USDT", "visible range, bps"]
    bids = figure.axes[0].lines[0].get_ydata()
    assert np.array_equal(np.asarray(bids), [99, 99, np.nan, 98, np.nan], equal_nan=True)
    assert "no value in any book" in figure.axes[4].texts[0].get_text()
    assert "not covered" in _words(figure)
    note = "visible range: bids 8.6 to 12.0 bps, asks 9.0 to 18.4 bps; cadence 2 s; 3 books; walls/2"
    assert f"covered 60 % of the time, 1 hole; {note}" in _words(figure)
    assert _everything_is_inside(figure)


def test_steps_are_drawn_as_asked_for_however_many_with_the_holes_of_the_books(
    tmp_path: Path, figures: list[Figure]
) -> None:
    t_from = T0_MS + np.arange(4000) * 5
    frame = pl.DataFrame({"t_from": t_from, "t_to": t_from + 5, "spread": np.arange(4000) % 2 + 1.0})
    frame = frame.with_columns(net_usd=pl.col("spread"), basis_bps=pl.col("spread"))
    unproved = pl.DataFrame({"t_from": [T0_MS], "t_to": [T0_MS + 1_000]})
    steps = Steps("max of each step of 5 ms", STOOD, unproved)
    draw_series(frame, ["spread", "net_usd", "basis_bps"], PROVENANCE, tmp_path / "series.png", steps)
    of_books, of_trades, of_neither = figures[0].axes
    assert np.asarray(of_books.lines[0].get_ydata())[:-1].tolist() == frame["spread"].to_list()
    assert _hatched(of_books) == [(T0_MS + 8_000, T0_MS + 16_000)]
    assert _hatched(of_trades) == [(T0_MS, T0_MS + 1_000)]
    assert _hatched(of_neither) == []
    words = _words(figures[0])
    assert "max of each step of 5 ms" in words and "mean of every" not in words
    assert "not covered" in words and "trades not all proved" in words


def _hatched(axes: Axes) -> list[tuple[int, int]]:
    """From when to when, in ms."""
    spans = [patch.get_window_extent() for patch in axes.patches if patch.get_hatch()]
    to_data = axes.transData.inverted()
    edges = [to_data.transform([(box.x0, 0), (box.x1, 0)])[:, 0] * canvas.DAY_MS for box in spans]
    return [(round(begin), round(end)) for begin, end in edges]


def test_an_area_is_filled_up_to_the_end_of_its_last_step() -> None:
    frame = SERIES.with_columns(top5=pl.Series([0.2, -0.6, 0.4]))
    t_days, values = canvas.stepped(frame, "top5", is_area=True)
    at_ms = [round(day * canvas.DAY_MS) - T0_MS for day in t_days]
    assert at_ms == [0, 2_000, 8_000, 8_000, 16_000, 20_000, 20_000]
    assert np.array_equal(values, [0.2, -0.6, -0.6, np.nan, 0.4, 0.4, np.nan], equal_nan=True)


def test_long_series_are_drawn_as_means_and_extremes(tmp_path: Path, figures: list[Figure]) -> None:
    t_from = T0_MS + np.arange(4000) * 5
    frame = pl.DataFrame({"t_from": t_from, "t_to": t_from + 5, "spread": np.arange(4000) % 2 + 1.0})
    draw_series(frame, ["spread"], PROVENANCE, tmp_path / "series.png")
    (axes,) = figures[0].axes
    assert len(axes.lines[0].get_ydata()) < 1502
    assert set(np.asarray(axes.lines[0].get_ydata())[:-2].round(3)) == {1.333, 1.667}  # three books of 5 ms to a step
    assert "mean of every" in _words(figures[0])


def test_walls_are_as_wide_as_they_are_large_and_coloured_by_their_end(tmp_path: Path, figures: list[Figure]) -> None:
    path = tmp_path / "walls.png"
    draw_walls(WALLS, PROVENANCE, path, SERIES)
    assert _size(path) == (1680, 984)
    bars = next(found for found in figures[0].axes[0].collections if type(found) is LineCollection)
    widths = bars.get_linewidth()
    by_birth = WALLS.sort("t_from")
    assert np.argsort(widths).tolist() == np.argsort(by_birth["peak"].to_numpy()).tolist()
    assert len(np.unique(bars.get_color(), axis=0)) == WALLS["end"].n_unique()
    assert "3 M" in _words(figures[0])
    assert _everything_is_inside(figures[0])


def test_zones_lie_to_the_side_of_their_orders(tmp_path: Path, figures: list[Figure]) -> None:
    path = tmp_path / "zones.png"
    draw_zones(ZONES, PROVENANCE, 99.25, path)
    assert _size(path) == (1680, 1080)
    widths = [bar.get_width() for bar in figures[0].axes[0].patches]  # type: ignore[attr-defined]
    assert widths == [-1e6, -2e6, 5e5]
    words = _words(figures[0])
    assert "2/3 held" in words and "last mid 99.25" in words
    assert _everything_is_inside(figures[0])


def test_a_zone_far_larger_than_all_others_is_cut_and_says_so(tmp_path: Path, figures: list[Figure]) -> None:
    many = pl.concat([ZONES] * 20)
    giant = ZONES.head(1).with_columns(size=pl.lit(9e7), price_from=pl.lit(90.0), price_to=pl.lit(90.5))
    draw_zones(pl.concat([many, giant]), PROVENANCE, None, tmp_path / "zones.png")
    assert "90 M (cut)" in _words(figures[0])


def test_shifts_show_the_net_first_and_stack_what_came_above_what_went(tmp_path: Path, figures: list[Figure]) -> None:
    path = tmp_path / "shifts.png"
    draw_shifts(SHIFTS, PROVENANCE, path, STOOD)
    assert _size(path) == (1680, 1152)
    net, asks, bids = figures[0].axes
    bars = sorted((bar.get_x() * canvas.DAY_MS - T0_MS, bar.get_height()) for bar in _solid(net))  # type: ignore[attr-defined]
    assert [(round(at_ms), height) for at_ms, height in bars] == [(0, 5e5), (5_000, 1.9e6), (10_000, 0)]
    assert np.asarray(_net_line(asks))[0] == 1.9e6 and np.asarray(_net_line(bids))[0] == 5e5
    assert max(bar.get_y() + bar.get_height() for bar in _solid(bids)) == 3e6  # type: ignore[attr-defined]
    assert min(bar.get_y() + bar.get_height() for bar in _solid(asks)) == -1e5  # type: ignore[attr-defined]
    assert all(bar.get_alpha() < 0.6 for bar in [*_solid(asks), *_solid(bids)]), "gross flows are pale"  # type: ignore[operator]
    marks = [[len(line.get_xdata()) for line in axes.lines if line.get_linestyle() == "None"] for axes in (asks, bids)]
    assert marks == [[1, 0], [0, 1]]
    assert [_hatched(axes) for axes in figures[0].axes] == [[(T0_MS + 8_000, T0_MS + 16_000)]] * 3
    words = _words(figures[0])
    assert "net of bids" in words and "not covered" in words and "net: what was added" in words
    assert _everything_is_inside(figures[0])


def _solid(axes: Axes) -> list[Any]:
    return [patch for patch in axes.patches if not patch.get_hatch()]


def _net_line(axes: Axes) -> Any:
    return next(line for line in axes.lines if line.get_drawstyle() == "steps-post").get_ydata()


def test_empty_frames_are_drawn_as_such(tmp_path: Path, figures: list[Figure]) -> None:
    draw_series(SERIES.clear(), ["spread", "top5"], PROVENANCE, tmp_path / "series.png")
    draw_walls(WALLS.clear(), PROVENANCE, tmp_path / "walls.png")
    draw_zones(ZONES.clear(), PROVENANCE, None, tmp_path / "zones.png")
    draw_shifts(SHIFTS.clear(), PROVENANCE, tmp_path / "shifts.png", STOOD.clear())
    assert len(figures) == 4
    assert all(_everything_is_inside(figure) for figure in figures)


def test_coverage_is_drawn_a_strip_an_instrument(tmp_path: Path, figures: list[Figure]) -> None:
    plot_coverage([COVERAGE, COVERAGE], tmp_path / "coverage.png")
    assert _size(tmp_path / "coverage.png") == (1440, 336)
    assert [label.get_text() for label in figures[0].axes[0].get_yticklabels()] == ["BTC-USDT-SWAP"] * 2
    day = utc_text(COVERAGE.start_ms)[:10]
    assert figures[0].axes[0].get_xlabel().startswith(f"exchange time, {day} "), "the picture names its day"


@pytest.mark.parametrize(("value", "text"), [(61_812.5, "61,812.5"), (0.000013052, "0.000013052"), (64_000, "64,000")])
def test_prices_are_plain(value: float, text: str) -> None:
    assert canvas.plain(value) == text


def _all_pictures(folder: Path) -> dict[str, bytes]:
    folder.mkdir()
    grid = heatmap(BOOKS, "contracts")
    draw_heatmap(grid, COVERAGE, WALLS, folder / "heatmap.png")
    draw_walls(WALLS, PROVENANCE, folder / "walls.png")
    draw_series(SERIES, SERIES.columns[2:], PROVENANCE, folder / "series.png")
    draw_zones(ZONES, PROVENANCE, 99.0, folder / "zones.png")
    draw_shifts(SHIFTS, PROVENANCE, folder / "shifts.png", STOOD)
    plot_coverage([COVERAGE], folder / "coverage.png")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_user_s_settings_of_matplotlib_change_no_picture_and_are_left_as_they_are(tmp_path: Path) -> None:
    theirs = {
        "figure.facecolor": "black",
        "text.color": "white",
        "font.size": 40.0,
        "font.family": ["monospace"],
        "text.usetex": True,
        "axes.grid": True,
        "savefig.bbox": "tight",
        "savefig.format": "svg",
        "timezone": "Asia/Tokyo",
        "axes.prop_cycle": mpl.cycler(color=["red"]),
    }
    plain = _all_pictures(tmp_path / "plain")
    with mpl.rc_context(theirs):
        backend = mpl.get_backend()
        assert _all_pictures(tmp_path / "theirs") == plain
        assert {name: mpl.rcParams[name] for name in theirs} == theirs
        assert mpl.get_backend() == backend
    assert len(plain) == 6


def test_a_name_that_promises_another_kind_of_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"x\.jpg' is no name of a picture\. Try: as PNG"):
        plot_coverage([COVERAGE], tmp_path / "x.jpg")
    assert not list(tmp_path.iterdir())
