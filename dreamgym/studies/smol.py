"""`dreamgym study smol`: an instruction model learns to dream and to act in small ALFWorld, by LoRA, on a CPU.

The paper's way at a small scale: real train episodes with reasoning, supervised (Eq. 5), in the model's chat template.
The experience model's rows are single steps with their history; the policy's are whole episodes of experts. Both start
from the untrained model, which is measured on the same steps and tasks, and so are nano's bundled models.
"""

import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from dreamgym.engines.registry import find_model, open_engine
from dreamgym.environments import environment_module
from dreamgym.experience_model import prompts
from dreamgym.experience_model.chat_prompts import ChatForm, Render
from dreamgym.experience_model.dataset import Segment, is_taught, step_row
from dreamgym.experience_model.evaluate import evaluate, evaluation_set
from dreamgym.experience_model.model import ExperienceModel, Switches
from dreamgym.experience_model.train import FitSettings, encode_rows, fit_lora
from dreamgym.policy import PolicyForm, warm_start_rows
from dreamgym.replay_buffer import retrieval
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.studies.nano import success_stage
from dreamgym.studies.recipes import NanoRecipe
from dreamgym.types import Trajectory

ENVIRONMENT = "alfworld"
KEYS = ("determined_exact", "reward_accuracy", "success_precision", "success_recall", "malformed_rate", "num_steps")
DREAMER, POLICY = "experience-model", "policy"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SmolSettings:
    """How much is learned, and from what."""

    num_rows: int = 600
    """Single steps for the experience model."""
    num_episodes: int = 160
    """Experts' episodes for the policy."""
    reasoning_share: float = 0.7
    """Of the steps whose reply begins with reasoning; others answer at once."""
    demonstrations_share: float = 0.3
    """Of the steps that show a similar one."""
    max_history: int = 12
    """Steps further into an episode are not drawn: their prompts would be the longest."""
    rank: int = 16
    """Of the adapters."""
    dreamer: FitSettings = field(
        default_factory=lambda: FitSettings(steps=150, batch_size=4, learning_rate=5e-4, max_length=2048)
    )
    policy: FitSettings = field(
        default_factory=lambda: FitSettings(steps=80, batch_size=2, learning_rate=5e-4, max_length=2048)
    )
    num_test_tasks: int = 4
    """Whose recorded episodes the experience model dreams."""
    num_played: int = 48
    """Test tasks that the policy plays, greedily."""
    max_steps: int = 25
    seed: int = 0


def run(
    model: str,
    trajectories: Sequence[Trajectory],
    retriever: Retriever,
    work: Path,
    settings: SmolSettings | None = None,
) -> dict[str, Any]:
    """Train both, unless `work` has them, and measure them beside the untrained model and nano.

    Args:
        model: "smol", a folder or a hub id, with a chat template.
        trajectories: Real train episodes.
        retriever: Of them.
        work: Gets the adapters, merged, one folder for each role; a stopped study goes on there.
        settings: Amounts.

    Returns:
        One row per role and model.
    """
    chosen = settings or SmolSettings()
    source = find_model(model)
    render = _render(source)
    fits = {
        DREAMER: _train(
            source, work / DREAMER, dream_rows(trajectories, retriever, render, chosen), chosen.dreamer, chosen
        ),
        POLICY: _train(source, work / POLICY, policy_rows(trajectories, render, chosen), chosen.policy, chosen),
    }
    rows: list[dict[str, Any]] = []
    test = evaluation_set(ENVIRONMENT, "test", chosen.num_test_tasks)
    for kind, name in (("trained", str(work / DREAMER)), ("untrained", source), ("nano", "nano")):
        dreamer = ExperienceModel(open_engine(name))
        figures = evaluate(dreamer, test, retriever, Switches(k=1), "test", num_closed=0)
        rows.append({"role": DREAMER, "model": kind, "name": dreamer.name, **{key: figures[key] for key in KEYS}})
        log.info("%s", rows[-1])
    recipe = replace(NanoRecipe(), num_test_tasks=chosen.num_played)
    for kind, name in (("trained", str(work / POLICY)), ("untrained", source), ("nano", find_model("nano-policy"))):
        played = success_stage(recipe, Path(name), max_steps=chosen.max_steps)
        rows.append({"role": POLICY, "model": kind, "name": played.pop("policy"), **played})
        rows[-1]["malformed_rate"] = played["failed"] / played["num_tasks"]
        log.info("%s", rows[-1])
    return {"model": model, "settings": asdict(chosen), "trained": fits, "rows": rows}


def dream_rows(
    trajectories: Sequence[Trajectory], retriever: Retriever, render: Render, settings: SmolSettings
) -> Iterator[list[Segment]]:
    """Prompts as the model reads them in use, each with the true reply as its target."""
    rng, form = random.Random(settings.seed), ChatForm(render)
    module = environment_module(ENVIRONMENT)
    places = [
        (trajectory, index)
        for trajectory in trajectories
        for index in range(min(len(trajectory.transitions), settings.max_history))
    ]
    for trajectory, index in rng.sample(places, min(settings.num_rows, len(places))):
        task, steps, step = trajectory.task, trajectory.transitions[:index], trajectory.transitions[index]
        reasons = rng.random() < settings.reasoning_share
        near: Sequence[retrieval.Demonstration] = ()
        if rng.random() < settings.demonstrations_share:
            own = retrieval.Query(step.state, step.action, trajectory.trajectory_id, task.task_id)
            (near,) = retriever.top_k_batch([own], 1)
        reasoning = None
        if reasons and is_taught(trajectory):
            reasoning = step.reasoning
        elif reasons:
            recalled = prompts.recall(task, steps, step.state, step.action)
            reasoning = module.write_reasoning(task, steps, step, rng, recalled)
        yield step_row(form, task, steps, step, near, reasoning)


def policy_rows(trajectories: Sequence[Trajectory], render: Render, settings: SmolSettings) -> Iterator[list[Segment]]:
    """Experts' episodes, in the policy's form."""
    experts = [one for one in trajectories if one.provenance.policy.startswith("expert") and one.success]
    chosen = random.Random(settings.seed).sample(experts, min(settings.num_episodes, len(experts)))
    yield from warm_start_rows(chosen, settings.max_steps, form=PolicyForm(render))


def _render(source: str) -> Render:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(source)

    def render(messages: Sequence[tuple[str, str]], begin_reply: bool) -> str:
        listed = [{"role": role, "content": text} for role, text in messages]
        return str(tokenizer.apply_chat_template(listed, tokenize=False, add_generation_prompt=begin_reply))

    return render


def _train(
    source: str, folder: Path, rows: Iterator[list[Segment]], fit: FitSettings, settings: SmolSettings
) -> dict[str, Any]:
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(source)
    return fit_lora(source, tokenizer, encode_rows(rows, tokenizer, fit.max_length), fit, settings.rank, folder)
