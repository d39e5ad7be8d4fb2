"""The instruments the built-in exchange lists: OKX's row of each, where its price starts, and how busy it is.

BTC-USDT-SWAP is OKX's row of September 2026; ETH-USDT-SWAP and BTC-USD-SWAP differ from it as far as theirs are known;
any other is made up, but always the same for the same name. Knows nothing of books or time.
"""

import re
from decimal import Decimal
from hashlib import sha256
from typing import Final

from l2vault.errors import UsageError

_SWAP: Final = re.compile(r"([A-Z0-9]+)-([A-Z0-9]+)-SWAP")

_TRADED: Final = """
BTC ETH SOL XRP DOGE BNB ADA LINK AVAX SUI LTC BCH TRX DOT TON PEPE SHIB UNI AAVE NEAR APT ARB OP FIL ETC ATOM XLM
HBAR ICP INJ TIA SEI WLD ENA ONDO JUP WIF BONK FLOKI ORDI SATS RENDER TAO FET GRT LDO MKR CRV SNX COMP DYDX GMX PENDLE
SAND MANA AXS GALA APE IMX BLUR STX ALGO VET THETA EGLD XTZ EOS NEO IOTA QTUM ZEC DASH XMR KAS CORE CFX MINA KSM CELO
ZIL ONT ICX WAVES RVN SC ZEN ZRX BAT ENJ CHZ 1INCH SUSHI YFI BAL BAND UMA KNC REN LRC OMG STORJ ANT BNT CVC REP NMR
API3 TRB RSR PERP ALPHA BADGER AGLD MASK YGG ENS LPT RLC OCEAN ANKR SKL CTSI CELR DENT HOT ONE IOST KAVA SXP FLM LIT
BEL HIGH DODO REEF TLM ALICE SLP DAR GMT GST MAGIC HOOK ID EDU RDNT JOE STG ACH SSV LQTY FXS CVX SPELL ALCX OGN POND
RARE SUPER LOOKS BICO GODS ILV VOXEL GHST PYR UFO DORA DOME EFI ELON KISHU LAT LON NFT NYM PEOPLE RSS3 SOS SRM STARL
SWRV TORN UMEE WNCG WNXM XCH XEM YFII JST BTM BTT BZZ CONV CQT CRO CSPR FITFI FTM MATIC ASTR BABYDOGE GLMR MOVR ROSE
FLOW AR RUNE LUNA LUNC USTC XEC SFP TWT C98 AUDIO ERN FORTH QNT GNO RPL AUCTION BAKE CAKE CHR COTI DEGO FIS GTC HNT
KEEP KLAY LINA MDT MLN NKN OXT PHA POLS POWR PROM QUICK RAD RAY REQ SFUND SNT STMX STRK SYN SYS TOMO TRU TVK UNFI VTHO
WAXP WOO XVG XVS ZKS ACA AERO ALT ARKM ATH BIGTIME BOME CATI CETUS DOGS EIGEN ETHFI G HMSTR IO JTO LISTA MANTA MEME
MEW MOODENG NEIRO NOT ORBS PYTH
"""
"""Base currencies, most traded first; real tickers of several years, the order our own."""

_INVERSE: Final = ("SOL", "XRP", "DOGE", "LTC", "BCH", "ADA", "DOT", "LINK", "AVAX", "ETC", "FIL", "UNI")

_KNOWN: Final = (
    "BTC-USDT-SWAP",
    "ETH-USDT-SWAP",
    "BTC-USD-SWAP",
    "ETH-USD-SWAP",
    *(f"{base}-USDT-SWAP" for base in _TRADED.split()[2:]),
    *(f"{base}-USD-SWAP" for base in _INVERSE),
)
_PLACE: Final = {inst_id: place for place, inst_id in enumerate(_KNOWN)}

_PRICES: Final = {
    "BTC": Decimal("64216.6"),
    "ETH": Decimal("2681.62"),
    "SOL": Decimal("152.48"),
    "XRP": Decimal("2.2117"),
    "DOGE": Decimal("0.19642"),
    "BNB": Decimal("612.3"),
    "ADA": Decimal("0.72114"),
    "LTC": Decimal("91.207"),
    "SHIB": Decimal("0.000013052"),
}
_TICKS: Final = {"BTC": Decimal("0.1"), "ETH": Decimal("0.01")}

_BTC_USDT: Final[dict[str, object]] = {
    "alias": "",
    "auctionEndTime": "",
    "baseCcy": "",
    "category": "1",
    "contTdSwTime": "1611916860000",
    "ctMult": "1",
    "ctType": "linear",
    "ctVal": "0.01",
    "ctValCcy": "BTC",
    "expTime": "",
    "floatPxLmtPct": "0.005",
    "freq": "",
    "futureSettlement": False,
    "groupId": "4",
    "initPxLmtPct": "0.02",
    "instCategory": "1",
    "instFamily": "BTC-USDT",
    "instId": "BTC-USDT-SWAP",
    "instIdCode": 10459,
    "instType": "SWAP",
    "lever": "100",
    "listTime": "1573557408000",
    "longPosRemainingQuota": "",
    "lotSz": "0.01",
    "maxIcebergSz": "100000000.0000000000000000",
    "maxLmtAmt": "20000000",
    "maxLmtSz": "100000000",
    "maxMktAmt": "",
    "maxMktSz": "35000",
    "maxPlatOICoinLmt": "",
    "maxPlatOILmt": "",
    "maxPxLmtPct": "0.01",
    "maxStopSz": "35000",
    "maxTriggerSz": "100000000.0000000000000000",
    "maxTwapSz": "100000000.0000000000000000",
    "method": "",
    "minSz": "0.01",
    "openType": "call_auction",
    "optType": "",
    "posLmtAmt": "250000",
    "posLmtPct": "30",
    "preMktSwTime": "",
    "quoteCcy": "",
    "rpiMinLevel": "3",
    "rpiMinPxBand": "20",
    "ruleType": "normal",
    "seriesId": "",
    "settleCcy": "USDT",
    "shortPosRemainingQuota": "",
    "state": "live",
    "stk": "",
    "tickSz": "0.1",
    "tradeQuoteCcyList": [],
    "uly": "BTC-USDT",
    "upcChg": [],
}
"""GET /api/v5/public/instruments, 2026-09-25, verbatim; for swaps `baseCcy` and `quoteCcy` really are empty."""

_LISTED_MS: Final = "1611916828000"
"""`listTime` that OKX gave its oldest swaps in 2022."""

_EXACT: Final[dict[str, dict[str, object]]] = {
    "BTC-USDT-SWAP": {},
    "ETH-USDT-SWAP": {
        "ctVal": "0.1",
        "floatPxLmtPct": "0.01",
        "instIdCode": 10461,
        "listTime": _LISTED_MS,
        "lotSz": "0.01",
        "maxMktSz": "90000",
        "maxPxLmtPct": "0.02",
        "maxStopSz": "90000",
        "minSz": "0.01",
        "tickSz": "0.01",
    },
    "BTC-USD-SWAP": {
        "ctVal": "100",
        "instIdCode": 10458,
        "listTime": _LISTED_MS,
        "lotSz": "0.1",
        "maxMktSz": "49000",
        "maxStopSz": "49000",
        "minSz": "0.1",
        "tickSz": "0.1",
    },
}

_FIRST_CODE: Final = 20_000
_UNLISTED_CODE: Final = 100_000
_LINEAR_CONTRACT_USD: Final = 1000
"""OKX keeps a linear contract between about 100 and 1000 USD by choosing `ctVal` among the powers of ten."""


def known_inst_ids(count: int) -> list[str]:
    """The first `count` names of a fixed list, busiest first; raises UsageError where the list is shorter."""
    if not 1 <= count <= len(_KNOWN):
        raise UsageError(f"The built-in exchange lists {len(_KNOWN)} instruments, not {count}.", "a number it has.")
    return list(_KNOWN[:count])


def popularity(inst_id: str) -> int:
    """How many instruments are busier: the place in the list of `known_inst_ids`, or a middling one for other names."""
    place = _PLACE.get(inst_id)
    return 20 + _digest(inst_id) % 130 if place is None else place


def reference_price(inst_id: str) -> Decimal:
    """Where the market of an instrument starts: at least 10,000 ticks. The quote currency plays no part."""
    base, _ = _parts(inst_id)
    price = _PRICES.get(base)
    if price is None:
        number = _digest(base)
        price = Decimal(10_000 + number % 90_000).scaleb(number // 90_000 % 8 - 9)
    return price


def instrument_row(inst_id: str) -> dict[str, object]:
    """OKX's row of a swap, all keys in OKX's (alphabetical) order; raises UsageError for any other kind of name."""
    base, quote = _parts(inst_id)
    is_inverse = quote == "USD"
    row = _BTC_USDT | {
        "ctType": "inverse" if is_inverse else "linear",
        "ctValCcy": "USD" if is_inverse else base,
        "instFamily": f"{base}-{quote}",
        "instId": inst_id,
        "settleCcy": base if is_inverse else quote,
        "tradeQuoteCcyList": [],
        "uly": f"{base}-{quote}",
        "upcChg": [],
    }
    return row | (_EXACT[inst_id] if inst_id in _EXACT else _made_up(inst_id, base, is_inverse))


def _made_up(inst_id: str, base: str, is_inverse: bool) -> dict[str, object]:
    """What a row says of its own instrument, scaled to its price as OKX scales its real ones."""
    number = _digest(inst_id)
    place = _PLACE.get(inst_id)
    price = reference_price(inst_id)
    contract = Decimal(10) if is_inverse else Decimal(1).scaleb((_LINEAR_CONTRACT_USD / price).adjusted())
    lot = "1" if is_inverse else ("0.01" if base in _PRICES else ("0.1", "0.01")[number % 2])
    listed_ms = 1_611_916_800_000 + number // 3 % 1800 * 86_400_000
    market_size = str(1000 * (1 + number // 5400 % 40))
    return {
        "contTdSwTime": str(listed_ms),
        "ctVal": f"{contract:f}",
        "floatPxLmtPct": "0.01",
        "groupId": str(4 + number // 216_000 % 4),
        "instIdCode": _UNLISTED_CODE + number % 1_000_000 if place is None else _FIRST_CODE + place,
        "lever": ("50", "75", "20")[number // 864_000 % 3],
        "listTime": str(listed_ms),
        "lotSz": lot,
        "maxMktSz": market_size,
        "maxPxLmtPct": "0.02",
        "maxStopSz": market_size,
        "minSz": lot,
        "tickSz": f"{_TICKS.get(base) or Decimal(1).scaleb(price.adjusted() - 4):f}",
    }


def _parts(inst_id: str) -> tuple[str, str]:
    match = _SWAP.fullmatch(inst_id)
    if match is None:
        raise UsageError(f"{inst_id!r} is not the name of a perpetual swap.", "a name like BTC-USDT-SWAP.")
    return match[1], match[2]


def _digest(text: str) -> int:
    """A large number that only the text decides, the same in every process."""
    return int.from_bytes(sha256(text.encode()).digest()[:12], "big")
