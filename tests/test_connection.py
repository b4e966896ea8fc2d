"""A host that can't be found is told from one that a proxy will look for."""

import socket
import urllib.request

import pytest

from common.connection import require_host


@pytest.fixture
def no_names(monkeypatch):
    def unknown(*_):
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)


def test_without_a_network_it_is_an_error_at_once(no_names, monkeypatch):
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    with pytest.raises(OSError, match="not known"):
        require_host("example.org")


def test_behind_a_proxy_names_are_the_proxys_affair(no_names, monkeypatch):
    monkeypatch.setattr(urllib.request, "getproxies", lambda: {"https": "http://proxy:3128"})
    require_host("example.org")
