"""The form of a new run: preset, seed and overrides to settings, their command and plan, and back again."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dreamgym.errors import DreamGymError
from dreamgym.presets import PRESETS, load_preset
from dreamgym.runs.config import TrainConfig, changes, from_sections, override
from dreamgym.runs.plan import Plan, plan
from lab.viewmodels.text import counted

MAX_CHARACTERS = 10_000
SEED = "run.seed="
MODEL_FILE = "config.json"


@dataclass(frozen=True, slots=True)
class Form:
    """What stands in the form."""

    preset: str = next(iter(PRESETS))
    seed: int = 0
    overrides: str = ""
    """section.key=value, one a line; empty lines and lines that start with # are left out."""
    name: str = ""
    """Begins the run's id; empty for the default."""


def config_of(form: Form) -> TrainConfig:
    """Settings that a form asks for; ConfigError names the line that does not fit."""
    lines = [line.strip() for line in form.overrides[:MAX_CHARACTERS].splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    return override(load_preset(form.preset), [f"{SEED}{form.seed}", *lines])


def form_of(config: TrainConfig, name: str = "") -> Form:
    """The form that gives these settings and this name: the preset that needs the fewest overrides."""
    seedless = from_sections({"run": {"seed": 0}}, config)
    differences = {name: changes(seedless, load_preset(name)) for name in PRESETS}
    preset = min(differences, key=lambda name: len(differences[name]))
    lines = [line for line in differences[preset] if not line.startswith(SEED)]
    return Form(preset, config.run.seed, "\n".join(lines), name)


def from_checkpoint(config: TrainConfig, checkpoint: Path, name: str = "") -> Form:
    """The form of a run that starts from the policy in a checkpoint."""
    folder = next((path.parent for path in sorted(checkpoint.rglob(MODEL_FILE)) if path.parent.name == "policy"), None)
    folder = folder or checkpoint
    return form_of(replace(config, policy=replace(config.policy, model=str(folder))), name)


def plan_value(form: Form, read_only: bool, tried: bool = False) -> dict[str, Any]:
    """The command of a form and what it will take, or what does not fit.

    Args:
        form: As it stands.
        read_only: Nothing can be launched.
        tried: The person asked for a dry run, and is told that nothing was started.
    """
    try:
        found = plan(config_of(form), form.name)
    except DreamGymError as error:
        return {"error": str(error), "command": "", "facts": [], "notes": [], "tried": tried, "can": False}
    return {
        "error": "",
        "command": found.command,
        "facts": _facts(found),
        "notes": list(found.notes),
        "tried": tried,
        "can": not read_only,
    }


def _facts(found: Plan) -> list[tuple[str, str]]:
    memory = "not known" if found.memory_mb is None else f"about {found.memory_mb / 1000:.1f} GB"
    offline = "" if found.offline_transitions is None else f"{counted(found.offline_transitions, 'offline transition')}"
    return [
        ("Time", "not known" if found.minutes is None else f"about {minutes_figure(found.minutes)} on two cores"),
        ("Memory", memory),
        ("Real data", f"{offline or 'offline not known'} + {_at_most(found.real_transitions)} online"),
        ("Evaluation", f"{_at_most(found.evaluation_transitions)} real transitions, which only measure"),
    ]


def _at_most(number: int) -> str:
    return f"at most {number:,}" if number else "0"


def minutes_figure(minutes: float) -> str:
    """An estimate, no more exact than it is: "4 min", "2.5 h"."""
    return f"{max(1, round(minutes))} min" if minutes < 100 else f"{minutes / 60:.1f} h"
