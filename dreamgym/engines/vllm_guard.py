"""Runs a command until it ends or its owner is gone: `python vllm_guard.py OWNER_PID COMMAND…`.

The command and all that it starts are in this process's group. When the owner is killed, nobody else would end a server
that holds a GPU.
"""

import os
import signal
import subprocess
import sys
import time

_CHECK_SECONDS = 1.0
_END_SECONDS = 20.0


def main(owner: int, command: list[str]) -> int:
    """Return the command's exit status."""
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            if os.getppid() != owner:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                os.killpg(0, signal.SIGTERM)
                time.sleep(_END_SECONDS if process.poll() is None else 0.0)
                os.killpg(0, signal.SIGKILL)
            time.sleep(_CHECK_SECONDS)
        return process.returncode


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
