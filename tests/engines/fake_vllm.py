#!/usr/bin/env python3
"""Stands for an interpreter that has vLLM: answers /health and /metrics, or dies as the model's name says."""

import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

METRICS = """# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tiny"} 3.0
vllm:num_requests_running{engine="1",model_name="tiny"} 1.0
vllm:num_requests_waiting{engine="0",model_name="tiny"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 7.0
vllm:generation_tokens_total{engine="0",model_name="a } b"} WRITTEN
"""


class Handler(BaseHTTPRequestHandler):
    written = 0.0

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        if self.path == "/metrics":
            print('INFO: "GET /metrics HTTP/1.1" 200 OK', flush=True)
            Handler.written += 1e9
            self.wfile.write(METRICS.replace("WRITTEN", str(Handler.written)).encode())
            return
        self.wfile.write(
            (os.environ.get("VLLM_API_KEY", "") + "|" + os.environ.get("CUDA_VISIBLE_DEVICES", "")).encode()
        )


def main() -> None:
    words = sys.argv[1:]
    if "-c" in words:  # is vLLM there?
        sys.exit(0)
    print("vLLM", *words, flush=True)
    model = words[words.index("serve") + 1]
    if model == "broken":
        print("ValueError: no such model", file=sys.stderr, flush=True)
        sys.exit(3)
    if model == "slow":
        time.sleep(60)
    HTTPServer(("127.0.0.1", int(words[words.index("--port") + 1])), Handler).serve_forever()


if __name__ == "__main__":
    main()
