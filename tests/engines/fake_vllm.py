#!/usr/bin/env python3
"""Stands for an interpreter that has vLLM: answers /health, or dies as the model's name says."""

import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(
            (os.environ.get("VLLM_API_KEY", "") + "|" + os.environ.get("CUDA_VISIBLE_DEVICES", "")).encode()
        )


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
