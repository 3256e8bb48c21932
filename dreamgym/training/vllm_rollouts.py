"""Rollouts written by vLLM instead of transformers: TRL's `VLLMGeneration`, in the run's process or on a server.

    policy.vllm = "colocate"     vLLM shares the GPU with the training (policy.vllm_memory_share of it)
    policy.vllm = "server"       a `vllm serve` that is started with the run, on the GPUs of DREAMGYM_VLLM_DEVICES
    policy.vllm = "http://…"     one that is there already, started by the command that --dry-run shows for "server"

Weights are copied to it before it writes with new ones; TRL does that over NCCL where it is a server, so that both need
GPUs, of their own. All rows of a call share their sampling settings, and with a seed equal prompts would get equal
replies: so none is given, and rollouts are repeatable only where vLLM's own order of work is.
"""

import os
from collections.abc import Container, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamgym.engines.registry import DEVICES
from dreamgym.engines.reply_writer import ReplyWriter
from dreamgym.engines.turns import drop_last
from dreamgym.engines.vllm_server import VllmServer, learning_settings
from dreamgym.errors import ConfigError, EngineError
from dreamgym.interfaces import Message, OnText, Reply
from dreamgym.runs.config import TrainConfig
from dreamgym.runs.vllm_problems import rollouts_problem

if TYPE_CHECKING:
    from dreamgym.engines.transformers_engine import TransformersEngine


def vllm_settings(config: TrainConfig, url: str, context_length: int) -> dict[str, Any]:
    """The settings in the words of GRPOConfig; empty where transformers writes the rollouts.

    Args:
        config: Of the run.
        url: Of the server; empty for "colocate".
        context_length: Tokens of an episode at most.
    """
    policy = config.policy
    if not policy.vllm:
        return {}
    return {
        "use_vllm": True,
        "vllm_mode": "server" if url else "colocate",
        "vllm_server_base_url": url or None,
        "vllm_gpu_memory_utilization": policy.vllm_memory_share,
        "vllm_max_model_length": context_length,
        # vLLM's probabilities are not quite those of the model in training. By default TRL would drop a sequence whose
        # ratio is above 3, and over the hundreds of tokens of an episode it soon is: so token by token, cut at 3.
        "vllm_importance_sampling_mode": "token_truncate",
    }


class Server:
    """The server that a run's rollouts need, if any: a context manager that gives its URL, "" for none."""

    def __init__(self, config: TrainConfig, folder: Path, model: str) -> None:
        """Nothing is started yet.

        Args:
            config: Of the run.
            folder: Gets the log of a server that is started.
            model: Folder of the policy.

        Raises:
            ConfigError: vLLM or a GPU is missing.
        """
        policy = config.policy
        self._url, self._server = "", None
        if problem := rollouts_problem(policy.vllm):
            raise ConfigError(problem)
        if policy.vllm in ("", "colocate"):
            return
        import torch

        if not torch.cuda.is_available():
            raise ConfigError(
                f"policy.vllm={policy.vllm} copies weights from GPU to GPU, and there is none here; leave it empty"
            )
        if policy.vllm != "server":
            self._url = policy.vllm.rstrip("/").removesuffix("/v1")
            return
        settings = learning_settings(model, policy.vllm_memory_share, os.environ[DEVICES])
        self._server = VllmServer(settings, folder / "vllm.log")

    def __enter__(self) -> str:
        """Start it, and wait until it answers."""
        if self._server is None:
            return self._url
        self._server.start()
        try:
            self._server.wait()
        except EngineError:
            self._server.stop()
            raise
        return self._server.url.removesuffix("/v1")

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        if self._server is not None:
            self._server.stop()


class VllmActor:
    """The policy as an engine that rolls out: its tokenizer and template, and vLLM's replies."""

    def __init__(self, policy: "TransformersEngine", generation: Any) -> None:
        """Make it; the weights are copied before it writes first.

        Args:
            policy: In training; gives name, tokens and context length.
            generation: TRL's VLLMGeneration of its model.
        """
        self.policy, self.generation = policy, generation
        self._is_stale = True

    def renew(self) -> None:
        """The weights have changed: copy them before the next session opens."""
        self._is_stale = True

    def is_renewed(self) -> None:
        """Somebody else has copied the newest weights."""
        self._is_stale = False

    @property
    def name(self) -> str:
        """Name and checksum of the policy."""
        return self.policy.name

    def open(self, batch: int) -> "VllmSession":
        """Start `batch` empty conversations, with the newest weights."""
        if self._is_stale:
            try:
                self.generation.sync_weights()
            except Exception as error:  # NCCL, vLLM and the connection to it raise their own
                raise EngineError(f"vLLM did not take the new weights: {error}") from error
            self._is_stale = False
        return VllmSession(self, batch)

    def has_tokens(self, texts: Sequence[str]) -> bool:
        """Is each of these texts one token of the vocabulary?"""
        return self.policy.has_tokens(texts)

    def chat(self, messages: Sequence[Message], begin_reply: bool) -> str | None:
        """Write a conversation as the model's chat template does; None where the model has no template."""
        return self.policy.chat(messages, begin_reply)

    def encode(self, texts: Sequence[str], begins: Sequence[bool]) -> list[list[int]]:
        """Texts to token ids, as the policy reads them."""
        return self.policy.encode(texts, begins)

    def close(self) -> None:
        """The policy is its owner's."""


class VllmSession:
    """A batch of conversations; vLLM finds what it has read before by itself (prefix caching)."""

    def __init__(self, actor: VllmActor, batch: int) -> None:
        self._actor = actor
        self._tokens: list[list[int]] = [[] for _ in range(batch)]
        self._turns: list[list[int]] = [[] for _ in range(batch)]
        """At how many tokens each turn began."""

    def extend(self, texts: Sequence[str]) -> None:
        """Append one text to each conversation."""
        encoded = self._actor.encode(texts, [not tokens for tokens in self._tokens])
        for tokens, turns, ids in zip(self._tokens, self._turns, encoded, strict=True):
            turns.append(len(tokens))
            tokens.extend(ids)

    def generate(
        self,
        stop: str,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int = 0,
        on_text: OnText | None = None,
        rows: Container[int] | None = None,
    ) -> list[Reply]:
        """Let the model write as `TransformersSession.generate` does, but for `seed`, which vLLM is not given.

        Raises:
            EngineError: vLLM failed, or `on_text` is given: it writes whole replies.
        """
        if on_text is not None:
            raise EngineError("rollouts by vLLM come as whole replies; leave policy.vllm empty to watch them")
        policy = self._actor.policy
        rule = policy.stop_rule(stop)
        room = [
            min(max_tokens, policy.context_length - len(tokens)) if tokens and (rows is None or row in rows) else 0
            for row, tokens in enumerate(self._tokens)
        ]
        writers = [ReplyWriter(policy.decode, rule, limit, streams=False) for limit in room]
        ends = {"stop": [stop]} if rule.token_id is None else {"stop_token_ids": [rule.token_id]}
        settings = {**ends, "include_stop_str_in_output": True, "skip_special_tokens": False}
        for limit in sorted({each for each in room if each > 0}):
            asked = [row for row, each in enumerate(room) if each == limit]
            for row, (ids, logprobs) in zip(asked, self._write(asked, limit, temperature, settings), strict=True):
                for token_id, logprob in zip(ids, logprobs, strict=True):
                    if not writers[row].done:
                        writers[row].push(token_id, logprob)
        replies = [writer.reply() for writer in writers]
        for tokens, turns, reply in zip(self._tokens, self._turns, replies, strict=True):
            turns.append(len(tokens))
            tokens.extend(reply.token_ids)
        return replies

    def rewind(self, row: int, turns: int | None = None) -> None:
        """Forget the last turns of one conversation, or all."""
        if dropped := drop_last(self._turns[row], turns):
            del self._tokens[row][dropped[0] :]

    def close(self) -> None:
        """Nothing is held."""

    def _write(
        self, rows: Sequence[int], max_tokens: int, temperature: float, settings: dict[str, Any]
    ) -> list[tuple[list[int], list[float]]]:
        generation = self._actor.generation
        generation.temperature, generation.max_completion_length = temperature, max_tokens
        generation.generation_kwargs = settings
        try:
            _, token_ids, logprobs, _ = generation.generate([self._tokens[row] for row in rows], None, 1)
        except Exception as error:  # vLLM and the connection to it raise their own
            raise EngineError(f"vLLM could not write the rollouts: {error}") from error
        if any(each[0] is None for row in logprobs for each in row):
            raise EngineError("vLLM gave a token without its probability; resume the run from its last checkpoint")
        return [(list(ids), [float(each[0]) for each in row]) for ids, row in zip(token_ids, logprobs, strict=True)]


def make_generation(config: TrainConfig, policy: "TransformersEngine", model: Any, url: str) -> Any:
    """TRL's VLLMGeneration, for a method that TRL does not train.

    Args:
        config: Of the run.
        policy: Its tokenizer and context length.
        model: What is in training, with its adapters if it has some.
        url: Of the server; empty for "colocate".
    """
    from accelerate import Accelerator
    from trl.generation.vllm_generation import VLLMGeneration

    return VLLMGeneration(
        model,
        Accelerator(cpu=policy.device.type == "cpu"),
        policy.tokenizer,
        mode="server" if url else "colocate",
        server_base_url=url or None,
        gpu_memory_utilization=config.policy.vllm_memory_share,
        max_model_length=policy.context_length,
        max_num_seqs=config.run.num_tasks * config.run.group_size,
    )
