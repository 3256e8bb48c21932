"""What all methods of training share: the iterations of a run, from rollouts to the record of them.

    for iteration in loop.iterations():
        batch = loop.collect(iteration)               roll out tasks in the dream, or in the real environment
        ...                                           the method's own update
        loop.finish(iteration, metrics, advantages)   measure real success, replay dreams, raise alarms, store
        if (path := loop.checkpoint_due(iteration)):
            ...                                       the method's own state
            loop.seal(path)

A run that goes on from a checkpoint does what it would have done without the stop: tasks and sampling follow from the
seed, the iteration and what is stored of earlier ones, and what was stored after the checkpoint is rolled back.
"""

import logging
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dreamgym.curriculum.variations import check_can_vary
from dreamgym.engines.model_folder import write_data
from dreamgym.environments import environment_module
from dreamgym.environments.batch import DreamBatch
from dreamgym.experience_model.fidelity import wilson
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.runs.config import TrainConfig
from dreamgym.runs.plan import models
from dreamgym.runs.process import Control
from dreamgym.runs.store import Exploit, RunReader, RunStore, StoredRollout
from dreamgym.runs.trackers import Trackers
from dreamgym.stopwatch import Stopwatch
from dreamgym.training import checkpoints
from dreamgym.training.alarms import raise_alarms
from dreamgym.training.exploits import first_lie, replay
from dreamgym.training.practice import Practice, Practising
from dreamgym.training.practice import figures as practised
from dreamgym.training.rewards import rewards
from dreamgym.training.rollout import Rollout, Sampling, TokenEngine, roll_out
from dreamgym.training.worlds import Worlds
from dreamgym.types import Provenance, Task, Trajectory, World

if TYPE_CHECKING:
    from dreamgym.engines.transformers_engine import TransformersEngine

NUM_SLOTS = 64
"""Episodes played at once."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Iteration:
    """What one iteration collected: groups of rollouts, one after another."""

    iteration: int
    world: World
    rollouts: Sequence[Rollout]
    rewards: Sequence[tuple[float, ...] | None]
    """One reward per reply of each rollout; None where nobody knows them."""
    num_redrawn: int = 0
    """Dreamed steps whose first draw did not stand; what was drawn later is what was stored."""

    @property
    def returns(self) -> list[float | None]:
        """Return of each rollout; None where nobody knows it."""
        return [None if paid is None else sum(paid) for paid in self.rewards]


class Loop:
    """The iterations of one run."""

    def __init__(self, config: TrainConfig, folder: Path, control: Control, policy: "TransformersEngine") -> None:
        """Open the run's record, and roll it back to the newest checkpoint.

        Args:
            config: What to do.
            folder: The run's.
            control: The process around it.
            policy: Acts; the method trains its weights in place.
        """
        self.config, self.folder, self._control, self.policy = config, folder, control, policy
        self.actor: TokenEngine = policy
        """Writes the policy's replies: itself, or vLLM with its weights."""
        self.checkpoints = folder / "checkpoints"
        self.stopwatch = Stopwatch()
        self._worlds = Worlds(config, folder)
        self._store = RunStore(folder / "run.sqlite", HashedNgrams())
        self.start = max(checkpoints.find(self.checkpoints), default=-1)
        self._store.roll_back(self.start)
        rows = RunReader(self._store.path).iterations()
        self._last: Mapping[str, float | None] = rows[-1].metrics if rows else {}
        self._first: dict[str, float | None] = {}
        for row in rows:
            self._note_first(row.metrics)
        self._ringing: dict[str, int] = {}
        self._collected: Iteration | None = None
        self._is_stopping = False
        self._began = time.perf_counter()
        module = environment_module(config.run.environment)
        self._practising = Practising(config, folder, RunReader(self._store.path))
        if config.curriculum.synthetic_share and config.run.method in ("grpo", "ppo") and self._world(1) == "dream":
            check_can_vary(self._worlds.variation_engine())  # now, and not when the first iteration has been played
        self._held_out = module.load_tasks(config.evaluation.split, config.evaluation.num_tasks, 0, config.run.size)
        self._trackers = Trackers(config.run.report_to, folder, asdict(config), self.start)

    @property
    def work(self) -> Path:
        """For what a trainer writes before it is a checkpoint."""
        return self.checkpoints / ".work"

    @property
    def checkpoint(self) -> Path | None:
        """The checkpoint that the method goes on from."""
        return checkpoints.find(self.checkpoints).get(self.start)

    def iterations(self) -> Iterator[int]:
        """Yield the iterations that are still to be done; ends early when a stop was asked or real data is used up."""
        if self.start < 0:
            self.finish(0, {})
        iteration = max(self.start, 0)
        while not self._is_last(iteration):
            iteration += 1
            yield iteration

    def _is_last(self, iteration: int) -> bool:
        """No iteration comes after this one: all are done, a stop was asked for, or real data is used up."""
        if iteration >= self.config.run.iterations or self._is_stopping:
            return True
        if self._world(iteration + 1) == "dream" or self._may_act_for_real():
            return False
        log.info("the budget of %d online real transitions is used up", self.config.real.max_transitions)
        return True

    def collect(self, iteration: int) -> Iteration:
        """Roll out the iteration's tasks, each `group_size` times, group after group."""
        run, policy = self.config.run, self.config.policy
        world = self._world(iteration)
        tasks = self._practising.draw(iteration, with_variations=world == "dream")
        batch = [task for task in tasks for _ in range(run.group_size)]
        seed = run.seed * 1_000_003 + iteration
        sampling = Sampling(policy.temperature, seed, policy.max_steps)
        rollouts, num_redrawn = self._roll_out(world, batch, sampling, iteration, self.stopwatch)
        paid = [rewards(rollout.trajectory, policy) for rollout in rollouts]
        self._collected = Iteration(iteration, world, rollouts, paid, num_redrawn)
        return self._collected

    def finish(
        self, iteration: int, metrics: Mapping[str, float | None], advantages: Sequence[float | None] = ()
    ) -> None:
        """Measure what is due, and store the iteration.

        Args:
            iteration: That was collected and learned from; 0 is before the first update.
            metrics: The method's own figures; `num_updates` of this iteration, which are added up here.
            advantages: One per rollout, where there is one.
        """
        collected, self._collected = self._collected, None
        figures: dict[str, float | None] = dict(metrics)
        stored: list[StoredRollout] = []
        exploits: list[Exploit] = []
        practice = Practice()
        if collected is not None:
            unpunished = self._unpunished(collected)
            figures |= _figures(collected, self.config.run.group_size, unpunished)
            practice = self._practise(collected, unpunished)
            figures |= practised([rollout.trajectory for rollout in collected.rollouts], practice)
            known = list(advantages) or [None] * len(collected.rollouts)
            stored += [
                StoredRollout(rollout.trajectory, "train", advantage)
                for rollout, advantage in zip(collected.rollouts, known, strict=True)
            ]
        evaluated = 0
        if self._is_evaluated(iteration):
            with self.stopwatch.running("evaluation"):
                found, success = self._evaluate(iteration, collected)
                held, replays, exploits = self._replay(collected)
            figures |= success | held
            stored += [StoredRollout(trajectory, "evaluate") for trajectory in found]
            stored += [StoredRollout(trajectory, "replay") for trajectory in replays]
            evaluated = sum(len(trajectory.transitions) for trajectory in (*found, *replays))
            figures["dream_minus_real"] = _dream_minus_real(collected, found)
        figures = self._counts(collected, evaluated, practice.num_proved) | figures
        figures["num_updates"] = (self._last.get("num_updates") or 0) + (metrics.get("num_updates") or 0)
        figures |= {f"seconds_{part}": seconds for part, seconds in self.stopwatch.take().items()}
        figures["seconds"], self._began = time.perf_counter() - self._began, time.perf_counter()
        self._note_first(figures)
        names = {at: path.name for at, path in checkpoints.find(self.checkpoints).items()}
        alarms = raise_alarms(figures, self._first, self.config.trust, self._ringing, names)
        self._ringing = {alarm.kind: self._ringing.get(alarm.kind, iteration) for alarm in alarms}
        self._store.commit(
            iteration, figures, stored, exploits, alarms, practice.rows, practice.variations, practice.edits
        )
        self._trackers.report(iteration, figures)
        self._last = figures
        message = describe(iteration, figures)
        log.info("%s", message)
        for alarm in alarms:
            log.warning("alarm, %s: %s", alarm.kind, alarm.text)
        self._control.report(iteration, message, next(reversed(names.values()), None))

    def checkpoint_due(self, iteration: int) -> Path | None:
        """An empty folder for the method's state, if this iteration is to be kept; `seal` makes it a checkpoint."""
        self._is_stopping = self._is_stopping or self._control.should_stop()
        due = iteration % self.config.checkpoints.every == 0 or self._is_last(iteration)
        return checkpoints.unfinished(self.checkpoints, iteration) if due else None

    def seal(self, path: Path) -> None:
        """Make what the method wrote a checkpoint; its policy says what real transitions it cost."""
        write_data(path / "policy", models(self.config), self.folder.name, self._last.get("real_transitions"))
        sealed, iteration = checkpoints.seal(path, self.config.checkpoints.keep)
        log.info("checkpoint %s", sealed.name)
        self._control.report(iteration, describe(iteration, self._last), sealed.name)

    def close(self) -> None:
        """Close the record, the trackers and the environments; safe to call twice."""
        self._trackers.close()
        self._store.close()
        self._worlds.close()

    def _unpunished(self, collected: Iteration) -> list[float | None]:
        """Returns of an iteration's rollouts without penalties.

        A task at which every rollout fails, in steps more or less foolish, is not undecided.
        """
        policy = replace(self.config.policy, invalid_penalty=0.0, idle_penalty=0.0, malformed_penalty=0.0)
        paid = [rewards(rollout.trajectory, policy) for rollout in collected.rollouts]
        return [None if each is None else sum(each) for each in paid]

    def _practise(self, collected: Iteration, unpunished: Sequence[float | None]) -> Practice:
        """Values of the iteration's tasks, and new variations where the next one can play them."""
        dreams_on = not self._is_last(collected.iteration) and self._world(collected.iteration + 1) == "dream"
        with self.stopwatch.running("variations"):
            return self._practising.score(
                [rollout.trajectory for rollout in collected.rollouts],
                unpunished,
                self._worlds.variation_engine if dreams_on else None,
                self._last.get("online_transitions") or 0,
            )

    def _world(self, iteration: int) -> World:
        run, real = self.config.run, self.config.real
        is_real = run.world == "real" or (run.world == "s2r" and iteration > run.iterations - real.iterations)
        return "real" if is_real else "dream"

    def _may_act_for_real(self) -> bool:
        run = self.config.run
        most = run.num_tasks * run.group_size * self.config.policy.max_steps
        return (self._last.get("online_transitions") or 0) + most <= self.config.real.max_transitions

    def _roll_out(
        self, world: World, tasks: Sequence[Task], sampling: Sampling, iteration: int, watch: Stopwatch | None = None
    ) -> tuple[list[Rollout], int]:
        """The rollouts, and how many of their dreamed steps were drawn again."""
        num_slots = min(NUM_SLOTS, len(tasks))
        is_dream = world == "dream"
        batch = self._worlds.dream(num_slots, sampling.seed, watch) if is_dream else self._worlds.real(num_slots, watch)
        model = self._worlds.model_name if is_dream else None
        version = environment_module(self.config.run.environment).version_text()
        name = f"{self.policy.name}+{iteration}(temperature={sampling.temperature:g})"
        provenance = Provenance(name, sampling.seed, version, model, self.folder.name)
        try:
            rollouts = roll_out(self.actor, world, batch, tasks, sampling, provenance, num_slots, watch)
            return rollouts, batch.num_redrawn if isinstance(batch, DreamBatch) else 0
        finally:
            self._worlds.done(batch)

    def _is_evaluated(self, iteration: int) -> bool:
        return iteration % self.config.evaluation.every == 0 or iteration >= self.config.run.iterations

    def _evaluate(
        self, iteration: int, collected: Iteration | None
    ) -> tuple[list[Trajectory], dict[str, float | None]]:
        """Real success: on held-out tasks sampled and greedy, and on the tasks just dreamed, sampled as they were."""
        policy, settings = self.config.policy, self.config.evaluation
        ways = [
            ("real_success", "real", self._held_out, settings.temperature),
            ("real_greedy", "greedy", self._held_out, 0.0),
        ]
        if collected is not None and collected.world == "dream":
            tasks = [rollout.trajectory.task for rollout in collected.rollouts]
            ways.append(("real_same_tasks", "same_tasks", tasks, policy.temperature))
        played: list[Trajectory] = []
        figures: dict[str, float | None] = {}
        for name, prefix, tasks, temperature in ways:
            sampling = Sampling(temperature, self.config.run.seed, policy.max_steps)
            rollouts, _ = self._roll_out("real", tasks, sampling, iteration)
            trajectories = [one.trajectory for one in rollouts]
            played += trajectories
            won = [trajectory.success for trajectory in trajectories if trajectory.failure is None]
            figures[name] = sum(won) / len(won) if won else None
            figures[f"{prefix}_low"], figures[f"{prefix}_high"] = wilson(sum(won), len(won))
        return played, figures

    def _replay(self, collected: Iteration | None) -> tuple[dict[str, float | None], list[Trajectory], list[Exploit]]:
        """Replay a sample of the iteration's dreamed successes in the real engine."""
        if collected is None or collected.world == "real" or not self.config.evaluation.num_replayed:
            return {}, [], []
        won = [rollout.trajectory for rollout in collected.rollouts if rollout.trajectory.success]
        won = list({trajectory.trajectory_id: trajectory for trajectory in won}.values())
        rng = random.Random(f"replay/{self.config.run.seed}/{collected.iteration}")
        chosen = rng.sample(won, min(len(won), self.config.evaluation.num_replayed))
        environment = self._worlds.engine()
        replays, exploits = [], []
        for dream in chosen:
            real = replay(dream, environment)
            replays.append(real)
            lie = None if real.success or real.failure else first_lie(dream, real)
            if lie is not None:
                exploits.append(Exploit(dream, real, lie.kind, lie.step))
        num = sum(real.failure is None for real in replays)
        held = {
            "wm2real": sum(real.success for real in replays) / num if num else None,
            "num_replayed": float(num),
            "num_lies": float(len(exploits)),
        }
        return held, replays, exploits

    def _counts(self, collected: Iteration | None, evaluated: int, proved: int) -> dict[str, float | None]:
        """Real transitions so far, those of training (acted, or played to prove variations) and of measuring apart."""
        acted = proved
        if collected is not None and collected.world == "real":
            acted += sum(len(rollout.trajectory.transitions) for rollout in collected.rollouts)
        online = (self._last.get("online_transitions") or 0) + acted
        return {
            "online_transitions": online,
            "real_transitions": self._worlds.offline_transitions + online,
            "evaluation_transitions": (self._last.get("evaluation_transitions") or 0) + evaluated,
        }

    def _note_first(self, metrics: Mapping[str, float | None]) -> None:
        for name, value in metrics.items():
            if value is not None:
                self._first.setdefault(name, value)


def _figures(collected: Iteration, group_size: int, unpunished: Sequence[float | None]) -> dict[str, float | None]:
    """Figures of the rollouts themselves; a failed one counts as failed alone, and in the mean return if it has one.

    Groups agree where their returns without penalties do.
    """
    trajectories = [rollout.trajectory for rollout in collected.rollouts]
    steps = [step for trajectory in trajectories for step in trajectory.transitions]
    known = [value for value in collected.returns if value is not None]
    won = [trajectory.success for trajectory in trajectories if trajectory.failure is None]
    success = sum(won) / len(won) if won else None
    groups = [unpunished[first : first + group_size] for first in range(0, len(trajectories), group_size)]
    agreeing = [len({value for value in group if value is not None}) <= 1 for group in groups]
    module = environment_module(trajectories[0].task.environment)
    num_tokens = sum(sum(rollout.mask) for rollout in collected.rollouts)
    mean = sum(known) / len(known) if known else None
    return {
        "dream_success": success if collected.world == "dream" else None,
        "online_success": success if collected.world == "real" else None,
        "reward": mean,
        "reward_std": None if mean is None else (sum((r - mean) ** 2 for r in known) / len(known)) ** 0.5,
        "zero_variance": sum(agreeing) / len(agreeing),
        "failed_share": sum(t.failure is not None for t in trajectories) / len(trajectories),
        "truncated_share": sum(bool(t.transitions) and t.transitions[-1].truncated for t in trajectories)
        / len(trajectories),
        "valid_share": sum(not module.is_refusal(s.next_state) for s in steps) / len(steps) if steps else None,
        "idle_share": sum(sum(module.idle_steps(t.transitions)) for t in trajectories) / len(steps) if steps else None,
        "refused_by_guard": float(sum(step.contradiction is not None for step in steps)),
        "redrawn": float(collected.num_redrawn),
        "reply_tokens": num_tokens / len(steps) if steps else None,
        "episode_steps": len(steps) / len(trajectories),
    }


def _dream_minus_real(collected: Iteration | None, found: Sequence[Trajectory]) -> float | None:
    """Success in the dream less that in the real engine, over the rollouts that failed in neither.

    A variation that the real engine cannot play has no real success to be compared with.
    """
    if collected is None or collected.world == "real":
        return None
    dreamed = [rollout.trajectory for rollout in collected.rollouts]
    pairs = zip(dreamed, found[-len(dreamed) :], strict=True)  # the tasks just dreamed are played last
    gaps = [d.success - r.success for d, r in pairs if d.failure is None and r.failure is None]
    return sum(gaps) / len(gaps) if gaps else None


def describe(iteration: int, metrics: Mapping[str, float | None]) -> str:
    """One line of the log."""
    shown = [f"iteration {iteration}"]
    names = {"reward": "reward", "dream_success": "dream", "real_success": "real", "real_greedy": "greedy", "kl": "KL"}
    for name, label in names.items():
        if (value := metrics.get(name)) is not None:
            shown.append(f"{label} {value:.3f}")
    if metrics.get("real_low") is not None:
        shown.append(f"[{metrics['real_low']:.2f}, {metrics['real_high']:.2f}]")
    if (seconds := metrics.get("seconds")) is not None:
        shown.append(f"{seconds:.1f} s")
    return "  ".join(shown)
