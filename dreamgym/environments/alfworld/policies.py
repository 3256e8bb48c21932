"""Scripted policies: an expert that searches like a person, a random one, a liar, and an expert that misread the task.

The liar exists because of what a policy does to an experience model that never saw a failure: it finds out that
everything works there. It takes what is not there, puts what is not held, goes to places that do not exist. The
mistaken one exists because of how a trained policy fails: it carries the wrong thing, heats what cannot be heated, and
tries that again.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dreamgym.environments.alfworld.generator import TASK_TYPES, instruction
from dreamgym.environments.alfworld.goal import parse_goal
from dreamgym.environments.alfworld.knowledge import APPLIANCES, Knowledge
from dreamgym.environments.alfworld.state_text import MIDDLE, REJECTED, kind, natural, parse
from dreamgym.environments.alfworld.variations import instruction_parts, other_tasks
from dreamgym.errors import ConfigError
from dreamgym.types import Task, Transition

PLACES = (
    *("cabinet", "drawer", "shelf", "countertop", "sinkbasin", "fridge", "microwave", "stoveburner", "desk", "toilet"),
    *("bed", "sidetable", "dresser", "sofa", "armchair", "coffeetable", "diningtable", "garbagecan", "cart"),
)
"""Kinds of places that people expect in a home."""
STUBBORN, STUCK = 0.1, 0.6
"""How often a liar says again what was refused just now, and goes on when it has done so: policies get stuck."""
_APPLIANCE_OF = {condition: (verb, place) for verb, (place, condition) in APPLIANCES.items()}


@dataclass(frozen=True, slots=True)
class Decision:
    """An action and the line of thought that leads to it."""

    thought: str
    action: str


def decide(known: Knowledge) -> Decision:
    """The expert's next move from what was seen; explores where the task's wording is unknown."""
    goal, view = known.goal, known.view
    if view is None:
        return Decision("The state cannot be read, so look around.", "look")
    if goal is None:
        return _search(known, "The task has no known form.", "anything")
    hand = f"Holding {view.holding}." if view.holding else "Holding nothing."
    if view.holding and kind(view.holding) != goal.object:
        return _put_away(known, f"{hand} The goal needs {goal.object}, so put {view.holding} away.")
    if view.holding is None:
        return _fetch(
            known, f"{hand} The goal needs {'another' if _placed(known) else 'a'} {goal.object}.", goal.object
        )
    if goal.lamp:
        return _light(known, f"{hand} The goal needs a lit {goal.lamp}.", goal.lamp)
    if goal.condition and goal.condition not in view.conditions:
        verb, appliance = _APPLIANCE_OF[goal.condition]
        says = f"{hand} It must be {goal.condition}, so {verb} it."
        return _reach(known, says, appliance, lambda place: f"{verb} {view.holding} with {place}", door=False)
    says = f"{hand} It goes in {goal.place}."
    return _reach(known, says, goal.place or "", lambda place: f"move {view.holding} to {place}", door=True)


def _placed(known: Knowledge) -> list[str]:
    """Objects of the goal that lie where the goal wants them."""
    goal = known.goal
    if goal is None or goal.place is None:
        return []
    here = (name for place, items in known.contents.items() if kind(place) == goal.place for name in items)
    return [name for name in here if kind(name) == goal.object]


def _places_of(known: Knowledge, wanted: str) -> list[str]:
    """Places where an object of the kind was last seen and still has to be fetched from."""
    goal = known.goal
    done = goal.place if goal and goal.object == wanted else None
    return [
        place
        for place, items in known.contents.items()
        if kind(place) != done and any(kind(item.removesuffix(" (on)")) == wanted for item in items)
    ]


def _fetch(known: Knowledge, says: str, wanted: str) -> Decision:
    view = known.view
    assert view is not None
    done = _placed(known)
    if view.here is not None and not (known.goal and kind(view.place) == known.goal.place):
        for name in view.objects_here:
            if kind(name) == wanted and name not in done:
                return Decision(f"{says} {name} is here.", f"take {name} from {view.place}")
    for place in sorted(_places_of(known, wanted), key=natural):
        if place == view.place and view.is_open is False:
            return Decision(f"{says} One was seen in {place}.", f"open {place}")
        if place != view.place:
            return Decision(f"{says} One was seen at {place}.", f"go to {place}")
    return _search(known, says, wanted)


def _light(known: Knowledge, says: str, lamp: str) -> Decision:
    view = known.view
    assert view is not None
    for name in view.objects_here:
        if kind(name) == lamp:
            return Decision(f"{says} {name} is here.", f"use {name}")
    for place in sorted(_places_of(known, lamp), key=natural):
        if place != view.place:
            return Decision(f"{says} One was seen at {place}.", f"go to {place}")
    return _search(known, says, lamp)


def _reach(known: Knowledge, says: str, wanted: str, act: Callable[[str], str], *, door: bool) -> Decision:
    """Go to a place of a kind (for two objects: the one that has the first), open it if needed, act."""
    view = known.view
    assert view is not None
    if kind(view.place) == wanted and view.place in _targets(known, wanted):
        if door and view.is_open is False:
            return Decision(f"{says} {view.place} is here but closed.", f"open {view.place}")
        return Decision(f"{says} {view.place} is here.", act(view.place))
    targets = _targets(known, wanted)
    if not targets:
        return _search(known, says, wanted)
    return Decision(f"{says} Next is {targets[0]}.", f"go to {targets[0]}")


def _targets(known: Knowledge, wanted: str) -> list[str]:
    """Places of a kind; one that already holds an object of the goal comes first and alone."""
    goal = known.goal
    places = [place for place in known.places if kind(place) == wanted]
    started = [p for p in places if goal and any(kind(item) == goal.object for item in known.contents.get(p, ()))]
    return started if started and goal and goal.place == wanted else places


def _search(known: Knowledge, says: str, wanted: str) -> Decision:
    """Open the closed place at hand, else go to the next place (in the room's order) that was not seen inside."""
    view = known.view
    assert view is not None
    if view.place != MIDDLE and view.is_open is False and view.place not in known.contents:
        return Decision(f"{says} {view.place} is closed.", f"open {view.place}")
    order = list(known.places)
    start = order.index(view.place) + 1 if view.place in order else 0
    for place in order[start:] + order[:start]:
        if place not in known.contents:
            return Decision(f"{says} No {wanted} seen yet, so look at {place}.", f"go to {place}")
    return Decision(f"{says} Everything was looked at.", f"go to {order[start % len(order)]}" if order else "look")


def _put_away(known: Knowledge, says: str) -> Decision:
    """Bring a wrong object back to where it was taken from: it surely fits there."""
    view = known.view
    assert view is not None and view.holding is not None
    fitting = known.fits.get((kind(view.holding), kind(view.place)))
    home = view.place if fitting and view.is_open is not False else known.taken_from.get(view.holding, view.place)
    if home != view.place:
        return Decision(f"{says} It came from {home}.", f"go to {home}")
    if view.is_open is False:
        return Decision(f"{says} {home} is closed.", f"open {home}")
    return Decision(f"{says} It fits here.", f"move {view.holding} to {home}")


def lie(known: Knowledge, rng: random.Random) -> str:
    """An action that the real engine rejects, as a policy that is paid by a dream would try it."""
    view, goal = known.view, known.goal
    places = list(known.places) or ["cabinet 1"]
    place = view.place if view and view.place != MIDDLE else rng.choice(places)
    seen = sorted({name.removesuffix(" (on)") for items in known.contents.values() for name in items})
    wanted = f"{goal.object} {rng.randint(1, 2)}" if goal else rng.choice(seen or ["mug 1"])
    target = next((p for p in places if goal and kind(p) == goal.place), rng.choice(places))
    verb, (appliance, _) = rng.choice(list(APPLIANCES.items()))
    ghost = ghost_place(places, rng)
    elsewhere = rng.choice([p for p in places if p != place] or [place])
    options = [
        f"take {wanted} from {place}",
        f"take {rng.choice(seen or [wanted])} from {rng.choice([place, elsewhere])}",
        f"move {wanted} to {target}",
        f"move {rng.choice(seen or [wanted])} to {rng.choice([place, elsewhere])}",
        f"go to {ghost}",
        *[f"{way} {place}" for way in ("go to", "go to", "open", "close")],
        f"open {rng.choice([place, elsewhere, ghost])}",
        f"close {rng.choice([place, elsewhere])}",
        f"{verb} {wanted} with {next((p for p in places if kind(p) == appliance), place)}",
        *([f"{way} {view.holding} with {place}" for way in APPLIANCES] if view and view.holding else []),
        f"move {view.holding if view and view.holding else wanted} to {place}",
        f"use {rng.choice([wanted, f'{goal.lamp} 1' if goal and goal.lamp else 'desklamp 1'])}",
        f"take {wanted} from {ghost}",
        rng.choice(
            ["win", "finish the task", f"grab {wanted}", f"teleport to {target}", f"place {wanted}", f"go {place}"]
        ),
    ]
    rng.shuffle(options)
    return next((action for action in options if known.verdict(action).possible is False), "open the task")


def ghost_place(places: Sequence[str], rng: random.Random) -> str:
    """A place that the room lacks: mostly the next number of a kind that it has, else any number of any kind."""
    own = kind(rng.choice(places))
    following = 1 + max(int(name.rpartition(" ")[2]) for name in places if kind(name) == own)
    near = f"{own} {following}"
    other = f"{rng.choice(PLACES)} {rng.randint(1, 3)}"
    far = f"{own} {rng.randint(following, following + 15)}"
    drawn = rng.choice((near, near, other, far))
    return near if drawn in places else drawn


def misread(task: Task, rng: random.Random) -> Task:
    """The task as a bad reader takes it: a thing of this world, brought anywhere, or made what it may never be."""
    others = [parts for other in other_tasks(task) or () if (parts := instruction_parts(other.text)) is not None]
    first, goal = parse(task.first_state), parse_goal(task.text)
    things = sorted({parts["object"] for parts in others}) or ([goal.object] if goal else [])
    places = sorted({kind(place) for place in first.places}) if first else []
    if not things or not places:
        return task
    task_type = rng.choice([name for name in TASK_TYPES if name != "look_at_obj_in_light"])
    return replace(task, text=instruction(task_type, rng.choice(things), rng.choice(places), rng))


class ScriptedPolicy:
    """The expert, mixed with random actions and lies by fixed shares."""

    last_reply = None

    def __init__(
        self, name: str, seed: int, noise: float, lies: float, *, random_only: bool = False, mistaken: bool = False
    ) -> None:
        """Choose a mixture.

        Args:
            name: For provenance.
            seed: With the task, decides all choices.
            noise: Share of steps in [0, 1] that are random instead of the expert's.
            lies: Share of steps in [0, 1] that are lies.
            random_only: There are no steps of the expert's.
            mistaken: The expert is after another goal, see `misread`, and does not give up when it is refused.
        """
        self.name = name
        self._seed, self._noise, self._lies, self._random_only = seed, noise, lies, random_only
        self._mistaken = mistaken
        self._rng = random.Random(seed)
        self._known: Knowledge | None = None
        self._num_seen = 0

    def reset(self, task: Task, first_state: str) -> None:
        """Start an episode; the same seed and task give the same choices."""
        self._rng = random.Random(f"{self._seed}/{task.task_id}")
        taken_for = misread(task, self._rng) if self._mistaken else task
        self._known, self._num_seen = Knowledge(taken_for, first_state), 0

    def act(self, history: Sequence[Transition], state: str, admissible: tuple[str, ...] | None) -> str:
        """Choose by the shares; without an admissible list, random means "looks possible"."""
        if self._known is None:
            raise ConfigError("call reset(task, first_state) before act")
        for step in history[self._num_seen :]:
            self._known.see(step.action, step.next_state)
        self._num_seen = len(history)
        if self._lies and self._is_stubborn(history):
            return history[-1].action
        draw = self._rng.random()
        if draw < self._lies:
            return lie(self._known, self._rng)
        if self._random_only or draw < self._lies + self._noise:
            return self._random(admissible or self._known.possible_actions())
        return decide(self._known).action

    def _is_stubborn(self, history: Sequence[Transition]) -> bool:
        if not history or not history[-1].next_state.startswith(REJECTED):
            return False
        again = len(history) > 1 and history[-2].action == history[-1].action
        return self._rng.random() < (STUCK if again else STUBBORN)

    def _random(self, actions: tuple[str, ...]) -> str:
        """Uniform over verbs first, so that many places to go to do not drown the rest."""
        verbs: dict[str, list[str]] = {}
        for action in actions:
            verbs.setdefault(action.split()[0], []).append(action)
        weights = {"help": 0.1, "inventory": 0.2, "look": 0.2, "examine": 0.3, "go": 2.0}
        verb = self._rng.choices(list(verbs), [weights.get(name, 1.5) for name in verbs])[0]
        return self._rng.choice(verbs[verb])


POLICIES = ("expert", "random", "lying", "mistaken")


def make_policy(name: str, seed: int = 0, noise: float = 0.0) -> ScriptedPolicy:
    """Build a policy of POLICIES; `noise` is the share of random steps (all but random)."""
    if not 0 <= noise <= 1:
        raise ConfigError(f"noise is a share of steps in [0, 1], got {noise}")
    if name == "expert":
        return ScriptedPolicy(f"expert(noise={noise:g})", seed, noise, 0.0)
    if name == "random":
        return ScriptedPolicy("random", seed, 1.0, 0.0, random_only=True)
    if name == "lying":
        return ScriptedPolicy(f"lying(noise={noise:g})", seed, noise, 0.4)
    if name == "mistaken":
        return ScriptedPolicy(f"mistaken(noise={noise:g})", seed, noise, 0.0, mistaken=True)
    raise ConfigError(f"unknown policy {name!r} for alfworld; choose from {list(POLICIES)}")
