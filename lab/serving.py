"""Who may reach the page: hosts, ports and logins. Pages start processes, so the default is this machine alone."""

import ipaddress
import socket
from collections.abc import Sequence
from pathlib import Path

from dreamgym.errors import ConfigError

NUM_PORTS_TRIED = 100


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_open_host(host: str, auth: Sequence[tuple[str, str]], read_only: bool) -> None:
    """Raise ConfigError when others could start processes here without a login."""
    if not (is_loopback(host) or auth or read_only):
        raise ConfigError(
            f"{host} can be reached from other machines, and pages of the lab start processes: "
            "add --auth USER:PASSWORD or --read-only, or leave out --host to serve this machine alone"
        )


def free_port(host: str, first: int) -> int:
    """Return the first port from `first` on that nobody listens on."""
    for port in range(first, first + NUM_PORTS_TRIED):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise ConfigError(f"no free port from {first} to {first + NUM_PORTS_TRIED - 1} on {host}: name one with --port")


def read_auth(values: Sequence[str]) -> list[tuple[str, str]]:
    """Read logins: "user:password", several with commas between, or "@file" with one a line.

    Raises:
        ConfigError: One has no colon or an empty half, or the file cannot be read.
    """
    logins = []
    for value in values:
        for login in _lines(Path(value[1:])) if value.startswith("@") else value.split(","):
            user, colon, password = login.partition(":")
            if not (colon and user and password):
                raise ConfigError(f"--auth expects USER:PASSWORD, got {user!r} without a password")
            logins.append((user, password))
    return logins


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise ConfigError(f"--auth cannot read {path}: {error.strerror}") from error
