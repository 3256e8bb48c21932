"""What the Dream tab does, without its widgets: start, step, look back, undo, save; each answer is a `Frame`."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from dreamgym.environments import ENVIRONMENTS, environment_module
from dreamgym.errors import DreamGymError, WorkspaceError
from dreamgym.experience_model.model import Switches
from dreamgym.experience_model.prompts import PartialReply, recall
from dreamgym.interfaces import Availability, EnvironmentModule
from dreamgym.policy import next_reply, parse_action
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.types import Task, Transition, transition_id
from lab.dream_start import DreamStarts, Start
from lab.dreaming import Dreamer
from lab.live import LiveDream, Place
from lab.navigation import link
from lab.services import Services
from lab.viewmodels.dream import Running, stage_view
from lab.viewmodels.dream_controls import chips_view, model_view, side_view
from lab.viewmodels.dream_tree import others, steps_view, versus_view
from lab.viewmodels.episode import Dream, reopened, stepped, to_trajectory, until
from lab.viewmodels.inspect import neighbours_value
from lab.viewmodels.switches import write_switches

MAX_PLAYED = 30
"""Steps that the expert or the policy plays on."""
MAX_ACTION_CHARACTERS = 300
"""Longer texts are no actions; the model's context is limited."""
COLLECT = "dreamgym collect --environment alfworld --policy expert --episodes 20"


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of the tab; None leaves a part as it is."""

    place: Place | None
    steps: dict[str, Any] | None
    stage: dict[str, Any]
    chips: dict[str, Any] | None
    side: dict[str, Any] | None

    @property
    def values(self) -> list[Any]:
        """For the components, in their order."""
        return [self.place, self.steps, self.stage, self.chips, self.side]


class DreamPage:
    """The Dream tab's behaviour; holds no dream itself, so any number of pages can share it."""

    def __init__(self, services: Services) -> None:
        self.starts = DreamStarts(services)
        self._services = services
        self._busy: set[str] = set()
        self._stopping: set[str] = set()
        self._lock = threading.Lock()

    # --- what can be done with it -----------------------------------------------------------------------------------

    def open(self, start: Start, at: int | None = None, versus: str = "") -> Place:
        """Go where an address leads; there has to be a dream."""
        assert start.dream is not None
        live = self._services.live
        branch = live.keep(start.dream, start.record, saved=not start.tree) if start.record else self._keep(start.dream)
        tree = start.tree
        for record in start.beside:
            tree = live.grow(tree, live.keep(reopened(record), record, saved=True))
        place = Place(branch, start.tree or live.grow(tree, branch))
        found = versus if versus in others(self._dreams(place), place) else ""
        return replace(place, at=None if at is None or at >= start.dream.num_shown else at, versus=found)

    def step(self, session: str, place: Place, action: str, switches: Switches) -> Iterator[Frame]:
        """Dream one step behind the one that is looked at; yields a frame whenever more was written.

        Raises:
            DreamGymError: There is nothing to step, another step runs in this session, or the model cannot run; the
                dream is as it was before.
        """
        self._dream_to_step(place)
        action = _readable(action)
        self._occupy(session)
        try:
            yield from self._stream(place, action, switches)
        finally:
            self._release(session)

    def play_on(self, session: str, place: Place, player: str, switches: Switches) -> Iterator[Frame]:
        """Let the expert or the policy go on until the dream is over, somebody stops it, or it took many steps.

        Raises:
            DreamGymError: It cannot go on; what was dreamed before is kept.
        """
        dream = self._dream_to_step(place)
        self._occupy(session)
        try:
            for _ in range(MAX_PLAYED):
                action, reply, name = self._decide(player, dream)
                for frame in self._stream(place, action, switches, (name, reply)):
                    yield frame
                    place = frame.place or place
                dream = self._dream(place)
                if dream.over or session in self._stopping:
                    return
        finally:
            self._release(session)

    def stop(self, session: str) -> None:
        """End what plays on in this session after its present step."""
        with self._lock:
            if session in self._busy:
                self._stopping.add(session)

    def players(self, task: Task) -> dict[str, str]:
        """Who could play on, with the reason why not; empty text: can."""
        here = self._services.of(task.environment)
        return {"expert": "", "policy": "" if here.policy else here.policy_reason}

    def undo(self, session: str, place: Place) -> Frame:
        """Take the last step of the branch back."""
        self._refuse_busy(session)
        dream = self._live(place).dream
        return self.show(self._settled(until(dream, dream.num_shown - 1), replace(place, at=None)))

    def look(self, place: Place, branch: str, step: int) -> Frame:
        """Look at a step of a branch of the tree, "" for this one: an action from there opens another branch."""
        branch = branch or place.branch
        if branch not in self._dreams(place):
            raise WorkspaceError("This branch is gone: it was taken back. Choose another one.")
        last = self._live(Place(branch)).dream.num_shown
        return self.show(Place(branch, place.tree, step if 0 <= step < last else None))

    def versus(self, place: Place, other: str) -> Frame:
        """Look at another branch beside this one: at the one that is named, or at the newest."""
        names = list(others(self._dreams(place), place))
        if not names:
            raise WorkspaceError("There is no other branch yet: look at an earlier step, and try another action there.")
        return self.show(replace(place, at=None, versus=other if other in names else names[-1]))

    def begin(self, session: str, task: Task) -> Frame:
        """Start a dream of another task."""
        self._refuse_busy(session)
        return self.show(self.open(Start(Dream(task))))

    def save(self, place: Place, *, everything: bool = False) -> Frame:
        """Store a branch, or all of the tree, in lab.sqlite.

        Raises:
            WorkspaceError: The lab is read-only, there is nothing to save, or the file cannot be written.
        """
        if self._services.read_only:
            raise WorkspaceError("The lab is read-only: nothing is saved. Start it without --read-only to keep dreams.")
        wanted = self._unsaved(place) if everything else {place.branch: self._live(place)}
        if not any(live.dream.num_shown for live in wanted.values()):
            raise WorkspaceError("There is no step to save yet.")
        workspace = self._services.workspace
        with workspace.write_lock("lab"), ReplayBuffer(workspace.lab_path, HashedNgrams()) as buffer:
            for name, live in wanted.items():
                buffer.add(live.trajectory)
                self._services.live.mark_saved(name)
        return self.show(place)

    # --- what is seen -----------------------------------------------------------------------------------------------

    def show(self, place: Place, running: Running | None = None, notice: str = "") -> Frame:
        """Draw a dream."""
        live, dreams = self._live(place), self._dreams(place)
        whole, here = live.dream, self._dream(place)
        module = environment_module(whole.task.environment)
        versus = versus_view(dreams, place, module.facts) if place.versus and running is None else None
        at = here.num_shown
        stage = self._stage(here if running else whole, at, running) | (versus or {})
        if at and running is None and not versus:
            stage["annotate"] = link("annotate", t=transition_id(place.branch, at))
        actions = module.possible_actions(here.task, here.steps, here.state)
        return Frame(
            place,
            steps_view(dreams, place, running) | {"players": self.players(whole.task)},
            stage | {"notice": {"title": "Not found", "text": notice} if notice else None},
            chips_view(here, actions, module.action_type, self._blocked(here), running),
            self._side(live, place, at, module),
        )

    def nothing(self) -> Frame:
        """Draw a workspace without tasks."""
        empty = {
            "title": "No task in this workspace",
            "text": "A dream starts from a stored first state. Collect some episodes from the real engine first.",
            "command": COLLECT,
        }
        steps = {"rows": [], "summary": "", "can_undo": False, "origin": ""}
        chips = {"key": "", "groups": [], "note": "no task", "locked": True}
        return Frame(Place(), steps, {"phase": "empty", "empty": empty}, chips, {"empty": True})

    def model_name(self, task: Task) -> str:
        """Name and checksum of the model that dreams a task; "no model" without one."""
        model = self._services.of(task.environment).model
        return model.name if model else "no model"

    def task_of(self, place: Place) -> Task | None:
        """The task that is dreamed."""
        live = self._services.live.find(place.branch)
        return live.dream.task if live else None

    def model(self, place: Place) -> dict[str, str]:
        """Name and state of the model of a dream, for its corner of the page."""
        task = self.task_of(place)
        here = self._services.of(task.environment if task else next(iter(ENVIRONMENTS)))
        return model_view(here.model.name, here.status or "") if here.model else model_view(None, here.model_reason)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _decide(self, player: str, dream: Dream) -> tuple[str, str | None, str]:
        """(action, reply if a model wrote one, name) of who plays on."""
        if player == "expert":
            _, action = environment_module(dream.task.environment).expert_decision(dream.task, dream.steps, dream.state)
            return action, None, "expert"
        here = self._services.of(dream.task.environment)
        engine = here.policy
        if player != "policy" or engine is None:
            raise DreamGymError(here.policy_reason if player == "policy" else f"There is no {player} to play on.")
        reply = next_reply(engine, dream.task, dream.steps)
        return parse_action(reply), reply, engine.name

    def _stream(
        self, place: Place, action: str, switches: Switches, by: tuple[str, str | None] = ("", None)
    ) -> Iterator[Frame]:
        player, reply = by
        settings = write_switches(switches)
        if switches.temperature:  # else undo and the same action would bring the same reply
            switches = replace(switches, seed=self._services.live.draw(place.tree))
        dream = self._dream(place)
        here = self._services.of(dream.task.environment)
        assert here.model is not None
        dreamer = Dreamer(here.model, here.retriever)
        starting = here.status in ("starting", "not started")
        waiting = "The model is starting; this step is dreamed when it is ready." if starting else ""
        recalled = recall(dream.task, dream.steps, dream.state, action, use_history=switches.history)
        running = Running(action, recalled=recalled, waiting=waiting, player=player)
        yield self.show(place, running)
        query = dreamer.query(dream.task, dream.steps, dream.state, action, switches)
        for part in dreamer.stream(query, switches):
            if isinstance(part, PartialReply):
                yield Frame(None, None, self._stage(dream, 0, _written(running, part)), None, None)
            else:
                answer = part.answer
                if reply is not None and isinstance(answer, Transition):
                    answer = replace(answer, policy_reply=reply)
                after = stepped(dream, answer, part.num_tokens, settings, recalled, player)
                yield self.show(self._settled(after, place))

    def _keep(self, dream: Dream) -> str:
        version = environment_module(dream.task.environment).version_text()
        return self._services.live.keep(dream, to_trajectory(dream, self.model_name(dream.task), version))

    def _settled(self, dream: Dream, place: Place) -> Place:
        """The place of a dream that goes on from a place, or was taken back there: its branch, or one of its own."""
        branch = self._keep(dream)
        instead = place.branch if place.at is None else ""
        return Place(branch, self._services.live.grow(place.tree, branch, instead))

    def _unsaved(self, place: Place) -> dict[str, LiveDream]:
        kept = self._services.live.branches(place.tree)
        return {name: live for name, live in kept.items() if live.dream.num_shown and not live.saved}

    def _dreams(self, place: Place) -> dict[str, Dream]:
        kept = self._services.live.branches(place.tree)
        return {name: live.dream for name, live in ({place.branch: self._live(place)} | kept).items()}

    def _stage(self, dream: Dream, at: int, running: Running | None) -> dict[str, Any]:
        facts = environment_module(dream.task.environment).facts
        return stage_view(dream, at, self.model_name(dream.task), facts, running)

    def _side(self, live: LiveDream, place: Place, at: int, module: EnvironmentModule) -> dict[str, Any]:
        if at == 0:
            retrieved: dict[str, Any] = {"rows": [], "note": "", "empty": "Neighbours of a step appear with it."}
        else:
            retrieved = neighbours_value(
                self._services.reader, self._services.of(live.dream.task.environment).retriever, live.trajectory, at
            )
        engine = self._engine(live.dream.task, module)
        num_unsaved = len(self._unsaved(place))
        shown, read_only = live.dream.num_shown, self._services.read_only
        return side_view(retrieved, engine, shown, place.branch, read_only, live.saved, num_unsaved)

    def _engine(self, task: Task, module: EnvironmentModule) -> Availability:
        found = module.availability()
        if found.ok and self._services.of(task.environment).pool is None:
            return Availability(False, "The lab was started without live engines.")
        return found

    def _blocked(self, dream: Dream) -> str | None:
        here = self._services.of(dream.task.environment)
        return here.model_reason if here.model is None else dream.over

    def _dream_to_step(self, place: Place) -> Dream:
        dream = self._dream(place)
        blocked = self._blocked(dream)
        if blocked:
            raise DreamGymError(blocked)
        return dream

    def _dream(self, place: Place) -> Dream:
        """As it was at the step that is looked at."""
        dream = self._live(place).dream
        return dream if place.at is None else until(dream, place.at)

    def _live(self, place: Place) -> LiveDream:
        live = self._services.live.find(place.branch)
        if live is None:
            raise WorkspaceError("This dream is gone: it was not saved, and is kept no longer. Choose a task.")
        return live

    def _occupy(self, session: str) -> None:
        with self._lock:
            if session in self._busy:
                raise DreamGymError("A step is being dreamed; wait until it is done.")
            self._busy.add(session)

    def _release(self, session: str) -> None:
        with self._lock:
            self._busy.discard(session)
            self._stopping.discard(session)

    def _refuse_busy(self, session: str) -> None:
        with self._lock:
            if session in self._busy:
                raise DreamGymError("A step is being dreamed; wait until it is done.")


def _written(running: Running, part: PartialReply) -> Running:
    return replace(
        running, reasoning=part.reasoning or "", state=part.state, reward=part.reward, done=part.done, waiting=""
    )


def _readable(action: str) -> str:
    action = " ".join(action.split())
    if not action:
        raise DreamGymError("Choose an action, or type one.")
    if len(action) > MAX_ACTION_CHARACTERS:
        raise DreamGymError(f"An action has at most {MAX_ACTION_CHARACTERS} characters; this one has {len(action)}.")
    return action
