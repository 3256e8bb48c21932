"""What is selected, and the address of it: a pure round trip between `Selection` and a query string.

Everything on screen that can be pointed at has an address, e.g. `?tab=inspect&t=tr-0123456789ab.3&world=dream`. A name
that is unknown, or a value that does not fit, is left out: a broken link opens the nearest thing that exists.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, get_args
from urllib.parse import parse_qsl, urlencode

from dreamgym.annotation.queue import KINDS
from dreamgym.runs.sections import Method
from dreamgym.runs.status import State
from dreamgym.types import SPLITS, transition_id

TABS = ("home", "inspect", "dream", "compare", "curriculum", "train", "annotate", "models")
ROWS = ("transitions", "trajectories")
OUTCOMES = ("success", "failure", "failed")
ORDERS = ("newest", "oldest", "least_confident")
NEXT_STATE_VIEWS = ("state", "plain")
MODES = ("open", "closed", "engine")
SUBJECTS = ("sets", "exploits", "fidelity")
MEASURES = ("exact", "changes", "reward", "malformed")
ONLY = ("first", "second")
LOOKS = ("again", "out", "luck")
MAX_TEXT, MAX_FIND = 200, 64
"""Characters of a searched text, and of a looked for run, that an address takes; the fields take no more."""
DRAWS = range(5, 101)
"""How often the microscope may dream a step by chance."""
QUEUES: tuple[str, ...] = (*KINDS, "like")
GROUPINGS = ("families", "clusters")
AXES = ("updates", "time", "real")
RUN_STATES: tuple[str, ...] = get_args(State)
METHODS: tuple[str, ...] = get_args(Method)
MAX_BESIDE = 7
"""Runs that are shown beside the chosen one: there are eight colours."""


@dataclass(frozen=True, slots=True)
class Selection:
    """One address of the lab; every field has a default, so that an empty query is an address too."""

    tab: str = "home"
    trajectory: str = ""
    """Trajectory id; empty when nothing is chosen."""
    step: int = 0
    """Step of the trajectory, counted from 1; 0 when none is chosen."""
    task: str = ""
    """Task id that a dream starts from."""
    dream: str = ""
    """Id of the dream that is played on this page, saved or not; it goes before `trajectory` and `task`."""
    tree: str = ""
    """Id of the tree that this dream is a branch of, while the lab runs."""
    at: int = -1
    """Step of the dream that is looked at; -1: the last."""
    versus: str = ""
    """Id of the branch that the dream is looked at beside."""
    dream_switches: str = ""
    """Settings of the steps that Dream takes, as `switches`; the seed is drawn."""
    mode: str = ""
    """How Compare makes the other world's side; empty takes what fits the trajectory."""
    switches: str = ""
    """Dream settings of Compare and the microscope that differ from the default, see `viewmodels.switches`."""
    look: str = ""
    """What the microscope shows of the chosen step: it dreamed again, without each demonstration, or many times."""
    dreamer: str = ""
    """The experience model that dreams for the microscope, by its name in the lab; empty: the environment's own."""
    num_draws: int = 20
    """Of the microscope's luck, in `DRAWS`."""
    subject: str = ""
    """What Compare is about: one episode in both worlds (empty), a set, exploits of runs, or what was measured."""
    environment: str = ""
    """Of a set of episodes, as its `task_type` and `num_episodes`; its other filters are those of the lists."""
    task_type: str = ""
    num_episodes: int = 0
    """At most so many; 0: as many as fit into a minute."""
    measure: str = "exact"
    """What the charts of a set show."""
    part: str = ""
    """Side and part of a set whose steps are listed, e.g. "action.take"; empty: all."""
    second: str = ""
    """The experience model that dreams the same steps beside the first, by its name in the lab; empty: none."""
    second_switches: str = ""
    """Its settings, as `switches`."""
    only: str = ""
    """Of two models: list the steps that the first or the second alone has right; empty: both kinds."""
    found_by: str = ""
    """Run whose exploits are listed; empty: all."""
    kind: str = ""
    """Kind of exploits that are listed; empty: all."""
    queue: str = ""
    """Which items wait in Annotate; empty: random ones."""
    like: str = ""
    """Transition id that the items of the queue "like" resemble."""
    rows: str = "transitions"
    text: str = ""
    world: str = ""
    split: str = ""
    action_type: str = ""
    outcome: str = ""
    policy: str = ""
    order: str = "newest"
    page: int = 1
    """Page of the list, counted from 1."""
    run: str = ""
    """Id of the training run that is looked at."""
    beside: tuple[str, ...] = ()
    """Ids of the runs that are drawn with it."""
    find: str = ""
    """Text in the ids of the runs that are listed; all that filters their list is empty for all of them."""
    state: str = ""
    method: str = ""
    axis: str = "updates"
    """What the curves of runs are drawn over."""
    iteration: int = -1
    """Iteration of the run whose rollouts are listed; -1 lists none."""
    by: str = "families"
    """What the rows of the heatmap of reward entropy are."""
    group: str = ""
    """Family or cluster of the chosen cell; its column is `iteration`."""
    window_end: int = 0
    """Last iteration of the heatmap's window; 0: the newest."""
    version: str = ""
    """Version of an experience model that is looked at in Models, or instead of it the job that makes one."""
    job: str = ""
    view: str = "state"
    """How the next state is shown: as changes against the state before, or plain."""
    pick: str = ""
    """"first" or "last": choose that row of the page, because a key walked over its edge. Never in an address."""

    @property
    def cell(self) -> str:
        """The chosen cell of the heatmap as an address names it; empty when none is chosen."""
        return f"{self.group}.{self.iteration}" if self.group and self.iteration >= 0 else ""

    @property
    def transition_id(self) -> str:
        """Id of the chosen transition; empty when no step is chosen."""
        return transition_id(self.trajectory, self.step) if self.trajectory and self.step else ""


_TRAJECTORY = re.compile(r"(tr-[0-9a-f]{12})(?:\.([1-9][0-9]{0,4}))?")
_TASK = re.compile(r"[\w./ ()@=,+-]{1,300}")
_WORD = re.compile(r"[\w -]{1,60}")
_CELL = re.compile(r"([a-z][a-z0-9_-]{0,60})\.(0|[1-9][0-9]{0,6})")
_PART = re.compile(r"(?:task|action|depth|changes)\.[\w +-]{1,60}")
_SWITCHES = re.compile(r"[a-z0-9.,-]{1,80}")
_MODEL = re.compile(r"[A-Za-z0-9][\w.-]{0,80}")
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,6}")
_VERSION = re.compile(r"[\w .-]{1,80}@[0-9a-f]{8}")

Read = Callable[[str], dict[str, Any] | None]


def _read_trajectory(value: str) -> dict[str, Any] | None:
    match = _TRAJECTORY.fullmatch(value)
    return {"trajectory": match[1], "step": int(match[2] or 0)} if match else None


def _read_like(value: str) -> dict[str, Any] | None:
    return {"like": value} if (match := _TRAJECTORY.fullmatch(value)) and match[2] else None


def _pattern(field: str, pattern: re.Pattern[str]) -> Read:
    return lambda value: {field: value} if pattern.fullmatch(value) else None


def _choice(field: str, choices: tuple[str, ...]) -> Read:
    return lambda value: {field: value} if value in choices else None


def _text(field: str, limit: int) -> Read:
    return lambda value: {field: value} if len(value) <= limit and value.isprintable() else None


def _runs(value: str) -> dict[str, Any] | None:
    names = value.split(",")
    return {"beside": tuple(dict.fromkeys(names))[:MAX_BESIDE]} if all(map(_RUN.fullmatch, names)) else None


def _of_models(field: str, pattern: re.Pattern[str]) -> Read:
    return lambda value: {"version": "", "job": "", field: value} if pattern.fullmatch(value) else None


def _cell(value: str) -> dict[str, Any] | None:
    match = _CELL.fullmatch(value)
    return {"group": match[1], "iteration": int(match[2])} if match else None


def _number(field: str, allowed: range = range(10_000_000)) -> Read:
    return lambda value: {field: int(value)} if _NUMBER.fullmatch(value) and int(value) in allowed else None


# Gradio takes some names for itself: page, view, deep_link, __theme.
_READ: dict[str, tuple[tuple[str, ...], Read]] = {
    "tab": (("tab",), _choice("tab", TABS)),
    "t": (("trajectory", "step"), _read_trajectory),
    "task": (("task",), _pattern("task", _TASK)),
    "d": (("dream",), _pattern("dream", re.compile(r"tr-[0-9a-f]{12}"))),
    "tree": (("tree",), _pattern("tree", re.compile(r"[0-9a-f]{8}"))),
    "at": (("at",), _number("at")),
    "vs-branch": (("versus",), _pattern("versus", re.compile(r"tr-[0-9a-f]{12}"))),
    "mode": (("mode",), _choice("mode", MODES)),
    "set": (("switches",), _pattern("switches", _SWITCHES)),
    "vs": (("second",), _pattern("second", _MODEL)),
    "vs-set": (("second_switches",), _pattern("second_switches", _SWITCHES)),
    "only": (("only",), _choice("only", ONLY)),
    "env": (("environment",), _pattern("environment", _WORD)),
    "type": (("task_type",), _pattern("task_type", _WORD)),
    "n": (("num_episodes",), _number("num_episodes", range(1, 10_000))),
    "m": (("measure",), _choice("measure", MEASURES)),
    "part": (("part",), _pattern("part", _PART)),
    "look": (("look",), _choice("look", LOOKS)),
    "draws": (("num_draws",), _number("num_draws", DRAWS)),
    "by-model": (("dreamer",), _pattern("dreamer", _MODEL)),
    "of": (("subject",), _choice("subject", SUBJECTS)),
    "by-run": (("found_by",), _pattern("found_by", _RUN)),
    "queue": (("queue",), _choice("queue", QUEUES)),
    "like": (("like",), _read_like),
    "kind": (("kind",), _text("kind", 80)),
    "rows": (("rows",), _choice("rows", ROWS)),
    "q": (("text",), _text("text", MAX_TEXT)),
    "world": (("world",), _choice("world", ("real", "dream"))),
    "split": (("split",), _choice("split", SPLITS)),
    "action": (("action_type",), _pattern("action_type", _WORD)),
    "outcome": (("outcome",), _choice("outcome", OUTCOMES)),
    "policy": (("policy",), _text("policy", 120)),
    "order": (("order",), _choice("order", ORDERS)),
    "p": (("page",), _number("page", range(1, 10_000_000))),
    "run": (("run",), _pattern("run", _RUN)),
    "with": (("beside",), _runs),
    "find": (("find",), _text("find", MAX_FIND)),
    "state": (("state",), _choice("state", RUN_STATES)),
    "method": (("method",), _choice("method", METHODS)),
    "x": (("axis",), _choice("axis", AXES)),
    "it": (("iteration",), _number("iteration")),
    "by": (("by",), _choice("by", GROUPINGS)),
    "cell": (("group", "iteration"), _cell),
    "w": (("window_end",), _number("window_end", range(1, 10_000_000))),
    "ver": (("version",), _of_models("version", _VERSION)),
    "job": (("job",), _of_models("job", _RUN)),
    "show": (("view",), _choice("view", NEXT_STATE_VIEWS)),
    "pick": (("pick",), _choice("pick", ("first", "last"))),
}


def _text_of(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


_DEFAULTS = {field.name: field.default for field in fields(Selection)} | {"cell": ""}
_SHOWN_BY = {
    "inspect": {
        "rows": "rows",
        "q": "text",
        "world": "world",
        "split": "split",
        "action": "action_type",
        "outcome": "outcome",
        "policy": "policy",
        "order": "order",
        "p": "page",
        "show": "view",
        "look": "look",
        "set": "switches",
        "draws": "num_draws",
        "by-model": "dreamer",
    },
    "dream": {"task": "task", "d": "dream", "tree": "tree", "at": "at", "vs-branch": "versus", "set": "dream_switches"},
    "compare": {
        "of": "subject",
        "by-run": "found_by",
        "kind": "kind",
        "mode": "mode",
        "set": "switches",
        "vs": "second",
        "vs-set": "second_switches",
    },
    "annotate": {
        "queue": "queue",
        "like": "like",
        "by-run": "found_by",
        "q": "text",
        "world": "world",
        "split": "split",
        "action": "action_type",
        "outcome": "outcome",
        "policy": "policy",
    },
    "curriculum": {"run": "run", "by": "by", "cell": "cell", "w": "window_end", "task": "task"},
    "train": {
        "run": "run",
        "with": "beside",
        "find": "find",
        "state": "state",
        "method": "method",
        "x": "axis",
        "it": "iteration",
    },
    "models": {"ver": "version", "job": "job"},
}
"""Tab to what its addresses hold beside the chosen transition: name to field."""
_OF_A_SET = {
    "env": "environment",
    "q": "text",
    "split": "split",
    "type": "task_type",
    "outcome": "outcome",
    "policy": "policy",
    "n": "num_episodes",
    "m": "measure",
    "part": "part",
    "only": "only",
}
"""What an address of Compare holds beside that where it is about a set."""
_WITHOUT_A_TRAJECTORY = ("home", "curriculum", "train")
_TEXT_OF_DEFAULTS = {
    name: _text_of(_DEFAULTS[field]) for names in (*_SHOWN_BY.values(), _OF_A_SET) for name, field in names.items()
}
_FILTERS = ("rows", "text", "world", "split", "action_type", "outcome", "policy", "order")


def follow(selection: Selection, query: Mapping[str, str]) -> Selection:
    """Apply a link to what is selected: named parameters change, an empty value clears, an unfit one is left out."""
    changes: dict[str, Any] = {"pick": ""}
    if query.get("tab") == "dream" and ("t" in query or "task" in query):
        changes["dream"] = ""  # a link that names a start leaves the dream that was played
    if "dream" in changes or "d" in query:
        changes |= {"tree": "", "at": -1, "versus": ""}  # of the dream that was looked at before
    if "t" in query:
        changes["look"] = ""  # of the step that was looked at
        if query.get("tab", selection.tab) == "compare":
            changes["subject"] = ""  # one episode is compared
    if "run" in query:
        changes |= {"iteration": -1, "group": "", "window_end": 0}  # of the run that was looked at before
    for name, value in query.items():
        if name not in _READ:
            continue
        field_names, read = _READ[name]
        if value == "":
            changes |= {field: _DEFAULTS[field] for field in field_names}
        elif found := read(value):
            changes |= found
    if "switches" in changes and query.get("tab", selection.tab) == "dream":
        changes["dream_switches"] = changes.pop("switches")  # the same name, and yet its own
    if "page" not in changes and any(
        changes.get(name, getattr(selection, name)) != getattr(selection, name) for name in _FILTERS
    ):
        changes["page"] = 1
    return replace(selection, **changes)


def parse(query: str) -> Selection:
    """Read an address, with or without its question mark."""
    return follow(Selection(), dict(parse_qsl(query.removeprefix("?"), keep_blank_values=True)))


def to_query(selection: Selection) -> str:
    """Write the address of a selection, starting with "?".

    Fields at their default are left out, except the tab, and so is what only another tab's page shows.
    """
    pairs = [("tab", selection.tab)]
    if selection.tab not in _WITHOUT_A_TRAJECTORY and not _is_a_set(selection):
        pairs.append(("t", selection.transition_id or selection.trajectory))
    pairs += [(name, _text_of(getattr(selection, field))) for name, field in _names(selection).items()]
    shown = [(name, value) for name, value in pairs if value and value != _TEXT_OF_DEFAULTS.get(name)]
    return "?" + urlencode(shown, safe="/:,")


def whole_link(query: str) -> str:
    """Write an address as a link that leads to just what it shows, whatever was selected before."""
    selection = parse(query)
    cleared = dict.fromkeys([*([] if selection.tab in _WITHOUT_A_TRAJECTORY else ["t"]), *_names(selection)], "")
    return link(**(cleared | dict(parse_qsl(to_query(selection).removeprefix("?")))))


def _names(selection: Selection) -> dict[str, str]:
    return _SHOWN_BY.get(selection.tab, {}) | (_OF_A_SET if _is_a_set(selection) else {})


def _is_a_set(selection: Selection) -> bool:
    return selection.tab == "compare" and selection.subject == "sets"


def link(tab: str, **changes: str) -> str:
    """Write a link that changes only what it names, e.g. `link("compare", t="tr-…")`; `follow` reads it."""
    return "?" + urlencode({"tab": tab, **changes}, safe="/:,")
