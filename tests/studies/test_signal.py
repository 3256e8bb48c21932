"""The signal study: what each way of paying reinforces, and that two halves are compared as they should be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dreamgym.config import ROOT
from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.environments import alfworld
from dreamgym.errors import ConfigError
from dreamgym.experience_model.model import ExperienceModel
from dreamgym.studies import signal
from dreamgym.studies.signal import GAMMA, PAYMENTS, Settings, measure, share_at
from dreamgym.training.rollout import Rollout
from dreamgym.types import Failure, Task, Transition
from tests.experience_model.kitchen import solved

MODELS = ROOT / "assets" / "models"
REAL = solved()
GO = replace(REAL.transitions[0], reward=0.0, terminated=False, success=False)
LINES = "\n".join(GO.state.split("\n")[1:])
REFUSED = Transition(GO.state, "take fork 9", f"Nothing happens.\n{LINES}", 0.0, False)
WON = replace(GO, reward=1.0, terminated=True, success=True)


def played(*steps: Transition, text: str = "", policy: TransformersEngine | None = None) -> Rollout:
    """An episode in which every reply is `text`, if there is a policy to write it."""
    ids: list[int] = [1]
    mask = [False]
    for _ in steps:
        reply = policy.encode([text], [False])[0] if policy else [2, 3]
        ids += [*reply, 1]
        mask += [*[True] * len(reply), False]
    return Rollout(replace(REAL, transitions=steps, failure=None), tuple(ids), tuple(mask), (0.0,) * len(ids))


def test_the_share_of_signal_follows_from_the_cosine() -> None:
    assert share_at(64, 0.2, 64) == pytest.approx(0.2)
    # signal 1, noise 4 at 64 rollouts; at 256 the noise is 1
    assert share_at(256, 0.2, 64) == pytest.approx(0.5)
    assert share_at(64, -0.1, 64) == 0.0


def test_each_payment_reinforces_what_it_says() -> None:
    good, bad = played(GO, WON), played(REFUSED, GO)
    paid = {name: pay([[good, bad]], 0.5) for name, pay in PAYMENTS.items()}
    assert [list(each) for each in paid["outcome"]] == [[1.0, 1.0], [-1.0, -1.0]]
    assert [list(each) for each in paid["penalties"]] == [[1.0, 1.0], [-1.0, -1.0]]
    # returns to go: gamma, 1 and -0.5, 0; means at the two steps (gamma - 0.5) / 2 and 0.5
    first = (GAMMA - 0.5) / 2
    assert np.allclose(paid["steps"], [[GAMMA - first, 0.5], [-0.5 - first, -0.5]])
    assert np.allclose(paid["refusals"], [[0.25, 0.25], [-0.75, 0.25]])
    lost = played(GO, GO)
    assert [list(each) for each in PAYMENTS["outcome"]([[lost, bad]], 0.5)] == [[0.0, 0.0], [0.0, 0.0]]
    assert [list(each) for each in PAYMENTS["penalties"]([[lost, bad]], 0.5)] == [[1.0, 1.0], [-1.0, -1.0]]


def test_halves_that_played_alike_agree_and_opposite_ones_oppose(tiny_model: Path) -> None:
    policy = TransformersEngine(tiny_model, device="cpu", num_threads=1)
    open_it, take_it = "open the fridge", "take the egg 1"
    good = [played(GO, WON, text=open_it, policy=policy), played(REFUSED, GO, text=take_it, policy=policy)]
    bad = [played(REFUSED, GO, text=open_it, policy=policy), played(GO, WON, text=take_it, policy=policy)]
    alike, opposed = (measure(policy, rollouts, Settings(group_size=2)) for rollouts in (good * 2, good + bad))
    assert alike["rollouts_per_half"] == 2 and alike["failed"] == 0
    assert (alike["success"], alike["refused_share"]) == (0.5, 0.25)
    for one, other in zip(alike["rows"], opposed["rows"], strict=True):
        assert one["cosine"] == pytest.approx(1.0, abs=1e-5) and one["norm"] > 0
        if one["payment"] == "outcome":
            assert other["cosine"] == pytest.approx(-1.0, abs=1e-5) and other["share_at_64"] == 0.0


def test_failed_rollouts_are_left_out_and_a_half_without_any_is_an_error(tiny_model: Path) -> None:
    policy = TransformersEngine(tiny_model, device="cpu", num_threads=1)
    good = played(GO, WON)
    failed = replace(good, trajectory=replace(good.trajectory, failure=Failure("x", "no action in the reply", "x")))
    figures = measure(policy, [good, good, failed, good, good, failed], Settings(group_size=3))
    assert figures["failed"] == 2 and figures["rollouts_per_half"] == 2
    with pytest.raises(ConfigError, match="raise --tasks"):
        measure(policy, [good, good, failed, good], Settings(group_size=2))


def test_each_half_has_every_task_type(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def roll_out(_: object, __: str, ___: object, tasks: list[Task], *____: object) -> list[Rollout]:
        asked.extend(task.task_type for task in tasks)
        return [played(GO, WON) for _ in tasks]

    types = ["put", "clean", "heat", "cool", "look", "put two"]
    tasks = [replace(REAL.task, task_type=types[number % 6]) for number in range(48)]
    monkeypatch.setattr(alfworld, "load_tasks", lambda *_: tasks)
    monkeypatch.setattr(signal, "roll_out", roll_out)
    monkeypatch.setattr(signal, "RealBatch", lambda engines: engines)
    monkeypatch.setattr(signal, "SLOTS", 0)  # no engine is made
    signal.run(TransformersEngine(tiny_model, device="cpu", num_threads=1), Settings(num_tasks=48, group_size=2))
    groups = asked[::2]
    assert len(groups) == 48 and set(groups[::2]) == set(groups[1::2]) == set(types)


@pytest.mark.parametrize("too_few", [{"num_tasks": 1}, {"group_size": 1}, {"max_steps": 0}])
def test_settings_that_compare_nothing_are_refused(too_few: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must be from"):
        Settings(**too_few)


@pytest.mark.usefixtures("alfworld_games")
@pytest.mark.parametrize("world", ["real", "dream"])
def test_the_study_plays_in_both_worlds(world: str) -> None:
    policy = TransformersEngine(MODELS / "nano-policy", device="cpu", num_threads=1)
    dreamer = TransformersEngine(MODELS / "nano-experience-model", device="cpu", num_threads=1)
    model = ExperienceModel(dreamer) if world == "dream" else None
    figures = signal.run(policy, Settings(num_tasks=2, group_size=2, max_steps=3), model)
    assert figures["world"] == world and [row["payment"] for row in figures["rows"]] == list(PAYMENTS)
    assert all(-1.0 <= row["cosine"] <= 1.0 for row in figures["rows"])
