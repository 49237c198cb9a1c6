"""The client's address behind proxies: a client cannot forge it."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.addresses import Address, is_among, read_address, read_network
from gateway.security.addresses import client_address

PROXIES = (read_network("10.0.0.0/8"), read_network("2001:db8:aaaa::/48"))
PROXY = "10.0.0.5"

addresses = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
junk = st.one_of(
    st.text(max_size=80),
    st.sampled_from(
        ["", "unknown", "_hidden", "1.2.3", "[::1", "::1]", "1.2.3.4:x", "%", "٣.1.1.1"]
    ),
).filter(lambda text: read_address(text) is None and "," not in text)


def written(address: Address, form: int) -> str:
    """An address in one of the notations of proxies."""
    if isinstance(address, IPv6Address):
        return [str(address), f"[{address}]", f"[{address}]:443", address.exploded][form]
    return [str(address), f"{address}:5060", f"::ffff:{address}", f" {address} "][form]


@given(addresses, st.integers(0, 3))
def test_addresses_are_read_in_every_notation(address: Address, form: int) -> None:
    plain = getattr(address, "ipv4_mapped", None) or address
    assert read_address(written(address, form)) == plain


@given(st.text())
def test_reading_never_raises(text: str) -> None:
    read_address(text)
    client_address(text, [text], PROXIES)
    client_address(PROXY, [text, text], PROXIES)


@given(addresses, st.lists(st.one_of(addresses.map(str), junk), max_size=5))
def test_the_header_of_an_untrusted_peer_is_ignored(peer: Address, headers: list[str]) -> None:
    if is_among(read_address(str(peer)), PROXIES):
        return
    assert client_address(str(peer), headers, PROXIES) == read_address(str(peer))
    assert client_address(PROXY, headers, ()) == IPv4Address(PROXY)


@given(
    addresses,
    st.lists(st.one_of(addresses.map(str), junk), max_size=4),
    st.lists(st.ip_addresses(network="10.0.0.0/8").map(str), max_size=3),
    st.booleans(),
)
def test_entries_that_the_client_forged_are_ignored(
    client: Address, forged: list[str], proxies: list[str], split: bool
) -> None:
    """The rightmost hop that is no trusted proxy is the client, in one header or in several."""
    real = read_address(str(client))
    if is_among(real, PROXIES):
        return
    hops = [*forged, str(client), *proxies]
    headers = hops if split else [", ".join(hops)]
    assert client_address(PROXY, headers, PROXIES) == real


@given(st.lists(addresses.map(str), max_size=3), junk)
def test_a_hop_that_is_not_an_address_leaves_the_client_unknown(
    before: list[str], broken: str
) -> None:
    client = client_address(PROXY, [", ".join([*before, broken, "10.1.1.1"])], PROXIES)
    assert client is None
    assert not is_among(client, [read_network("0.0.0.0/0"), read_network("::/0")])


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        (PROXY, ["192.0.2.1, 10.9.9.9"], "192.0.2.1"),
        (PROXY, ["198.51.100.1, 192.0.2.1"], "192.0.2.1"),
        (PROXY, [], PROXY),
        (PROXY, ["10.1.1.1"], "10.1.1.1"),
        (PROXY, ["::ffff:192.0.2.1"], "192.0.2.1"),
        ("::ffff:10.0.0.5", ["192.0.2.1"], "192.0.2.1"),
        ("2001:db8:aaaa::1", ["[2001:db8::7]:5060"], "2001:db8::7"),
        ("fe80::1%eth0", ["192.0.2.1"], "fe80::1"),
        (PROXY, [""], None),
        (PROXY, ["192.0.2.1,"], None),
        (PROXY, ["192.0.2.1, unknown"], None),
        ("", ["192.0.2.1"], None),
        (None, ["192.0.2.1"], None),
    ],
)
def test_client_address_examples(peer: str | None, headers: list[str], client: str | None) -> None:
    assert str(client_address(peer, headers, PROXIES)) == str(client)


def test_networks_are_read_and_mistakes_rejected() -> None:
    assert read_network("192.0.2.7") == IPv4Network("192.0.2.7/32")
    assert read_network("2001:db8::/32") == IPv6Network("2001:db8::/32")
    assert read_network("::ffff:192.0.2.0/120") == IPv4Network("192.0.2.0/24")
    for wrong in ("192.0.2.7/24", "example.com", "", "192.0.2.0/33", "1.2.3"):
        with pytest.raises(ValueError, match=r"."):
            read_network(wrong)
