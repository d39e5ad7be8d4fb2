"""docs/simulator.md against the parser: every kind, parameter and key is there, nothing else is, and examples work."""

import re
from pathlib import Path

import pytest

from l2vault.sim.faults.kinds import KINDS
from l2vault.sim.faults.spec import parse_faults

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "simulator.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (`[^|]*) \|([^|]*)\|([^|]*)\|([^|]*)\|$", re.MULTILINE)
WORD = re.compile(r"`([^`]+)`")


def rows():
    return {WORD.findall(first)[0]: cells for first, *cells in ROW.findall(TEXT)}


def test_every_kind_the_parser_knows_has_a_row_and_every_row_is_a_kind():
    assert list(rows()) == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_names_the_parameters_of_its_kind_with_their_defaults_first(kind):
    described = rows()[kind][0]
    named = dict(re.findall(r"`([a-z]+)` ([^\s,;]+)", described))

    assert named == {name: param.default for name, param in KINDS[kind].params.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_every_word_a_row_offers_is_one_the_parser_takes(kind):
    for part in rows()[kind][0].split(";"):
        for name in WORD.findall(part)[:1]:
            words = re.sub(r" (for|or) .*?(?=,|$)", "", part.split("`")[2])
            for word in filter(None, (word.strip() for word in words.split(","))):
                assert parse_faults(f"{kind}:{name}={word}").faults[0].params[name] is not None


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_names_the_keys_its_kind_takes_or_the_kind_that_takes_the_same(kind):
    taken = rows()[kind][1]
    as_kind = re.search(r"as `([a-z-]+)`", taken)
    keys = KINDS[as_kind[1]].keys if as_kind else set(WORD.findall(taken))

    assert keys == KINDS[kind].keys


def test_the_table_of_keys_is_complete():
    table = TEXT.split("### When, how long, and whom")[1].split("### Every kind")[0]
    documented = {match.split("=")[0] for match in re.findall(r"^\| `([^`]+)`", table, re.MULTILINE)}

    assert documented == set().union(*(kind.keys for kind in KINDS.values()))


@pytest.mark.parametrize("spec", re.findall(r'--faults "([^"]+)"', TEXT))
def test_the_examples_are_plans(spec):
    assert parse_faults(spec).faults


def test_the_file_says_the_same_as_the_first_example(tmp_path):
    (block,) = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    path = tmp_path / "plan.toml"
    path.write_text(block, encoding="utf-8")
    first = re.findall(r'--faults "([^"]+)"', TEXT)[0]

    assert parse_faults(str(path)) == parse_faults(f"seed=7;{first}")


def test_the_example_for_tests_is_python_that_finds_what_it_imports():
    block = next(code for code in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if "Simulator" in code)
    imports = "\n".join(line for line in block.splitlines() if line.startswith("from "))

    exec(compile(imports, "docs/simulator.md", "exec"), {})
    compile(f"async def example():\n    {block.replace(chr(10), chr(10) + '    ')}", "docs/simulator.md", "exec")
