"""The page a person reads, at most 100 columns wide, and the same as JSON. Pure."""

from itertools import groupby
from textwrap import wrap
from typing import Final

import msgspec

from l2vault.book.utc import utc_text
from l2vault.probe.findings import Findings
from l2vault.probe.questions import question_rows
from l2vault.probe.rows import Row, all_rows
from l2vault.probe.verdict import Verdict

SCHEMA: Final = "l2vault.probe/1"
WIDTH: Final = 100
_LABEL: Final = 26
_INDENT: Final = "  "


def page(findings: Findings, verdict: Verdict) -> str:
    """The whole page, with a newline at its end."""
    lines = _head(findings)
    for section, rows in groupby([*all_rows(findings), *question_rows(findings)], key=lambda row: row.section):
        lines += ["", section]
        for row in rows:
            lines += _row_lines(row)
    return "\n".join([*lines, "", *_verdict_lines(verdict)]) + "\n"


def as_json(findings: Findings, verdict: Verdict) -> bytes:
    """One object, one line: `rows` in the order of the page, each with its figures under `data`."""
    rows = [*all_rows(findings), *question_rows(findings)]
    return msgspec.json.encode(
        {
            "schema": SCHEMA,
            "version": findings.version,
            "started_utc": utc_text(findings.started_ms),
            "seconds": round(findings.seconds, 3),
            "wanted_seconds": findings.wanted_sec,
            "ended": findings.ended,
            "region": findings.region,
            "instruments": findings.inst_ids,
            "rows": [
                {name: getattr(row, name) for name in ("section", "key", "label", "text", "basis", "seen", "data")}
                for row in rows
            ],
            "verdict": {
                "fit": verdict.is_fit,
                "reasons": [reason._asdict() for reason in verdict.reasons],
                "remarks": verdict.remarks,
                "next_step": verdict.next_step,
            },
        }
    )


def _head(findings: Findings) -> list[str]:
    minutes, seconds = divmod(round(findings.seconds), 60)
    took = f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    first = f"l2vault probe {findings.version}, {utc_text(findings.started_ms)}, region {findings.region}, {took}"
    return [first, *wrap(", ".join(findings.inst_ids), WIDTH, break_on_hyphens=False)]


def _row_lines(row: Row) -> list[str]:
    """The figure behind its label, and what it rests on in brackets."""
    room = WIDTH - _LABEL
    lines = wrap(printable(row.text), room, break_on_hyphens=False) or [""]
    basis = f"[{printable(row.basis)}]"
    if row.basis and len(lines[-1]) + 2 + len(basis) <= room:
        lines[-1] += f"  {basis}"
    elif row.basis:
        lines += wrap(basis, room, break_on_hyphens=False)
    label = printable(row.label)
    head = f"{_INDENT}{label}"
    if len(head) >= _LABEL:
        return [head, *(" " * _LABEL + line for line in lines)]
    return [f"{head:{_LABEL}}{lines[0]}", *(" " * _LABEL + line for line in lines[1:])]


def _verdict_lines(verdict: Verdict) -> list[str]:
    lines = ["VERDICT: fit to record" if verdict.is_fit else "VERDICT: not fit to record"]
    for cure, reasons in groupby(verdict.reasons, key=lambda reason: reason.cure):
        for reason in reasons:
            lines += _paragraph(f"Because {reason.what}.")
        lines += _paragraph(f"Do: {cure}.", indent="    ")
    for remark in verdict.remarks:
        lines += _paragraph(remark)
    return [*lines, *_paragraph(f"Next: {verdict.next_step}")]


def _paragraph(text: str, indent: str = _INDENT) -> list[str]:
    return wrap(
        printable(text), WIDTH, initial_indent=indent, subsequent_indent=indent + _INDENT, break_on_hyphens=False
    )


def printable(text: str) -> str:
    """Text from outside without what a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in text)
