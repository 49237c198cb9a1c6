"""Callback URLs: malformed ones and private addresses are rejected, in every notation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from common.urls import (
    UrlRejected,
    host_of,
    is_private,
    without_query,
)
from tests.security.test_callback_policy import policy

PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fd00::1",
    "fec0::1",
    "ff02::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:a00:1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::a00:1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001:db8::1",
    "3fff::1",
    # Where clouds have services for the machine itself.
    "168.63.129.16",
    "::ffff:168.63.129.16",
    "64:ff9b::168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "192.88.99.1",
    "169.254.170.2",
    "fd00:ec2::254",
]
PUBLIC = ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2002:101:101::1"]


def url_to(host: str, rest: str = "/") -> str:
    return f"http://[{host}]{rest}" if ":" in host else f"http://{host}{rest}"


@pytest.mark.field("E5")
@pytest.mark.parametrize("host", PRIVATE)
def test_private_addresses_are_rejected(host: str) -> None:
    assert is_private(host)
    for rest in ("/", ":8080/x", "?a=b"):
        with pytest.raises(UrlRejected, match="private network"):
            policy().check(url_to(host, rest))
    policy(host).check(url_to(host))


@pytest.mark.parametrize("host", PUBLIC)
def test_public_addresses_are_accepted(host: str) -> None:
    assert not is_private(host)
    policy().check(url_to(host))


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost.",
        "LOCALHOST",
        "a.localhost",
        "a.localhost.",
        "127.0.0.1.",
        "10.0.0.1.",
    ],
)
def test_localhost_is_rejected_in_every_notation(host: str) -> None:
    with pytest.raises(UrlRejected, match="private network"):
        policy().check(f"http://{host}/")


@pytest.mark.parametrize(
    "url",
    [
        # Addresses to inet_aton(): 127.0.0.1, and others.
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://1.2.3/",
        "http://127.0.0.1../",
        "http://example.1/",
        "http://1.2.3.256/",
        # Credentials, and text that looks like a host.
        "http://user@example.com/",
        "http://user:pass@example.com/",
        "http://:pass@example.com/",
        "http://@example.com/",
        "http://example.com\\@127.0.0.1/",
        "http://127.0.0.1\\.example.com/",
        "http://example.com#@127.0.0.1:x/ y",
        # Not ASCII, also after decoding; control characters that parsers drop.
        "http://exämple.com/",
        "http://①②⑦.⓪.⓪.①/",
        "http://%31%32%37.0.0.1/",
        "http://exam\tple.com/",
        "http://127.0.0.1\n.example.com/",
        " http://example.com/",
        "http://example.com/\x00",
        # Ports.
        "http://example.com:0/",
        "http://example.com:65536/",
        "http://example.com:x/",
        "http://example.com:80:80/",
        # Not an absolute http(s) URL, no host, too long.
        "",
        "example.com",
        "//example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http:///path",
        "http://./",
        "http://a..b/",
        "http://[::1/",
        "http://[::1%25eth0]/",
        "http://[v1.x]/",
        "http://" + "a" * 64 + ".example.com/",
        "http://example.com/" + "a" * 2048,
    ],
)
def test_malformed_urls_are_rejected(url: str) -> None:
    with pytest.raises(UrlRejected, match="absolute http"):
        policy("*").check(url)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://n8n.example.com/webhook/1?signature=a%2Fb#x", "n8n.example.com"),
        ("http://N8N.Example.com.:5678/", "n8n.example.com"),
        ("http://under_score.example.com", "under_score.example.com"),
        ("http://xn--exmple-cua.com/", "xn--exmple-cua.com"),
        ("http://n8n:5678/a@b", "n8n"),
        ("http://[2606:4700::1111]:80/", "2606:4700::1111"),
    ],
)
def test_usable_urls_are_accepted(url: str, host: str) -> None:
    assert host_of(url) == host
    policy().check(url)


@pytest.mark.parametrize(
    "url", ["https://a.example.com?x=1", "https://a.example.com#x", "https://a.example.com#x?y"]
)
@pytest.mark.field("E4")
def test_a_query_is_cut_off_without_a_path_too(url: str) -> None:
    assert without_query(url) == "https://a.example.com"


def test_a_pattern_matches_subdomains_and_no_lookalikes() -> None:
    for host in ("a.example.com", "A.B.EXAMPLE.COM."):
        policy("*.example.com").check(f"https://{host}/")
    for host in ("example.com", "a.example.com.evil.test", "aexample.com"):
        with pytest.raises(UrlRejected, match="allowed_hosts"):
            policy("*.example.com").check(f"https://{host}/")


HOSTS = ("127.0.0.1", "::1", "example.com", "localhost")
_PIECES = st.sampled_from(
    [*"@:[]\\/?#%.éav1 \t\n", "http://", "https:", "//", "80", "0x7f", "%00", *HOSTS],
)


@given(st.one_of(st.text(), st.lists(_PIECES, max_size=12).map("".join)))
def test_an_accepted_url_has_the_same_host_for_the_http_client(text: str) -> None:
    try:
        host = host_of(text)
    except UrlRejected:
        return
    url = URL(text, encoded=True)
    assert (url.host or "").lower().removesuffix(".") == host
    assert url.scheme in {"http", "https"}
    assert url.user is None
    assert url.password is None


@given(st.ip_addresses())
def test_an_address_is_private_in_a_url_if_it_is_private_alone(address: object) -> None:
    try:
        policy().check(url_to(str(address)))
    except UrlRejected:
        assert is_private(str(address))
    else:
        assert not is_private(str(address))
