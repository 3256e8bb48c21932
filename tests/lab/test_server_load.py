"""How busy vLLM servers say they are, and that nobody waits for one that does not say it."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

from lab.server_load import Load, Reading, ServerLoad, load_of, read_metrics
from tests.engines.fake_vllm import METRICS


def test_metrics_are_summed_over_engines() -> None:
    assert read_metrics(METRICS.replace("WRITTEN", "1.5e+03"), 7.0) == Reading(7.0, 4, 2, 1500.0)
    assert read_metrics("<html>vllm:num_requests_running</html>", 7.0) is None


def test_speed_is_what_was_written_between_two_readings() -> None:
    first, second = Reading(10.0, 0, 0, 100.0), Reading(12.0, 3, 1, 500.0)
    assert load_of(None, second) == Load(3, 1, None)
    assert load_of(first, second) == Load(3, 1, 200.0)
    assert load_of(second, first._replace(at=14.0)).tokens_per_second is None, "it was started again"
    assert load_of(first, second._replace(at=3610.0)).tokens_per_second is None, "nobody has looked for an hour"


def test_a_server_is_asked_beside_the_page() -> None:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(METRICS.replace("WRITTEN", "5").encode())

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        load = ServerLoad(f"http://127.0.0.1:{server.server_port}/metrics")
        assert load.value() is None, "it is only asked now"
        end = time.monotonic() + 10
        while load.value() is None:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert load.value() == Load(4, 2, None)
        server.shutdown()


def test_nobody_waits_for_a_server_that_does_not_answer() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        load, start = ServerLoad(f"http://127.0.0.1:{deaf.getsockname()[1]}/metrics"), time.monotonic()
        for _ in range(20):
            assert load.value() is None
        assert time.monotonic() - start < 1
    assert sum(thread.name == "ask vllm" for thread in threading.enumerate()) <= 1
