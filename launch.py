"""Open the lab: parse arguments, open the workspace, serve the page. Nothing else."""

import argparse
import signal
import sys
import threading
import webbrowser
from pathlib import Path

from dreamgym.errors import DreamGymError
from lab.app import LAUNCH, build
from lab.services import open_services
from lab.serving import Logins, choose_port, page_url, read_auth, refuse_open_host

DEFAULT_PORT = 7860


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="launch.py", description="Open DreamGym Lab in a browser.")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to bind; others than loopback need --auth or --read-only"
    )
    parser.add_argument("--port", type=int, help=f"port to bind (default: {DEFAULT_PORT}, or the next free one)")
    parser.add_argument(
        "--workspace",
        type=Path,
        default=Path("workspace"),
        help="folder with experience and runs; a missing one starts as the demo",
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="FOLDER|URL",
        help="a further experience model for Compare and the microscope; repeatable: a folder, or an "
        "endpoint (http://host:8000/v1#NAME)",
    )
    parser.add_argument("--read-only", action="store_true", help="nothing is written and nothing is started")
    parser.add_argument(
        "--auth",
        action="append",
        default=[],
        metavar="USER:PASSWORD",
        help="ask for a login; repeatable, comma separated, or @file with one a line",
    )
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Serve until ctrl-C or SIGTERM; returns the exit status."""
    options = arguments(argv)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        auth = read_auth(options.auth)
        refuse_open_host(options.host, auth, options.read_only)
        port = choose_port(options.host, options.port, DEFAULT_PORT)
        services = open_services(options.workspace, models=options.model, read_only=options.read_only)
    except DreamGymError as error:
        print(f"launch.py: {error}", file=sys.stderr)
        return 2
    page = build(services)
    try:
        page.launch(
            server_name=options.host,
            server_port=port,
            auth=Logins(auth) if auth else None,
            prevent_thread_lock=True,
            inline=False,
            **LAUNCH,
        )
        url = page_url(options.host, port)
        print(f"DreamGym Lab is open at {url} (workspace {services.workspace.path}; ctrl-C ends it)", flush=True)
        if options.open:
            webbrowser.open(url)
        stopped.wait()
    except OSError as error:
        print(f"launch.py: {error}: choose another port with --port, or leave it out", file=sys.stderr)
        return 2
    finally:
        services.close()
        page.close(verbose=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
