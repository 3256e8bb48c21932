"""What the Annotate tab does, without its widgets: which item is next, keep an answer, take it back, ask the engine."""

import threading
from collections import Counter, defaultdict
from collections.abc import Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from dreamgym.annotation.agreement import agreement
from dreamgym.annotation.items import RUN, Item, item_of, sources
from dreamgym.annotation.labels import ErrorMark, Labels, check_annotator, read_labels
from dreamgym.annotation.lessons import corrections, lessons
from dreamgym.annotation.queue import PICKED, Kind, Queued, Waiting, Wanted, alike, waiting
from dreamgym.annotation.repair import Method
from dreamgym.annotation.resolution import resolve, resolve_all
from dreamgym.annotation.store import Annotation, AnnotationStore, Role
from dreamgym.counterparts import replay_beside
from dreamgym.environments import ENVIRONMENTS, environment_module
from dreamgym.errors import AnnotationError, DreamGymError, EnvironmentUnavailableError, WorkspaceError
from dreamgym.replay_buffer.corrections import Corrections
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.replay_buffer.rows import Filter
from dreamgym.types import Failure, Trajectory, Transition
from lab.exporting import annotations_zip
from lab.model_jobs import ModelJobs
from lab.navigation import Selection
from lab.services import Services
from lab.viewmodels.annotate import (
    Kept,
    Person,
    Visit,
    agreement_view,
    engine_view,
    item_view,
    labels_effect,
    labels_led_to,
    progress_text,
    queue_view,
)
from lab.viewmodels.inspect_list import filter_of
from lab.viewmodels.repair import METHODS, RepairChoice, repair_view

NUM_LISTED = 12
"""Waiting items that are listed; each is read whole."""
MAX_DONE, MAX_REMEMBERED = 3, 200
MOST_ALIKE = 50
"""Items that are answered at once, at most."""
SECONDS_FOR_AN_ENGINE = 30.0
DEFAULT_QUEUE = "random"
READ_ONLY = "The lab is read-only: nothing is annotated. Start it without --read-only to annotate."


@dataclass(frozen=True, slots=True)
class Here:
    """A page as a handler finds it."""

    selection: Selection
    name: str = ""
    """As typed."""
    visit: Visit = field(default_factory=Visit)
    login: str | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """What an address shows to a person."""

    selection: Selection
    """As resolved."""
    person: Person
    rows: tuple[tuple[Queued, str], ...]
    """The head of the queue, with actions."""
    counts: tuple[int, int]
    item: Item | None
    notice: str = ""


class AnnotatePage:
    """The Annotate tab's behaviour; any number of pages can share it."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._store = AnnotationStore(services.workspace)
        self._jobs = ModelJobs(services)
        self._retrievers: dict[tuple[str | Path, ...], Retriever] = {}
        self._lock = threading.Lock()
        self._known = (-1, Corrections())
        """The last answer that these corrections heed."""

    def person(self, here: Here) -> Person:
        """Who annotates: a login, or else the name that was typed, if it can be one."""
        role: Role = "adjudicator" if here.selection.queue == "disputed" else "annotator"
        try:
            return Person(check_annotator(here.login or here.name), bool(here.login), role)
        except AnnotationError:
            return Person("", bool(here.login), role)

    def choose(self, here: Here) -> Chosen:
        """Resolve an address: the item that it names, else the first that waits and was not skipped."""
        selection = replace(here.selection, queue=here.selection.queue or DEFAULT_QUEUE)
        person, notice = self.person(here), ""
        found = Waiting((), 0, 0)
        try:
            found = self._waiting(selection, person, NUM_LISTED + len(here.visit.skipped))
        except DreamGymError as error:
            notice = str(error)
        later = {name: place for place, name in enumerate(here.visit.skipped)}
        ordered = sorted(found.items, key=lambda each: later.get(each.item_id, -1))[:NUM_LISTED]
        rows = [(each, item) for each in ordered if (item := self._find(each.item_id, each.source)) is not None]
        item = None
        if selection.transition_id:
            item = next((one for each, one in rows if each.item_id == selection.transition_id), None)
            item = item or self._find(selection.transition_id)
            notice = notice or ("" if item else f"There is no step {selection.transition_id} in this workspace.")
        item = item or (rows[0][1] if rows else None)
        trajectory, _, step = item.item_id.rpartition(".") if item else ("", "", "0")
        selection = replace(selection, trajectory=trajectory, step=int(step))
        listed = tuple((each, one.action or "no action") for each, one in rows)
        return Chosen(selection, person, listed, (found.num_done, found.num_items), item, notice)

    def view(self, chosen: Chosen, visit: Visit, **item_changes: Any) -> list[dict[str, Any]]:
        """Values of the queue and of the item."""
        person, item = chosen.person, chosen.item
        answered = [kept.item_id for group in reversed(visit.done) for kept in group]
        done = [one for name in dict.fromkeys(answered[:MAX_DONE]) if (one := self._find(name)) is not None]
        queue = queue_view(
            chosen.selection,
            person,
            chosen.rows,
            done,
            chosen.counts,
            item.item_id if item else "",
            chosen.notice,
        )
        current = self._store.current()
        like = self._answer(chosen.selection.like, person) if chosen.selection.queue == "like" else None
        kinds = sorted(like.labels.error_kinds) if like and like.labels else []
        queue |= self._sums(current, person, chosen.counts) | {"apply": kinds}
        told = {
            "saved_at": visit.saved_at,
            "can_undo": bool(visit.done),
            "kept": [kept.item_id for kept in visit.done[-1]] if visit.done else [],
        }
        if item is None:
            text = queue["empty"] or queue["notice"] or "All of this queue is answered."
            return [queue, told | {"empty": True, "text": text}]
        shown = self._item(item, person) | told | item_changes
        mine = {one.item_id for one in current if one.annotator == person.name}
        led_to = labels_led_to(mine, self._corrections(), self._jobs.learned())
        effect = labels_effect(_by_item(current), person.name)
        shown |= {"effect": effect, "led_to": led_to, "read_only": self._services.read_only}
        return [queue, shown | {"repair": self._repair(current, item.task.environment, person, mine)}]

    def answer(self, here: Here, item_id: str, labels: object, seconds: float) -> tuple[Kept, ...]:
        """Keep an answer; it is on the disk when this returns.

        Raises:
            DreamGymError: The lab is read-only, nobody has said who he is, the answer contradicts itself, the file
                cannot be written; nothing is kept then.
        """
        person = self._writer(here)
        given = labels if isinstance(labels, Labels) else read_labels(labels)
        item = self._need(item_id)
        return (self._keep(item, person, given, seconds),)

    def answer_alike(self, here: Here, item_ids: Sequence[str]) -> tuple[Kept, ...]:
        """Say of similar items what was said of the one that they resemble: its errors, without places."""
        person = self._writer(here)
        like = self._answer(here.selection.like, person)
        kinds = like.labels.error_kinds if like and like.labels else frozenset()
        if not kinds:
            raise AnnotationError("Answer the step that these resemble first: what is wrong with it is said of them.")
        labels = Labels(tuple(map(ErrorMark, sorted(kinds))), note=f"as {here.selection.like}")
        wanted = tuple(dict.fromkeys(item_ids))[:MOST_ALIKE]
        if not wanted:
            raise AnnotationError("Tick the steps that have the same errors.")
        items = [self._need(item_id) for item_id in wanted]  # none is answered where one is missing
        return tuple(self._keep(item, person, labels, 0.0) for item in items)

    def undo(self, here: Here, group: Sequence[Kept]) -> None:
        """Take answers back: what counted before each counts again, or nothing."""
        person = self._writer(here)
        for kept in group:
            said = {
                one.version: one.labels
                for one in self._store.versions(kept.item_id)
                if (one.annotator, one.role) == (person.name, kept.role)
            }
            before = said.get(kept.before)
            if before is None:
                self._store.withdraw(kept.item_id, person.name, kept.role)
            else:
                self._store.answer(self._store.item(kept.item_id), person.name, before, 0.0, kept.role)

    def engine(self, here: Here) -> tuple[str, dict[str, Any]]:
        """The chosen item's id, and what the real engine says of it: only after one's own answer.

        Raises:
            DreamGymError: There is no answer yet, or the engine cannot play here.
        """
        item, person = self.choose(here).item, self.person(here)
        if item is None or self._answer(item.item_id, person) is None:
            raise AnnotationError("Answer first: what the engine says is shown after your own answer.")
        reason = self._no_engine(item)
        pool = self._services.of(item.task.environment).pool
        if reason or pool is None:
            raise EnvironmentUnavailableError(reason)
        steps = [*item.history, *([item.step] if isinstance(item.step, Transition) else [])]
        failure = item.step if isinstance(item.step, Failure) else None
        episode = Trajectory(item.task, "dream", tuple(steps), item.provenance, failure)
        environment = pool.acquire(SECONDS_FOR_AN_ENGINE)
        try:
            played = list(replay_beside(episode, environment, environment_module(item.task.environment)))
        finally:
            environment.close()
        return item.item_id, engine_view(item, played)

    def export(self, here: Here, format: str, *, everybody: bool = False, filtered: bool = False) -> Path:
        """Write a person's answers as a zip, to be given to `forget`; DreamGymError when it cannot be.

        Args:
            here: The page.
            format: Of `dreamgym annotations export`.
            everybody: Others' answers, too, of what this person has answered.
            filtered: Only what the queue's filters keep.
        """
        kept = here.selection if filtered else None
        return annotations_zip(self._store, self.person(here).name, format, everybody=everybody, kept=kept)

    def repair(self, here: Here, error: str = "", method: str = "sft", *, mine: bool = False) -> str:
        """Start to repair the model that dreams the item's environment; returns the job's id.

        Args:
            here: The page.
            error: Only what is marked as this kind of error; empty: any.
            method: Key of `METHODS`.
            mine: Only this person's answers.

        Raises:
            DreamGymError: There is no item, no such error or method, nothing to learn from, the lab is read-only, or
                the process cannot be started.
        """
        item = self.choose(here).item
        if item is None:
            raise AnnotationError("There is no step whose model could be repaired.")
        if method not in METHODS:
            raise AnnotationError(f"A model learns by one of {', '.join(METHODS)}, not by {method!r}.")
        choice = RepairChoice(error, self._writer(here).name if mine else "", cast(Method, method))
        if not self._services.read_only:
            lessons(self._store, choice.keep, item.task.environment)  # or it says why there is nothing to learn
        return self._jobs.repair(item.task.environment, choice).job_id

    # --- inside -----------------------------------------------------------------------------------------------------

    def _waiting(self, selection: Selection, person: Person, limit: int) -> Waiting:
        if selection.queue == "like":
            item = self._need(selection.like)
            found = alike(self._store, item, self._retrievers_of(item), person.name, limit)
            return Waiting(found, 0, len(found))
        keep = filter_of(selection) if selection.queue in PICKED else Filter()
        wanted = Wanted(cast(Kind, selection.queue), selection.found_by, keep)
        return waiting(self._store, wanted, person.name, limit, person.role)

    def _retrievers_of(self, item: Item) -> list[Retriever]:
        """Over what the workspace stores, and the run that played the item."""
        workspace, environment = self._services.workspace, item.task.environment
        found = [self._retriever(environment, workspace.experience_path, workspace.lab_path)]
        if item.source.startswith(RUN) and (path := sources(workspace).get(item.source)):
            found.append(self._retriever(environment, path))
        return found

    def _retriever(self, environment: str, *files: Path) -> Retriever:
        """Over all splits: what is looked for here stands in no prompt."""
        with self._lock:
            found = self._retrievers.get((environment, *files))
            if found is None:
                found = Retriever(files, HashedNgrams(), read_only=self._services.read_only, environment=environment)
                self._retrievers[environment, *files] = found
            found.refresh()
            return found

    def _find(self, item_id: str, source: str = "") -> Item | None:
        """None when it is gone, e.g. with its run."""
        with suppress(WorkspaceError):
            return self._need(item_id, source)
        return None

    def _need(self, item_id: str, source: str = "") -> Item:
        """An item of the workspace, or a step of a dream that is played on some page; WorkspaceError without one."""
        trajectory_id, _, number = item_id.rpartition(".")
        live = self._services.live.find(trajectory_id)
        if live is not None and number.isdecimal() and 0 < int(number) <= live.dream.num_shown:
            return item_of(live.trajectory, int(number), "a dream on a page")
        return self._store.find(item_id, source)

    def _corrections(self) -> Corrections:
        """Of the workspace; worked out anew when somebody has answered."""
        last = self._store.last_answer()
        if self._known[0] != last:
            self._known = last, corrections(self._store)
        return self._known[1]

    def _keep(self, item: Item, person: Person, labels: Labels, seconds: float) -> Kept:
        if person.role == "adjudicator" and not self._is_open(item.item_id):
            raise AnnotationError("Nobody disagrees on this step, so there is nothing to decide: choose another queue.")
        added = self._store.answer(item, person.name, labels, seconds, person.role)
        return Kept(item.item_id, person.role, added.version - 1)

    def _answer(self, item_id: str, person: Person) -> Annotation | None:
        return self._store.current_of(item_id, person.name, person.role) if person.name else None

    def _is_open(self, item_id: str) -> bool:
        """Annotators disagree on the item, or somebody has decided it."""
        current = self._store.current([item_id])
        return bool(current) and resolve(current).status in ("disputed", "adjudicated")

    def _seen(self, item: Item, person: Person) -> list[Annotation]:
        """Others' answers: after one's own, or where they disagree and this person decides."""
        if not person.name or (person.role == "adjudicator" and not self._is_open(item.item_id)):
            return []
        return self._store.visible_to(person.name, item.item_id, person.role)

    def _item(self, item: Item, person: Person) -> dict[str, Any]:
        mine = self._answer(item.item_id, person)
        shown = item_view(item, person, mine.labels if mine else None, self._seen(item, person))
        reason = self._no_engine(item) if mine else "Hidden until you submit, so that your answer is your own."
        return shown | {"engine_reason": reason}

    def _no_engine(self, item: Item) -> str:
        """Why the real engine cannot be asked; empty when it can."""
        if item.world == "real":
            return "This is a real step."
        if item.task.environment not in ENVIRONMENTS:
            return f"{item.task.environment} is not known here."
        if self._services.of(item.task.environment).pool is None:
            found = environment_module(item.task.environment).availability()
            return "The lab was started read-only, so no real engine runs." if found.ok else found.detail
        return "" if item.action else "Nothing was tried in this step."

    def _repair(
        self, current: Sequence[Annotation], environment: str, person: Person, mine: Set[str]
    ) -> dict[str, Any]:
        settled = [one for one in resolve_all(current).values() if one.is_resolved]
        corrected = {one.item_id: one.labels for one in settled if one.labels is not None and one.labels.correction}
        tasks = {name: item.task for name, item in self._store.items(list(corrected)).items()} if corrected else {}
        splits = {name: task.split for name, task in tasks.items() if task.environment == environment}
        learned = [name for name, split in splits.items() if split == "train"]
        kinds: Counter[str] = Counter(kind for name in learned if name in mine for kind in corrected[name].error_kinds)
        command = self._jobs.repair_command(environment)
        return repair_view(len(learned), len(splits) - len(learned), kinds, person.name, command)

    def _sums(self, current: Sequence[Annotation], person: Person, counts: tuple[int, int]) -> dict[str, Any]:
        mine = [one.seconds for one in current if (one.annotator, one.role) == (person.name, person.role)]
        annotators = {one.annotator for one in current if one.role == "annotator"}
        disputed = sum(not one.is_resolved for one in resolve_all(current).values())
        found = agreement(current) if len(annotators) > 1 else []
        return {
            "pace": progress_text(mine, counts[1] - counts[0]),
            "agreement": agreement_view(found, len(annotators), disputed),
        }

    def _writer(self, here: Here) -> Person:
        person = self.person(here)
        if self._services.read_only:
            raise WorkspaceError(READ_ONLY)
        if not person.name:
            raise AnnotationError("Say who you are first: your name stands beside your answers.")
        return person


def _by_item(current: Sequence[Annotation]) -> dict[str, list[Annotation]]:
    found: dict[str, list[Annotation]] = defaultdict(list)
    for one in current:
        found[one.item_id].append(one)
    return found
