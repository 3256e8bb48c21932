import socket
from pathlib import Path

import pytest

from dreamgym.errors import ConfigError
from lab.serving import (
    FREE_TRIES,
    MAX_WAIT_SECONDS,
    Logins,
    choose_port,
    is_loopback,
    page_url,
    read_auth,
    refuse_open_host,
)


@pytest.mark.parametrize(
    ("host", "closed"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("lab.example", False)],
)
def test_only_loopback_is_closed_to_others(host: str, closed: bool) -> None:
    assert is_loopback(host) is closed


def test_an_open_host_needs_a_login_or_read_only() -> None:
    with pytest.raises(ConfigError, match=r"--auth .* or --read-only"):
        refuse_open_host("0.0.0.0", [], read_only=False)
    refuse_open_host("0.0.0.0", [("a", "b")], read_only=False)
    refuse_open_host("0.0.0.0", [], read_only=True)
    refuse_open_host("127.0.0.1", [], read_only=False)


def test_logins_come_from_the_line_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "logins"
    file.write_text("eva:p:w\n\n")
    assert read_auth(["ann:1,bob:2", f"@{file}"]) == [("ann", "1"), ("bob", "2"), ("eva", "p:w")]


@pytest.mark.parametrize("value", ["ann", "ann:", ":1", "@/no/such/file"])
def test_a_login_without_both_halves_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="--auth"):
        read_auth([value])


def test_a_password_is_not_repeated_in_the_error() -> None:
    with pytest.raises(ConfigError) as error:
        read_auth([":secret"])
    assert "secret" not in str(error.value)


def test_the_next_free_port_is_taken_and_a_named_one_must_be_free() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert choose_port("127.0.0.1", None, port) > port
        with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1"):
            choose_port("127.0.0.1", port, 7860)
    with pytest.raises(ConfigError, match="cannot listen"):
        choose_port("192.0.2.1", None, 7860)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:1/"),
        ("0.0.0.0", "http://127.0.0.1:1/"),
        ("::", "http://[::1]:1/"),
        ("a", "http://a:1/"),
    ],
)
def test_the_address_can_be_opened_in_a_browser(host: str, url: str) -> None:
    assert page_url(host, 1) == url


def test_guessing_a_password_takes_longer_and_longer() -> None:
    now = 0.0
    logins = Logins([("ada", "secret"), ("bob", "other")], clock=lambda: now)
    assert logins("ada", "secret") and not logins("ada", "other") and not logins("", "") and not logins("eve", "")
    for _ in range(FREE_TRIES - 1):
        assert not logins("ada", "wrong")
    assert not logins("ada", "secret"), "refused unseen"
    assert logins("bob", "other"), "nobody else waits"
    now = 1.5
    assert not logins("ada", "wrong"), "this one was looked at: the wait doubles"
    now = 3.0
    assert not logins("ada", "secret")
    now = 3.6
    assert logins("ada", "secret")
    assert not logins("ada", "wrong") and logins("ada", "secret"), "a right one starts anew"


def test_waits_are_bounded_and_a_flood_of_names_ends_none() -> None:
    now = 0.0
    logins = Logins([("ada", "secret")], clock=lambda: now)
    for _ in range(50):
        now += MAX_WAIT_SECONDS + 1
        assert not logins("ada", "wrong")
    for number in range(2000):
        assert not logins(f"user {number}", "x")
    assert not logins("ada", "secret")
    now += MAX_WAIT_SECONDS
    assert logins("ada", "secret")
