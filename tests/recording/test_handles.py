"""How many data files may be open under a limit, and when that is too few."""

import subprocess
import sys

import pytest

from l2vault.errors import L2VaultError
from l2vault.recording.handles import LEAST_FILES, MOST_FILES, open_files


@pytest.mark.parametrize(
    ("feeds", "limit", "files"), [(2, None, MOST_FILES), (2, 1024, MOST_FILES), (2, 60, 32), (1, 42, LEAST_FILES)]
)
def test_what_the_feeds_and_the_process_do_not_need_is_for_data_files(
    feeds: int, limit: int | None, files: int
) -> None:
    assert open_files(feeds, limit) == files


def test_too_few_handles_are_refused_with_the_figure_and_the_cure() -> None:
    with pytest.raises(L2VaultError) as caught:
        open_files(2, 43)
    assert str(caught.value) == (
        "this process may open 43 files, and 2 feeds, journal, lock and 16 data files need 44. "
        "Try: raise the limit (ulimit -n 256), or record with fewer feeds"
    )


RAISED = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 200))
from l2vault.recording.handles import raise_limit
print(raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the limit on handles is POSIX")
def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    done = subprocess.run([sys.executable, "-c", RAISED], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.split() == ["200", "200", "200"]
