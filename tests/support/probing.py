"""The whole probe against the built-in exchange over real sockets, minutes in seconds."""

import asyncio
import dataclasses
from random import Random

from l2vault.clock import Clock
from l2vault.config import Settings
from l2vault.probe.findings import Findings
from l2vault.probe.plan import plan_of
from l2vault.probe.run import Probe
from l2vault.sim.faults.spec import parse_faults
from l2vault.sim.server.server import SimOptions, Simulator
from support.virtual import SOCKETS_START_MS, VirtualClock, run_over_sockets

BTC, ETH = "BTC-USDT-SWAP", "ETH-USDT-SWAP"
END_WITHIN_SEC = 120


def probed(
    faults: str | None = None,
    seconds: float = 20.0,
    inst_ids: tuple[str, ...] = (BTC,),
    listed: tuple[str, ...] = (BTC,),
    within_sec: float = 5.0,
    **options: object,
) -> Findings:
    """What the probe found on an exchange that behaves so, `seconds` of its time long."""
    plan = None if faults is None else parse_faults(faults)
    simulated = SimOptions(inst_ids=listed, seed=5, faults=plan, **options)  # type: ignore[arg-type]
    return run_over_sockets(
        lambda loop: _probed(simulated, VirtualClock(loop, SOCKETS_START_MS), inst_ids, seconds, within_sec)
    )


async def _probed(
    options: SimOptions, clock: VirtualClock, inst_ids: tuple[str, ...], seconds: float, within_sec: float
) -> Findings:
    simulator = Simulator(options, clock)
    async with asyncio.timeout(seconds + END_WITHIN_SEC):
        await simulator.start()
        try:
            settings = Settings(instruments=inst_ids, ws_url=(simulator.ws_url,), rest_url=simulator.rest_url)
            findings = await probe_of(settings, seconds, clock, within_sec).run(asyncio.Event())
        finally:
            await simulator.stop(grace_sec=0.2)
    assert simulator.limits.violations == 0
    return findings


def probe_of(settings: Settings, seconds: float, clock: Clock, within_sec: float = 5.0) -> Probe:
    plan = dataclasses.replace(plan_of(settings, seconds), within_sec=within_sec)
    return Probe(plan, "0.0.0", clock, Random(1))
