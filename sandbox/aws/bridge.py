"""Where containers find the host: the address that Docker gives ``host.docker.internal`` on Linux."""

import fcntl
import logging
import os
import socket
import struct
import sys

from sandbox.environment import port_is_free

logger = logging.getLogger("benchtop.aws")

_SIOCGIFADDR = 0x8915
"""Linux: get the address of an interface (``man 7 netdevice``)."""


def bridge_addresses() -> tuple[str, ...]:
    """Addresses of Docker's default bridge that belong to this host.

    Empty with Docker Desktop, whose bridge is inside its virtual machine and which carries
    ``host.docker.internal`` to loopback by itself, and when no Docker engine answers (said in the log).
    """
    import docker
    import docker.errors

    try:
        client = docker.from_env(timeout=10)
        try:
            network = client.api.inspect_network("bridge")
        finally:
            client.close()
    except (docker.errors.DockerException, OSError) as error:
        where = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
        logger.warning("no Docker engine at %s (%s): containers will not reach the emulator", where, error)
        return ()
    candidates = [part.get("Gateway") for part in (network.get("IPAM") or {}).get("Config") or []]
    # Older engines leave the gateway out; the interface that they name has it as its address.
    interface = (network.get("Options") or {}).get("com.docker.network.bridge.name", "")
    candidates.append(_interface_address(interface))
    ours = tuple({address: None for address in candidates if address and port_is_free(0, address)})
    if not ours:
        logger.info("Docker's bridge is not on this host: listening on loopback only")
    return ours


def _interface_address(name: str) -> str | None:
    """IPv4 address of a network interface of this host; None when it has none (or this isn't Linux)."""
    if not name or sys.platform != "linux":
        return None
    request = struct.pack("256s", name.encode()[:15])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        try:
            answer = fcntl.ioctl(asker.fileno(), _SIOCGIFADDR, request)
        except OSError:
            return None
    return socket.inet_ntoa(answer[20:24])
