"""What Models shows: each model's process, the vLLM servers, and how busy the machine is."""

import shlex
import time
from typing import Any

from dreamgym.engines.vllm_server import VllmServer
from dreamgym.engines.worker import WorkerEngine
from lab.model_servers import memory_of
from lab.resources import GIGABYTE, Resources
from lab.server_load import Load
from lab.services import EnvironmentServices, Services
from lab.viewmodels.text import counted

TINTS = {"ready": "ok", "starting": "run"}
READ_ONLY = "This lab is read-only: nothing is started or stopped here."
EMPTY = (
    "No server runs. One with an instruction model can dream, vary tasks or teach: name a model below, or start one by "
    "hand and use its address:"
)
BY_HAND = "dreamgym evaluate-experience-model --model http://127.0.0.1:8000/v1"


def models_value(services: Services, resources: Resources) -> dict[str, Any]:
    """Everything on the tab, as the component draws it.

    Args:
        services: Engines and servers.
        resources: Of this machine.
    """
    known = services.servers
    servers = [_server(number, one, known.load(one)) for number, one in known.all().items()] if known else []
    return {
        "at": time.strftime("%H:%M:%S"),
        "models": [
            *(_model(name, each) for name, each in services.environments.items()),
            *(_process(f"{name}, policy", each.policy) for name, each in services.environments.items() if each.policy),
            *([_process("second model", second)] if (second := services.second_models.process) else []),
        ],
        "servers": servers,
        "empty": "" if servers else EMPTY,
        "by_hand": BY_HAND,
        "read_only": READ_ONLY if services.read_only else "",
        "parts": resources.value(),
    }


def _model(environment: str, each: EnvironmentServices) -> dict[str, Any]:
    """The bundled experience model of an environment."""
    engine = each.engine
    status = each.status
    if engine is None:
        what = "in this process" if each.model else each.model_reason
        return {"environment": environment, "name": each.model.name if each.model else "none", "detail": what} | _chip(
            status or "not here"
        )
    return _process(environment, engine)


def _process(what: str, engine: WorkerEngine) -> dict[str, Any]:
    """A model in a process of its own."""
    used = engine.usage
    speed = f"{used.num_tokens / used.seconds:,.0f}" if used.seconds else "–"
    return {
        "environment": what,
        "name": engine.name,
        "detail": ", ".join(filter(None, [engine.device, counted(engine.num_threads, "thread")])),
        "pid": engine.pid,
        "memory": _gigabytes(memory_of(engine.pid)),
        "replies": f"{used.num_replies:,}",
        "tokens": f"{used.num_tokens:,}",
        "speed": speed,
        "waiting": used.num_waiting,
        **_chip(engine.status),
    }


def _server(number: str, server: VllmServer, load: Load | None) -> dict[str, Any]:
    settings = server.settings
    model = settings.name or settings.model
    name = f"{server.url}#{model}"
    said = [settings.devices and f"GPUs {settings.devices}", settings.adapters and f"adapters {settings.adapters}"]
    said.append(f"{settings.tensor_parallel} GPUs share it" if settings.tensor_parallel > 1 else "")
    return {
        "number": number,
        "model": model,
        "detail": ", ".join(filter(None, said)),
        "url": server.url,
        "pid": server.pid,
        "memory": _gigabytes(memory_of(server.pid)),
        "speed": f"{load.tokens_per_second:,.0f}" if load and load.tokens_per_second is not None else "–",
        "running": load.running if load else "–",
        "waiting": load.waiting if load else "–",
        "use": shlex.join(["dreamgym", "train", "--set", f"experience_model.model={name}"]),
        "log": server.log_tail(),
        "log_path": str(server.log_path),
        "ends": server.pid is not None,
        **_chip(server.status),
    }


def _chip(status: str) -> dict[str, str]:
    """A status in a word, its colour, and what more there is to say."""
    word, _, reason = status.partition(": ")
    return {"word": word, "tint": TINTS.get(word, "bad" if word == "failed" else ""), "reason": reason}


def _gigabytes(num: float | None) -> str:
    return "–" if num is None else f"{num / GIGABYTE:.2f} GB"
