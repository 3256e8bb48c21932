"""What the microscope of Inspect does, without its widgets: find the step, dream it under other conditions, remember.

What was seen of a step is kept under all that it depends on but the memory that demonstrations come from, so that a
link, a reload and a second page show the same.
"""

import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, replace

from dreamgym.errors import DreamGymError, EngineError, WorkspaceError
from dreamgym.experience_model.model import ExperienceModel, Query, Switches
from dreamgym.microscope import dream_again, leave_one_out, luck
from dreamgym.replay_buffer.retrieval import Demonstration, Retriever
from dreamgym.types import Neighbour
from lab.configurations import Configuration, Configurations
from lab.dreaming import retrieve
from lab.navigation import Selection
from lab.services import Services
from lab.viewmodels.microscope import Seen, Subject, subject_of
from lab.viewmodels.switches import read_switches, write_switches

DRAWN_AT = 1.0
"""Temperature of luck where the settings say greedy: things happen as often as the model expects them."""
CAPACITY = 300
"""Looks that are kept; one holds some kilobytes."""


@dataclass(frozen=True, slots=True)
class Key:
    """What a look depends on."""

    trajectory_id: str
    step: int
    look: str
    num_draws: int
    """0 for any other look than luck."""
    model: str
    """With its checksum, or its host."""
    switches: Switches


class Microscope:
    """The microscope's behaviour; any number of pages can share it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._configurations = Configurations(services)
        self._lock = threading.Lock()
        self._seen: OrderedDict[Key, Seen] = OrderedDict()
        self._running: dict[Key, Future[Seen]] = {}

    def subject(self, selection: Selection) -> Subject | None:
        """The step that is selected; None where there is none, or no action to dream."""
        if not selection.trajectory or not selection.step:
            return None
        try:
            trajectory = self._services.reader.trajectory(selection.trajectory)
        except WorkspaceError:
            return None
        return subject_of(trajectory, selection.step)

    def settings(self, selection: Selection, subject: Subject) -> Switches:
        """Settings of the address; what it leaves out is as the step was dreamed."""
        return read_switches(selection.switches, subject.base)

    def switches(self, selection: Selection, subject: Subject) -> Switches:
        """Settings that the look takes: luck needs a temperature."""
        switches = self.settings(selection, subject)
        is_greedy = selection.look == "luck" and not switches.temperature
        return replace(switches, temperature=DRAWN_AT) if is_greedy else switches

    def models(self, subject: Subject) -> list[tuple[str, str]]:
        """(label, name in an address) of what can dream the step; "" is the environment's own model."""
        environment = subject.task.environment
        own = self._services.of(environment).model
        others = self._configurations.others(environment)
        return [(own.name if own else "no model", ""), *((name, name) for name in others)]

    def model_name(self, selection: Selection, subject: Subject) -> str:
        """Name and checksum of who dreams the look, or name and host; of one that is gone what the address says."""
        try:
            return self._chosen(selection, subject).model
        except EngineError:
            return selection.dreamer

    def refusal(self, selection: Selection, subject: Subject) -> str | None:
        """Why nothing can be dreamed here, with the next move; None when it can, or when a look has to tell."""
        try:
            return self._configurations.refusal(self._chosen(selection, subject))
        except EngineError:
            return None

    def known(self, selection: Selection) -> Seen | None:
        """What was seen under this address before; None when nobody has looked, or nothing is asked."""
        subject = self.subject(selection)
        if subject is None or not selection.look:
            return None
        key = self._key(selection, subject)
        with self._lock:
            return self._seen.get(key)

    def once_more(self, selection: Selection) -> Selection:
        """The address of a look that somebody asks for: where luck decides, what was seen before has another seed.

        That it could not be done is forgotten.
        """
        subject, seen = self.subject(selection), self.known(selection)
        if subject is None or seen is None:
            return selection
        if seen.error:
            key = self._key(selection, subject)
            with self._lock:
                self._seen.pop(key, None)
            return selection
        if selection.look == "out" or not self.switches(selection, subject).temperature:
            return selection
        settings = self.settings(selection, subject)
        return replace(selection, switches=write_switches(replace(settings, seed=settings.seed + 1), subject.base))

    def look(self, selection: Selection) -> Seen:
        """Dream what the address asks for; takes seconds. What cannot be dreamed has its reason in the answer.

        Two pages that ask for the same at once wait for one dream.
        """
        subject = self.subject(selection)
        if subject is None:
            return Seen(error="This step has no action to dream.")
        key = self._key(selection, subject)
        with self._lock:
            if key in self._seen:
                return self._seen[key]
            running = self._running.get(key)
            if running is None:
                mine = self._running[key] = Future[Seen]()
        if running is not None:
            return running.result()
        seen = Seen(error="The look stopped by a defect; the server's log has the details.")
        try:
            seen = self._dream(selection, subject)
        finally:
            with self._lock:
                self._seen[key] = seen
                del self._running[key]
                while len(self._seen) > CAPACITY:
                    self._seen.popitem(last=False)
            mine.set_result(seen)
        return seen

    # --- inside -----------------------------------------------------------------------------------------------------

    def _dream(self, selection: Selection, subject: Subject) -> Seen:
        switches = self.switches(selection, subject)
        try:
            with self._configurations.open(self._chosen(selection, subject)) as model:
                return _look(selection, model, self._query(subject, switches), switches)
        except DreamGymError as error:
            return Seen(error=str(error))

    def _key(self, selection: Selection, subject: Subject) -> Key:
        model = self.model_name(selection, subject)
        num_draws = selection.num_draws if selection.look == "luck" else 0
        switches = self.switches(selection, subject)
        return Key(selection.trajectory, selection.step, selection.look, num_draws, model, switches)

    def _chosen(self, selection: Selection, subject: Subject) -> Configuration:
        environment = subject.task.environment
        other = self._configurations.second(environment, replace(selection, second=selection.dreamer))
        return other or self._configurations.first(environment, selection)

    def _query(self, subject: Subject, switches: Switches) -> Query:
        """The step with its demonstrations: those that it was dreamed with, as far as they reach."""
        shown: tuple[Demonstration, ...] = ()
        retriever = self._services.of(subject.task.environment).retriever
        if switches.retrieval and switches.k <= len(subject.neighbours):
            stored = [self._stored(retriever, each) for each in subject.neighbours[: switches.k]]
            shown = tuple(one for one in stored if one is not None)
        if len(shown) < switches.k:
            shown = retrieve(retriever, subject.task, subject.state, subject.action, switches)
        return Query(subject.task, subject.history, subject.state, subject.action, shown)

    def _stored(self, retriever: Retriever | None, one: Neighbour) -> Demonstration | None:
        if retriever and (corrected := retriever.corrected(one)):
            return corrected
        try:
            trajectory, step = self._services.reader.transition(one.transition_id)
        except WorkspaceError:
            return None
        transition = trajectory.transitions[step - 1]
        return Demonstration(one.transition_id, trajectory.world, trajectory.task.text, transition, one.similarity)


def _look(selection: Selection, model: ExperienceModel, query: Query, switches: Switches) -> Seen:
    shown = query.demonstrations if switches.retrieval else ()
    if selection.look == "out":
        if not shown:
            raise EngineError(
                "No demonstration stands in the prompt, so none can be left out: raise k, switch retrieval on."
            )
        base, influences = leave_one_out(model, query, switches)
        return Seen(answer=base, influences=tuple(influences), demonstrations=shown)
    if selection.look == "luck":
        return Seen(outcomes=tuple(luck(model, query, switches, selection.num_draws)))
    return Seen(answer=dream_again(model, query, switches), demonstrations=shown)
