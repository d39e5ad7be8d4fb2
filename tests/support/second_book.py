"""An answer for short full books: tests have books of two levels, which wait for a second one of their size."""

from l2vault.okx.outputs import AuditSoon, NeedSecondBook, Output
from l2vault.okx.pipeline import Pipeline


def with_second_books(pipeline: Pipeline, outputs: list[Output], now_ms: int) -> list[Output]:
    """`outputs` as they are where every short book is compared at once with another that is exactly as long."""
    answered: list[Output] = []
    for output in outputs:
        if isinstance(output, NeedSecondBook):
            counts = pipeline.level_counts(output.inst_id)
            answered += with_second_books(pipeline, pipeline.judge_short(output.inst_id, counts, now_ms), now_ms)
        else:
            answered.append(output)
    return answered


class ShortBookPipeline(Pipeline):
    """A pipeline whose short books are believed at once; for tests of what is around it. It asks for no audits."""

    def receive(self, frame: bytes, now_ms: int, recv_us: int = 0) -> list[Output]:
        outputs = with_second_books(self, super().receive(frame, now_ms, recv_us), now_ms)
        return [output for output in outputs if not isinstance(output, AuditSoon)]
