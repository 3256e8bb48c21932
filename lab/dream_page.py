"""What the Dream tab does, without its widgets: start, step, look back, undo, save; each answer is a `Frame`."""

import random
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
from dreamgym.types import SPLITS, Split, Task, Trajectory, Transition
from lab.dreaming import Dreamer
from lab.live import LiveDream
from lab.navigation import Selection
from lab.services import Services
from lab.viewmodels.dream import Running, stage_view, steps_view
from lab.viewmodels.dream_controls import chips_view, model_view, side_view
from lab.viewmodels.episode import Dream, restarted, resume, stepped, to_trajectory, undone
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

    live_id: str | None
    """Id of the dream's record; empty without a dream."""
    steps: dict[str, Any] | None
    stage: dict[str, Any]
    chips: dict[str, Any] | None
    side: dict[str, Any] | None

    @property
    def values(self) -> list[Any]:
        """For the components, in their order."""
        return [self.live_id, self.steps, self.stage, self.chips, self.side]


@dataclass(frozen=True, slots=True)
class Start:
    """Where a dream begins for an address."""

    dream: Dream | None
    """None when the workspace has no task at all."""
    action: str = ""
    """What the stored episode did next."""
    notice: str = ""
    """Why the address could not be followed."""


class DreamPage:
    """The Dream tab's behaviour; holds no dream itself, so any number of pages can share it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._busy: set[str] = set()
        self._stopping: set[str] = set()
        self._lock = threading.Lock()

    # --- where a dream begins ---------------------------------------------------------------------------------------

    def start(self, selection: Selection) -> Start:
        """Find what an address asks for: a dream of this page, a stored trajectory, a task, or else the first task."""
        notice = ""
        try:
            if selection.dream:
                return self._resume_live(selection.dream)
            if selection.trajectory:
                dream, action = resume(self._trajectory(selection.trajectory), selection.step)
                return Start(dream, action)
        except WorkspaceError as error:
            notice = str(error)
        try:
            return Start(Dream(self.task(selection.task)) if selection.task else self._first_dream(), notice=notice)
        except WorkspaceError as error:
            return Start(self._first_dream(), notice=notice or str(error))

    def tasks(self, split: str) -> list[Task]:
        """Stored tasks of a split."""
        return self._services.reader.tasks(_split(split))

    def splits(self) -> list[str]:
        """Splits that have a task, test first: those rooms the model has never seen."""
        found = {task.split for task in self._services.reader.tasks()}
        return [split for split in reversed(SPLITS) if split in found]

    def task(self, task_id: str) -> Task:
        """The stored task of this id; WorkspaceError when there is none."""
        for task in self._services.reader.tasks():
            if task.task_id == task_id:
                return task
        raise WorkspaceError(f"no task {task_id!r} in this workspace")

    def random_task(self, split: str) -> Task | None:
        """Any task of a split."""
        tasks = self.tasks(split)
        return random.choice(tasks) if tasks else None

    def dream(self, live_id: str) -> Dream | None:
        """The dream of this id."""
        live = self._services.live.find(live_id)
        return live.dream if live else None

    # --- what can be done with it -----------------------------------------------------------------------------------

    def step(self, session: str, live_id: str, action: str, switches: Switches) -> Iterator[Frame]:
        """Dream one step; yields a frame whenever more was written.

        Raises:
            DreamGymError: There is nothing to step, another step runs in this session, or the model cannot run; the
                dream is as it was before.
        """
        dream = self._dream_to_step(live_id)
        action = _readable(action)
        self._occupy(session)
        try:
            yield from self._stream(dream, live_id, action, switches)
        finally:
            self._release(session)

    def play_on(self, session: str, live_id: str, player: str, switches: Switches) -> Iterator[Frame]:
        """Let the expert or the policy go on until the dream is over, somebody stops it, or it took many steps.

        Raises:
            DreamGymError: It cannot go on; what was dreamed before is kept.
        """
        dream = self._dream_to_step(live_id)
        self._occupy(session)
        try:
            for _ in range(MAX_PLAYED):
                action, reply, name = self._decide(player, dream)
                for frame in self._stream(dream, live_id, action, switches, (name, reply)):
                    yield frame
                    live_id = frame.live_id or live_id
                dream = self._dream(live_id)
                if dream.over or session in self._stopping:
                    return
        finally:
            self._release(session)

    def stop(self, session: str) -> None:
        """End what plays on in this session after its present step."""
        with self._lock:
            if session in self._busy:
                self._stopping.add(session)

    def players(self, live_id: str) -> dict[str, str]:
        """Who could play on, with the reason why not; empty text: can."""
        dream = self.dream(live_id)
        here = self._services.of(dream.task.environment if dream else "")
        return {"expert": "", "policy": "" if here.policy else here.policy_reason}

    def undo(self, session: str, live_id: str) -> Frame:
        """Take the last step back."""
        self._refuse_busy(session)
        return self.show(self.keep(undone(self._dream(live_id))))

    def restart(self, session: str, live_id: str) -> Frame:
        """Go back to the task's first state; the dream so far is still found under its address."""
        self._refuse_busy(session)
        return self.show(self.keep(restarted(self._dream(live_id))))

    def begin(self, session: str, task: Task) -> Frame:
        """Start a dream of another task."""
        self._refuse_busy(session)
        return self.show(self.keep(Dream(task)))

    def save(self, live_id: str) -> Frame:
        """Store a dream in lab.sqlite; WorkspaceError when the lab is read-only or the file cannot be written."""
        if self._services.read_only:
            raise WorkspaceError("The lab is read-only: nothing is saved. Start it without --read-only to keep dreams.")
        live = self._live(live_id)
        if not live.dream.num_shown:
            raise WorkspaceError("There is no step to save yet.")
        workspace = self._services.workspace
        with workspace.write_lock("lab"), ReplayBuffer(workspace.lab_path, HashedNgrams()) as buffer:
            buffer.add(live.trajectory)
        self._services.live.mark_saved(live_id)
        return self.show(live_id)

    # --- what is seen -----------------------------------------------------------------------------------------------

    def show(self, live_id: str, at: int | None = None, running: Running | None = None, notice: str = "") -> Frame:
        """Draw a dream; `at` is the step to look at, by default the last."""
        live = self._live(live_id)
        dream, module = live.dream, environment_module(live.dream.task.environment)
        at = dream.num_shown if at is None else min(max(at, 0), dream.num_shown)
        stage = self._stage(dream, at, running)
        actions = module.possible_actions(dream.task, dream.steps, dream.state)
        return Frame(
            live_id,
            steps_view(dream, at, running) | {"players": self.players(live_id)},
            stage | {"notice": {"title": "Not found", "text": notice} if notice else None},
            chips_view(dream, actions, module.action_type, self._blocked(dream), running),
            self._side(live, live_id, at, module),
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
        return Frame("", steps, {"phase": "empty", "empty": empty}, chips, {"empty": True})

    def keep(self, dream: Dream) -> str:
        """Remember a dream; returns the id of its record."""
        version = environment_module(dream.task.environment).version_text()
        return self._services.live.keep(dream, to_trajectory(dream, self.model_name(dream.task), version))

    def model_name(self, task: Task) -> str:
        """Name and checksum of the model that dreams a task; "no model" without one."""
        model = self._services.of(task.environment).model
        return model.name if model else "no model"

    def model(self, live_id: str) -> dict[str, str]:
        """Name and state of the model of a dream, for its corner of the page."""
        dream = self.dream(live_id)
        here = self._services.of(dream.task.environment if dream else next(iter(ENVIRONMENTS)))
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
        self, dream: Dream, live_id: str, action: str, switches: Switches, by: tuple[str, str | None] = ("", None)
    ) -> Iterator[Frame]:
        player, reply = by
        here = self._services.of(dream.task.environment)
        assert here.model is not None
        dreamer = Dreamer(here.model, here.retriever)
        starting = here.status in ("starting", "not started")
        waiting = "The model is starting; this step is dreamed when it is ready." if starting else ""
        recalled = recall(dream.task, dream.steps, dream.state, action, use_history=switches.history)
        running = Running(action, recalled=recalled, waiting=waiting, player=player)
        yield self.show(live_id, running=running)
        query = dreamer.query(dream.task, dream.steps, dream.state, action, switches)
        for part in dreamer.stream(query, switches):
            if isinstance(part, PartialReply):
                yield Frame(None, None, self._stage(dream, 0, _written(running, part)), None, None)
            else:
                answer = part.answer
                if reply is not None and isinstance(answer, Transition):
                    answer = replace(answer, policy_reply=reply)
                after = stepped(dream, answer, part.num_tokens, write_switches(switches), recalled, player)
                yield self.show(self.keep(after))

    def _stage(self, dream: Dream, at: int, running: Running | None) -> dict[str, Any]:
        facts = environment_module(dream.task.environment).facts
        return stage_view(dream, at, self.model_name(dream.task), facts, running)

    def _side(self, live: LiveDream, live_id: str, at: int, module: EnvironmentModule) -> dict[str, Any]:
        if at == 0:
            retrieved: dict[str, Any] = {"rows": [], "note": "", "empty": "Neighbours of a step appear with it."}
        else:
            retrieved = neighbours_value(self._services.reader, None, live.trajectory, at)
        engine = self._engine(live.dream.task, module)
        return side_view(retrieved, engine, live.dream.num_shown, live_id, self._services.read_only, live.saved)

    def _engine(self, task: Task, module: EnvironmentModule) -> Availability:
        found = module.availability()
        if found.ok and self._services.of(task.environment).pool is None:
            return Availability(False, "The lab was started without live engines.")
        return found

    def _blocked(self, dream: Dream) -> str | None:
        here = self._services.of(dream.task.environment)
        return here.model_reason if here.model is None else dream.over

    def _dream_to_step(self, live_id: str) -> Dream:
        dream = self._dream(live_id)
        blocked = self._blocked(dream)
        if blocked:
            raise DreamGymError(blocked)
        return dream

    def _dream(self, live_id: str) -> Dream:
        return self._live(live_id).dream

    def _live(self, live_id: str) -> LiveDream:
        live = self._services.live.find(live_id)
        if live is None:
            raise WorkspaceError("This dream is gone: it was not saved, and the lab was restarted. Choose a task.")
        return live

    def _resume_live(self, dream_id: str) -> Start:
        live = self._services.live.find(dream_id)
        if live is not None:
            return Start(live.dream)
        dream, action = resume(self._trajectory(dream_id))
        return Start(dream, action)

    def _trajectory(self, trajectory_id: str) -> Trajectory:
        live = self._services.live.find(trajectory_id)
        return live.trajectory if live else self._services.reader.trajectory(trajectory_id)

    def _first_dream(self) -> Dream | None:
        tasks = [task for split in self.splits() for task in self.tasks(split)]
        dreamed = (task for task in tasks if self._services.of(task.environment).model is not None)
        first = next(dreamed, tasks[0] if tasks else None)
        return Dream(first) if first else None

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


def _split(name: str) -> Split | None:
    return next((split for split in SPLITS if split == name), None)
