"""What counts as outside: which addresses of the internet media may be fetched from, and by which URLs.

Whoever may schedule a post may name an address, and a worker stands inside the house: so nothing of the house is
fetched, however its address is spelled.  The check is made of the numeric address that is connected to.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

import httpx2

from autoposter.media.sources import shown
from autoposter.publishers.errors import ContentRejected

#: Of IPv6 only global unicast addresses are outside: not loopback, link-local, unique local, multicast, IPv4-mapped,
#: NAT64 (64:ff9b::/96 and the local-use 64:ff9b:1::/48), nor what is not given out yet.
GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")

#: What else leads inside, or nowhere: IANA's special-purpose registries (RFC 6890 and its updates), of 2026.
#: Our own list, because Python's differs from one patch release to the next.
INSIDE = [
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",  # this network; Linux takes it for the machine itself
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT; a cloud's metadata at 100.100.100.200
        "127.0.0.0/8",
        "168.63.129.16/32",  # looks public: a cloud's metadata
        "169.254.0.0/16",  # link-local; most clouds' metadata
        "172.16.0.0/12",
        "192.0.0.0/24",  # IETF protocols; a cloud's metadata at 192.0.0.192
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/3",  # multicast, reserved, broadcast
        "2001::/23",  # IETF protocols: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
]

#: Names that end so mean something else in each house: RFC 6761, RFC 6762, RFC 8375, ICANN's `.internal`, and custom.
INSIDE_NAMES = ("localhost", "local", "internal", "home.arpa", "lan")


def is_outside(address: str) -> bool:
    """Whether a numeric address is one of the public internet."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and (found.scope_id or found not in GLOBAL_UNICAST):
        return False
    return not any(found in network for network in INSIDE if network.version == found.version)


def refuse_inside(host: str, addresses: Collection[str]) -> None:
    """Raises ContentRejected if any address of a host is not outside: a name with a foot inside is a trap."""
    for address in addresses:
        if not is_outside(address):
            raise ContentRejected(
                f"{host} has the address {address}, which is not of the public internet: if it is a media server of"
                " your own, name it in AUTOPOSTER_MEDIA_ALLOW."
            )


def parsed(source: str, allow: Collection[str]) -> httpx2.URL:
    """The URL of a source, if its form is one that may be fetched.  Raises ContentRejected.

    Hosts in `allow` may have any port, and be spoken to in plain http.
    """
    try:
        url = httpx2.URL(source)
    except (httpx2.InvalidURL, ValueError, TypeError) as error:
        raise ContentRejected(f"The address {shown(source)!r} cannot be read: {shown(error).rstrip('.')}.") from None
    if not url.host or any(char.isspace() or char in "%\\" for char in url.host):
        raise ContentRejected(f"The address {shown(source)!r} names no host.")
    if url.userinfo:
        raise ContentRejected("An address of media must not hold a user name or password: it is shown and stored.")
    own = is_own(url, allow)
    if url.scheme != "https" and not (own and url.scheme == "http"):
        raise ContentRejected(f"Media are fetched by https, not by {url.scheme or 'nothing'}: {shown(source)}.")
    if url.port not in (None, 443) and not own:
        raise ContentRejected(f"Media are fetched from port 443, not from {url.port}: {shown(source)}.")
    return url


def is_own(url: httpx2.URL, allow: Collection[str]) -> bool:
    """Whether the house has named this host as its own."""
    return url.host.rstrip(".").lower() in allow or url.raw_host.decode("ascii").rstrip(".") in allow


def may_be_public(address: str) -> bool:
    """Whether a platform might fetch this address by itself, as far as its form tells.  Looks nothing up."""
    try:
        url = httpx2.URL(address)
    except (httpx2.InvalidURL, ValueError, TypeError):
        return False
    return url.scheme == "https" and bool(url.host) and not inside_by_its_name(url.host)


def inside_by_its_name(host: str) -> bool:
    """Whether a host's name alone tells that nobody outside can reach it.  Looks nothing up."""
    name = host.rstrip(".").lower()
    if name.replace(".", "").isdigit() or ":" in name:
        return not is_outside(name)
    return "." not in name or any(name.endswith(f".{ending}") for ending in INSIDE_NAMES)
