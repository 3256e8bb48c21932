"""Rollouts by vLLM: a stand-in that writes with transformers shows what it is told.

`make test-vllm` has the real one learn.
"""

import json
import os
import shlex
import subprocess
import sysconfig
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from dreamgym.config import ROOT
from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.engines.vllm_server import VllmServer, vllm_problem, vllm_python
from dreamgym.errors import ConfigError, EngineError
from dreamgym.runs import vllm_problems
from dreamgym.runs.config import TrainConfig, override
from dreamgym.runs.plan import plan
from dreamgym.runs.sections import OptimiserConfig, RunConfig
from dreamgym.training import grpo, ppo, vllm_rollouts
from dreamgym.training.vllm_rollouts import Server, VllmActor
from tests.training.corridor import CorridorLoop
from tests.training.test_grpo import CONFIG, GroupsLoop

COLOCATE = replace(CONFIG, policy=replace(CONFIG.policy, vllm="colocate"), run=replace(CONFIG.run, iterations=2))


class Generation:
    """Stands for TRL's VLLMGeneration: the weights of its own change by `sync_weights` alone."""

    made: ClassVar["list[Generation]"] = []

    def __init__(self, model: Any, accelerator: Any = None, processing_class: Any = None, **told: Any) -> None:
        self.model, self.told = model, told
        self.engine = TransformersEngine(model.name_or_path, device="cpu", num_threads=1)
        self.temperature, self.max_completion_length, self.generation_kwargs = 1.0, 16, dict[str, Any]()
        self.num_synced, self.lengths = 0, list[int]()
        self.made.append(self)

    def sync_weights(self) -> None:
        self.engine.model.load_state_dict(self.model.state_dict())
        self.num_synced += 1

    def generate(self, prompts: Sequence[Sequence[int]], images: None, num_generations: int) -> tuple[Any, ...]:
        assert images is None and num_generations == 1
        said = self.generation_kwargs
        assert said["include_stop_str_in_output"] and not said["skip_special_tokens"] and "seed" not in said
        stop = said["stop"][0] if "stop" in said else self.engine.decode(said["stop_token_ids"])
        session = self.engine.open(len(prompts))
        session.restore([[tuple(ids)] for ids in prompts], [0] * len(prompts))
        self.lengths.append(self.max_completion_length)
        seed = len(self.lengths)
        replies = session.generate(stop, self.max_completion_length, self.temperature, seed)
        logprobs = [[[each] for each in reply.logprobs] for reply in replies]
        return prompts, [list(reply.token_ids) for reply in replies], logprobs, None

    def equals(self, policy: TransformersEngine) -> bool:
        mine, trained = self.engine.model.state_dict(), policy.model.state_dict()
        return all(value.equal(trained[name]) for name, value in mine.items())


@pytest.fixture(autouse=True)
def nothing_made() -> None:
    Generation.made.clear()


def engine(folder: Path) -> TransformersEngine:
    return TransformersEngine(folder, device="cpu", num_threads=1)


def test_a_session_of_vllm_goes_on_as_one_of_transformers_does(corridor_policy: Path) -> None:
    policy = engine(corridor_policy)
    actor = VllmActor(policy, Generation(policy.model))
    told = []
    for one in (actor, policy):
        session = one.open(3)
        session.extend(["<state>cell 1</state><think>", "", "<state>cell 3</state><think>"])
        replies = session.generate("</action>", 12)
        session.extend(["<state>cell 2</state><think>", "<state>cell 2</state><think>", ""])
        replies += session.generate("</action>", 12, rows=[0, 1])
        session.rewind(0, 2)
        replies += session.generate("</action>", 12, rows=[0])
        session.rewind(1)
        session.extend(["", "<state>cell 5</state><think>", ""])
        replies += session.generate("ction", 12, rows=[1])
        told.append(replies)
    assert [reply.token_ids for reply in told[0]] == [reply.token_ids for reply in told[1]]
    assert [(reply.text, reply.finished) for reply in told[0]] == [(reply.text, reply.finished) for reply in told[1]]
    assert sum(len(reply.token_ids) > 0 for reply in told[0]) == 6
    assert actor.name == policy.name and actor.has_tokens(["</action>"]) and actor.chat([("user", "x")], True) is None


def test_a_conversation_ends_with_the_context(corridor_policy: Path) -> None:
    policy = engine(corridor_policy)
    (number,) = policy.encode(["<state>cell 1</state><think>"], [True])
    policy.context_length = len(number) + 3
    generation = Generation(policy.model)
    session = VllmActor(policy, generation).open(2)
    session.extend(["<state>cell 1</state><think>", "<think>"])
    replies = session.generate("<nowhere>", 5)
    assert len(replies[0].token_ids) == 3 and not replies[0].finished
    assert generation.lengths == [3, 5], "what has less room is asked for apart: a server refuses more than there is"


def test_weights_are_copied_once_for_each_update(corridor_policy: Path) -> None:
    policy = engine(corridor_policy)
    generation = Generation(policy.model)
    actor = VllmActor(policy, generation)
    for _ in range(2):
        actor.open(1)
    assert generation.num_synced == 1
    actor.renew()
    actor.open(1)
    assert generation.num_synced == 2


def test_what_vllm_says_is_said(corridor_policy: Path) -> None:
    policy = engine(corridor_policy)
    actor = VllmActor(policy, Generation(policy.model))
    session = actor.open(1)
    session.extend(["<think>"])
    with pytest.raises(EngineError, match="whole replies"):
        session.generate("</action>", 4, on_text=lambda row, text: None)
    session.close()

    def refuses() -> None:
        raise RuntimeError("NCCL error")

    actor.renew()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(actor.generation, "sync_weights", refuses)
        with pytest.raises(EngineError, match="did not take the new weights: NCCL error"):
            actor.open(1)

    def lost(*_: Any) -> None:
        raise RuntimeError("no memory left")

    actor.generation.generate = lost
    with pytest.raises(EngineError, match="could not write the rollouts: no memory left"):
        session.generate("</action>", 4)
    actor.generation.generate = lambda *_: ([], [[1]], [[[None]]], None)
    with pytest.raises(EngineError, match="without its probability"):
        session.generate("</action>", 4)


class Watched(GroupsLoop):
    """Looks at vLLM's weights where the policy is measured."""

    def finish(self, *given: Any) -> None:
        super().finish(*given)
        (generation,) = Generation.made
        assert generation.equals(self.policy), "measured with the newest weights"


def test_grpo_rolls_out_by_vllm_and_corrects_for_its_probabilities(
    corridor_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trl.trainer.grpo_trainer.VLLMGeneration", Generation)
    policy = engine(corridor_policy)
    loop = Watched(policy, tmp_path, COLOCATE)
    grpo.train(loop)  # type: ignore[arg-type]
    (generation,) = Generation.made
    assert generation.told["mode"] == "colocate" and generation.told["gpu_memory_utilization"] == 0.3
    assert generation.told["max_model_length"] == policy.context_length
    assert isinstance(loop.actor, VllmActor) and len(loop.metrics) == 2
    assert not generation.equals(engine(corridor_policy)), "something was learned"
    assert generation.num_synced == 4, "before rollouts by TRL, and before each measurement"
    settings = grpo.arguments(COLOCATE, tmp_path, vllm_rollouts.vllm_settings(COLOCATE, "", 99))
    assert settings.use_vllm and settings.vllm_importance_sampling_mode == "token_truncate"
    at = vllm_rollouts.vllm_settings(COLOCATE, "http://there:1", 99)
    assert (at["vllm_mode"], at["vllm_server_base_url"]) == ("server", "http://there:1")
    assert vllm_rollouts.vllm_settings(CONFIG, "", 99) == {}


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_ppo_rolls_out_by_vllm(
    corridor_policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora_rank: int
) -> None:
    monkeypatch.setattr("trl.generation.vllm_generation.VLLMGeneration", Generation)
    monkeypatch.setattr(Generation, "sync_weights", lambda self: setattr(self, "num_synced", self.num_synced + 1))
    optimiser = OptimiserConfig(learning_rate=1e-3, batch_size=8, epochs=1)
    config = TrainConfig(RunConfig(), replace(COLOCATE.policy, lora_rank=lora_rank), optimiser)
    policy = engine(corridor_policy)
    loop = CorridorLoop(policy, 3, 8, tmp_path)
    monkeypatch.setattr("transformers.PreTrainedModel.name_or_path", str(corridor_policy), raising=False)
    ppo.train(policy, config, loop)  # type: ignore[arg-type]
    (generation,) = Generation.made
    assert isinstance(loop.actor, VllmActor) and generation.num_synced == 3 and len(loop.metrics) == 3
    assert hasattr(generation.model, "merge_adapter") == bool(lora_rank), "TRL merges adapters of this model"


def test_only_what_rolls_out_can_do_so_by_vllm() -> None:
    with pytest.raises(ConfigError, match="rollouts of grpo and ppo"):
        override(TrainConfig(), ["run.method=sft", "policy.vllm=colocate"])
    with pytest.raises(ConfigError, match='"colocate", "server" or the URL'):
        override(TrainConfig(), ["policy.vllm=yes"])


def test_a_run_says_what_vllm_needs_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(CONFIG, tmp_path, "model") as url:
        assert url == ""
    monkeypatch.setattr(vllm_problems, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install 'dreamgym-lab"):
        Server(COLOCATE, tmp_path, "model")
    monkeypatch.setattr(vllm_problems, "find_spec", lambda name: object())
    with Server(COLOCATE, tmp_path, "model") as url:
        assert url == ""
    asks = replace(COLOCATE, policy=replace(COLOCATE.policy, vllm="server"))
    monkeypatch.delenv("DREAMGYM_VLLM_DEVICES", raising=False)
    with pytest.raises(ConfigError, match="GPUs of its own"):
        Server(asks, tmp_path, "model")
    monkeypatch.setenv("DREAMGYM_VLLM_DEVICES", "1")
    with pytest.raises(ConfigError, match="from GPU to GPU"):
        Server(asks, tmp_path, "model")
    monkeypatch.setenv("DREAMGYM_API_KEY", "secret")
    there = replace(COLOCATE, policy=replace(COLOCATE.policy, vllm="http://there:8000"))
    with pytest.raises(ConfigError, match=r"sends no key to http://there:8000: .* DREAMGYM_API_KEY_THERE to nothing"):
        Server(there, tmp_path, "model")
    monkeypatch.setenv("DREAMGYM_API_KEY_THERE", "")
    assert vllm_problems.rollouts_problem("http://there:8000") is None


def test_a_server_is_started_with_what_takes_new_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_problems, "find_spec", lambda name: object())
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setenv("DREAMGYM_VLLM_DEVICES", "1")
    started: list[VllmServer] = []
    monkeypatch.setattr(VllmServer, "start", lambda self: started.append(self))
    monkeypatch.setattr(VllmServer, "wait", lambda self: None)
    stopped: list[VllmServer] = []
    monkeypatch.setattr(VllmServer, "stop", lambda self: stopped.append(self))
    asks = replace(COLOCATE, policy=replace(COLOCATE.policy, vllm="server"))
    with Server(asks, tmp_path, "some/model") as url:
        (server,) = started
        assert f"{url}/v1" == server.url and not stopped
        words = server.command()
        assert words[words.index("serve") + 1] == "some/model" and words[-1] == "processed_logprobs"
        assert json.loads(words[words.index("--weight-transfer-config") + 1]) == {"backend": "nccl"}
        assert words[words.index("--gpu-memory-utilization") + 1] == "0.3"
        gpu = plan(override(asks, ["policy.model=meta-llama/Llama-3.2-3B-Instruct"])).gpu
        (shown,) = gpu.commands if gpu else ()
        variables = ["CUDA_VISIBLE_DEVICES=1", "VLLM_SERVER_DEV_MODE=1", "VLLM_API_KEY="]
        same = [*variables, "vllm", *words[3:5], *words[9:]]  # but for the interpreter and the address
        assert shlex.split(shown.replace("meta-llama/Llama-3.2-3B-Instruct", "some/model")) == same
        told = server._environment()
        assert (told["VLLM_SERVER_DEV_MODE"], told["VLLM_API_KEY"], told["CUDA_VISIBLE_DEVICES"]) == ("1", "", "1")
        assert server.settings.restarts == 0, "one that has lost its weights must not write"
    assert stopped == [server]
    there = replace(COLOCATE, policy=replace(COLOCATE.policy, vllm="http://there:8000/v1"))
    with Server(there, tmp_path, "some/model") as url:
        assert url == "http://there:8000" and len(started) == 1

    def broken(self: VllmServer) -> None:
        raise EngineError("vLLM is failed: no memory")

    monkeypatch.setattr(VllmServer, "wait", broken)
    with pytest.raises(EngineError, match="no memory"), Server(asks, tmp_path, "some/model"):
        pass
    assert len(stopped) == 2, "nothing is left behind"


@pytest.mark.vllm
@pytest.mark.timeout(900)
@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
def test_the_corridor_is_learned_with_vllm_in_the_runs_process(algorithm: str, tmp_path: Path) -> None:
    """On the CPU, by vLLM's interpreter: it finds there what it does not have itself among our packages."""
    if problem := vllm_problem():
        pytest.skip(problem)
    script = Path(__file__).with_name("vllm_corridor.py")
    command = [vllm_python(), str(script), sysconfig.get_path("purelib"), algorithm, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=850)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads((tmp_path / "said.json").read_text(encoding="utf-8"))
    assert said["difference"] < 0.02, "log-probabilities of the newest weights, but for vLLM's bfloat16"
    assert said["moved"] > 5 * said["difference"], "the first weights are further away"
    assert said["after"] > said["before"] + 0.2, said
