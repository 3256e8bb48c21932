"""The suite of lies: every one is a lie in the real engine, and a model that believes everything is found out."""

from collections import Counter

import pytest

from dreamgym.collect import collect
from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.environments.alfworld.knowledge import Knowledge
from dreamgym.environments.alfworld.lies import KINDS
from dreamgym.environments.alfworld.state_text import parse, render
from dreamgym.experience_model.model import ExperienceModel, Switches
from dreamgym.studies.honesty import PREMATURE, Lie, Suite, make_suite, measure
from dreamgym.types import Task, Trajectory


@pytest.fixture(scope="module")
def trajectories(alfworld_tasks: list[Task]) -> list[Trajectory]:
    played = collect("alfworld", alfworld_tasks, "expert", noise=0.25, seed=3, max_steps=40, workers=1)
    return sorted(played, key=lambda trajectory: trajectory.trajectory_id)


@pytest.fixture(scope="module")
def suite(trajectories: list[Trajectory]) -> Suite:
    return make_suite(trajectories, per_kind=12)


def test_there_are_lies_of_every_kind_and_nothing_seen_allows_them(suite: Suite) -> None:
    num = Counter(lie.kind for lie in suite.lies)
    assert set(num) == {*KINDS, PREMATURE}
    assert min(num.values()) >= 5 and max(num.values()) <= 12
    for lie in suite.lies:
        known = Knowledge.of(lie.trajectory.task, lie.trajectory.transitions[: lie.index], lie.state)
        verdict = known.verdict(lie.action)
        if lie.kind == PREMATURE:
            assert lie.action == lie.trajectory.transitions[-1].action
        else:
            assert verdict.possible is (lie.kind == "unmet goal"), (lie.kind, lie.action, verdict)


def test_the_suite_is_the_same_every_time(trajectories: list[Trajectory], suite: Suite) -> None:
    assert make_suite(trajectories, per_kind=12) == suite


def test_an_action_that_works_is_no_lie(trajectories: list[Trajectory], monkeypatch: pytest.MonkeyPatch) -> None:
    solved = next(trajectory for trajectory in trajectories if trajectory.success)
    last = len(solved.transitions) - 1

    def candidates(trajectory: Trajectory, _: object) -> list[Lie]:
        truths = [Lie("not held", trajectory, last, trajectory.transitions[last].action)]
        return [*truths, Lie("malformed verb", trajectory, 1, "win")] if trajectory is solved else []

    monkeypatch.setattr("dreamgym.studies.honesty._candidates", candidates)
    made = make_suite([solved], per_kind=5)
    assert [lie.action for lie in made.lies] == ["win"] and made.num_no_lies == 1


def test_a_model_that_believes_everything_is_found_out(suite: Suite) -> None:
    state = "You did it.\nat: desk 1\nholding: nothing\nhere: nothing"
    reply = f"Fine.</think><state>{state}</state><reward>1.0</reward><done>1</done>"
    figures = measure(ExperienceModel(ScriptedEngine(lambda _: reply)), suite, None, Switches())
    assert figures["lies_accepted"] == 1.0 and figures["false_success"] == 1.0
    assert figures["by_kind"]["closed"]["accepted"] == figures["by_kind"]["closed"]["num"]


def test_a_model_that_refuses_believes_nothing_and_a_malformed_reply_is_counted_apart(suite: Suite) -> None:
    def refuse(conversation: str) -> str:
        if conversation.endswith("<action>win</action><think>"):
            return "I will not say."
        view = parse(conversation.rsplit("<state>", 1)[1].split("</state>")[0])
        assert view is not None
        return f"No.</think><state>{render(view.rejected())}</state><reward>0.0</reward><done>0</done>"

    figures = measure(ExperienceModel(ScriptedEngine(refuse)), suite, None, Switches())
    assert figures["lies_accepted"] == 0.0 and figures["false_success"] == 0.0
    wins = sum(lie.action == "win" for lie in suite.lies)
    assert figures["by_kind"]["malformed verb"]["malformed"] == wins
    assert figures["by_kind"]["not held"]["ci_high"] > 0
