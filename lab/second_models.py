"""Experience models beside an environment's own, for Compare and the microscope: which there are, which is loaded.

An address names a model by a word of this list, never by a path or a URL, so that no link makes the lab load or reach
anything that was not given to it: bundled models, folders in the workspace's `models`, what was named at the start, and
the vLLM servers that run here.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from dreamgym.engines.model_folder import BUNDLED, EXPERIENCE_MODELS, model_name
from dreamgym.engines.openai_http import HttpEngine
from dreamgym.engines.registry import is_endpoint
from dreamgym.engines.worker import WorkerEngine
from dreamgym.errors import EngineError
from dreamgym.experience_model import prompts
from dreamgym.experience_model.model import ExperienceModel
from lab.model_servers import ModelServers

SECONDS_TO_WAIT = 60.0
"""For another comparison to give the extra process back."""
READ_ONLY = (
    "The lab was started read-only, so no second model's process is started: choose the same model, or an endpoint."
)


@dataclass(frozen=True, slots=True)
class SecondModel:
    """A model that may be laid beside another."""

    name: str
    """What an address calls it."""
    source: str
    """Folder, or endpoint with its model's name behind "#"."""

    @property
    def is_endpoint(self) -> bool:
        """It runs elsewhere, so that nothing is started for it."""
        return is_endpoint(self.source)


class SecondModels:
    """The list, and at most one process more than the lab has; safe to use from several threads."""

    def __init__(
        self,
        folder: Path | None = None,
        given: Sequence[str] = (),
        servers: ModelServers | None = None,
        *,
        read_only: bool = False,
    ) -> None:
        """Remember where models are.

        Args:
            folder: Whose subfolders are models; need not exist.
            given: Folders and endpoints that were named at the start.
            servers: vLLM servers of this lab.
            read_only: No process may be started.

        Raises:
            EngineError: One of `given` is neither a folder with a model nor an endpoint.
        """
        for source in given:
            if not is_endpoint(source):
                model_name(Path(source).expanduser())
        self._folder, self._given, self._servers, self._read_only = folder, tuple(given), servers, read_only
        self._free = threading.Condition()
        self._loaded: tuple[SecondModel, WorkerEngine] | None = None
        self._num_users = 0
        self._names: dict[str, str] = {}

    def all(self) -> dict[str, SecondModel]:
        """What can be chosen now, by a name that fits an address; a name that is taken gets a number."""
        bundled = [BUNDLED / name for name in EXPERIENCE_MODELS.values()]
        inside = sorted(self._folder.iterdir()) if self._folder and self._folder.is_dir() else []
        folders = [path for path in (*bundled, *inside) if (path / "config.json").is_file()]
        found = [SecondModel(_name_of(str(path)), str(path)) for path in folders]
        found += [SecondModel(_name_of(source), source) for source in self._given]
        servers = self._servers.all() if self._servers else {}
        found += [
            SecondModel(f"vllm-{number}", f"{server.url}#{server.settings.name or server.settings.model}")
            for number, server in servers.items()
            if server.status == "ready"
        ]
        named: dict[str, SecondModel] = {}
        for model in found:
            numbered = (f"{model.name}-{number}" if number > 1 else model.name for number in count(1))
            name = next(each for each in numbered if each not in named)
            named[name] = replace(model, name=name)
        return named

    def full_name(self, model: SecondModel) -> str:
        """Name and checksum of the weights, or name and host; EngineError when the folder has no weights."""
        if model.is_endpoint:
            url, _, served = model.source.partition("#")
            return f"{served or 'model'}@{url.partition('://')[2].partition('/')[0]}"
        if model.source not in self._names:
            self._names[model.source] = model_name(Path(model.source).expanduser())
        return self._names[model.source]

    @property
    def process(self) -> WorkerEngine | None:
        """The process beside the lab's own, while it is used."""
        loaded = self._loaded
        return loaded[1] if loaded else None

    def refusal(self, model: SecondModel) -> str | None:
        """Why it cannot be used here, with the next move; None when it can."""
        return READ_ONLY if self._read_only and not model.is_endpoint else None

    @contextmanager
    def borrow(self, model: SecondModel) -> Iterator[ExperienceModel]:
        """Let a model dream; its process is ended when nobody uses it any more.

        Raises:
            EngineError: It must not be started here, or another one has been in use for too long.
        """
        if refused := self.refusal(model):
            raise EngineError(refused)
        if model.is_endpoint:
            url, _, served = model.source.partition("#")
            remote = HttpEngine(url, served, regex=prompts.reply_regex)
            try:
                yield ExperienceModel(remote)
            finally:
                remote.close()
            return
        engine = self._take(model)
        try:
            yield ExperienceModel(engine)
        finally:
            self._give_back()

    def close(self) -> None:
        """End the process, even while it is used; safe to call twice."""
        with self._free:
            if self._loaded is not None:
                self._loaded[1].close()

    def _take(self, model: SecondModel) -> WorkerEngine:
        with self._free:
            is_mine = self._free.wait_for(
                lambda: self._loaded is None or self._loaded[0] == model, timeout=SECONDS_TO_WAIT
            )
            if not is_mine:
                raise EngineError(
                    "another second model is dreaming, and only one runs at a time: wait until its comparison is done"
                )
            if self._loaded is None:
                self._loaded = model, WorkerEngine(Path(model.source).expanduser())
            self._num_users += 1
            return self._loaded[1]

    def _give_back(self) -> None:
        with self._free:
            self._num_users -= 1
            if self._num_users or self._loaded is None:
                return
            self._loaded[1].close()
            self._loaded = None
            self._free.notify_all()


def _name_of(source: str) -> str:
    """A word for a folder or an endpoint, of letters that an address takes."""
    url, _, served = source.partition("#")
    last = (served or url.partition("://")[2]) if is_endpoint(source) else Path(source).expanduser().resolve().name
    return "".join(sign if sign.isalnum() or sign in "_.-" else "-" for sign in last).strip("-._") or "model"
