"""Folders that each have a process of their own: made whole, locked while it lives, logged, stopped, deleted by name.

What is true is in the folders alone, so that the lab may close, crash or be two, and finds all of them again. The lock
of a folder is handed to the process that is started for it: there is no moment in which it looks dead, and nobody can
start or delete it a second time.
"""

import codecs
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dreamgym.config import ROOT
from dreamgym.errors import WorkspaceError
from dreamgym.runs import status

MAX_LOG_BYTES = 1 << 20
"""Of one answer of `log`."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_PATIENCE_SECONDS = 0.5


class Folders:
    """Folders of one kind below a path; every method raises WorkspaceError where one is missing or cannot be used."""

    def __init__(self, path: Path, kind: str, marker: str = "") -> None:
        """Nothing is read or written yet.

        Args:
            path: Made with the first folder.
            kind: What one of them is called, e.g. "run".
            marker: A file that only folders of this kind have; empty: there are no others here.
        """
        self.path, self._kind, self._marker = path.absolute(), kind, marker
        self._children: list[subprocess.Popen[bytes]] = []

    def ids(self) -> tuple[str, ...]:
        """Names of all, sorted."""
        self._children = [child for child in self._children if child.poll() is None]  # also buries those that ended
        try:
            entries = sorted(self.path.iterdir())
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise WorkspaceError(f"{self.path} cannot be read: {error.strerror}") from error
        found = (path for path in entries if path.is_dir() and not path.is_symlink() and _NAME.fullmatch(path.name))
        return tuple(path.name for path in found if (path / self._marker).exists())

    def folder(self, name: str) -> Path:
        """Return one by its name; the error names the existing ones."""
        known = self.ids()
        if not _NAME.fullmatch(name) or name not in known:
            there_are = f"there are {', '.join(known)}" if known else "there are none yet"
            raise WorkspaceError(f"there is no {self._kind} {name!r} in {self.path}; {there_are}")
        return self.path / name

    def create(self, fill: Callable[[Path], None], base: str, *, is_whole_name: bool = False) -> tuple[Path, int]:
        """Make a folder that appears whole.

        Args:
            fill: Writes its files.
            base: Begins its name, before the next free number.
            is_whole_name: It is the name; the folder may not be there yet.

        Returns:
            The folder, and the descriptor that holds its lock.
        """
        new = self.path / f".new-{secrets.token_hex(8)}"
        with written(new):
            new.mkdir(parents=True)
            lock = status.take(new / status.LOCK)
            assert lock is not None  # nobody else knows the folder
            try:
                fill(new)
                return self._rename(new, base, is_whole_name), lock
            except BaseException:
                status.release(lock)
                shutil.rmtree(new, ignore_errors=True)
                raise

    def lock(self, folder: Path, what: str) -> int:
        """Take the lock of a folder whose process has ended, to do `what` with it."""
        with written(folder):
            lock = status.take(folder / status.LOCK, _PATIENCE_SECONDS)
        if lock is None:
            raise WorkspaceError(f"{folder.name} is still running: stop it, wait until it has ended, then {what} it")
        return lock

    def start(self, folder: Path, lock: int, program: Sequence[str]) -> None:
        """Start the process of a folder, which gets its lock as the last argument; its output is the folder's log."""
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        try:
            with (folder / status.LOG).open("ab") as log:
                child = subprocess.Popen(
                    [*program, "--lock", str(lock)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=[lock],
                    env=os.environ | {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
                )
        except OSError as error:
            raise WorkspaceError(f"the process of {folder.name} cannot be started: {error}; resume it later") from error
        finally:
            status.release(lock)
        self._children.append(child)

    def stop(self, name: str) -> None:
        """Ask a live one to save its state and end."""
        folder = self.folder(name)
        if not status.is_live(folder):
            raise WorkspaceError(f"{name} is not running: it has ended, see its status")
        with written(folder):
            (folder / status.STOP).touch()

    def delete(self, name: str) -> None:
        """Remove one that is not live, and all it stored; it disappears at once."""
        folder = self.folder(name)
        lock = self.lock(folder, "delete")
        try:
            with written(folder):
                folder.rename(self.path / f".deleted-{secrets.token_hex(8)}")
                for leftover in self.path.glob(".deleted-*"):
                    shutil.rmtree(leftover, ignore_errors=True)
        finally:
            status.release(lock)

    def log(self, name: str, after: int = 0) -> tuple[str, int]:
        """Return log text from a place on, and the place to ask from next; at most MAX_LOG_BYTES at a time.

        Args:
            name: Which folder.
            after: In bytes; 0 for the beginning, and what the last call returned.
        """
        path = self.folder(name) / status.LOG
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                start = after if 0 <= after <= size else 0
                file.seek(start)
                data = file.read(MAX_LOG_BYTES)
        except FileNotFoundError:
            return "", 0
        except OSError as error:
            raise WorkspaceError(f"{path} cannot be read: {error.strerror}") from error
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        text = decoder.decode(data)
        return text, start + len(data) - len(decoder.getstate()[0])  # half a character waits for its other half

    def _rename(self, new: Path, base: str, is_whole_name: bool) -> Path:
        """Give a new folder its name, or the next number; another process may be as fast, then the one after."""
        while True:
            taken = [re.fullmatch(rf"{base}-(\d+)", path.name, re.IGNORECASE) for path in self.path.iterdir()]
            numbers = [int(match[1]) for match in taken if match]
            folder = self.path / (base if is_whole_name else f"{base}-{max(numbers, default=0) + 1:02}")
            try:
                return new.rename(folder)
            except OSError:
                if not folder.exists():
                    raise
                if is_whole_name:
                    raise WorkspaceError(f"{folder} is there already and was left as it is: choose a new one") from None


@contextmanager
def written(what: Path) -> Iterator[None]:
    """Say what could not be written, and what to look at."""
    try:
        yield
    except OSError as error:
        raise WorkspaceError(f"{what} cannot be written: {error}; check the permissions and the free space") from error
