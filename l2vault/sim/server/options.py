"""What a run of the exchange is to show, and where. Values only."""

from dataclasses import dataclass
from pathlib import Path

from l2vault.errors import UsageError
from l2vault.sim.faults.plan import FaultPlan
from l2vault.sim.server.archive import ArchiveFault


@dataclass(frozen=True, slots=True)
class SimOptions:
    """What the exchange shows and where. Port 0 lets the system choose.

    With `replay` the instruments are those of the captures; without, `inst_ids` and `seed` make a market of our own,
    which has no speed but 1 and no end; `has_whales` puts an order far larger than all others into it now and then.
    `speed` None replays as fast as the clients read; `once` ends with the replay, which begins `hold_sec` after so many
    `clients` have subscribed.
    `faults` is what goes wrong. OKX's limits and delays run `time_scale` times as fast as the host's clock, for clients
    whose own time is accelerated; None keeps no limits. The exchange's time is `clock_offset_sec` ahead of the host's.
    `archive_days` days before the present one are in its archive, with a push each `archive_step_ms` (no push is left
    out of the archive of a replay, which has what is replayed); 0 serves none. `archive_faults` go wrong there.
    """

    port: int = 0
    rest_port: int = 0
    replay: tuple[Path, ...] = ()
    verbatim: bool = False
    speed: float | None = 1.0
    hold_sec: float = 1.0
    clients: int = 1
    inst_ids: tuple[str, ...] = ()
    seed: int = 0
    has_whales: bool = False
    once: bool = False
    compression: bool = False
    faults: FaultPlan | None = None
    time_scale: float | None = 1.0
    clock_offset_sec: float = 0.0
    archive_days: int = 0
    archive_step_ms: int = 2_000
    archive_port: int = 0
    archive_faults: tuple[ArchiveFault, ...] = ()

    def __post_init__(self) -> None:
        if self.speed is not None and self.speed <= 0:
            raise UsageError(f"A speed of {self.speed} gets nowhere.", "a number above 0, or max")
        if self.hold_sec < 0:
            raise UsageError(f"A hold of {self.hold_sec} seconds is not possible.", "0 or more")
        if self.time_scale is not None and self.time_scale <= 0:
            raise UsageError(f"A time scale of {self.time_scale} is not possible.", "a number above 0, such as 20")
