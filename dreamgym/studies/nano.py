"""`make nano`: the bundled models of a world from nothing, or from the blocks of another world's, on a CPU.

    collect real episodes, prove variations  ->  tokenizer
    ->  experience model (SFT, Eq. 5 and 6): drills, single steps, then whole episodes; variations of tasks among both
    ->  policy (SFT from those weights)
    ->  novice (SFT from the policy's weights on a clumsy expert's episodes): what RL begins with
    ->  fidelity on unseen rooms, success of both policies on unseen rooms  ->  model cards

Every stage leaves its result in the work folder, so that a stopped run goes on where it was.
"""

import itertools
import json
import logging
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamgym.collect import collect
from dreamgym.curriculum.proof import disprove
from dreamgym.curriculum.variation_rows import Family, VariationRowSettings, choose_families, variation_rows
from dreamgym.engines.model_folder import model_data, model_name
from dreamgym.environments import environment_module
from dreamgym.errors import ConfigError, EngineError
from dreamgym.experience_model import nano
from dreamgym.experience_model.dataset import RowSettings, Segment, episode_rows
from dreamgym.experience_model.evaluate import evaluate, evaluation_set, wilson
from dreamgym.experience_model.model import ExperienceModel, Switches
from dreamgym.experience_model.refresh import real_train_episodes
from dreamgym.experience_model.train import FitSettings, encode_rows, fit
from dreamgym.policy import warm_start_rows
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.results import origin as results_origin
from dreamgym.studies.mixes import IMITATED, NOVICE_MIXES, STEP_LIMITS
from dreamgym.studies.model_cards import publish
from dreamgym.studies.recipes import EXPERIENCE_MODEL, NOVICE, POLICY, NanoRecipe
from dreamgym.types import Trajectory

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

KNOWS: Mapping[str, str] = {
    "alfworld": "generated ALFWorld-style games of about ten receptacles",
    "webshop": "generated WebShop-style shops of 1,000 products",
}
"""What the models are made for."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lesson:
    """What there is to learn of one world."""

    environment: str
    trajectories: list[Trajectory]
    retriever: Retriever
    """Of the trajectories."""
    families: list[Family] = field(default_factory=list)
    """Tasks with their variations."""


def prepare(recipe: NanoRecipe, work: Path, buffer: Path | None = None) -> Lesson:
    """Collect episodes, or take a buffer's, and prove variations, unless the folder has them already."""
    work.mkdir(parents=True, exist_ok=True)
    trajectories = list(collect_stage(recipe, work / "experience.sqlite", buffer))
    retriever = Retriever([work / "experience.sqlite"], HashedNgrams())
    families = variations_stage(recipe, trajectories, work / "variations.json")
    return Lesson(recipe.environment, trajectories, retriever, families)


def run(recipe: NanoRecipe, work: Path, models: Path, results: Path, command: str, buffer: Path | None = None) -> None:
    """Make the models and their figures.

    Args:
        recipe: Sizes.
        work: Episodes and checkpoints; may be deleted afterwards.
        models: Gets one folder per model.
        results: Gets the JSON files.
        command: Written into them.
        buffer: Its real train episodes are learned from, with a teacher's reasoning where they have one; None: those
            that are collected.

    Raises:
        EngineError: `models` lacks the model that the recipe begins as.
    """
    name, policy = recipe.named(EXPERIENCE_MODEL), recipe.named(POLICY)
    start, folder = None, work / name
    begun: dict[str, Any] = {}
    if recipe.begins_as:
        start = models / recipe.begins_as
        if not (start / "recipe.json").is_file():
            raise EngineError(f"{name} begins as {start.name}, which {models} does not hold: make nano makes it")
        begun = {"begins_as": model_name(start), "before": model_data(str(start)) or []}
        folder = work / f"{name}-of-{begun['begins_as']}"
    lesson = prepare(recipe, work, buffer)
    proofs = {
        "num_variations": sum(len(family) - 1 for family in lesson.families),
        "num_transitions_of_proofs": _read_json(work / "variations.json")["num_transitions"],
    }
    origin = {**results_origin(command), "data": _data(lesson.trajectories, recipe.environment) | proofs, **begun}
    trained = experience_model_stage(recipe, [lesson], folder, start)
    warmed = policy_stage(recipe, lesson.trajectories, folder, work / policy)
    measured = fidelity_stage(recipe, folder, lesson.retriever)
    fidelity = {**measured, "model": model_name(folder, name), **origin}
    success = {**success_stage(recipe, work / policy), **origin}
    results.mkdir(parents=True, exist_ok=True)
    _write_json(results / f"experience-model-{recipe.environment}.json", fidelity)
    _write_json(results / f"nano-policy-{recipe.environment}.json", success)
    knows = KNOWS[recipe.environment]
    card = "experience model: plays the world from text, thinking before it writes the next state and the reward"
    publish(folder, models / name, card, knows, asdict(recipe), trained, origin, fidelity)
    card = "policy: reads the episode, thinks one line, acts"
    publish(work / policy, models / policy, card, knows, asdict(recipe), warmed, origin, success)
    run_novice(recipe, work, models, results, command)


def run_novice(recipe: NanoRecipe, work: Path, models: Path, results: Path, command: str) -> None:
    """Make the novice and its figures, from the policy that `models` holds; the arguments of `run`.

    Raises:
        EngineError: There is no such policy.
    """
    name, policy = recipe.named(NOVICE), recipe.named(POLICY)
    start, recipe = models / policy, replace(recipe, mix=NOVICE_MIXES[recipe.environment])
    if not (start / "recipe.json").is_file():
        raise EngineError(f"{name} begins as {policy}, which {models} does not hold: make nano makes both")
    folder = work / f"{name}-of-{model_name(start)}"
    work.mkdir(parents=True, exist_ok=True)
    trajectories = list(collect_stage(recipe, work / f"{name}.sqlite"))
    if not (folder / "fit.json").exists():
        _fit(*nano.load(start), list(warm_start_rows(trajectories, every_action=True)), recipe.novice, folder)
    before = _read_json(start / "recipe.json")
    seen = [*before.get("refreshed", []), _data(trajectories, recipe.environment)]
    begun: dict[str, Any] = {key: before[key] for key in ("begins_as", "before") if key in before}
    origin = {**results_origin(command), "data": before["data"], "refreshed": seen, **begun}
    success = {**success_stage(recipe, folder, temperature=1.0, max_steps=20), **origin}
    results.mkdir(parents=True, exist_ok=True)
    _write_json(results / f"nano-novice-{recipe.environment}.json", success)
    trained = [*before["trained"], _read_json(folder / "fit.json")]
    card = f"novice: {policy} made to try many things, good and bad, for training in the dream to begin with"
    publish(folder, models / name, card, KNOWS[recipe.environment], asdict(recipe), trained, origin, success)


def _data(trajectories: Sequence[Trajectory], environment: str) -> dict[str, Any]:
    """What was learned from, for recipe.json."""
    return {
        "environment": environment_module(environment).version_text(),
        "num_trajectories": len(trajectories),
        "num_transitions": sum(len(t.transitions) for t in trajectories),
        "by_policy": dict(Counter(t.provenance.policy for t in trajectories)),
    }


def collect_stage(recipe: NanoRecipe, path: Path, buffer: Path | None = None) -> "itertools.chain[Trajectory]":
    """Play the train tasks with every policy of the mix, or take a buffer's, as far as the file has not got them yet.

    Raises:
        ConfigError: The file was made for another mix, or of another buffer; the buffer has no such episodes.
    """
    done, players = path.with_suffix(".done"), str(buffer.resolve()) if buffer else json.dumps(recipe.players)
    if buffer and not done.exists():
        if not (episodes := real_train_episodes([buffer], recipe.environment)):
            raise ConfigError(
                f"{buffer} has no real train episodes of {recipe.environment}; dreamgym teach writes such"
            )
        with ReplayBuffer(path, HashedNgrams()) as kept:
            for trajectory in episodes:
                kept.add(trajectory)
        done.write_text(players, encoding="utf-8")
    if done.exists() and done.read_text(encoding="utf-8") not in ("", players):
        whose = f"does not come from {buffer}" if buffer else f"was played by others than {players}"
        raise ConfigError(f"{path} {whose}: delete {path.parent}, or name another --work")
    if not done.exists():
        stored = ExperienceReader([path] if path.exists() else []).iterate_trajectories()
        made = {(trajectory.provenance.policy, trajectory.provenance.seed) for trajectory in stored}
        tasks = environment_module(recipe.environment).load_tasks("train", recipe.num_tasks, recipe.seed)
        with ReplayBuffer(path, HashedNgrams()) as kept:
            for number, (policy, noise, max_steps) in enumerate(recipe.players):
                log.info("playing %d train tasks with %s(noise=%g)", len(tasks), policy, noise)
                seed = recipe.seed + 100_000 * number
                for trajectory in collect(
                    recipe.environment, tasks, policy, noise=noise, seed=seed, max_steps=max_steps, made=made
                ):
                    kept.add(trajectory)
        done.write_text(players, encoding="utf-8")
    stored = ExperienceReader([path]).iterate_trajectories()
    return itertools.chain(sorted(stored, key=lambda trajectory: trajectory.trajectory_id))


def variations_stage(recipe: NanoRecipe, trajectories: Sequence[Trajectory], path: Path) -> list[Family]:
    """Other goals of the train worlds, each proved in the real engine, unless the file has them already.

    What is in an official game nobody knows here: its variations stay unproved.
    """
    tasks = {trajectory.task.task_id: trajectory.task for trajectory in trajectories}
    families = choose_families([tasks[name] for name in sorted(tasks)], recipe.num_variations, seed=recipe.seed)
    if not path.exists():
        log.info("proving variations of %d train tasks", len(families))
        chosen = [task for family in families if family[0].source == "generated" for task in family[1:]]
        reasons = disprove(recipe.environment, chosen)
        proved = [task for task, reason in zip(chosen, reasons, strict=True) if reason is None]
        solution = environment_module(recipe.environment).solution
        account = {
            "proved": [task.task_id for task in proved],
            "dropped": dict(Counter(filter(None, reasons))),
            "num_transitions": sum(len(solution(task) or ()) for task in proved),
        }
        _write_json(path, account)
    kept = set(_read_json(path)["proved"])
    return [
        family if family[0].source == "official" else (family[0], *(t for t in family[1:] if t.task_id in kept))
        for family in families
    ]


def experience_model_stage(
    recipe: NanoRecipe, lessons: Sequence[Lesson], folder: Path, start: Path | None = None
) -> list[dict[str, Any]]:
    """Train the experience model on drills, single steps and episodes, unless the folders hold the results already.

    Args:
        recipe: Its environment is not looked at; the stages have the same lengths however many worlds there are.
        lessons: One for each world that the model is to dream.
        folder: Gets the model; folders beside it the stages.
        start: Model whose blocks it begins with.
    """
    stages = [folder.with_name(f"{folder.name}-{stage}") for stage in ("pairs", "drills", "single-steps")]
    paired, drilled, first = stages
    if not (folder / "fit.json").exists():
        episodes, varied, names = [], [], {}
        for lesson in lessons:
            log.info("writing rows with reasoning for %d trajectories", len(lesson.trajectories))
            settings = [RowSettings(seed=recipe.seed + number) for number in range(recipe.num_passes)]
            rows = [row for each in settings for row in episode_rows(lesson.trajectories, lesson.retriever, each)]
            variations = list(variation_rows(lesson.families, VariationRowSettings(seed=recipe.seed)))
            num_varied = min(len(variations), round(recipe.variations_share * len(rows)))
            rows += random.Random(recipe.seed).sample(variations, num_varied)
            pattern = environment_module(lesson.environment).NAMES
            names[lesson.environment] = nano.frequent_names(_texts(rows), 3, pattern)
            episodes += rows
            varied += variations
        drills = _drills(recipe.drills, names)
        if not all((stage / "fit.json").exists() for stage in stages):
            alone = RowSettings(no_history_share=1.0, num_alone=recipe.num_alone, seed=recipe.seed + recipe.num_passes)
            short_rows = [row for each in lessons for row in episode_rows(each.trajectories, each.retriever, alone)]
            short_rows += varied
            if not (paired / "fit.json").exists():
                pattern = "|".join(environment_module(world).NAMES for world in names)
                tokenizer = nano.build_tokenizer(_texts([*episodes, *short_rows]), names=pattern)
                model = nano.build_model(tokenizer, recipe.shape, recipe.seed)
                if start is not None:
                    nano.inherit(model, tokenizer, start, recipe.seed)
                _fit(model, tokenizer, _drills(recipe.pairs, names, pairs_only=True), recipe.pairs, paired)
            if not (drilled / "fit.json").exists():
                _fit(*nano.load(paired), drills, recipe.drills, drilled)
            short_rows += drills[: round(recipe.drills_share * len(short_rows))]
            _fit(*nano.load(drilled), short_rows, recipe.single_steps, first)
        episodes += drills[: round(recipe.drills_share * len(episodes))]
        _fit(*nano.load(first), episodes, recipe.episodes, folder)
    return [_read_json(each / "fit.json") for each in (*stages, folder)]


def _texts(rows: Sequence[Sequence[Segment]]) -> list[str]:
    return ["".join(text for text, _ in row) for row in rows]


def _drills(
    settings: FitSettings, names: Mapping[str, Sequence[str]], *, pairs_only: bool = False
) -> list[list[Segment]]:
    """As many rows as the stage reads, all different, of each world in turn.

    Args:
        settings: Of the stage.
        names: Environment -> the names in its texts; some of them get a number that no room may have.
        pairs_only: Only compare or repeat.
    """
    rng = random.Random(settings.seed)
    makers = []
    for environment, known in names.items():
        sample = rng.sample(known, len(known) // 3)
        made_up = {f"{name.rstrip('0123456789')}{rng.randint(1, 20)}" for name in sample}
        makers.append((environment_module(environment).drill, [*known, *sorted(made_up - set(known))]))
    turns = itertools.islice(itertools.cycle(makers), settings.steps * settings.batch_size)
    return [drill(known, rng, pairs_only=pairs_only) for drill, known in turns]


def policy_stage(recipe: NanoRecipe, trajectories: list[Trajectory], start: Path, folder: Path) -> list[dict[str, Any]]:
    """Train the policy on the episodes of IMITATED, from the experience model's weights.

    Raises:
        ConfigError: There are none, as an older recipe's folder has them.
    """
    if not (folder / "fit.json").exists():
        imitated = IMITATED[recipe.environment]
        experts = [trajectory for trajectory in trajectories if trajectory.provenance.policy.startswith(imitated)]
        if not experts:
            raise ConfigError(f"{imitated} has played nothing in {folder.parent}: delete it, or name another --work")
        _fit(*nano.load(start), list(warm_start_rows(experts)), recipe.policy, folder)
    return [_read_json(folder / "fit.json")]


def fidelity_stage(recipe: NanoRecipe, folder: Path, retriever: Retriever) -> dict[str, Any]:
    """Fidelity on the recorded episodes of the test rooms, unless the folder has that of its weights already."""
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch

    path = folder / "fidelity.json"
    if not path.exists() or _read_json(path)["model"] != model_name(folder):
        trajectories = evaluation_set(recipe.environment, "test", recipe.num_recorded_tasks)
        model = ExperienceModel(TransformersEngine(folder))
        _write_json(path, evaluate(model, trajectories, retriever, Switches(), "test"))
    return _read_json(path)


def success_stage(recipe: NanoRecipe, folder: Path, temperature: float = 0.0, max_steps: int = 40) -> dict[str, Any]:
    """Success of a policy in the real engine on the test rooms; episodes that failed are counted apart."""
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch
    from dreamgym.training.play import play
    from dreamgym.training.rollout import Sampling

    start = time.perf_counter()
    tasks = environment_module(recipe.environment).load_tasks("test", recipe.num_test_tasks)
    sampling = Sampling(
        temperature=temperature, max_steps=min(max_steps, STEP_LIMITS.get(recipe.environment, max_steps))
    )
    played = play(TransformersEngine(folder), tasks, sampling)
    ended = [trajectory for trajectory in played if trajectory.failure is None]
    won = [trajectory.success for trajectory in ended]
    low, high = wilson(sum(won), len(won))
    types = Counter(t.task.task_type for t in ended)
    return {
        "policy": played[0].provenance.policy,
        "split": "test",
        "num_tasks": len(played),
        "success": sum(won) / len(won) if won else None,
        "ci_low": low,
        "ci_high": high,
        "failed": len(played) - len(ended),
        "by_task_type": {
            name: sum(t.success for t in ended if t.task.task_type == name) / num for name, num in sorted(types.items())
        },
        "max_steps": sampling.max_steps,
        "seconds": time.perf_counter() - start,
    }


def _fit(
    model: Any, tokenizer: "PreTrainedTokenizerFast", rows: list[list[Segment]], settings: FitSettings, folder: Path
) -> None:
    """Train, and write what it took beside the weights."""
    dataset = encode_rows(rows, tokenizer, settings.max_length)
    log.info("training %s: %d parameters, %d rows", folder.name, model.num_parameters(), len(dataset))
    result = fit(model, tokenizer, dataset, settings, folder)
    figures = {"settings": asdict(settings), **asdict(result), "num_parameters": model.num_parameters()}
    _write_json(folder / "fit.json", figures)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    part = path.with_name(f".{path.name}.part")  # a file that is there is whole
    part.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    part.replace(path)


def _read_json(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value
