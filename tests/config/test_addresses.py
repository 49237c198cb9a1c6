"""Hosts and URLs in settings, as people paste them."""

import pytest

from gateway.config.loader import build_config
from gateway.config.settings import Config
from gateway.errors import ConfigError

SIP_HOSTS = ("LIVEKIT_SIP_HOST", "GATEWAY__TRUNKS__OUTBOUND_ADDRESS", "GATEWAY__LEGACY__SIP_HOST")
URLS = ("LIVEKIT_URL", "GATEWAY_PUBLIC_URL", "JAMBONZ_REST_API_BASE_URL")

pytestmark = pytest.mark.field("H2")


def config_with(name: str, text: str) -> Config:
    return build_config({}, {name: text})


def sip_host(config: Config, name: str) -> str:
    match name:
        case "LIVEKIT_SIP_HOST":
            return config.livekit.sip_host
        case "GATEWAY__LEGACY__SIP_HOST":
            return config.legacy.sip_host
    return config.trunks.outbound_address


def url(config: Config, name: str) -> str:
    match name:
        case "LIVEKIT_URL":
            return config.livekit.url
        case "GATEWAY_PUBLIC_URL":
            return config.server.public_url
    return config.jambonz.rest_url


@pytest.mark.parametrize("name", SIP_HOSTS)
@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("abc.sip.livekit.cloud", "abc.sip.livekit.cloud"),
        ("sip:abc.sip.livekit.cloud", "abc.sip.livekit.cloud"),
        (" <sip:abc.sip.livekit.cloud> ", "abc.sip.livekit.cloud"),
        ("abc.sip.livekit.cloud/", "abc.sip.livekit.cloud"),
        ("livekit_sip:5060", "livekit_sip:5060"),
        ("192.0.2.10:5060", "192.0.2.10:5060"),
        ("2001:db8::10", "[2001:db8::10]"),
        ("[2001:db8::10]:5060", "[2001:db8::10]:5060"),
    ],
)
def test_a_sip_host_is_taken_as_livekit_and_carriers_show_it(
    name: str, text: str, host: str
) -> None:
    assert sip_host(config_with(name, text), name) == host


@pytest.mark.parametrize("name", SIP_HOSTS)
@pytest.mark.parametrize(
    "text",
    [
        "https://abc.sip.livekit.cloud",
        "sip:abc.sip.livekit.cloud;transport=tls",
        "sips:abc.sip.livekit.cloud",
        "sip:agent@abc.sip.livekit.cloud",
        "abc.sip.livekit.cloud/x",
        "abc sip",
        "192.0.2.300",
        "192.0.2.10:99999",
        "192.0.2.10:0",
        "192.0.2.10:sip",
        "[2001:db8::zz]",
        "sip:",
        "-",
        "höst.example.com",
    ],
)
def test_another_sip_host_is_an_error_of_one_line_with_the_form(name: str, text: str) -> None:
    assert "must be a host such as abc.sip.livekit.cloud, 192.0.2.10:5060" in problem(name, text)


@pytest.mark.parametrize("name", URLS)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" https://gateway.example.com/ ", "https://gateway.example.com"),
        ("HTTPS://Gateway.Example.com:8443", "https://gateway.example.com:8443"),
        ("http://[2001:db8::10]:8000", "http://[2001:db8::10]:8000"),
        ("https://gateway.example.com/v1/", "https://gateway.example.com/v1"),
    ],
)
def test_a_url_is_taken_without_blanks_and_a_trailing_slash(
    name: str, text: str, expected: str
) -> None:
    assert url(config_with(name, text), name) == expected


@pytest.mark.parametrize("name", URLS)
@pytest.mark.parametrize(
    "text",
    [
        "gateway.example.com",
        "ftp://gateway.example.com",
        "https://",
        "https:///v1",
        "wss://:7880",
        "https://gateway.example.com:99999",
        "https://gateway.example.com:",
        "https://gateway.example.com/?token=hush",
        "https://gateway.example.com/#rc=3",
        "https://user:hush@gateway.example.com",
        "https://gate way.example.com",
        "https://192.0.2.300",
        "https://[::1",
    ],
)
def test_another_url_is_an_error_of_one_line_with_the_form(name: str, text: str) -> None:
    line = problem(name, text)
    assert "must be of the form " in line
    assert "hush" not in line


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("LIVEKIT_URL", "wss://project.livekit.cloud/rtc", "without /rtc"),
        ("GATEWAY_PUBLIC_URL", "https://gateway.example.com/livekit-api", "without the path"),
        ("GATEWAY_PUBLIC_URL", "wss://gateway.example.com", "https://gateway.example.com"),
        ("GATEWAY__SERVER__HOST", "0.0.0.0:8000", "without a port"),
        ("GATEWAY__SERVER__HOST", "http://0.0.0.0", "without a port"),
    ],
)
def test_what_one_of_them_cannot_have(name: str, text: str, form: str) -> None:
    assert form in problem(name, text)


@pytest.mark.parametrize(
    ("text", "host"), [("[::]", "::"), (" 127.0.0.1", "127.0.0.1"), ("localhost", "localhost")]
)
def test_the_address_to_listen_on_has_no_brackets(text: str, host: str) -> None:
    assert config_with("GATEWAY__SERVER__HOST", text).server.host == host


@pytest.mark.parametrize(
    "sip",
    ["sip:desk@pbx.example.com", "sips:desk@192.0.2.20:5061;transport=tls", "sip:pbx.example.com"],
)
def test_a_sip_uri_of_the_fallback_is_taken(sip: str) -> None:
    config = build_config({"inbound": {"fallback": [{"sip": f" {sip} "}]}}, {})
    assert config.inbound.fallback[0].sip == sip


@pytest.mark.parametrize(
    "sip", ["sip:", "desk@pbx.example.com", "sip:desk@", "sip:a:b@pbx.example.com", "sip:d@1.2.3"]
)
def test_another_sip_uri_of_the_fallback_is_an_error(sip: str) -> None:
    with pytest.raises(ConfigError, match=r"inbound\.fallback: sip must be a SIP URI such as sip:"):
        build_config({"inbound": {"fallback": [{"sip": sip}]}}, {})


def test_without_a_sip_host_it_is_the_one_of_livekits_url() -> None:
    assert config_with("LIVEKIT_URL", "ws://[2001:db8::10]:7880").livekit.sip_address == (
        "[2001:db8::10]"
    )
    assert config_with("LIVEKIT_URL", "ws://192.0.2.1:7880").livekit.sip_address == "192.0.2.1"


def problem(name: str, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config_with(name, text)
    (line,) = caught.value.problems
    assert "\n" not in line
    return line
