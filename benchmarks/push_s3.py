"""`l2vault push` as a process against an S3 of this machine (moto's server): killed at moments, two at once, spoiled.

    python benchmarks/push_s3.py VAULT [--kills 20]

Needs `pip install 'moto[server]' obstore`. VAULT is copied. Prints what was tried; raises AssertionError where the
store does not hold in the end what the vault does, each object once.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from hashlib import sha256
from pathlib import Path

from obstore.store import S3Store

URL = "s3://bucket/l2"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def call(address: str, method: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(address, method=method), timeout=10) as answer:
        return bytes(answer.read())


def wait_for(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("moto's server does not come up")


def start(vault: Path, variables: dict[str, str], *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "l2vault", "push", "--vault", str(vault), "--to", URL, *words]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def check(store: S3Store, vault: Path) -> int:
    """Every data file of the vault stands in the store as it is, under a key that no second object of it has."""
    newest: dict[str, str] = {}
    for batch in store.list("manifest"):
        for meta in batch:
            date = meta["path"].split("/")[1]
            newest[date] = max(newest.get(date, ""), meta["path"])
    named = {}
    for key in newest.values():
        named.update(json.loads(bytes(store.get(key).bytes()))["files"])
    found = 0
    for path in (vault / "raw").rglob("*.jsonl*"):
        stored = named[path.relative_to(vault).as_posix()]
        data = bytes(store.get(stored["key"]).bytes())
        assert sha256(data).hexdigest() == stored["sha256"] == sha256(path.read_bytes()).hexdigest(), path
        found += 1
    keys = [meta["path"] for batch in store.list("raw") for meta in batch]
    assert len(keys) == found, f"{len(keys)} objects for {found} files"
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("vault", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    args = parser.parse_args()
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    variables = os.environ | {
        "AWS_ACCESS_KEY_ID": "AKIDTEST",
        "AWS_SECRET_ACCESS_KEY": "SECRETTEST",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT": address,
        "AWS_ALLOW_HTTP": "true",
    }
    moto = Path(sys.executable).with_name("moto_server")
    server = subprocess.Popen([moto, "-H", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL)
    options = {"endpoint": address, "access_key_id": "x", "secret_access_key": "x", "region": "us-east-1"}
    store = S3Store("bucket", prefix="l2", client_options={"allow_http": True}, **options)
    try:
        wait_for(port)
        with tempfile.TemporaryDirectory() as folder:
            vault = Path(folder) / "Vault"
            shutil.copytree(args.vault, vault)
            for path in vault.rglob("*.jsonl*"):
                os.utime(path, (1_700_000_000, 1_700_000_000))
            one = killed(address, store, vault, variables, args.kills)
            print(f"killed at {args.kills} moments, then finished: {one} files, each once")
            print(f"two at once: {two_at_once(address, store, vault, variables)} files, each once")
            print(spoiled(store, vault, variables))
    finally:
        server.terminate()
        server.wait()


def killed(address: str, store: S3Store, vault: Path, variables: dict[str, str], kills: int) -> int:
    call(f"{address}/bucket", "PUT")
    for moment in range(kills):
        process = start(vault, variables)
        try:
            process.wait(0.25 + 0.05 * moment)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
    process = start(vault, variables)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    assert "SECRETTEST" not in said and "AKIDTEST" not in said
    return check(store, vault)


def two_at_once(address: str, store: S3Store, vault: Path, variables: dict[str, str]) -> int:
    """Of the vault and a copy, as on two machines, into an empty place."""
    for key in [meta["path"] for batch in store.list() for meta in batch]:
        store.delete(key)
    copy = vault.with_name("Copy")
    shutil.copytree(vault, copy, copy_function=shutil.copy2)
    both = [start(vault, variables), start(copy, variables)]
    for process in both:
        said, _ = process.communicate()
        assert process.returncode == 0, said
    return check(store, vault)


def spoiled(store: S3Store, vault: Path, variables: dict[str, str]) -> str:
    key = next(meta["path"] for batch in store.list("raw") for meta in batch)
    data = bytearray(bytes(store.get(key).bytes()))
    data[len(data) // 2] ^= 1
    store.put(key, bytes(data))
    process = start(vault, variables, "--verify")
    said, _ = process.communicate()
    assert process.returncode == 0 and f"damaged in the store: {key}" in said, said
    check(store, vault)
    return said.strip()


if __name__ == "__main__":
    main()
