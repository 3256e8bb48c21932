import json
from dataclasses import replace

import pytest

from dreamgym.curriculum.proof import disprove, drop_unsolvable
from dreamgym.curriculum.variations import Candidate
from dreamgym.environments import alfworld
from dreamgym.environments.alfworld.games import game_path
from dreamgym.types import Task


def test_a_task_is_possible_when_its_solution_wins_with_its_last_command(alfworld_tasks: list[Task]) -> None:
    """In one go: an original, a goal that cannot be reached, nonsense, and a game whose walkthrough goes astray."""
    task, other = alfworld_tasks[:2]
    unreachable = replace(task, payload={**task.payload, "variation": "put a unicorn in shelf"})
    nonsense = replace(task, payload={**task.payload, "variation": "win"})
    astray = replace(other, payload={**other.payload, "seed": 987_654})
    path = game_path(astray.payload)
    game = json.loads(path.read_text())
    path.write_text(json.dumps({**game, "walkthrough": ["look", *game["walkthrough"][:-1]]}))
    reasons = disprove("alfworld", [task, unreachable, nonsense, astray], workers=1)
    assert reasons[0] is None
    assert reasons[1] is not None and "there is no unicorn" in reasons[1]
    assert reasons[2] is not None and "no template of the goal library says 'win'" in reasons[2]
    assert reasons[3] == "its solution does not win with its last command"


def test_what_is_chosen_is_played_for_real_and_every_step_of_that_is_counted(alfworld_tasks: list[Task]) -> None:
    task, other = alfworld_tasks[:2]
    unreachable = replace(task, payload={**task.payload, "variation": "put a unicorn in shelf"})
    offered = [
        Candidate(("seed",), "can be done", -1.0, task),
        Candidate(("seed",), "cannot be done", -1.0, unreachable),
        Candidate(("seed",), "was not chosen", -1.0, other, dropped="not chosen"),
        Candidate(("seed",), "cannot be read", -1.0, dropped="malformed"),
    ]
    kept, num_transitions = drop_unsolvable("alfworld", offered, workers=1)
    assert [one.dropped for one in kept] == [None, "infeasible", "not chosen", "malformed"]
    assert kept[1].reason.startswith("in the real engine: ") and "no unicorn" in kept[1].reason
    assert num_transitions == len(alfworld.solution(task) or ()) > 0


def test_without_a_solution_nothing_is_proved(alfworld_tasks: list[Task]) -> None:
    task = replace(alfworld_tasks[0], payload={**alfworld_tasks[0].payload, "seed": 987_655})
    path = game_path(task.payload)
    path.write_text(path.read_text().replace('"walkthrough"', '"nothing"'))
    assert disprove("alfworld", [task], workers=1) == ["nobody knows a solution"]


@pytest.mark.usefixtures("alfworld_games")
def test_no_task_needs_no_engine() -> None:
    assert disprove("alfworld", []) == []
