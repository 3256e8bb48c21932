import socket

import pytest


def test_leaving_this_machine_fails_a_test() -> None:
    with socket.socket() as connection, pytest.raises(AssertionError, match=r"connects to .*192\.0\.2\.1"):
        connection.connect(("192.0.2.1", 80))
