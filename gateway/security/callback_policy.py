"""Which URLs and addresses callbacks may be sent to, by the settings. Pure.

Host names are looked up by callbacks/sender.py, which asks the policy about each address.
"""

from collections.abc import Collection

from common.addresses import read_address
from common.allowed_hosts import AllowedHost
from common.urls import UrlRejected, is_private, origin_of


class CallbackPolicy:
    """`urls` are those of callbacks.urls, which are used for every call's callbacks."""

    def __init__(self, urls: Collection[str], allowed_hosts: Collection[AllowedHost]) -> None:
        self._urls = frozenset(urls)
        self._allowed = tuple(allowed_hosts)
        self._has_networks = any(entry.network for entry in allowed_hosts)

    def trusts(self, url: str) -> bool:
        """Whether the settings name the URL, or its host by name: any address will do then.

        Raises UrlRejected.
        """
        origin = origin_of(url)
        return url in self._urls or any(
            entry.pattern and entry.matches(*origin) for entry in self._allowed
        )

    def check(self, url: str) -> None:
        """Raise UrlRejected unless `url` is usable and its host may be allowed.

        A name may be looked up after this, and each of its addresses has to be permitted.
        """
        scheme, host, port = origin_of(url)
        if self.trusts(url):
            return
        if read_address(host):
            self.check_address(host, host, port, scheme=scheme)
        elif self._allowed and not self._has_networks:
            raise UrlRejected(f"host {host} is not one of callbacks.allowed_hosts")
        elif is_private(host) and not self._has_networks:
            raise _is_private(host)

    def check_address(self, host: str, address: str, port: int, *, scheme: str = "") -> None:
        """Raise UrlRejected unless `address`, which `host` has, is permitted."""
        if self._allowed:
            if not any(
                entry.network and entry.matches(scheme, address, port) for entry in self._allowed
            ):
                raise UrlRejected(f"host {host} is not one of callbacks.allowed_hosts")
        elif is_private(address):
            raise _is_private(host)


def _is_private(host: str) -> UrlRejected:
    return UrlRejected(
        f"{host} is in a private network; to allow it, list it in callbacks.allowed_hosts"
    )
