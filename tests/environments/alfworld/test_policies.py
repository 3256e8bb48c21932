import random
from collections import Counter
from dataclasses import replace
from itertools import groupby

import pytest

from dreamgym.environments.alfworld.goal import parse_goal
from dreamgym.environments.alfworld.knowledge import Knowledge
from dreamgym.environments.alfworld.policies import (
    POLICIES,
    ScriptedPolicy,
    decide,
    ghost_place,
    lie,
    make_policy,
    misread,
)
from dreamgym.environments.alfworld.state_text import REJECTED, kind
from dreamgym.errors import ConfigError
from dreamgym.types import Task
from tests.environments.alfworld.conftest import Episode, Player


@pytest.mark.parametrize("policy", ["expert(noise=0)", "expert(noise=0.25)"])
def test_the_expert_solves_every_type_of_task(policy: str, real_episodes: list[Episode]) -> None:
    played = [episode for episode in real_episodes if episode.policy == policy]
    assert len({episode.task.task_type for episode in played}) == 6
    assert [episode.task.task_id for episode in played if not episode.steps[-1].success] == []


def test_the_expert_alone_is_never_refused(real_episodes: list[Episode]) -> None:
    for episode in real_episodes:
        if episode.policy == "expert(noise=0)":
            assert not any(step.next_state.startswith(REJECTED) for step in episode.steps)


def test_the_engine_refuses_every_lie(real_tasks: list[Task], play: Player) -> None:
    verbs = set()
    for number, task in enumerate(real_tasks):
        lies = play(task, ScriptedPolicy("liar", number, noise=0.0, lies=1.0), 12)
        for step in lies.steps:
            assert step.next_state.startswith(REJECTED), (task.task_id, step.action)
            assert not step.success and step.reward == 0.0
            verbs.add(step.action.split()[0])
    assert verbs >= {"take", "move", "go", "open", "close", "heat", "clean", "cool", "use"}


def test_lies_along_an_episode_are_nothing_the_engine_would_accept(real_episodes: list[Episode]) -> None:
    """Away from the start there is more to lie about: things seen, held, opened."""
    rng = random.Random(0)
    for episode in real_episodes:
        known = Knowledge(episode.task)
        for step, admissible in zip(episode.steps, episode.admissible, strict=True):
            for _ in range(3):
                assert lie(known, rng) not in admissible, (episode.task.task_id, step.state)
            known.see(step.action, step.next_state)


def test_the_lying_policy_lies_often_and_still_gets_somewhere(real_episodes: list[Episode]) -> None:
    steps = [step for episode in real_episodes if episode.policy == "lying(noise=0.2)" for step in episode.steps]
    refused = sum(step.next_state.startswith(REJECTED) for step in steps) / len(steps)
    assert 0.25 < refused < 0.6


def test_ghosts_are_places_that_the_room_lacks_and_mostly_next_door() -> None:
    places, rng = ("cabinet 1", "cabinet 2", "cabinet 10", "fridge 1"), random.Random(0)
    drawn = [ghost_place(places, rng) for _ in range(400)]
    assert not set(drawn) & set(places)
    assert drawn.count("cabinet 11") + drawn.count("fridge 2") > 150
    assert len(set(drawn)) > 40


def test_the_lying_policy_repeats_what_was_refused_now_and_then(real_episodes: list[Episode]) -> None:
    repeated = [
        one.action == two.action
        for episode in real_episodes
        if episode.policy == "lying(noise=0.2)"
        for one, two in zip(episode.steps, episode.steps[1:], strict=False)
        if one.next_state.startswith(REJECTED)
    ]
    assert 0.1 < sum(repeated) / len(repeated) < 0.4
    runs = [len(list(run)) for again, run in groupby(repeated) if again]
    assert max(runs) >= 3, "who is stuck stays stuck for a while"


def test_who_misread_the_task_works_hard_at_another_one(real_episodes: list[Episode]) -> None:
    played = [episode for episode in real_episodes if episode.policy == "mistaken(noise=0.2)"]
    assert sum(episode.steps[-1].success for episode in played) <= 2
    taken = Counter(
        kind(step.action.split(" from ")[0].removeprefix("take ")) in episode.task.text
        for episode in played
        for step in episode.steps
        if step.action.startswith("take ") and not step.next_state.startswith(REJECTED)
    )
    assert taken[False] > taken[True]
    task = played[0].task
    read = {misread(task, random.Random(seed)).text for seed in range(20)}
    assert len(read) > 10 and all(parse_goal(text) is not None for text in read)
    assert misread(replace(task, payload={"path": "x"}, text="?"), random.Random(0)).text == "?"


def test_the_same_seed_plays_the_same_episode(real_tasks: list[Task], play: Player) -> None:
    first, again, other = (play(real_tasks[0], make_policy("random", seed), 10) for seed in (3, 3, 4))
    actions = [[step.action for step in episode.steps] for episode in (first, again, other)]
    assert actions[0] == actions[1] != actions[2]


def test_the_expert_explores_where_the_wording_is_unknown() -> None:
    state = "You look around.\nat: middle of the room\nholding: nothing\nhere: nothing\nplaces: desk 1, bed 1"
    task = Task("t", "alfworld", "tidy up", "test", "none", "1", state, "generated")
    assert decide(Knowledge(task)).action == "go to desk 1"
    assert decide(Knowledge(task, "the screen went black")).action == "look"


def test_a_policy_knows_its_name_and_refuses_what_it_cannot_be() -> None:
    assert [make_policy(name, 0, 0.5).name for name in POLICIES] == [
        *("expert(noise=0.5)", "random", "lying(noise=0.5)", "mistaken(noise=0.5)")
    ]
    with pytest.raises(ConfigError, match=r"unknown policy 'wizard'.*expert.*random.*lying"):
        make_policy("wizard")
    with pytest.raises(ConfigError, match=r"\[0, 1\], got 1\.5"):
        make_policy("expert", 0, 1.5)
    with pytest.raises(ConfigError, match="reset"):
        make_policy("expert").act((), "", None)
