"""What Home says: what this is, what is stored, what can run here and why not, what to do next, what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dreamgym.environments import ENVIRONMENTS, environment_module
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.rows import Filter, TrajectoryRow
from lab.navigation import link
from lab.services import ASSETS, MODELS, EnvironmentServices, Services
from lab.viewmodels.inspect_list import COLLECT
from lab.viewmodels.results import results_value
from lab.viewmodels.text import counted, unit_figure

WHAT = (
    "DreamGym trains language-model agents in imagined experience: an experience model reasons about each action and "
    "writes the next state and the reward, so that few real steps are needed. ",
    "The lab opens that imagination: every real and every dreamed step, the reasoning between them, and the place "
    "where the two worlds part. ",
    "Everything runs on this machine; nothing is sent anywhere.",
)
POLICY_DETAILS = {
    "nano-policy": "Reads the episode, thinks one line, acts.",
    "nano-novice": "The same, but tries many things, good and bad; the presets of nano begin with it.",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A model or an environment, and whether it can be used now."""

    name: str
    what: str
    state: str
    """"ok", "wait" or "bad"."""
    word: str
    detail: str


def home_value(services: Services) -> dict[str, Any]:
    """Everything on Home, as the component draws it."""
    counts = services.reader.counts()
    return {
        "what": list(WHAT),
        "workspace": {
            "name": services.workspace.name,
            "path": str(services.workspace.path),
            "read_only": services.read_only,
            "figures": _figures(counts),
        },
        "parts": [
            _as_row(part)
            for part in (*model_parts(services), *map(policy_part, policies(MODELS)), *environment_parts())
        ],
        "next": next_steps(services.reader, [name for name, each in services.environments.items() if each.model]),
        "results": results_value(ASSETS / "results"),
        "command": None if counts["num_trajectories"] else COLLECT,
    }


def _figures(counts: dict[str, int]) -> list[dict[str, str]]:
    clear = {"rows": "trajectories", "q": "", "world": "", "split": "", "action": "", "outcome": "", "policy": ""}
    return [
        _figure(counts["num_transitions"], "transitions", **clear | {"rows": "transitions"}),
        _figure(counts["num_trajectories"], "trajectories", **clear),
        _figure(counts["real"], "real", **clear | {"world": "real"}),
        _figure(counts["dream"], "dreamed", **clear | {"world": "dream"}),
        _figure(counts["failed"], "failed, kept with the reason", **clear | {"outcome": "failed"}),
        {"figure": f"{counts['num_tasks']:,}", "label": "tasks"},
    ]


def _figure(number: int, label: str, **filters: str) -> dict[str, str]:
    return {"figure": f"{number:,}", "label": label, "href": link("inspect", **filters)}


def model_parts(services: Services) -> list[Part]:
    """The experience model of each environment, and its process."""
    return [model_part(name, each) for name, each in services.environments.items()]


def model_part(environment: str, here: EnvironmentServices) -> Part:
    """An environment's experience model."""
    what = f"experience model of {environment}"
    if here.model is None:
        return Part("nano", what, "bad", "not here", here.model_reason)
    name, _, checksum = here.model.name.partition("@")
    status = here.status or "ready"
    if status == "ready":
        detail = f"Weights {checksum}, in a process of its own; dreams in real time on the CPU."
        return Part(name, what, "ok", "ready", detail)
    if status == "starting":
        return Part(name, what, "wait", "starts", "Its process loads the weights; this takes a few seconds.")
    if status == "not started":
        return Part(name, what, "ok", "bundled", "Starts when it is first asked; this takes a few seconds.")
    return Part(name, what, "bad", "failed", status.removeprefix("failed").strip(": "))


def policies(models: Path) -> list[Path]:
    """Folders of the bundled policies: ALFWorld's, there or not, and those that are there of other worlds."""
    others = [found for name in POLICY_DETAILS for found in sorted(models.glob(f"{name}-*"))]
    return [*(models / name for name in POLICY_DETAILS), *others]


def policy_part(folder: Path) -> Part:
    """A bundled policy; behind the name of another world's than ALFWorld's stands that world."""
    kind = next((name for name in POLICY_DETAILS if folder.name.startswith(name)), folder.name)
    world = folder.name.removeprefix(kind).removeprefix("-")
    what = f"policy of {world}" if world else "policy"
    if (folder / "config.json").exists():
        return Part(folder.name, what, "ok", "bundled", POLICY_DETAILS.get(kind, ""))
    return Part(folder.name, what, "bad", "not here", "It is not bundled: make nano trains it.")


def environment_parts() -> list[Part]:
    """The real environments, and what is missing where one cannot be played."""
    parts = []
    for name in ENVIRONMENTS:
        found = environment_module(name).availability()
        state, word = ("ok", "available") if found.ok else ("bad", "unavailable")
        parts.append(Part(name, "real environment", state, word, found.detail))
    return parts


def _as_row(part: Part) -> dict[str, str]:
    return {"name": part.name, "what": part.what, "state": part.state, "word": part.word, "detail": part.detail}


def next_steps(reader: ExperienceReader, dreamed: Sequence[str]) -> list[dict[str, str]]:
    """Links into the other tabs with ids that exist; only what can be done here and now.

    Args:
        reader: What is stored.
        dreamed: Environments with an experience model.
    """
    steps = []
    doubtful = reader.transitions(Filter(world="dream"), 1, 1, "least_confident").rows
    any_step = doubtful or reader.transitions(Filter(), 1, 1).rows
    if any_step:
        row = any_step[0]
        how = (
            f"the dreamed step that the model was least sure of (confidence {unit_figure(row.confidence)}), with its "
            "reasoning and its neighbours."
            if doubtful
            else "the newest stored step, with the facts it changed and the steps most like it."
        )
        steps.append(
            {
                "tab": "Inspect",
                "key": "2",
                "label": "Look at one step",
                "text": f"“{row.action or 'no action'}”: {how}",
                "href": link("inspect", t=row.transition_id, world="dream", order="least_confident")
                if doubtful
                else link("inspect", t=row.transition_id),
            }
        )
    episode = _real_episode(reader, dreamed)
    if episode:
        about = (
            f"“{episode.task_text}”, {counted(episode.num_transitions, 'step')} in a room of the {episode.split} split"
        )
        steps += [
            {
                "tab": "Dream",
                "key": "3",
                "label": "Play in the dream",
                "text": f"{about}: choose actions and watch the model reason.",
                "href": link("dream", task=episode.task_id, t=""),
            },
            {
                "tab": "Compare",
                "key": "4",
                "label": "Put the dream beside the engine",
                "text": f"{about}: the same actions in both worlds, and the first step where they part.",
                "href": link("compare", t=episode.trajectory_id),
            },
        ]
    return steps


def _real_episode(reader: ExperienceReader, dreamed: Sequence[str]) -> TrajectoryRow | None:
    """The newest test episode that was solved, or else any, of an environment that can be dreamed."""
    for keep in (Filter(world="real", outcome="success", split="test"), Filter(world="real")):
        for name in dreamed:
            rows = reader.trajectories(replace(keep, environment=name), 1, 1).rows
            if rows:
                return rows[0]
    return None
