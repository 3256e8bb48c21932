"""What Compare shows of a set, of one episode and of exploits, as rows of a file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dreamgym.comparison import StepComparison
from dreamgym.counterparts import Mode, score_beside
from dreamgym.environments import environment_module
from dreamgym.experience_model.agreement import MEASURES
from dreamgym.experience_model.fidelity import ScoredStep
from dreamgym.runs.store import ExploitRow
from dreamgym.types import Failure, Trajectory, Transition, transition_id
from lab.viewmodels.lies import lies
from lab.viewmodels.sets import SetStep, what_is_wrong

SET_COLUMNS: Mapping[str, Any] = {
    "transition_id": "string", "trajectory_id": "string", "step": "int64", "environment": "string", "task_id": "string",
    "task_text": "string", "task_type": "string", "split": "string", "policy": "string", "action_type": "string",
    "state": "string", "action": "string", "determined": "bool_",
    "real_state": "string", "real_reward": "float64", "real_terminated": "bool_", "real_success": "bool_",
    "loop": "string", "number": "int64", "model": "string", "switches": "string", "dreamed_from": "string",
    "dreamed_state": "string", "dreamed_reward": "float64", "dreamed_terminated": "bool_", "dreamed_success": "bool_",
    "facts_lost": ["string"], "facts_invented": ["string"],
    **dict.fromkeys((f"is_{name}" for name in MEASURES), "bool_"),
    "wrong": "string", "listed": "bool_", "reasoning": "string", "confidence": "float64", "raw_reply": "string",
    "failure": "string", "contradiction": "string",
}  # fmt: skip
"""A step of one model; `number` says of which, 1 or 2. What the dream has not, is null; so is a measure that does not
count here. `dreamed_from` is the state that it dreamed on from: its own in a closed loop."""
_COUNTS = ("num_changes", "num_changes_kept", "num_words", "num_words_changed")
EPISODE_COLUMNS: Mapping[str, Any] = {
    **{name: kind for name, kind in SET_COLUMNS.items() if name != "listed"},
    "facts_kept": ["string"], **dict.fromkeys(_COUNTS, "int64"), "differences": ["string"], "real_failure": "string",
}  # fmt: skip
"""A step of one episode. Where a dream is replayed in the engine ("engine"), ids are the dream's; behind the end of the
real episode what is real, and all that is judged by it, is null."""
EXPLOIT_COLUMNS: Mapping[str, Any] = {
    "run": "string", "iteration": "int64", "kind": "string", "step": "int64", "transition_id": "string",
    "trajectory_id": "string", "replay_id": "string", "environment": "string", "task_id": "string",
    "task_text": "string", "task_type": "string", "policy": "string", "model": "string", "state": "string",
    "action": "string", "dreamed_state": "string", "dreamed_reward": "float64", "dreamed_success": "bool_",
    "real_state": "string", "real_reward": "float64", "real_success": "bool_", "reason": "string",
    "reasoning": "string", "raw_reply": "string",
}  # fmt: skip
"""A dreamed success that does not hold, at its first lie. The real engine's answer is null where it has none."""


def set_rows(
    steps: Sequence[tuple[tuple[SetStep, ...], bool]],
    trajectories: Mapping[str, Trajectory],
    models: Sequence[tuple[str, str]],
    loop: str,
) -> Iterator[dict[str, Any]]:
    """Yield a row a step and model.

    Args:
        steps: From `sets.steps_to_export`.
        trajectories: Those that are dreamed beside, by id.
        models: (name and checksum, switches in words) of each.
        loop: "open" or "closed".
    """
    for by_model, is_listed in steps:
        for number, (step, (model, switches)) in enumerate(zip(by_model, models, strict=False), 1):
            told = {"loop": loop, "number": number, "model": model, "switches": switches, "listed": is_listed}
            yield _row(step.trajectory_id, trajectories[step.trajectory_id], step.compared, step.scored) | told


def episode_rows(
    trajectory: Trajectory, mode: Mode, compared: Sequence[Sequence[StepComparison]], models: Sequence[tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    """Yield a row a step and model.

    Args:
        trajectory: The one that is compared.
        mode: How.
        compared: All steps, of each model.
        models: (name and checksum, settings in words) of each.
    """
    identity = trajectory.trajectory_id
    for by_model in zip(*compared, strict=True):
        for number, (step, (model, switches)) in enumerate(zip(by_model, models, strict=True), 1):
            diff = step.facts
            yield _row(identity, trajectory, step, _scored(trajectory, mode, step, compared[0])) | {
                **{name: getattr(step, name) if diff else None for name in _COUNTS},
                "facts_kept": [str(fact) for fact in diff.kept] if diff else None,
                "differences": list(step.differences),
                "real_failure": step.real.reason if isinstance(step.real, Failure) else None,
                "loop": mode,
                "number": number,
                "model": model,
                "switches": switches,
            }


def _scored(
    trajectory: Trajectory, mode: Mode, step: StepComparison, steps: Sequence[StepComparison]
) -> ScoredStep | None:
    """None where the engine has no step to score by."""
    if mode == "engine":
        trajectory = replace(trajectory, transitions=tuple(s.real for s in steps if isinstance(s.real, Transition)))
    return score_beside(trajectory, step) if isinstance(step.real, Transition) else None


def _row(identity: str, trajectory: Trajectory, compared: StepComparison, scored: ScoredStep | None) -> dict[str, Any]:
    task, dream, diff = trajectory.task, compared.dream, compared.facts
    real = compared.real if isinstance(compared.real, Transition) else None
    read = dream if isinstance(dream, Transition) else None
    return {
        **{name: getattr(task, name) for name in ("environment", "task_id", "task_type", "split")},
        **{f"real_{name}": value for name, value in _outcome(real).items()},
        **{f"dreamed_{name}": value for name, value in _outcome(read).items()},
        **{
            f"is_{name}": one.is_hit(scored) if scored and one.counts(scored) else None
            for name, one in MEASURES.items()
        },
        **{name: read and getattr(read, name) for name in ("reasoning", "confidence", "contradiction")},
        "transition_id": transition_id(identity, compared.step),
        "trajectory_id": identity,
        "step": compared.step,
        "task_text": task.text,
        "policy": trajectory.provenance.policy,
        "action_type": environment_module(task.environment).action_type(compared.action),
        "state": real and real.state,
        "action": compared.action,
        "determined": compared.determined if real else None,
        "dreamed_from": read and read.state,
        "facts_lost": [str(fact) for fact in diff.lost] if diff else None,
        "facts_invented": [str(fact) for fact in diff.invented] if diff else None,
        "wrong": scored and what_is_wrong(scored),
        "raw_reply": dream and dream.raw_reply,
        "failure": "the dream was over" if dream is None else dream.reason if isinstance(dream, Failure) else None,
    }


def exploit_row(run_id: str, row: ExploitRow, dream: Trajectory, replay: Trajectory) -> dict[str, Any]:
    """The row of one exploit: `dream` is the success, `replay` what the engine answered to its actions."""
    index, task = max(row.step, 1) - 1, dream.task
    lie = dream.transitions[index]
    real = replay.transitions[index] if index < len(replay.transitions) else None
    real_columns, dreamed = _outcome(real), _outcome(lie)
    return {
        **{name: getattr(task, name) for name in ("environment", "task_id", "task_type")},
        **{f"real_{name}": real_columns[name] for name in ("state", "reward", "success")},
        **{f"dreamed_{name}": dreamed[name] for name in ("state", "reward", "success")},
        "run": run_id,
        "iteration": row.iteration,
        "kind": row.kind,
        "step": index + 1,
        "transition_id": transition_id(row.dream_id, index + 1),
        "trajectory_id": row.dream_id,
        "replay_id": row.replay_id,
        "task_text": task.text,
        "policy": dream.provenance.policy,
        "model": dream.provenance.model,
        "state": lie.state,
        "action": lie.action,
        "reason": lies(task, dream.transitions[: index + 1], index)[index],
        "reasoning": lie.reasoning,
        "raw_reply": lie.raw_reply,
    }


def _outcome(step: Transition | None) -> dict[str, Any]:
    return {
        "state": step and step.next_state,
        "reward": step and float(step.reward),
        "terminated": step and step.terminated,
        "success": step and step.success,
    }
