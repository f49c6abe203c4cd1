"""Which addresses a webhook may go to: the public internet, and nothing that is near us.

A tenant writes the URL, and we send the request from inside the operator's network: without these
rules it could reach what only that network may reach (server-side request forgery). Names are
resolved once, every address that comes back is judged, and the request goes to the very address
that was judged; so a name that changes its address in between (DNS rebinding) wins nothing.
References: IANA special-purpose address registries (RFC 6890); OWASP, "SSRF prevention".
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import urlsplit

from whisperdrop.errors import WebhookRefusedError

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

MAX_URL_LENGTH = 2000

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)
_PRINTABLE = re.compile(r"[!-\[\]-~]+")  # ASCII without spaces, controls and the backslash
_DEFAULT_PORTS = {"https": 443, "http": 80}

_NOT_PUBLIC_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; a cloud's metadata too
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's host agent: a public number that never leaves the machine
        "169.254.0.0/16",  # link-local, the metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; a cloud's metadata too
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_NOT_PUBLIC_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: deprecated, and it embeds any IPv4 address
        "3fff::/20",  # documentation
    )
)
_MAPPED_V6 = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True)
class TargetRules:
    """What the operator allows beyond the public internet."""

    allowed_networks: tuple[Network, ...] = ()
    """Networks that are not public and may be reached all the same."""
    ports: tuple[int, ...] = (443,)
    """Ports that a URL may name; empty for any."""
    allow_http: bool = False
    """Take ``http://`` too, for addresses inside the allowed networks."""

    def judge(self, target: "Target", addresses: Iterable[str]) -> tuple[str, ...]:
        """The addresses of ``target``, if every one of them may be reached.

        One that may not is enough to refuse, however many others there are. The message does not
        say what a name resolves to: that may be the operator's secret. Raises WebhookRefusedError.
        """
        found = tuple(addresses)
        if not found:
            raise WebhookRefusedError(f"the host {target.host} has no address")
        for address in found:
            allowed = _inside(ip_address(address.partition("%")[0]), self.allowed_networks)
            if not allowed and ("%" in address or not is_public(ip_address(address))):
                raise WebhookRefusedError(
                    f"the host {target.host} is not on the public internet: webhooks go to no "
                    "private, loopback, link-local or otherwise reserved address"
                )
            if not allowed and not target.tls:
                raise WebhookRefusedError("a webhook's URL must begin with https://")
        return found


@dataclass(frozen=True)
class Target:
    """A URL taken apart; ``path`` has the query with it."""

    host: str
    port: int
    path: str
    tls: bool

    @property
    def authority(self) -> str:
        """As the ``Host`` header says it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = _DEFAULT_PORTS["https" if self.tls else "http"]
        return host if self.port == default else f"{host}:{self.port}"


def parse_target(url: str, rules: TargetRules) -> Target:
    """Take ``url`` apart, strictly: what two parsers may read differently is refused.

    Raises WebhookRefusedError.
    """
    if len(url) > MAX_URL_LENGTH or not _PRINTABLE.fullmatch(url):
        raise WebhookRefusedError(
            f"a webhook's URL has at most {MAX_URL_LENGTH} characters, all of them printable ASCII "
            "(write other letters percent-encoded, and names as xn--…)"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise WebhookRefusedError("this is not a URL") from error
    if parts.scheme not in ({"https", "http"} if rules.allow_http else {"https"}):
        raise WebhookRefusedError("a webhook's URL must begin with https://")
    if "@" in parts.netloc:
        raise WebhookRefusedError("a webhook's URL must not have a user name or password in it")
    if "#" in url:
        raise WebhookRefusedError("a webhook's URL must not have a fragment (#) in it")
    host = parts.hostname or ""
    if not _NAME.fullmatch(host) and not _is_literal(host):
        raise WebhookRefusedError("a webhook's URL needs a host name, as https://example.com/hook")
    port = _DEFAULT_PORTS[parts.scheme] if port is None else port
    if port == 0 or (rules.ports and port not in rules.ports):
        ports = ", ".join(map(str, rules.ports)) or "1 to 65535"
        raise WebhookRefusedError(f"a webhook's URL may name these ports: {ports}")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(host, port, path, parts.scheme == "https")


def is_public(address: Address) -> bool:
    """Whether ``address`` belongs to a stranger on the internet.

    IPv4 inside IPv6 counts as the IPv4 address that the packet ends at.
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    if address in _MAPPED_V6 or address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    return address in _GLOBAL_V6 and not any(address in network for network in _NOT_PUBLIC_V6)


def parse_networks(names: Iterable[str]) -> tuple[Network, ...]:
    """Networks in CIDR notation. Raises ValueError."""
    return tuple(ip_network(name) for name in names)


def _inside(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return "%" not in host
