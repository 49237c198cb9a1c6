"""The hosts, networks and URLs of the settings, and what callbacks may be sent to by them."""

import pytest

from common.allowed_hosts import read_allowed_host
from common.urls import UrlRejected
from gateway.config.loader import build_config
from gateway.errors import ConfigError
from gateway.security.callback_policy import CallbackPolicy


def policy(*allowed_hosts: str, urls: tuple[str, ...] = ()) -> CallbackPolicy:
    return CallbackPolicy(urls, [read_allowed_host(entry) for entry in allowed_hosts])


def is_accepted(url: str, *allowed_hosts: str) -> bool:
    try:
        policy(*allowed_hosts).check(url)
    except UrlRejected:
        return False
    return True


@pytest.mark.field("E3")
@pytest.mark.parametrize(
    ("entry", "accepted", "refused"),
    [
        ("n8n", ["http://n8n:5678/x", "https://N8N./"], ["http://n8n.example.com/"]),
        (
            "n8n:5678",
            ["http://n8n:5678/x", "https://n8n:5678/x"],
            ["http://n8n/", "http://n8n:80/"],
        ),
        ("http://n8n", ["http://n8n:5678/", "http://n8n/"], ["https://n8n/", "http://m/"]),
        ("HTTPS://N8N.example.com:5678/", ["https://n8n.example.com:5678/"], ["https://n8n/"]),
        ("https://n8n", ["https://n8n:443/"], ["http://n8n:443/"]),
        ("n8n:80", ["http://n8n/"], ["https://n8n/"]),
        ("10.0.0.0/8", ["http://10.1.2.3:5678/"], ["http://11.0.0.1/", "http://192.168.0.1/"]),
        ("10.0.0.5:5678", ["http://10.0.0.5:5678/"], ["http://10.0.0.5/", "http://10.0.0.6:5678/"]),
        ("[fd00::5]:5678", ["http://[fd00:0::5]:5678/"], ["http://[fd00::5]/"]),
        ("fd00::/8", ["http://[fd00::5]/"], ["http://[fc00::5]/"]),
        ("::ffff:10.0.0.0/104", ["http://10.0.0.1/"], ["http://11.0.0.1/"]),
        ("*.example.com:443", ["https://a.example.com/"], ["http://a.example.com/"]),
    ],
)
def test_entries_of_allowed_hosts(entry: str, accepted: list[str], refused: list[str]) -> None:
    for url in accepted:
        assert is_accepted(url, entry), url
    for url in refused:
        assert not is_accepted(url, entry), url


@pytest.mark.field("E3")
@pytest.mark.parametrize(
    "entry",
    [
        "",
        " ",
        "n8n/",
        "http://n8n/webhook",
        "http://",
        "ftp://n8n",
        "n8n:",
        "n8n:port",
        "n8n:65536",
        "n8n:5678:80",
        "10.0.0.5/8",
        "http://10.0.0.0/8",
        "10.0.0.0/33",
        "127.1",
        "0x7f000001",
        "exämple.com",
        "user@n8n",
        "[n8n]",
        "[::1",
        "n8n,other",
        '["n8n"]',
    ],
)
def test_what_is_no_host_is_refused_at_start(entry: str) -> None:
    with pytest.raises(ConfigError, match=r"callbacks.allowed_hosts: Must be hosts such as"):
        build_config({"callbacks": {"allowed_hosts": [entry]}}, {})


@pytest.mark.field("E5")
def test_a_configured_url_is_trusted_itself_and_nothing_else_of_its_host() -> None:
    url = "http://10.0.0.5:5678/webhook/1?key=a"
    configured = policy(urls=(url,))
    configured.check(url)
    assert configured.trusts(url)
    for other in ("http://10.0.0.5:5678/webhook/1", "http://10.0.0.5:22/", "http://10.0.0.5:5678/"):
        assert not configured.trusts(other)
        with pytest.raises(UrlRejected, match="private network"):
            configured.check(other)


def test_addresses_of_a_name_are_checked_unless_the_name_is_listed() -> None:
    assert policy("n8n").trusts("http://n8n:5678/")
    assert not policy("10.0.0.0/8").trusts("http://n8n:5678/")
    assert is_accepted("http://n8n:5678/", "10.0.0.0/8")  # as long as its addresses are
    policy("10.0.0.0/8").check_address("n8n", "10.0.0.1", 5678)
    for address in ("1.1.1.1", "192.168.0.1"):
        with pytest.raises(UrlRejected, match="allowed_hosts"):
            policy("10.0.0.0/8").check_address("n8n", address, 5678)
    with pytest.raises(UrlRejected, match="allowed_hosts"):
        policy("10.0.0.5:5678").check_address("n8n", "10.0.0.5", 22)
    policy().check_address("n8n", "1.1.1.1", 22)
    with pytest.raises(UrlRejected, match="private network"):
        policy().check_address("n8n", "10.0.0.5", 5678)
