from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperdrop.domain.webhook_target import (
    TargetRules,
    is_public,
    parse_networks,
    parse_target,
)
from whisperdrop.errors import WebhookRefusedError

RULES = TargetRules(ports=(443, 8443))

NEAR_US = [
    "0.0.0.0",  # noqa: S104 - nobody binds to it
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",  # metadata of Alibaba Cloud
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",  # host agent of Azure
    "169.254.169.254",  # metadata of AWS, Google, Azure
    "169.254.170.2",  # credentials of ECS tasks
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",  # metadata of Oracle Cloud
    "192.0.2.1",
    "192.168.0.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",  # IPv4-compatible
    "64:ff9b::10.0.0.1",  # NAT64
    "64:ff9b:1::1",
    "100::1",
    "2001::1",  # Teredo
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:7f00:1::",  # 6to4 of 127.0.0.1
    "2002:a9fe:a9fe::1",
    "2002:5db8:d822::1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",  # metadata of AWS
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
STRANGERS = ["93.184.216.34", "8.8.8.8", "172.32.0.1", "2606:4700::1111", "64:ff9b::8.8.8.8"]


@pytest.mark.parametrize("address", NEAR_US)
def test_an_address_near_us_is_refused(address: str) -> None:
    target = parse_target("https://example.com/hook", RULES)
    assert not is_public(ip_address(address))
    with pytest.raises(WebhookRefusedError, match="not on the public internet") as refused:
        RULES.judge(target, [address])
    assert address not in str(refused.value), "what a name resolves to may be a secret"


@pytest.mark.parametrize("address", STRANGERS)
def test_an_address_on_the_internet_is_taken(address: str) -> None:
    target = parse_target("https://example.com/hook", RULES)
    assert RULES.judge(target, [address]) == (address,)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_bad_address_among_good_ones_is_enough_to_refuse(place: int) -> None:
    addresses = ["93.184.216.34", "8.8.8.8"]
    addresses.insert(place, "10.0.0.1")
    with pytest.raises(WebhookRefusedError):
        RULES.judge(parse_target("https://example.com/", RULES), addresses)


def test_an_address_of_one_network_card_is_refused() -> None:
    with pytest.raises(WebhookRefusedError):
        RULES.judge(parse_target("https://example.com/", RULES), ["fe80::1%eth0"])
    with pytest.raises(WebhookRefusedError):
        RULES.judge(parse_target("https://example.com/", RULES), ["2606:4700::1111%eth0"])


def test_no_address_at_all_is_refused() -> None:
    with pytest.raises(WebhookRefusedError, match="no address"):
        RULES.judge(parse_target("https://example.com/", RULES), [])


@given(st.ip_addresses(v=4))
def test_what_python_calls_private_is_refused_however_it_is_wrapped(address: IPv4Address) -> None:
    public = is_public(address)
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert not public
    number = int(address)
    assert is_public(IPv6Address((0xFFFF << 32) | number)) == public
    assert is_public(IPv6Address((0x64FF9B << 96) | number)) == public
    assert not is_public(IPv6Address((0x2002 << 112) | (number << 80)))


@given(st.ip_addresses(v=6))
def test_no_special_address_of_ipv6_passes(address: IPv6Address) -> None:
    if is_public(address) and address not in ip_network("64:ff9b::/96"):
        mapped = address.ipv4_mapped
        assert mapped is not None or (address.is_global and not address.is_multicast)


def test_networks_can_be_allowed() -> None:
    rules = TargetRules(allowed_networks=parse_networks(["10.1.0.0/16", "::1/128"]), ports=())
    target = parse_target("https://inside.example:9000/", rules)
    assert rules.judge(target, ["10.1.2.3", "::1", "8.8.8.8"]) == ("10.1.2.3", "::1", "8.8.8.8")
    with pytest.raises(WebhookRefusedError):
        rules.judge(target, ["10.2.0.1"])


def test_plain_http_is_for_allowed_networks_alone() -> None:
    rules = TargetRules(allowed_networks=parse_networks(["127.0.0.0/8"]), ports=(), allow_http=True)
    target = parse_target("http://localhost:9000/", rules)
    assert rules.judge(target, ["127.0.0.1"]) == ("127.0.0.1",)
    with pytest.raises(WebhookRefusedError, match="https"):
        rules.judge(target, ["93.184.216.34"])
    with pytest.raises(WebhookRefusedError, match="https"):
        parse_target("http://localhost:9000/", RULES)


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "authority"),
    [
        ("https://example.com", "example.com", 443, "/", "example.com"),
        ("https://Example.com:8443/a?b=c&d", "example.com", 8443, "/a?b=c&d", "example.com:8443"),
        ("https://93.184.216.34/%C3%A4", "93.184.216.34", 443, "/%C3%A4", "93.184.216.34"),
        ("https://[2606:4700::1111]/", "2606:4700::1111", 443, "/", "[2606:4700::1111]"),
        ("HTTPS://a_b.example.com/", "a_b.example.com", 443, "/", "a_b.example.com"),
    ],
)
def test_a_url_is_taken_apart(url: str, host: str, port: int, path: str, authority: str) -> None:
    target = parse_target(url, RULES)
    assert (target.host, target.port, target.path) == (host, port, path)
    assert target.authority == authority
    assert target.tls


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/hook",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "https://",
        "https:///hook",
        "https://:443/",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://example.com@127.0.0.1/",
        "https://example.com#@127.0.0.1/",
        "https://example.com/#part",
        "https://example.com\\@127.0.0.1/",
        "https://exa mple.com/",
        "https://example.com/\r\nHost: inside",
        "https://example.com/\x00",
        "https://exämple.com/",
        "https://example.com:0/",
        "https://example.com:22/",
        "https://example.com:99999/",
        "https://example.com:port/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://%31%32%37.0.0.1/",
        "https://-example.com/",
        "https://example..com/",
        "https://" + "a" * 64 + ".com/",
        "https://example.com/" + "a" * 2000,
    ],
)
def test_a_url_that_could_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(WebhookRefusedError):
        parse_target(url, RULES)


@given(st.text(max_size=60), st.sampled_from(["", "https://", "https://example.com"]))
def test_any_text_is_taken_or_refused_and_never_breaks(text: str, before: str) -> None:
    try:
        target = parse_target(before + text, TargetRules(ports=()))
    except WebhookRefusedError:
        return
    assert target.path.startswith("/")
    assert not set("\r\n\t @") & set(target.host + target.path + target.authority) - {"@"}
    assert "@" not in target.authority
