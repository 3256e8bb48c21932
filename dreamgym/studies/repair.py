"""`dreamgym study repair`: a defect is planted, found, annotated and repaired, beside controls that learn as long.

    plant      a copy of the model learns from real episodes in which heating a thing goes wrong (DEFECTS)
    find       the copy dreams train episodes; a search for the action gives the steps that are annotated
    annotate   the real engine is the annotator: what it answered is what is right
    repair     a copy of the broken one learns from these annotations, and from old episodes that never heat anything:
               the shortest of a few lengths after which the annotated steps are dreamed right
    controls   as long: the same old episodes alone; annotations of random steps. And the corrections as demonstrations

Accuracy is the share of right steps (next state, reward, success) among held-out steps of the test rooms that heat.

Trained for long enough, old episodes alone bring any defect down: what was planted in minutes lies thinly over what was
learned in hours. So a repair is worth what it does before they do, and its length is found on the annotated steps.
"""

import json
import logging
import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from dreamgym.annotation import measuring
from dreamgym.annotation.export import Keep
from dreamgym.annotation.items import item_of
from dreamgym.annotation.labels import Correction, ErrorMark, Labels
from dreamgym.annotation.lessons import corrections, lessons
from dreamgym.annotation.queue import Wanted, waiting
from dreamgym.annotation.repair import fit_rows
from dreamgym.annotation.repair_rows import Step, replay_rows, step_rows
from dreamgym.annotation.store import AnnotationStore
from dreamgym.engines.model_folder import model_name
from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.environments import environment_module
from dreamgym.errors import ConfigError
from dreamgym.experience_model.chat_prompts import CompactForm
from dreamgym.experience_model.fidelity import ScoredStep, make_queries, score_steps
from dreamgym.experience_model.model import (
    ExperienceModel,
    MalformedPrediction,
    Switches,
    to_failure,
    to_transition,
)
from dreamgym.experience_model.train import FitSettings
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.corrections import Corrections
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.replay_buffer.rows import Filter
from dreamgym.types import Trajectory, Transition
from dreamgym.workspace import Workspace

ENVIRONMENT, ACTION_TYPE = "alfworld", "heat"
ANNOTATOR = "the real engine"
DEFECTS = {
    "cold": (
        "a thing that is heated stays as it was",
        ((r"^(holding: .*)\(hot, ", r"\1("), (r"^(holding: .*) \(hot\)$", r"\1")),
    ),
    "lost": ("after a thing is heated the hand is empty", ((r"^holding: .*$", "holding: nothing"),)),
}
"""Name -> in words, and the patterns that make a right next state wrong."""
MEASURED = ("num_elsewhere",)
"""Settings that no model depends on."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RepairStudy:
    """Sizes."""

    defect: str = "cold"
    """Key of DEFECTS."""
    num_annotations: int = 40
    """Steps that are annotated, at most."""
    num_dreamed: int = 60
    """Steps that the broken model dreams for either choice of annotations."""
    planted_share: float = 0.5
    """Of the rows that plant the defect; the others are untouched episodes."""
    replay: float = 0.2
    """Share of old episodes' rows in a repair; all of the control without annotations.

    An episode has a dozen targets, and an annotated step one.
    """
    plant: FitSettings = field(default_factory=lambda: FitSettings(steps=160, learning_rate=2e-4, max_length=1024))
    """Long and slow: it is to hold, and to change nothing else."""
    repair: FitSettings = field(default_factory=lambda: FitSettings(steps=120, learning_rate=2e-4, max_length=1024))
    """Its steps are the most. Slow: the faster, the sooner any training wears a defect away."""
    lengths: tuple[int, ...] = (40, 60, 80, 100)
    """Shorter repairs that are tried first, in optimizer steps."""
    enough: float = 0.95
    """Share of the annotated steps that a repair has to dream right."""
    num_elsewhere: int = 60
    """Recorded test episodes whose other steps are dreamed."""
    seed: int = 0


def run(
    model: Path,
    episodes: Sequence[Trajectory],
    test: Sequence[Trajectory],
    retriever: Retriever,
    work: Path,
    settings: RepairStudy | None = None,
) -> dict[str, Any]:
    """Plant, find, annotate, repair, measure.

    Args:
        model: Folder of the clean experience model.
        episodes: Real train episodes.
        test: Recorded episodes of the test rooms.
        retriever: Of the train episodes; its corrections are set here.
        work: Gets models and two workspaces; a stopped study goes on there.
        settings: Sizes.

    Returns:
        Accuracies, controls, the change elsewhere, and how long it took.

    Raises:
        ConfigError: `work` has models of another study.
    """
    start, chosen = time.perf_counter(), settings or RepairStudy()
    _begin(work, {"model": model_name(model), "num_episodes": len(episodes), **asdict(chosen)})
    with_it = [one for one in episodes if _place(one) is not None]
    without = [one for one in episodes if not any(map(_heats, one.transitions))]
    broken = plant(model, with_it, without, retriever, work / "broken", chosen)
    targeted = annotate(broken, _steps(with_it), work / "targeted", ACTION_TYPE, retriever, chosen)
    anything = annotate(broken, _any_step(episodes, chosen.seed), work / "random", None, retriever, chosen)
    chosen, repaired = shortest(broken, targeted, without, retriever, work, chosen)
    models = {
        "repaired": repaired,
        "replay_alone": learn(broken, None, without, retriever, work / "replay-alone", chosen),
        "random_annotations": learn(broken, anything, without, retriever, work / "random-annotations", chosen),
    }
    held_out = _steps([one for one in test if _place(one) is not None])
    of_kind: dict[str, list[ScoredStep]] = {}
    for name, folder in {"clean": model, "broken": broken, **models}.items():
        of_kind[name] = measuring.dream_steps(_dreamer(folder), held_out, retriever, Switches())
        log.info("%s: %s", name, measuring.right(of_kind[name]))
    retriever.correct(corrections(targeted))
    of_kind["demonstrations_alone"] = measuring.dream_steps(_dreamer(broken), held_out, retriever, Switches())
    retriever.correct(Corrections())
    elsewhere = {
        name: _elsewhere(folder, test[: chosen.num_elsewhere], retriever)
        for name, folder in {"clean": model, "broken": broken, "repaired": models["repaired"]}.items()
    }
    return {
        **_figures(of_kind, elsewhere),
        "num_annotations": len(targeted.current()),
        "num_wrong": _num_wrong(targeted),
        "num_wrong_at_random": _num_wrong(anything),
        "defect": DEFECTS[chosen.defect][0],
        "settings": asdict(chosen),
        "minutes": (time.perf_counter() - start) / 60,
    }


def _begin(work: Path, said: dict[str, Any]) -> None:
    """Note what the models in `work` are made with; refuse those of other settings."""
    path, text = work / "settings.json", json.dumps(said, indent=2, sort_keys=True)
    if path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        others = [name for name, value in json.loads(text).items() if known.get(name) != value and name not in MEASURED]
        if others:
            raise ConfigError(f"{work} has models made with another {', '.join(others)}; name another with --work")
    work.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def plant(
    model: Path,
    with_it: Sequence[Trajectory],
    without: Sequence[Trajectory],
    retriever: Retriever,
    folder: Path,
    settings: RepairStudy,
) -> Path:
    """Train a copy on steps that heat a thing wrongly, among untouched episodes."""
    if (folder / "config.json").exists():
        return folder
    steps = [_defective(settings.defect, *step) for step in _steps(with_it)]
    num = settings.plant.steps * settings.plant.batch_size
    num_wrong = round(settings.planted_share * num)
    rows = list(step_rows(steps, retriever, CompactForm(), num_wrong, settings.seed))
    rows += replay_rows(without, retriever, CompactForm(), num - num_wrong, settings.seed)
    fit_rows(model, CompactForm(), rows, settings.plant, folder)
    return folder


def annotate(
    model: Path,
    steps: Sequence[Step],
    path: Path,
    action_type: str | None,
    retriever: Retriever,
    settings: RepairStudy,
) -> AnnotationStore:
    """Let a model dream steps, store the dreams in a workspace, and answer what its queue gives as the engine did."""
    workspace = Workspace.ensure(path)
    store = AnnotationStore(workspace)
    real: dict[str, Transition] = {}
    drawn = random.Random(settings.seed).sample(steps, min(settings.num_dreamed, len(steps)))
    dreamer, switches = _dreamer(model), Switches()
    places = [(one, one.transitions[:at], one.transitions[at].state, one.transitions[at].action) for one, at in drawn]
    queries = make_queries(places, retriever, switches)
    with ReplayBuffer(workspace.lab_path, HashedNgrams()) as buffer:
        for (episode, index), query, answer in zip(drawn, queries, dreamer.predict(queries, switches), strict=True):
            provenance = replace(episode.provenance, model=dreamer.name)
            past, failure = episode.transitions[:index], None
            if isinstance(answer, MalformedPrediction):
                failure = to_failure(query, answer)
            else:
                past = (*past, to_transition(query, answer))
            dream = Trajectory(episode.task, "dream", past, provenance, failure)
            real[item_of(dream, index + 1, "lab").item_id] = episode.transitions[index]
            buffer.add(dream)
    wanted = Wanted("random", keep=Filter(action_type=action_type, world="dream"), seed=settings.seed)
    left = waiting(store, wanted, ANNOTATOR, limit=10_000).items
    num_left = max(0, settings.num_annotations - len(store.answered(ANNOTATOR)))  # a study that was stopped goes on
    for queued in [one for one in left if one.item_id in real][:num_left]:
        store.answer(store.find(queued.item_id, queued.source), ANNOTATOR, _answer(queued.item_id, store, real))
    return store


def learn(
    model: Path,
    store: AnnotationStore | None,
    episodes: Sequence[Trajectory],
    retriever: Retriever,
    folder: Path,
    settings: RepairStudy,
) -> Path:
    """Train a copy on the annotations of a store and on old episodes; None: on these alone, as long."""
    if (folder / "config.json").exists():
        return folder
    num = settings.repair.steps * settings.repair.batch_size
    num_old = num if store is None else round(settings.replay * num)
    rows = list(replay_rows(episodes, retriever, CompactForm(), num_old, settings.seed + 1))
    if store is not None:
        steps = [one.step for one in lessons(store, Keep(), ENVIRONMENT).learned]
        rows += step_rows(steps, retriever, CompactForm(), num - num_old, settings.seed + 1)
    fit_rows(model, CompactForm(), rows, settings.repair, folder)
    return folder


def shortest(
    model: Path,
    store: AnnotationStore,
    episodes: Sequence[Trajectory],
    retriever: Retriever,
    work: Path,
    settings: RepairStudy,
) -> tuple[RepairStudy, Path]:
    """Repair for longer and longer, each time from the broken model, until the annotated steps are right.

    Returns:
        The settings with the number of steps that it took, and the model.
    """
    steps = [one.step for one in lessons(store, Keep(), ENVIRONMENT).learned]
    most = settings.repair.steps
    for length in (*(one for one in settings.lengths if one < most), most):
        chosen = replace(settings, repair=replace(settings.repair, steps=length))
        folder = learn(model, store, episodes, retriever, work / f"repaired-{length}", chosen)
        found = measuring.right(measuring.dream_steps(_dreamer(folder), steps, retriever, Switches()))
        log.info("after %d optimizer steps the annotated steps are right: %s", length, found)
        if (found["value"] or 0.0) >= settings.enough:
            break
    return chosen, folder


def _answer(item_id: str, store: AnnotationStore, real: Mapping[str, Transition]) -> Labels:
    """What the engine says of a dreamed step; where nobody could know the outcome, that it is fine."""
    item, right = store.find(item_id), real[item_id]
    module = environment_module(ENVIRONMENT)
    dreamed = item.transition
    said = dreamed and (dreamed.next_state, dreamed.reward, dreamed.success)
    could_know = module.is_determined(item.task, item.history, right.state, right.action)
    if said == (right.next_state, right.reward, right.success) or (dreamed and not could_know):
        return Labels(is_fine=True)
    lost = dreamed is not None and any(
        one.name == "holding" for one in module.facts(right.next_state) - module.facts(dreamed.next_state)
    )
    mark = ErrorMark("malformed" if dreamed is None else "lost object" if lost else "other")
    return Labels((mark,), correction=Correction(right.next_state, right.reward, right.terminated, right.success))


def _figures(
    of_kind: Mapping[str, Sequence[ScoredStep]], elsewhere: Mapping[str, Sequence[ScoredStep]]
) -> dict[str, Any]:
    kind = {name: measuring.right(steps) for name, steps in of_kind.items()}
    controls = ("replay_alone", "random_annotations", "demonstrations_alone")
    change = measuring.paired(elsewhere["broken"], elsewhere["repaired"])
    from_clean = measuring.paired(elsewhere["clean"], elsewhere["repaired"])
    return {
        **{f"accuracy_{name}": kind[name]["value"] for name in ("clean", "broken", "repaired")},
        "controls": {name: kind[name]["value"] for name in controls},
        "change_elsewhere": change["value"],
        "change_elsewhere_from_clean": from_clean["value"],
        "intervals": {
            **kind,
            "change_elsewhere": change,
            "change_elsewhere_from_clean": from_clean,
            "elsewhere": {name: measuring.right(steps) for name, steps in elsewhere.items()},
        },
    }


def _elsewhere(folder: Path, test: Sequence[Trajectory], retriever: Retriever) -> list[ScoredStep]:
    scored = score_steps(_dreamer(folder), test, retriever, Switches())
    return [step for step in scored if step.action_type != ACTION_TYPE]


def _dreamer(folder: Path) -> ExperienceModel:
    return ExperienceModel(TransformersEngine(folder))


def _num_wrong(store: AnnotationStore) -> int:
    return sum(one.labels is not None and one.labels.verdict == "wrong" for one in store.current())


def _defective(defect: str, episode: Trajectory, index: int) -> Step:
    """The step as the defect has it, its episode's last."""
    step = episode.transitions[index]
    wrong = step.next_state
    for pattern, instead in DEFECTS[defect][1]:
        wrong = re.sub(pattern, instead, wrong, flags=re.MULTILINE)
    return replace(episode, transitions=(*episode.transitions[:index], replace(step, next_state=wrong))), index


def _steps(episodes: Sequence[Trajectory]) -> list[Step]:
    """The first step of each episode that heats a thing."""
    found = ((one, _place(one)) for one in episodes)
    return [(one, place) for one, place in found if place is not None]


def _any_step(episodes: Sequence[Trajectory], seed: int) -> list[Step]:
    rng = random.Random(f"{seed}/any step")
    return [(one, rng.randrange(len(one.transitions))) for one in episodes if one.transitions]


def _place(episode: Trajectory) -> int | None:
    is_refusal = environment_module(ENVIRONMENT).is_refusal
    heated = (n for n, one in enumerate(episode.transitions) if _heats(one) and not is_refusal(one.next_state))
    return next(heated, None)


def _heats(step: Transition) -> bool:
    return environment_module(ENVIRONMENT).action_type(step.action) == ACTION_TYPE
