"""`dreamgym study shared-model`: one experience model for several worlds, or one for each?

The shared one learns from the same episodes as the bundled ones, in stages as long as those of WebShop's own model and
beginning with ALFWorld's blocks like it: it sees half as much of each world, with the same number of parameters. All
answer the same real steps of unseen tasks.
"""

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.experience_model.evaluate import evaluate, evaluation_set
from dreamgym.experience_model.model import ExperienceModel, Switches
from dreamgym.studies.nano import experience_model_stage, prepare
from dreamgym.studies.recipes import RECIPES, NanoRecipe
from dreamgym.studies.scaling import KEYS

log = logging.getLogger(__name__)


def run(
    own: Mapping[str, str], works: Mapping[str, Path], folder: Path, num_tasks: int, recipe: NanoRecipe | None = None
) -> dict[str, Any]:
    """Train the shared model, unless the folder has it, and compare.

    Args:
        own: Environment -> folder of the model that was trained for it alone.
        works: Environment -> folder of its episodes, as `nano` leaves it; what is missing is collected.
        folder: Gets the shared model.
        num_tasks: Test tasks of each world; all episodes recorded of them are dreamed.
        recipe: Of the shared model; its environment is not looked at.

    Returns:
        One row per environment and model, and how long the shared one was trained.
    """
    recipe = recipe or RECIPES["webshop"]
    lessons = [prepare(replace(recipe, environment=environment), work) for environment, work in works.items()]
    trained = experience_model_stage(recipe, lessons, folder, Path(own["alfworld"]))
    rows = []
    for lesson in lessons:
        test = evaluation_set(lesson.environment, "test", num_tasks)
        for kind, source in (("own", own[lesson.environment]), ("shared", str(folder))):
            engine = TransformersEngine(source)
            figures = evaluate(ExperienceModel(engine), test, lesson.retriever, Switches(), "test", num_closed=0)
            row = {"environment": lesson.environment, "model": kind, "name": engine.name}
            row |= {key: figures[key] for key in (*KEYS, "num_steps", "num_trajectories")}
            log.info("%s", row)
            rows.append(row)
    return {
        "split": "test",
        "recipe": asdict(recipe),
        "num_parameters": trained[-1]["num_parameters"],
        "train_minutes": sum(stage["seconds"] for stage in trained) / 60,
        "rows": rows,
    }
