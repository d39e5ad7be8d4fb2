"""What glibc's allocator is asked, seen at its door and in the memory of a process; elsewhere nothing is asked."""

import os
import platform
import subprocess
import sys

import pytest

from l2vault import allocator

IS_GLIBC = platform.libc_ver()[0] == "glibc"
glibc_only = pytest.mark.skipif(not IS_GLIBC, reason="another C library than glibc")

ASKS = (allocator.trim, allocator.keep_little, allocator.keep_freed)

FAULTS_OF_LARGE_ARRAYS = """
import ctypes, resource, sys
from l2vault import allocator
{asked}
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
def taken_and_freed():
    block = libc.malloc({size})
    ctypes.memset(ctypes.c_void_p(block), 1, {size})
    libc.free(block)
taken_and_freed()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    taken_and_freed()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
"""Pages that the system gave for ten blocks, one behind the other."""


def faults(asked: str, size: int) -> int:
    code = FAULTS_OF_LARGE_ARRAYS.format(asked=asked, size=size)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout)


@glibc_only
@pytest.mark.parametrize("ask", ASKS)
def test_glibc_knows_what_it_is_asked(ask):
    code = f"from l2vault import allocator\nraise SystemExit(not allocator.{ask.__name__}())"  # of that process alone
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@glibc_only
def test_a_block_that_was_freed_is_kept_for_the_next_one():
    assert faults("", 40 << 20) > 10 * 20  # also where pages are of 2 MB
    assert faults("allocator.keep_freed()", 40 << 20) < 10


@glibc_only
def test_a_block_of_256_kb_goes_back_to_the_system_at_once():
    assert faults("allocator.keep_freed()", 300 << 10) < 10
    assert faults("allocator.keep_little()", 300 << 10) >= 10


KEPT_BY_POLARS = """
import os, sys
import psutil
from l2vault import allocator
{asked}
import polars as pl
def asked():
    rows = pl.DataFrame({{"key": range(400_000)}}).with_columns(value=pl.col("key") * 7 % 1009)
    return len(rows.sort("value").group_by("value").agg(pl.col("key").sum()))
asked()
before = psutil.Process().memory_info().rss
for _ in range(3):
    asked()
print(psutil.Process().memory_info().rss - before)
"""


@glibc_only
def test_polars_gives_back_what_is_free():
    pytest.importorskip("polars")
    code = KEPT_BY_POLARS.format(asked="allocator.keep_little()")
    own = {name: value for name, value in os.environ.items() if "MALLOC" not in name}  # Polars has set its own here
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=own)
    assert int(done.stdout) < 3_000_000


@pytest.mark.parametrize("ask", ASKS)
def test_on_other_systems_nothing_is_asked(ask, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    assert ask() is False


BEGUN_ANEW = """
import os, sys
from l2vault import allocator
allocator.begin_anew()
print(sys.getallocatedblocks() > 0, os.environ.get("PYTHONMALLOC"), os.getpid(), *sys.argv[1:])
"""
"""Python knows of no block where all are the system's."""


def begun_anew(**environment):
    own = {name: value for name, value in os.environ.items() if name != "PYTHONMALLOC"} | environment
    with subprocess.Popen(
        [sys.executable, "-c", BEGUN_ANEW, "some", "words"], stdout=subprocess.PIPE, text=True, env=own
    ) as process:
        has_blocks, value, number, *words = process.communicate()[0].split()
    assert process.returncode == 0
    assert (int(number), words) == (process.pid, ["some", "words"])
    return has_blocks == "True", value


@glibc_only
def test_a_process_begins_anew_as_itself_and_hands_nothing_of_it_on():
    assert begun_anew() == (False, "None")


@glibc_only
def test_a_process_does_not_begin_anew_against_its_environment():
    assert begun_anew(PYTHONMALLOC="pymalloc") == (True, "pymalloc")


def test_without_glibc_nothing_begins_anew(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.delenv("PYTHONMALLOC", raising=False)
    monkeypatch.setattr(os, "execve", lambda *asked: pytest.fail("it did"))
    allocator.begin_anew()
