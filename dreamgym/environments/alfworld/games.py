"""Where ALFWorld games come from: ours, generated on first use into a cache, or the official ones in ALFWORLD_DATA.

Cache: $DREAMGYM_CACHE/games, by default ~/.cache/dreamgym/games. Whatever is in it can be made again, and several
processes may fill it at once: files are written whole under another name and then renamed.
"""

import functools
import hashlib
import json
import os
import random
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from dreamgym.config import cache_folder
from dreamgym.environments.alfworld.engine import AlfworldEnvironment
from dreamgym.environments.alfworld.generator import (
    GENERATOR_VERSION,
    SIZES,
    TASK_TYPES,
    Game,
    Proof,
    can_host,
    generate,
    prove,
)
from dreamgym.environments.alfworld.goal import parse_goal
from dreamgym.environments.alfworld.other_goals import with_goal
from dreamgym.environments.alfworld.rooms import scenes
from dreamgym.errors import ConfigError, DreamGymError, EnvironmentUnavailableError, TaskError
from dreamgym.types import SPLITS, Split, Task

GENERATED = "generated ALFWorld-style games on the ALFWorld engine; not the ALFWorld benchmark split"
OFFICIAL = "official ALFWorld games"
OFFICIAL_SPLITS: Mapping[Split, str] = {"train": "train", "validation": "valid_seen", "test": "valid_unseen"}
GAME_FILE = "game.tw-pddl"


@dataclass(frozen=True, slots=True)
class Games:
    """Tasks of a split, and what was left out."""

    tasks: list[Task]
    dropped: Mapping[str, int]
    """Reason to number of games that were found or made but cannot be used."""


def official_data() -> Path | None:
    """The folder in ALFWORLD_DATA, read at call time; None when the user did not set it: then games are generated."""
    folder = os.environ.get("ALFWORLD_DATA")
    return Path(folder).expanduser() if folder else None


def data_source() -> str:
    """Which games are played, for provenance."""
    return GENERATED if official_data() is None else OFFICIAL


def load_tasks(split: Split, num: int, seed: int = 0, size: str = "small") -> list[Task]:
    """Return tasks of a split, balanced over the six task types; the first n of them do not depend on `num`.

    Args:
        split: Rooms are disjoint between train and test; validation has the train rooms with other games.
        num: How many; the official games may be fewer than asked for, generated ones never are.
        seed: Another seed gives other games (generated) or another order (official).
        size: Key of `generator.SIZES`; official games have one size and ignore it.

    Raises:
        ConfigError: Unknown split or size, or a negative number.
        EnvironmentUnavailableError: ALFWORLD_DATA has no games, or the alfworld package is missing.
    """
    return load_games(split, num, seed, size).tasks


def load_games(split: Split, num: int, seed: int = 0, size: str = "small") -> Games:
    """`load_tasks` with an account of what was left out."""
    if split not in SPLITS or size not in SIZES or num < 0 or seed < 0:
        expected = f"a split of {SPLITS}, a size of {tuple(SIZES)}, num and seed from 0"
        raise ConfigError(f"expected {expected}; got {split!r}, {size!r}, {num} and {seed}")
    root = official_data()
    return _generated(split, num, seed, size) if root is None else _official(root, split, num, seed)


def game_path(payload: Mapping[str, str | int]) -> Path:
    """The game file a task names, generated on first use; TaskError when it does not exist and cannot be made."""
    if "path" in payload:
        return _official_path(payload)
    task_type, size, scene, seed = _settings(payload)
    path = _cache() / size / task_type / f"{scene}-{seed}" / GAME_FILE
    variation = payload.get("variation")
    if variation is not None:
        digest = hashlib.sha256(str(variation).encode()).hexdigest()[:16]
        path = path.parent / "variations" / digest / GAME_FILE
    if not path.is_file():
        _write(path, json.dumps(_generate(payload).to_json()))
    return path


def read_game(payload: Mapping[str, str | int]) -> Mapping[str, object]:
    """Content of the game file a task names; TaskError as for `game_path`."""
    content: dict[str, object] = json.loads(game_path(payload).read_text())
    return content


def generated_world(payload: Mapping[str, str | int]) -> Game | None:
    """What the generator made for a task, whatever is asked for in it; None for an official game."""
    return None if "path" in payload else _generate({k: v for k, v in payload.items() if k != "variation"})


def _official_path(payload: Mapping[str, str | int]) -> Path:
    root = official_data()
    if root is None:
        raise TaskError(f"the task plays the official game {payload['path']}; set ALFWORLD_DATA to the games' folder")
    if not (path := root / str(payload["path"])).is_file():
        raise TaskError(f"there is no game {path}; is ALFWORLD_DATA the folder the task was made from?")
    if "variation" in payload:
        raise TaskError("a variation of an official game can only be dreamed: what lies where in it is not known here")
    return path


def _settings(payload: Mapping[str, str | int]) -> tuple[str, str, int, int]:
    """Task type, size, room and seed of a generated world."""
    try:
        return str(payload["task_type"]), str(payload["size"]), int(payload["scene"]), int(payload["seed"])
    except (KeyError, ValueError) as error:
        raise TaskError(f"expected a task with task_type, scene, seed and size, got {dict(payload)}") from error


def _generate(payload: Mapping[str, str | int]) -> Game:
    """Lay out the world, with the variation's goal where the payload has one."""
    task_type, size, scene, seed = _settings(payload)
    try:
        game = generate(task_type, scene, seed, size)
    except ConfigError as error:
        raise TaskError(str(error)) from error
    if game is None:
        raise TaskError(f"room {scene} cannot host the task type {task_type}")
    if "variation" not in payload:
        return game
    text = str(payload["variation"])
    if (goal := parse_goal(text)) is None:
        raise TaskError(f"no template of the goal library says {text[:80]!r}")
    kinds = {thing.kind.lower(): thing.kind for thing in (*game.objects, *game.receptacles)}
    target, destination = (kinds.get(name, name) for name in (goal.object, goal.lamp or goal.place or ""))
    varied = with_goal(game, goal.task_type, target, destination, text)
    if isinstance(varied, str):
        raise TaskError(f"{text!r} cannot be done in room {scene}: {varied}")
    return varied


def _cache() -> Path:
    """One folder per version of what a game is made of, so that an update never plays yesterday's games."""
    return cache_folder("games") / f"alfworld-{_package_version()}-generator-{GENERATOR_VERSION}"


@functools.cache
def _package_version() -> str:
    try:
        return version("alfworld")
    except ImportError as error:
        install = 'pip install "dreamgym-lab[alfworld]" (needs g++ and make)'
        raise EnvironmentUnavailableError(f"ALFWorld games need the alfworld package; install it: {install}") from error


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".part", delete=False) as file:
        file.write(text)
    os.replace(file.name, path)


def _remembered(path: Path, make: Callable[[], Proof]) -> Proof:
    """A proof from the cache, or made and put there; a damaged entry is made again."""
    try:
        return Proof(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        proof = make()
        _write(path, json.dumps(asdict(proof)))
        return proof


# ---- generated games


def _generated(split: Split, num: int, seed: int, size: str) -> Games:
    """The first `num` games of an endless, fixed list; the list so far is kept in one file."""
    index = _cache() / "index" / f"{size}-{split}-{seed}.json"
    try:
        stored = json.loads(index.read_text())
        tasks, drops = [Task(**row) for row in stored["tasks"]], [dict(d) for d in stored["dropped"]]
    except (OSError, ValueError, TypeError, KeyError):
        tasks, drops = [], []
    if len(tasks) < num:
        environment = AlfworldEnvironment()
        for number in range(len(tasks), num):
            task, reasons = _make_task(split, number, seed, size, environment)
            tasks.append(task)
            drops += [{"number": number, "reason": reason} for reason in reasons]
        environment.close()
        _write(index, json.dumps({"tasks": [asdict(task) for task in tasks], "dropped": drops}))
    return Games(tasks[:num], Counter(d["reason"] for d in drops if d["number"] < num))


@functools.cache
def _hosts(split: Split, task_type: str, seed: int) -> tuple[int, ...]:
    hosts = [scene for scene in scenes(split) if can_host(task_type, scene)]
    random.Random(f"{task_type}/{seed}").shuffle(hosts)
    return tuple(hosts)


def _make_task(
    split: Split, number: int, seed: int, size: str, environment: AlfworldEnvironment
) -> tuple[Task, list[str]]:
    """The `number`-th task of a list, and why rooms before its own were dropped."""
    task_type, reasons = TASK_TYPES[number % len(TASK_TYPES)], list[str]()
    hosts = _hosts(split, task_type, seed)
    game_seed = (1_000_000 * seed + number) * len(SPLITS) + SPLITS.index(split)  # splits never share a seed
    for attempt in range(len(hosts)):
        scene = hosts[(number // len(TASK_TYPES) + attempt) % len(hosts)]
        payload: dict[str, str | int] = {"task_type": task_type, "scene": scene, "seed": game_seed, "size": size}
        path = game_path(payload)
        proof = _remembered(path.with_name("proof.json"), functools.partial(_prove, path, environment))
        if proof.failure is None:
            task_id = f"alfworld/generated/{size}/{split}/{task_type}/{scene}/{game_seed}"
            return _task(task_id, path, split, task_type, str(scene), proof.first_state, payload), reasons
        reasons.append(proof.failure)
    raise EnvironmentUnavailableError(
        f"no room can host a winnable {task_type} game of size {size}: {Counter(reasons)}"
    )


def _prove(path: Path, environment: AlfworldEnvironment) -> Proof:
    return prove(json.loads(path.read_text())["walkthrough"], path, environment)


def _task(
    task_id: str, path: Path, split: Split, task_type: str, room: str, state: str, payload: Mapping[str, str | int]
) -> Task:
    return Task(
        task_id=task_id,
        environment="alfworld",
        text=_instruction(json.loads(path.read_text())["grammar"]),
        split=split,
        task_type=task_type,
        room=room,
        first_state=state,
        source="official" if "path" in payload else "generated",
        payload=payload,
    )


def _instruction(grammar: str) -> str:
    found = re.search(r'Your task is to: (.+?)\.?"\s*$', grammar, re.MULTILINE)
    if found is None:
        raise TaskError("the game's grammar has no line 'Your task is to: ...'")
    return found[1]


# ---- official games


@dataclass(frozen=True, slots=True)
class Survey:
    """What a folder of official games holds."""

    games: Mapping[str, list[str]]
    """Task type to game files, relative to ALFWORLD_DATA."""
    skipped: Mapping[str, int]
    """Reason to number of unusable games."""
    num_unmarked: int = 0
    """Games without the key `solvable`: taken as solvable, as alfworld's issue 98 advises."""


def survey(root: Path, split: Split) -> Survey:
    """Read every game of an official split once; later calls are instant until a file changes."""
    folder = root / "json_2.1.1" / OFFICIAL_SPLITS[split]
    trials = sorted(path for path in folder.glob("*/trial_*") if path.is_dir())
    if not trials:
        raise EnvironmentUnavailableError(
            f"ALFWORLD_DATA is {root}, but there are no games in {folder}; run alfworld-download, "
            "or unset ALFWORLD_DATA to play generated games"
        )
    digest = hashlib.sha256(str(folder).encode())
    for trial in trials:
        digest.update(_stamp(trial / GAME_FILE).encode())
    index = _cache() / "official" / f"survey-{digest.hexdigest()[:16]}.json"
    try:
        return Survey(**json.loads(index.read_text()))
    except (OSError, ValueError, TypeError):
        found = _survey(root, trials)
        _write(index, json.dumps(asdict(found)))
        return found


def _stamp(path: Path) -> str:
    """Changes when the file does."""
    try:
        status = path.stat()
    except OSError:
        return f"{path} is missing"
    return f"{path} {status.st_size} {status.st_mtime_ns}"


def _survey(root: Path, trials: list[Path]) -> Survey:
    games: dict[str, list[str]] = {task_type: [] for task_type in TASK_TYPES}
    skipped, unmarked = Counter[str](), 0
    for trial in trials:
        content, reason = _read_official(trial)
        if reason is not None:
            skipped[reason] += 1
        else:
            unmarked += "solvable" not in content
            games[trial.parent.name.split("-")[0]].append((trial / GAME_FILE).relative_to(root).as_posix())
    return Survey(games, dict(skipped), unmarked)


def _read_official(trial: Path) -> tuple[Mapping[str, object], str | None]:
    """(content, None) of a usable game, or ({}, why not)."""
    name = trial.parent.name
    if "movable" in name:
        return {}, "needs a movable receptacle"
    if "Sliced" in name:
        return {}, "needs a sliced object"
    if name.split("-")[0] not in TASK_TYPES or not name.rpartition("-")[2].isdigit():
        return {}, "folder name is no task type and room"
    try:
        content = json.loads((trial / GAME_FILE).read_text())
    except FileNotFoundError:
        return {}, f"has no {GAME_FILE}"
    except (OSError, ValueError):
        return {}, "is unreadable"
    if not isinstance(content, dict) or not {"pddl_domain", "pddl_problem", "grammar"} <= content.keys():
        return {}, "lacks the domain, problem or grammar"
    return content, None if content.get("solvable", True) else "is marked unsolvable"


def _official(root: Path, split: Split, num: int, seed: int) -> Games:
    """Round robin over the task types, each in an order of its own; games the engine cannot load are dropped too."""
    found = survey(root, split)
    dropped, tasks, environment = Counter(found.skipped), list[Task](), AlfworldEnvironment()
    for task_type, name in _round_robin(found.games, seed):
        if len(tasks) == num:
            break
        path = root / name
        key = hashlib.sha256(_stamp(path).encode()).hexdigest()[:16]
        proof = _remembered(_cache() / "official" / f"{key}.json", functools.partial(_first_state, path, environment))
        if proof.failure is not None:
            dropped[proof.failure] += 1
            continue
        folder, trial = path.parts[-3:-1]
        task_id = f"alfworld/official/{split}/{folder}/{trial}"
        room = folder.rpartition("-")[2]
        tasks.append(_task(task_id, path, split, task_type, room, proof.first_state, {"path": name}))
    environment.close()
    return Games(tasks, dropped)


def _round_robin(games: Mapping[str, list[str]], seed: int) -> Iterator[tuple[str, str]]:
    queues = {task_type: sorted(names) for task_type, names in games.items()}
    for task_type, names in queues.items():
        random.Random(f"{task_type}/{seed}").shuffle(names)
    for turn in range(max(map(len, queues.values()), default=0)):
        yield from ((task_type, names[turn]) for task_type, names in queues.items() if turn < len(names))


def _first_state(path: Path, environment: AlfworldEnvironment) -> Proof:
    """Official games are solvable by their own mark: only load them."""
    try:
        return Proof(environment.reset_game(str(path)), None)
    except DreamGymError:
        return Proof("", "the engine cannot load it")
