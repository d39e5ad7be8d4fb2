"""Random damage to the journal and the files of a vault: never is a slot called covered that an independent reference,
which knows what the exchange sent, does not grant."""

import gzip
import shutil
from random import Random

import pytest

from l2vault.book.utc import utc_text
from l2vault.vault.coverage.model import COVERED
from l2vault.vault.reading.vault import open_vault
from l2vault.vault.store.layout import HOUR_MS, Layout
from support.hours import HOUR_AT_MS, INST
from support.reference_coverage import deserved
from support.vaults import HOURS, good_vault, truth


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return good_vault(tmp_path_factory.mktemp("good") / "Vault").root


def damage_lines(rng, lines):
    """One to three changes to some of the lines of a file, journal or data."""
    for _ in range(rng.randint(1, 3)):
        if len(lines) < 3:
            return
        at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        match rng.randrange(6):
            case 0:
                del lines[at]
            case 1:
                del lines[at : at + rng.randint(2, 12)]
            case 2:
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines.insert(other, lines[at])
            case 4:
                lines[at] = lines[at][: rng.randrange(len(lines[at]))]
            case 5:
                lines[at] = lines[at].replace(b'"gap_detected":false', b'"gap_detected":true')


def damage(rng, vault):
    path = Layout(vault).hour_file(INST, HOUR_AT_MS + rng.randrange(HOURS) * HOUR_MS)
    match rng.randrange(6):
        case 0:
            path.unlink(missing_ok=True)
        case 1 if path.exists():
            path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size + 1)])
        case 2 if path.exists():
            data = bytearray(gzip.compress(path.read_bytes()))
            data[rng.randrange(len(data))] ^= rng.choice((0, 0x55))
            path.with_name(f"{path.name}.gz").write_bytes(data)
            path.unlink()
        case 3 if path.exists():
            path.rename(path.with_name("21.jsonl"))
        case _:
            path = rng.choice([path, *(vault / "meta/okx/journal").glob("*.jsonl")])
            if path.exists():
                lines = path.read_bytes().split(b"\n")[:-1]
                damage_lines(rng, lines)
                path.write_bytes(b"".join(line + b"\n" for line in lines))


@pytest.mark.parametrize("seed", range(25))
def test_no_damage_makes_a_slot_covered_that_does_not_deserve_it(good, tmp_path, seed):
    rng = Random(seed)
    vault = tmp_path / "Vault"
    shutil.copytree(good, vault)
    for _ in range(rng.randint(1, 4)):
        damage(rng, vault)
    allowed = deserved(vault, truth())
    coverage = open_vault(vault).coverage(INST, HOUR_AT_MS, HOUR_AT_MS + HOURS * HOUR_MS)
    lies = [
        (utc_text(slot), stretch.state, stretch.cause, sorted(allowed[slot]))
        for stretch in coverage.stretches
        for slot in range(stretch.first_ms, stretch.last_ms + 1, stretch.cadence_ms)
        if stretch.state in COVERED and stretch.state not in allowed[slot]
    ]
    assert lies == []
