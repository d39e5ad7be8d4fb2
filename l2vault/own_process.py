"""What a process does that is one of ours: a verb, a child of the recorder, a worker. Loads nothing."""

import sys


def keep_pandas_out() -> None:
    """Take pandas for absent in this process, which is one of ours and has no use for it: where it is installed pyarrow
    loads it at the first array made of numpy's, in 0.3 s. A program that imports l2vault is left as it is."""
    if not any(isinstance(finder, _WithoutPandas) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WithoutPandas())


def let_pandas_in() -> None:
    """Take that back, for a library that cannot do without it, before it is imported."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _WithoutPandas)]


class _WithoutPandas:
    """Of importlib's finders of modules: says that there is no pandas."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("a verb of l2vault has no use for pandas", name=name)


def is_own() -> bool:
    """Whether `l2vault` or a launcher began this process: then a spawned one may import its main module again. A script
    that calls `cli.main` itself may do all of its work at its top."""
    return any(isinstance(finder, _WithoutPandas) for finder in sys.meta_path)
