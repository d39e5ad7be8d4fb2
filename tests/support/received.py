"""The text frames of a capture exactly as they were received, of every channel; none that was sent."""

import json
import re

import pytest

from support.captured import capture

REAL_2022 = "okx-ws/cryptofeed_2022-05-13_books.log.zst"
REAL_2023 = "okx-ws/cryptofeed_okcoin_2023-05-27_books.log.zst"
REAL_2026 = "okx-ws/tickvault_2026-08-24_BTC-USDT_books.jsonl"
REAL_2026_WITH_A_GAP = "okx-ws/l2-orderbook-pipeline_2026-07-12_BTC-USDT_books_3msgs.jsonl"
NUMBERED_2022 = "derived/DERIVED_okx-real-2022-05-13_books_plus-synthetic-seqId.jsonl.zst"
DERIVED_ETH = "derived/DERIVED_ETH-USDT-SWAP_from-binance-20240808.jsonl.zst"

_RECEIVED = re.compile(rb"(?:\d+\.\d+: )?([\[{p].*)")


def received_frames(name: str) -> list[bytes]:
    """In order of receipt. Skips the test where the capture is not at hand."""
    path = capture(name)
    content = path.read_bytes()
    if path.suffix == ".zst":
        zstandard = pytest.importorskip("zstandard")
        content = zstandard.ZstdDecompressor().decompressobj().decompress(content)
    return [match[1] for line in content.splitlines() if (match := _RECEIVED.fullmatch(line))]


OTHER_CHANNELS = ("okx-other/okx_ws_other_channels_real_frames.jsonl", "okx-other/okx_docs_examples.jsonl")
TRADES_2022 = "okx-other/cryptofeed_2022-05-13_trades.jsonl"


def frames_of_channel(channel: str, *names: str) -> list[bytes]:
    """The frames of a channel in files that keep each beside a note, compact as they were sent."""
    rows = [json.loads(line) for name in names for line in capture(name).read_text(encoding="utf-8").splitlines()]
    frames = [row["frame"] for row in rows if row["frame"].get("arg", {}).get("channel") == channel]
    return [json.dumps(frame, separators=(",", ":")).encode() for frame in frames]
