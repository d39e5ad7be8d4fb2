"""Which proxy leads where, from what the environment says."""

import sys

import pytest

from l2vault.errors import install_command
from l2vault.okx.proxies import Proxy, UnusableProxy, parse_proxy, proxy_for, require_socks, system_proxy

OKX = "wss://ws.okx.com/ws/v5/public"
REST = "https://www.okx.com"


@pytest.mark.parametrize(
    ("url", "proxies", "address"),
    [
        (OKX, {}, None),
        (OKX, {"http": "http://a:1"}, None),
        (OKX, {"https": "http://a:1"}, "http://a:1"),
        (OKX, {"https": "a:1"}, "http://a:1"),
        (OKX, {"https": "http://a"}, "http://a:80"),
        (OKX, {"https": "socks5h://a"}, "socks5h://a:1080"),
        (OKX, {"all": "socks5://a:9"}, "socks5://a:9"),
        (OKX, {"all": "socks5://a:9", "https": "http://b:1"}, "http://b:1"),
        (OKX, {"socks": "http://a:9", "https": "http://b:1"}, "socks5h://a:9"),  # as macOS gives it
        (OKX, {"wss": "http://c:1", "socks": "socks5://a:9"}, "http://c:1"),
        (OKX, {"https": ""}, None),
        (OKX, {"https": "http://[::1]:8"}, "http://[::1]:8"),
        (REST, {"https": "http://a:1", "wss": "http://c:1"}, "http://a:1"),
        (REST, {"all": "socks5h://a:9"}, "socks5h://a:9"),
        ("ws://exchange.test:80/x", {"http": "http://a:1"}, "http://a:1"),
    ],
)
def test_the_environment_names_the_proxy(url: str, proxies: dict[str, str], address: str | None) -> None:
    proxy = proxy_for(url, proxies)
    assert (proxy.address if proxy else None) == address


@pytest.mark.parametrize(
    ("no_proxy", "is_direct"),
    [
        ("*", True),
        ("okx.com", True),
        (".okx.com", True),
        ("example.org, WS.OKX.COM", True),
        ("ws.okx.com:443", True),
        ("ws.okx.com:8080", False),
        ("kx.com", False),
        ("", False),
        (" , ,", False),
    ],
)
def test_no_proxy_exempts_hosts_and_what_ends_in_them(no_proxy: str, is_direct: bool) -> None:
    assert (proxy_for(OKX, {"https": "http://a:1", "no": no_proxy}) is None) is is_direct


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_this_machine_is_reached_without_a_proxy(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://a:1")
    assert system_proxy(f"wss://{host}:9443/ws/v5/public") is None
    assert system_proxy(OKX) == Proxy("http", "a", 1)


def test_name_and_password_go_to_the_proxy_and_are_not_shown() -> None:
    proxy = parse_proxy("socks5h://ann%40home:p%2Fw@proxy.test:1080/")
    assert (proxy.username, proxy.password, proxy.is_socks) == ("ann@home", "p/w", True)
    assert proxy.url == "socks5h://ann%40home:p%2Fw@proxy.test:1080"
    assert proxy.address == "socks5h://proxy.test:1080"


@pytest.mark.parametrize(
    "text",
    [
        "ftp://a:1",
        "http://",
        "http://a:70000",
        "http://a:b",
        "http://a:1/path",
        "http://a:1?x",
        "http://[::1",
        "//\x1b",
    ],
)
def test_a_malformed_proxy_is_refused_with_the_cure(text: str) -> None:
    with pytest.raises(UnusableProxy) as refused:
        parse_proxy(text)
    assert "HTTPS_PROXY" in refused.value.cure
    assert str(refused.value).isprintable()


def test_the_password_of_a_malformed_proxy_is_not_shown() -> None:
    with pytest.raises(UnusableProxy) as refused:
        parse_proxy("ftp://ann:secret@a:1")
    assert "secret" not in str(refused.value)


def test_socks_without_its_package_is_refused_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "python_socks", None)
    with pytest.raises(UnusableProxy) as refused:
        require_socks(parse_proxy("socks5://a:1"))
    assert refused.value.cure == install_command("socks")
    require_socks(parse_proxy("http://a:1"))
