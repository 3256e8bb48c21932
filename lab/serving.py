"""Who may reach the page: hosts, ports and logins. Pages start processes, so the default is this machine alone."""

import hmac
import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dreamgym.errors import ConfigError

NUM_PORTS_TRIED = 100
FREE_TRIES = 5
"""Wrong passwords of a user before there is a wait."""
MAX_WAIT_SECONDS = 300.0

log = logging.getLogger(__name__)


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


def choose_port(host: str, wanted: int | None, first: int) -> int:
    """Return `wanted`, or without one the first port from `first` on that nobody listens on.

    Raises:
        ConfigError: The port is taken or may not be used, or `host` is no address of this machine.
    """
    ports = range(first, first + NUM_PORTS_TRIED) if wanted is None else [wanted]
    reason = ""
    for port in ports:
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
                return int(probe.getsockname()[1])
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
    ports_text = f"port {ports[0]}" if len(ports) == 1 else f"any port from {ports[0]} to {ports[-1]}"
    raise ConfigError(f"cannot listen on {ports_text} of {host} ({reason}): choose another with --port or --host")


def page_url(host: str, port: int) -> str:
    """Address of the page for a browser on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


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


class Logins:
    """Checks logins, as Gradio asks for it; who guesses waits longer and longer.

    After some wrong passwords for a user further tries are refused unseen, the right one too, until a time is over that
    doubles with every wrong one that was looked at.
    """

    def __init__(self, logins: Sequence[tuple[str, str]], clock: Callable[[], float] = time.monotonic) -> None:
        self._passwords = dict(logins)
        self._clock = clock
        self._lock = threading.Lock()
        self._wrong: dict[str, tuple[int, float]] = {}
        """User -> wrong tries since the last right one, and until when others are refused."""

    def __call__(self, user: str, password: str) -> bool:
        """Is this a login, and may it be tried now?"""
        known = self._passwords.get(user)
        if known is None:
            return False
        with self._lock:
            number, until = self._wrong.get(user, (0, 0.0))
            now = self._clock()
            if now < until:
                return False
            if hmac.compare_digest(password.encode(), known.encode()):
                self._wrong.pop(user, None)
                return True
            number += 1
            wait = min(2.0 ** (number - FREE_TRIES), MAX_WAIT_SECONDS) if number >= FREE_TRIES else 0.0
            self._wrong[user] = (number, now + wait)
        if wait:
            log.warning("%d wrong passwords for %r; the next try is looked at in %g seconds", number, user, wait)
        return False


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise ConfigError(f"--auth cannot read {path}: {error.strerror}") from error
