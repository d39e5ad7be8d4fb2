"""The picture beside the results: cost a message by contender, and what the whole job takes by instruments."""

from pathlib import Path
from statistics import median

from pages import Findings

OURS, THEIRS, GROUND = "#1f6feb", "#8c959f", "#d0d7de"
DPI = 110


def draw(findings: Findings, path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.5, 1, 1))
    _draw_feed(findings, left)
    for axes, unit, title in ((middle, "%", "% of a core"), (right, "MB", "resident MB")):
        _draw_jobs(findings, axes, unit)
        axes.set_title(f"whole job: {title}", fontsize=10)
    figure.savefig(path, dpi=DPI)


def _draw_feed(findings: Findings, axes) -> None:  # type: ignore[no-untyped-def]
    runs = [one for one in findings.runs.values() if one.cpu_us and not one.failures]
    names = [one.contender.name for one in runs]
    middles = [median(one.cpu_us) for one in runs]
    spreads = [
        [value - min(one.cpu_us) for value, one in zip(middles, runs, strict=True)],
        [max(one.cpu_us) - value for value, one in zip(middles, runs, strict=True)],
    ]
    colours = [GROUND if name == "floor" else OURS if name.startswith("l2vault") else THEIRS for name in names]
    axes.barh(names, middles, xerr=spreads, color=colours, capsize=3)
    for at, value in enumerate(middles):
        axes.annotate(f" {value:.0f}", (0, at), va="center", fontsize=9, fontweight="bold")
    axes.invert_yaxis()
    axes.set_title("socket to checked book: processor, µs a message", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_jobs(findings: Findings, axes, unit: str) -> None:  # type: ignore[no-untyped-def]
    for lines, colour, marker in ((1, OURS, "o"), (2, THEIRS, "s")):
        jobs = [job for job in findings.jobs if job.lines == lines]
        values = [job.cpu_share * 100 if unit == "%" else job.peak_mb for job in jobs]
        counts = [job.instruments for job in jobs]
        axes.plot(counts, values, marker=marker, color=colour, label=f"{lines} line{'s' if lines > 1 else ''}")
        for count, value in zip(counts, values, strict=True):
            offset = (0, 6) if lines > 1 else (0, -13)
            label = f"{value:.2g}" if value < 10 else f"{value:.0f}"
            axes.annotate(label, (count, value), textcoords="offset points", xytext=offset, fontsize=8, ha="center")
    axes.set_xlabel("instruments")
    axes.margins(x=0.12, y=0.15)
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
