"""What R* may say: nothing that was not seen, and the verdict that the engine gave."""

import random
import re
from collections import Counter
from dataclasses import replace

import pytest

from dreamgym.environments import alfworld
from dreamgym.environments.alfworld.knowledge import Knowledge
from dreamgym.environments.alfworld.state_text import REJECTED
from dreamgym.types import Task, Transition
from tests.environments.alfworld.conftest import Episode

COMMANDS = {"go", "open", "close", "take", "move", "heat", "clean", "cool", "slice", "use", "examine", "look"} | {
    "inventory",
    "help",
}
NAMED = re.compile(r"\b(?!of )[a-z]+ \d+")
PAIR = re.compile(r"([a-z ]+ \d+|[a-z]+): ([a-z ]+ \d+|[a-z]+) (same|other)")


def write(episode: Episode, index: int) -> str:
    past, step = episode.steps[:index], episode.steps[index]
    recalled = alfworld.recall(episode.task, past, step.state, step.action)
    return alfworld.write_reasoning(episode.task, past, step, random.Random(index), recalled)


def test_reasoning_names_nothing_that_was_not_seen(real_episodes: list[Episode]) -> None:
    num_named = 0
    for episode in real_episodes:
        seen = {*NAMED.findall(episode.task.text), *NAMED.findall(episode.task.first_state)}
        for index, step in enumerate(episode.steps):
            seen |= {*NAMED.findall(step.action), *NAMED.findall(step.next_state)}
            text = write(episode, index)
            named = set(NAMED.findall(text))
            assert named <= seen, (episode.task.task_id, index, text)
            num_named += len(named)
    assert num_named > 1000


def test_reasoning_knows_nothing_of_a_place_before_the_first_look(real_episodes: list[Episode]) -> None:
    """The outcome decides the verdict, the goal and whether its object is there, never what was seen before."""
    num_checked = 0
    for episode in real_episodes:
        for index, step in enumerate(episode.steps):
            if alfworld.is_determined(episode.task, episode.steps[:index], step.state, step.action):
                continue
            other = replace(step, next_state=re.sub(r"here: .*", "here: ghost 77", step.next_state))
            texts = [
                re.split(
                    r"\.? Goal:|\.? The goal|, there:|\.$",
                    alfworld.write_reasoning(episode.task, episode.steps[:index], one, random.Random(1), None),
                )[0]
                for one in (step, other)
            ]
            assert texts[0] == texts[1]
            num_checked += 1
    assert num_checked > 100


@pytest.mark.parametrize(
    ("goal", "here", "said"),
    [
        ("put some pen in safe.", "cd 1, pen 2", "pen ✓"),
        ("put some pen in safe.", "cd 1, pencil 1", "pen ✗"),
        ("put some pen in safe.", "nothing", "pen ✗"),
        ("look at pen under the desklamp.", "desklamp 1 (on)", "pen ✗, desklamp ✓"),
        ("look at pen under the desklamp.", "floorlamp 1, pen 1", "pen ✓, desklamp ✗"),
    ],
)
def test_a_new_place_has_what_the_goal_asks_for_or_not(goal: str, here: str, said: str) -> None:
    start = "You arrive at safe 1.\nat: safe 1\nholding: nothing\nhere: nothing\nplaces: desk 1, safe 1"
    task = Task("t", "alfworld", goal, "test", "simple", "1", start, "generated")
    state = f"You arrive at desk 1.\nat: desk 1\nholding: nothing\nhere: {here}"
    step = Transition(start, "go to desk 1", state, 0.0, False)
    text = alfworld.write_reasoning(task, (), step, random.Random(0), None)
    assert f"Seen desk 1 ✗, there: {said}." in text
    assert alfworld.check_reasoning(text, state, reward=0.0).shown is True
    assert alfworld.check_reasoning(text, state.replace(here, "book 1"), reward=0.0).shown is (said == "pen ✗")


def test_the_verdict_and_the_goal_are_the_engines(real_episodes: list[Episode]) -> None:
    num_solved = num_weighed = 0
    for episode in real_episodes:
        for index, step in enumerate(episode.steps):
            text = write(episode, index)
            refused = step.next_state.startswith(REJECTED)
            assert bool(re.search(r"So it fails: |So nothing happens: |That does not work here", text)) is refused, text
            assert bool(re.search(r"So it works\.|So it is possible\.|That works here", text)) is not refused, text
            assert (" ✗." in re.split("So |That ", text)[0]) <= refused, text
            assert text.endswith("success.") is step.success, text
            goal = re.search(r"Goal: (.*): (?:all met, success|not yet)\.$", text)
            if goal is not None:
                assert goal[1].startswith(f"{episode.task.text}: ")
                assert ("✗" not in goal[1]) is step.success, text
                num_weighed += 1
            else:
                assert not step.success
            num_solved += step.success
    assert num_solved >= 24 and num_weighed > num_solved


def test_a_seen_fact_that_forbids_is_the_last_check(real_episodes: list[Episode]) -> None:
    num_refused = 0
    for episode in real_episodes:
        for index, step in enumerate(episode.steps):
            known = Knowledge.of(episode.task, episode.steps[:index], step.state)
            text = write(episode, index)
            if known.verdict(step.action).possible is False:
                assert " ✗. So " in text, text
                num_refused += 1
    assert num_refused > 100


def test_what_was_refused_before_is_a_missing_need() -> None:
    start = "You arrive at desk 1.\nat: desk 1\nholding: mug 1\nhere: nothing\nplaces: desk 1, microwave 1"
    task = Task("t", "alfworld", "put some pen in safe.", "test", "simple", "1", start, "generated")
    state = f"{REJECTED}\nat: desk 1\nholding: mug 1\nhere: nothing"
    once = Transition(start, "move mug 1 to desk 1", state, 0.0, False)
    again = replace(once, state=state)
    first = alfworld.write_reasoning(task, (), once, random.Random(0), None)
    second = alfworld.write_reasoning(task, (once,), again, random.Random(0), None)
    assert "at desk 1: desk 1 same ✓. That does not work here." in first
    assert "at desk 1: desk 1 same ✓, mug to go in desk ✗. So " in second


def test_names_side_by_side_are_marked_for_what_they_are(real_episodes: list[Episode]) -> None:
    marks = Counter[str]()
    for episode in real_episodes:
        for index, step in enumerate(episode.steps):
            for there, wanted, mark in PAIR.findall(write(episode, index)):
                # a label of several words stands before the first name
                assert (there.split()[-len(wanted.split()) :] == wanted.split()) is (mark == "same"), step.action
                marks[mark] += 1
            assert not re.search(r"other ✓|same ✗", write(episode, index))
    assert min(marks["same"], marks["other"]) > 100


def test_the_form_of_the_action_is_read_first(real_episodes: list[Episode]) -> None:
    forms = Counter[tuple[str, str]]()
    for episode in real_episodes:
        for index, step in enumerate(episode.steps):
            found = re.search(r"[.] Command (.*?) (✓|✗)[.]", write(episode, index))
            assert found, step.action
            assert (found[2] == "✓") is (alfworld.action_type(step.action) in COMMANDS), step.action
            forms[found[1], found[2]] += 1
    assert forms["go to", "✓"] > 50 and forms["take from", "✓"] > 20
    assert sum(num for (_, mark), num in forms.items() if mark == "✗") > 5


def test_the_form_has_no_names_and_an_end() -> None:
    state = "You arrive at desk 1.\nat: desk 1\nholding: nothing\nhere: pen 1"
    task = Task("t", "alfworld", "put some pen on bed.", "test", "simple", "1", state, "generated")
    for action, form in [
        ("take pen 1 from desk 1", "take from ✓"),
        ("take pen 1", "take ✗"),
        ("move pen 1 to desk 1", "move to ✓"),
        ("look", "look ✓"),
        ("win " * 50, "win win win win win ✗"),
    ]:
        step = Transition(state, action, state.replace("You arrive at desk 1.", REJECTED), 0.0, False)
        assert f"Command {form}." in alfworld.write_reasoning(task, (), step, random.Random(0), None)


def test_another_of_the_kind_is_looked_for_where_one_is_put() -> None:
    state = "You arrive at bed 1.\nat: bed 1\nholding: pen 2\nhere: cd 1, pen 1"
    task = Task("t", "alfworld", "put two pen in bed.", "test", "two", "1", state, "generated")
    done = "You move the pen 2 to the bed 1.\nat: bed 1\nholding: nothing\nhere: cd 1, pen 1, pen 2"
    text = alfworld.write_reasoning(
        task, (), Transition(state, "move pen 2 to bed 1", done, 1.0, True, success=True), random.Random(0), None
    )
    assert "another among cd: pen other, pen: pen same ✓: all met, success." in text


def test_facts_come_before_the_verdict() -> None:
    state = "You arrive at desk 1.\nat: desk 1\nholding: nothing\nhere: pen 1, book 2"
    task = Task(
        "t", "alfworld", "put some pen on bed.", "test", "simple", "1", state + "\nplaces: desk 1, bed 1", "generated"
    )
    taken = Transition(
        state,
        "take pen 1 from desk 1",
        "You pick up the pen 1 from the desk 1.\nat: desk 1\nholding: pen 1\nhere: book 2",
        0.0,
        False,
    )
    text = alfworld.write_reasoning(task, (), taken, random.Random(0), None)
    parts = (
        "desk 1",
        "Needs at desk 1: desk 1 same ✓,",
        "among pen 1: pen 1 same ✓,",
        "holding nothing: nothing same ✓.",
        "So it",
    )
    places = [text.index(part) for part in (*parts, "oal")]
    assert places == sorted(places)
    refused = replace(
        taken, action="take cd 1 from desk 1", next_state=state.replace("You arrive at desk 1.", REJECTED)
    )
    text = alfworld.write_reasoning(task, (), refused, random.Random(0), None)
    assert text.index("among pen 1: cd 1 other, book 2: cd 1 other ✗.") < text.index("cd 1 is not here")
    assert "holding nothing" not in text.split("Needs")[1]  # the first missing thing decides


def test_a_place_seen_before_is_recalled_as_it_was_left() -> None:
    start = "You arrive at desk 1.\nat: desk 1\nholding: nothing\nhere: pen 1\nplaces: desk 1, safe 1"
    task = Task("t", "alfworld", "put some pen in safe.", "test", "simple", "1", start, "generated")
    closed, opened = "at: safe 1 (closed)\nholding: nothing\nhere: not visible", "(open)\nholding: nothing\nhere: cd 1"
    states = [
        ("go to safe 1", f"You arrive at safe 1.\n{closed}"),
        ("open safe 1", f"You open the safe 1.\nat: safe 1 {opened}"),
        ("take cd 1 from safe 1", "You pick up the cd 1.\nat: safe 1 (open)\nholding: cd 1\nhere: nothing"),
        ("go to desk 1", "You arrive at desk 1.\nat: desk 1\nholding: cd 1\nhere: pen 1"),
        ("go to desk 1", "Nothing happens.\nat: desk 1\nholding: cd 1\nhere: pen 1"),
        ("go to safe 1", "You arrive at safe 1.\nat: safe 1 (open)\nholding: cd 1\nhere: nothing"),
    ]
    steps: list[Transition] = []
    texts, memories = [], []
    for action, state in states:
        step = Transition(steps[-1].next_state if steps else start, action, state, 0.0, False)
        memories.append(alfworld.recall(task, steps, step.state, action))
        texts.append(alfworld.write_reasoning(task, steps, step, random.Random(0), memories[-1]))
        steps.append(step)
    assert "away from desk 1: safe 1 elsewhere ✓. " in texts[0] and "Seen safe 1 ✗." in texts[0]
    assert "Seen open safe 1 ✗, there: pen ✗." in texts[1]
    assert "Seen desk 1 ✓." in texts[3]
    assert "away from desk 1: desk 1 there ✗." in texts[4] and "Seen" not in texts[4]
    assert "Seen safe 1 ✓." in texts[5]
    assert memories[:3] == ["in this room: safe 1", None, None]
    assert memories[3] == memories[4] == "at: desk 1\nhere: pen 1"
    assert memories[5] == "at: safe 1 (open)\nhere: nothing"


def test_what_is_recalled_is_what_the_engine_shows_next(real_episodes: list[Episode]) -> None:
    """Nothing but the agent changes these worlds: what was seen last of a place is what is there."""
    num_recalled = num_refused_before = num_ghosts = 0
    for episode in real_episodes:
        for index, step in enumerate(episode.steps):
            recalled = alfworld.recall(episode.task, episode.steps[:index], step.state, step.action)
            refused = alfworld.is_refusal(step.next_state)
            if recalled is not None and recalled.startswith("refused before: "):
                assert refused, "what was refused for its kind is refused again"
                num_refused_before += 1
            if recalled is not None and recalled.startswith("in this room: "):
                listed = recalled.removeprefix("in this room: ").split(", ")
                assert (step.action.removeprefix("go to ") in listed) is not refused, "what is not listed is no place"
                num_ghosts += refused
            if recalled is None or refused:
                continue
            if recalled.startswith("in this room: "):
                place = step.action.removeprefix("go to ")
                assert place in recalled.removeprefix("in this room: ").split(", ")
                assert step.next_state.startswith(f"You arrive at {place}.")
            elif step.action.startswith("go "):
                assert set(recalled.split("\n")) <= set(step.next_state.split("\n"))
            elif step.action.startswith("open "):
                assert recalled.split("\n")[1] in step.next_state.split("\n")
            else:
                assert f"holding: {recalled}" in step.next_state.split("\n")
            num_recalled += 1
    assert num_recalled > 50 and num_refused_before > 0 and num_ghosts > 0


def test_a_refusal_is_recalled_and_explains_the_next_one() -> None:
    """As well where the trace knows the present state alone, and the rest by what is recalled."""
    for place, action, recalled, check in (
        ("safe 1 (open)", "move mug 1 to safe 1", "refused before: mug in safe", "mug to go in safe ✗"),
        ("microwave 1 (open)", "heat mug 1 with microwave 1", "refused before: heat mug", "to heat mug ✗"),
    ):
        state = f"\nat: {place}\nholding: mug 1\nhere: nothing"
        task = Task("t", "alfworld", "put a pen in desk", "train", "pick_and_place_simple", "1", state, "generated")
        step = Transition(state, action, f"Nothing happens.{state}", 0.0, False)
        assert alfworld.recall(task, (), state, action) is None
        assert alfworld.recall(task, (step,), step.next_state, action) == recalled
        told = alfworld.write_reasoning(task, (), step, random.Random(0), recalled)
        assert check in told and ("So it fails: " in told or "So nothing happens: " in told)
        untold = alfworld.write_reasoning(task, (), step, random.Random(0), None)
        assert check not in untold and "That does not work here." in untold


def test_wording_varies_with_the_random_numbers_alone() -> None:
    state = "You arrive at desk 1.\nat: desk 1\nholding: nothing\nhere: nothing"
    task = Task("t", "alfworld", "put some pen on bed.", "test", "simple", "1", state, "generated")
    step = Transition(state, "look", state, 0.0, False)
    texts = [alfworld.write_reasoning(task, (), step, random.Random(seed), None) for seed in range(20)]
    assert 2 <= len(set(texts)) <= 8
    assert texts == [alfworld.write_reasoning(task, (), step, random.Random(seed), None) for seed in range(20)]
