"""Whether a download can begin at all."""

import socket
import urllib.request


def require_host(host: str) -> None:
    """Returns where a host can be found, or a proxy will look for it.

    TensorFlow Datasets tries for minutes to download what it can't reach.

    Args:
        host: its name.

    Raises:
        OSError: its name isn't known; as a rule there is no network.
    """
    if not urllib.request.getproxies():
        socket.getaddrinfo(host, 443)
