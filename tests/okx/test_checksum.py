"""OKX's checksum against values that OKX itself sent, and against the ways in which others got it wrong."""

import zlib
from decimal import Decimal

import pytest

from l2vault.book.book import Book
from l2vault.book.change import BookChange, Level
from l2vault.okx.checksum import book_checksum, is_provided
from l2vault.okx.messages import decode
from support.received import DERIVED_ETH, NUMBERED_2022, REAL_2022, REAL_2023, REAL_2026, received_frames

VECTORS = """
-1881014294 3366.1:7:3366.8:9:3366:6:3368:8
831078360 3366.1:7:3366.8:9:3368:8:3372:8
1054815633 30233.6:3:30238.8:2:30219.4:104:30249.5:50:30219.3:1520:30249.6:29:30212.3:171:30261.1:218:30209.8:5:30261.5:215:30205.8:50:30261.7:172:30204.1:1730:30264.5:11:30202.1:30:30265.9:249:30185.4:11:30268.4:40:30184:1537:30280.8:97:30181.3:18:30280.9:217:30181.2:19:30283.1:120:30180.7:249:30291.1:442:30168.9:20:30316:81:30165.8:3078:30316.1:1:30145.8:4770:30323.1:373:30145.3:120:30325:17:30133.2:12:30371.7:202:30130.3:1:30371.8:10:30130.1:236:30418.3:374:30129.9:442:30426.3:508:30117.7:81:30439.6:1539:30117.6:369:30449.2:29:30074.9:202:30464.9:202:30074.6:373:30486.8:504
-914047754 30233.6:3:30238.8:2:30219.4:104:30249.5:50:30219.3:1520:30249.6:29:30212.3:171:30261:4:30209.8:5:30261.1:218:30205.8:50:30261.5:215:30204.1:1730:30261.7:172:30202.1:30:30264.5:11:30185.4:11:30265.9:249:30184:1537:30268.4:40:30182.6:452:30280.8:97:30181.3:18:30280.9:217:30181.2:19:30283.1:120:30180.7:249:30291.1:442:30168.9:20:30310.3:19:30165.8:3078:30316:81:30145.8:4770:30316.1:1:30145.3:120:30323.1:373:30133.2:12:30325:17:30130.3:1:30371.7:202:30130.1:236:30371.8:10:30129.9:442:30418.3:374:30117.7:81:30426.3:508:30117.6:369:30439.6:1539:30074.9:202:30449.2:29
555605283 5.14:251:5.148:60:5.139:25:5.149:192:5.138:202:5.151:48:5.136:231:5.152:25:5.135:5:5.153:491:5.134:63:5.154:1988:5.133:338:5.155:156:5.132:439:5.156:73:5.131:397:5.157:5:5.13:1729:5.158:164:5.128:738:5.159:288:5.126:16:5.16:122:5.124:12745:5.161:109:5.123:57:5.162:16:5.122:1785:5.163:2613:5.121:412:5.166:11851:5.12:115:5.169:500:5.119:1069:5.17:64:5.117:35:5.175:163:5.114:45:5.178:419:5.113:3485:5.182:614:5.106:75:5.183:160:5.105:3391:5.187:396:5.103:53:5.189:3686:5.102:160:5.19:3058
1361161687 5.14:427:5.148:60:5.139:25:5.149:192:5.138:26:5.151:48:5.136:231:5.152:25:5.135:5:5.153:491:5.134:63:5.154:1988:5.133:338:5.155:156:5.132:439:5.156:73:5.131:397:5.157:5:5.13:1729:5.158:129:5.128:738:5.159:288:5.126:16:5.16:122:5.124:12745:5.161:109:5.123:57:5.162:16:5.122:1785:5.163:2613:5.121:412:5.166:11851:5.12:115:5.169:500:5.119:1069:5.17:64:5.114:45:5.175:163:5.113:3485:5.178:419:5.106:75:5.182:614:5.105:3391:5.183:160:5.103:53:5.187:396:5.102:160:5.189:3686:5.101:55:5.19:3058
"""  # noqa: E501
"""`CHECKSUM PAYLOAD`: two payloads of OKX's docs (equal and unequal sides), then BTC-USD-220527 and UNI-USD-SWAP of
2022-05-13, each a full book and its first update, with the values OKX sent."""

Sides = tuple[list[Level], list[Level]]


def parse(line: str) -> tuple[int, Sides]:
    """A payload starts with the best bid, and no other bid is above it; all that is above is an ask."""
    value, _, payload = line.partition(" ")
    parts = payload.split(":")
    sides: Sides = ([], [])
    for price, quantity in zip(parts[::2], parts[1::2], strict=True):
        sides[Decimal(price) > Decimal(parts[0])].append((price, quantity, "0", "1"))
    return int(value), sides


DOCS_EQUAL, DOCS_UNEQUAL, BTC_FULL, BTC_UPDATED, UNI_FULL, UNI_UPDATED = map(parse, VECTORS.strip().splitlines())


def level(price: str, quantity: str) -> Level:
    return (price, quantity, "0", "1")


def book_of(sides: Sides) -> Book:
    book = Book()
    book.apply(BookChange("X", True, *sides, 1, None, None, None))
    return book


def update(book: Book, bids: list[Level], asks: list[Level]) -> int:
    book.apply(BookChange("X", False, bids, asks, 2, None, None, None))
    return book_checksum(*book.top(25))


@pytest.mark.parametrize(
    ("expected", "sides"), [DOCS_EQUAL, DOCS_UNEQUAL, BTC_FULL, BTC_UPDATED, UNI_FULL, UNI_UPDATED]
)
def test_the_vectors_of_the_protocol_verify(expected: int, sides: Sides) -> None:
    assert book_checksum(*sides) == expected


def test_a_real_update_verifies_only_if_its_delete_of_an_unknown_price_is_ignored() -> None:
    book = book_of(BTC_FULL[1])
    bids = [level("30182.6", "452")]
    asks = [level("30249.4", "0"), level("30261", "4"), level("30310.3", "19")]
    assert update(book, bids, asks) == BTC_UPDATED[0]
    assert book.unknown_deletes == 1


def test_a_level_may_move_into_the_best_25_so_a_book_of_25_is_not_enough() -> None:
    bids = [level("5.14", "427"), level("5.138", "26"), level("5.117", "0")]
    asks = [level("5.158", "129"), level("5.233", "240")]
    assert update(book_of(UNI_FULL[1]), bids, asks) != UNI_UPDATED[0]
    deeper = ([*UNI_FULL[1][0], level("5.101", "55")], UNI_FULL[1][1])
    assert update(book_of(deeper), bids, asks) == UNI_UPDATED[0]


def test_levels_beyond_the_25th_do_not_count() -> None:
    expected, (bids, asks) = BTC_FULL
    assert book_checksum([*bids, level("1", "1")], [*asks, level("99999", "1")]) == expected


def test_the_strings_count_as_they_were_sent() -> None:
    _, (bids, asks) = DOCS_EQUAL
    respelled = [(f"{bids[0][0]}0", *bids[0][1:]), *bids[1:]]
    assert book_checksum(respelled, asks) != DOCS_EQUAL[0]


def test_the_longer_side_just_goes_on_t17() -> None:
    """Not cut to the shorter side, and not all bids before all asks."""
    expected, (bids, asks) = DOCS_UNEQUAL
    assert (len(bids), len(asks)) == (1, 3)
    assert book_checksum(bids, asks[:1]) != expected
    one_after_the_other = ":".join(f"{one[0]}:{one[1]}" for one in [*DOCS_EQUAL[1][0], *DOCS_EQUAL[1][1]])
    assert zlib.crc32(one_after_the_other.encode()) != DOCS_EQUAL[0] % 2**32
    assert book_checksum(bids, []) == book_checksum([], bids)


@pytest.mark.parametrize(
    ("crc", "signed"),
    [(0, 0), (1, 1), (2**31 - 1, 2**31 - 1), (2**31, -(2**31)), (2**31 + 1, 1 - 2**31), (2**32 - 1, -1)],
)
def test_the_sum_is_read_as_a_signed_number_of_32_bits_t17(
    crc: int, signed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zlib, "crc32", lambda _: crc)
    assert book_checksum(*DOCS_EQUAL[1]) == signed


def test_an_empty_book_has_the_sum_of_nothing() -> None:
    assert book_checksum([], []) == 0


@pytest.mark.parametrize(
    ("checksum", "provided"), [(0, False), (None, False), (1, True), (-1881014294, True), (-1, True)]
)
def test_zero_and_absent_mean_not_provided_t1(checksum: int | None, provided: bool) -> None:
    assert is_provided(checksum) is provided


@pytest.mark.parametrize(
    ("name", "messages", "provided"),
    [(REAL_2022, 290, 290), (NUMBERED_2022, 290, 290), (REAL_2023, 6, 6), (REAL_2026, 7, 0), (DERIVED_ETH, 400, 400)],
)
def test_every_checksum_that_a_capture_provides_verifies_after_its_message(
    name: str, messages: int, provided: int
) -> None:
    """Real frames of 2022 (290 of 290), 2023 and 2026, whose zeros provide nothing, and the derived ETH-USDT-SWAP."""
    books: dict[str, Book] = {}
    seen: list[bool] = []
    for message in map(decode, received_frames(name)):
        if isinstance(message, BookChange) and len(seen) < messages:
            book = books.setdefault(message.inst_id, Book())
            book.apply(message)
            seen.append(is_provided(message.checksum))
            if seen[-1]:
                assert book_checksum(*book.top(25)) == message.checksum
    assert (len(seen), sum(seen)) == (messages, provided)


def test_the_full_book_of_2026_has_a_sum_that_okx_no_longer_sends_t1() -> None:
    changes = [m for m in map(decode, received_frames(REAL_2026)) if isinstance(m, BookChange)]
    assert {change.checksum for change in changes} == {0}
    assert book_checksum(*book_of((changes[0].bids, changes[0].asks)).top(25)) != 0
