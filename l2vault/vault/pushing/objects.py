"""The object store, asked through obstore: an object is created under a free key, read or deleted, never overwritten.

Credentials are the provider's own business (environment, profile, role of the machine); this module sees none of them.
Loads obstore when a store is opened.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from l2vault.errors import VaultError, extra
from l2vault.foreign import printable

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_RETRIES: Final = 3
_RETRY_SEC: Final = 60
_ANSWER_SEC: Final = 600
"""For a request with its body: an hour of changes on a slow line takes minutes, and obstore's 30 s end it."""
_CHUNK_BYTES: Final = 1 << 20
_SAID_CHARS: Final = 240
_QUERY: Final = re.compile(r"\?[^\s\"')]*")
"""Of an address in an error: where a signature would stand."""
_NO_CREDENTIALS: Final = re.compile(r"169\.254\.169\.254|metadata|credential", re.IGNORECASE)
"""A machine without credentials of its own is asked last, at this address, by every provider."""
CREDENTIALS: Final = (
    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or what your provider has for them"
)


class Objects:
    """The objects below one address."""

    def __init__(self, store: "ObjectStore", url: str) -> None:
        self._store = store
        self.url = url

    def create(self, key: str, data: bytes) -> bool:
        """Whether the object was made; False where one of that key was there, which stays as it is."""
        from obstore.exceptions import AlreadyExistsError

        with self._refusals():
            try:
                self._store.put(key, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def read(self, key: str) -> bytes | None:
        """All of an object; None where there is none."""
        with self._refusals():
            try:
                return bytes(self._store.get(key).bytes())
            except FileNotFoundError:
                return None

    def digest(self, key: str) -> tuple[int, str] | None:
        """Bytes and SHA-256 of what stands there, read anew; None where nothing does."""
        with self._refusals():
            try:
                found, size_bytes = sha256(), 0
                for chunk in self._store.get(key).stream(min_chunk_size=_CHUNK_BYTES):
                    found.update(chunk)
                    size_bytes += len(chunk)
            except FileNotFoundError:
                return None
        return size_bytes, found.hexdigest()

    def keys(self, folder: str) -> list[str]:
        """Of all objects below a folder, sorted."""
        with self._refusals():
            return sorted(meta["path"] for batch in self._store.list(folder) for meta in batch)

    def delete(self, key: str) -> None:
        """One that is not there is deleted already."""
        with self._refusals():
            try:
                self._store.delete(key)
            except FileNotFoundError:
                return

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Whatever the store or the way to it answers becomes one sentence with its cure."""
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        shown = printable(self.url)
        try:
            yield
        except FileNotFoundError as error:
            raise VaultError(f"there is no bucket or folder for {shown}: {_said(error)}.", _MAKE_IT) from error
        except UnauthenticatedError as error:
            raise VaultError(f"{shown} does not accept these credentials: {_said(error)}.", CREDENTIALS) from error
        except PermissionError as error:
            raise VaultError(f"{shown} may not be written: {_said(error)}.", _PERMIT) from error
        except PermissionDeniedError as error:
            raise VaultError(f"{shown} refuses these credentials: {_said(error)}.", _PERMIT) from error
        except (BaseError, OSError) as error:
            if _NO_CREDENTIALS.search(str(error)):
                raise VaultError(f"no credentials for {shown}: {_said(error)}.", CREDENTIALS) from error
            raise VaultError(f"{shown} cannot be used: {_said(error)}.", _AGAIN) from error


_MAKE_IT: Final = "make it first; a push makes no bucket, and no folder that may be a disk which is not mounted"
_PERMIT: Final = "let these credentials list, get, put and delete objects there"
_AGAIN: Final = "the same again once the store answers: a push goes on where it was"


def folder_of(url: str) -> Path | None:
    """The folder that a `file:` address names; None for any other."""
    parts = urlsplit(url)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def open_objects(url: str, allow_http: bool = False) -> Objects:
    """`allow_http`: an endpoint without TLS may be used, as one of this machine has. Raises VaultError where the extra
    is absent or the address is none that obstore knows."""
    with extra("push"):
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    folder = folder_of(url)
    if folder is not None and not folder.is_dir():
        raise VaultError(f"there is no folder {printable(url)}.", _MAKE_IT)
    try:
        if folder is not None:
            return Objects(from_url(url), url)
        store = from_url(
            url,
            client_options={"timeout": timedelta(seconds=_ANSWER_SEC), "allow_http": allow_http},
            retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_RETRY_SEC)},
        )
    except (BaseError, ValueError, OSError) as error:
        raise VaultError(f"{printable(url)} is no store: {_said(error)}.", "one like s3://bucket/prefix") from error
    return Objects(store, url)


def _said(error: Exception) -> str:
    """The first line of what was answered, without what may be a signature in an address."""
    text = str(error).strip().splitlines()
    return printable(_QUERY.sub("", text[0] if text else type(error).__name__), _SAID_CHARS).rstrip(".")
