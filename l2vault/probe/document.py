"""What a probe found as one document for programs. Pure; `verbs/probe.py` prints it, or the page of the same rows."""

from l2vault.book.utc import utc_text
from l2vault.probe.findings import Findings
from l2vault.probe.questions import question_rows
from l2vault.probe.rows import Row, all_rows
from l2vault.probe.verdict import Verdict


def rows_of(findings: Findings) -> list[Row]:
    """Every row in the order of the page: what was measured, then the open questions."""
    return [*all_rows(findings), *question_rows(findings)]


def document_of(findings: Findings, verdict: Verdict) -> dict[str, object]:
    """`rows` in the order of the page, each with its figures under `data`."""
    return {
        "version": findings.version,
        "started_utc": utc_text(findings.started_ms),
        "seconds": round(findings.seconds, 3),
        "wanted_seconds": findings.wanted_sec,
        "ended": findings.ended,
        "region": findings.region,
        "instruments": findings.inst_ids,
        "rows": [
            {name: getattr(row, name) for name in ("section", "key", "label", "text", "basis", "seen", "data")}
            for row in rows_of(findings)
        ],
        "verdict": {
            "fit": verdict.is_fit,
            "reasons": [reason._asdict() for reason in verdict.reasons],
            "remarks": verdict.remarks,
            "next_step": verdict.next_step,
        },
    }
