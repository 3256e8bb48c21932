import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.collect import collect
from dreamgym.environments import alfworld
from dreamgym.experience_model.dataset import RowSettings, Segment, episode_rows
from dreamgym.experience_model.prompts import demonstration_text, parse, prompt_text, reply_text
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.types import Provenance, Task, Trajectory, Transition
from tests.experience_model.kitchen import kitchen_episodes, solved

EPISODES = [*kitchen_episodes(6), solved(0, seed=1)]
ALL = RowSettings(demonstrations_share=1.0, reasoning_shares=(1.0,), no_history_share=0.0)
SINGLE = replace(ALL, no_history_share=1.0)
AWAY = "You arrive at sinkbasin 1.\nat: sinkbasin 1\nholding: nothing\nhere: nothing"


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    path = tmp_path_factory.mktemp("buffer") / "experience.sqlite"
    with ReplayBuffer(path, HashedNgrams()) as buffer:
        for trajectory in EPISODES:
            buffer.add(trajectory)
    return Retriever([path], HashedNgrams())


def rows(retriever: Retriever, settings: RowSettings, episodes: Sequence[Trajectory] = EPISODES) -> list[list[Segment]]:
    return list(episode_rows(episodes, retriever, settings))


@pytest.mark.parametrize("settings", [RowSettings(), ALL, SINGLE, replace(ALL, reasoning_shares=(0.0,))])
def test_the_loss_falls_on_whole_replies_and_on_nothing_else(retriever: Retriever, settings: RowSettings) -> None:
    settings = replace(settings, unknowable_share=1.0)
    for row in rows(retriever, settings):
        assert not row[0][1]
        for (before, asked), *parts in zip(*(row[number::4] for number in range(1, 5)), strict=True):
            assert not asked and all(is_target for _, is_target in parts)
            reply = "".join(text for text, _ in parts)
            opening = "<think>" if before.endswith("<think>") else "<no_think>"
            assert before.endswith(opening) and not isinstance(parse(opening + reply), str)


def test_a_row_is_the_prompt_that_the_model_reads_in_use(retriever: Retriever) -> None:
    """Without reasoning and demonstrations, each target stands behind exactly the prompt of its step."""
    settings = RowSettings(demonstrations_share=0.0, reasoning_shares=(0.0,), no_history_share=0.0)
    for episode, row in zip(EPISODES, rows(retriever, settings), strict=True):
        for index, step in enumerate(episode.transitions):
            past = episode.transitions[:index]
            prompt = prompt_text(episode.task, past, step.state, step.action, [], use_reasoning=False)
            # what was recalled and shown for a past step stays in the row, and in use it does not
            head = re.sub(
                r"<recall>.*?</recall>", "", "".join(text for text, _ in row[: 4 * index + 1]), flags=re.DOTALL
            )
            assert head + row[4 * index + 1][0] == prompt
            reply = "".join(text for text, _ in row[4 * index + 2 : 4 * index + 5])
            assert reply == reply_text(step, None).removeprefix("<no_think>")


def test_what_nobody_could_know_is_a_target_by_its_share_only(retriever: Retriever) -> None:
    settings = replace(ALL, unknowable_share=0.0)
    num_left_out = 0
    for episode, row in zip(EPISODES, rows(retriever, settings), strict=True):
        for index, step in enumerate(episode.transitions):
            known = alfworld.is_determined(episode.task, episode.transitions[:index], step.state, step.action)
            (_, thought), (_, state), (_, rest) = row[4 * index + 2 : 4 * index + 5]
            assert thought and rest and state is known
            num_left_out += not known
    assert num_left_out > 5


@pytest.mark.parametrize("recall_share", [0.0, 1.0])
def test_a_single_step_learns_what_its_own_prompt_tells(retriever: Retriever, recall_share: float) -> None:
    """A place seen earlier in the episode is known there, and not in a row that neither shows nor recalls it."""
    settings = replace(SINGLE, demonstrations_share=0.0, unknowable_share=0.0, alone_recall_share=recall_share)
    there = EPISODES[0].transitions[0]
    away = replace(there, state=there.next_state, action="go to sinkbasin 1", next_state=AWAY)
    back = replace(there, state=away.next_state)
    episode = replace(EPISODES[0], transitions=(there, away, back))
    found = [row for row in rows(retriever, settings, [episode]) if back.state in row[0][0]]
    ((_, question, thought, state, rest),) = found
    assert thought[1] and rest[1]
    assert state[1] is bool(recall_share) is ("<recall>at: " in question[0])


def test_a_page_that_a_neighbour_shows_is_a_target(tmp_path: Path) -> None:
    search, results = (
        "You enter the shop.\npage: search",
        "You search for boots.\npage: results 1 of 1\n1: P7 Alhel boots $29.5",
    )
    page = "You open P7.\npage: item P7\n1: P7 Alhel boots $29.5\n2: color: red / teal\n3: chosen nothing"
    steps = (
        Transition(search, "search[boots]", results, 0.0, terminated=False),
        Transition(results, "click[P7]", page, 0.0, terminated=False),
    )
    wish = "i need boots, and price lower than 50.00 dollars"
    tasks = [Task(f"webshop/{n}", "webshop", wish, "train", "fashion", "a", search, "generated") for n in (1, 2)]
    one, other = (Trajectory(task, "real", steps, Provenance("careful", 0, "v")) for task in tasks)
    settings = replace(ALL, unknowable_share=0.0, relabel_share=0.0)
    found = {}
    for name, stored in (("another customer", [one, other]), ("nobody", [one])):
        with ReplayBuffer(tmp_path / f"{name}.sqlite", HashedNgrams()) as buffer:
            for trajectory in stored:
                buffer.add(trajectory)
        (row,) = rows(Retriever([tmp_path / f"{name}.sqlite"], HashedNgrams()), settings, [one])
        found[name] = [row[at + 1] for at, (text, _) in enumerate(row) if text.endswith("</think>")]
    assert found["another customer"] == [(f"<state>{results}</state>", False), (f"<state>{page}</state>", True)]
    assert found["nobody"][1] == (f"<state>{page}</state>", False)


def test_demonstrations_never_come_from_the_rows_own_task(retriever: Retriever) -> None:
    own = {
        e.task.task_id: {s.state for s in e.transitions[1:]} | {s.next_state for s in e.transitions} for e in EPISODES
    }
    assert len(own) == 6
    for settings in (ALL, SINGLE):
        for episode in EPISODES:
            thing = episode.transitions[1].action.removeprefix("open ")
            text = "".join(text for row in rows(retriever, settings, [episode]) for text, _ in row)
            shown = re.findall(r"<demo>(.*?)</demo>", text, re.DOTALL)
            assert shown and not any(re.search(rf"{thing}\b", demo) for demo in shown)


def test_every_step_may_show_up_to_k_demonstrations(retriever: Retriever) -> None:
    nums = {text.count("<demo>") for row in rows(retriever, ALL) for text, _ in row[1::4]}
    assert nums == {1, 2}
    none = rows(retriever, replace(ALL, demonstrations_share=0.0))
    assert not any("<demo>" in text for row in none for text, _ in row)
    state = EPISODES[0].transitions[3].state
    found = retriever.top_k(state, "look", 1)[0]
    assert demonstration_text(EPISODES[0].task, state, "look", found).startswith("<demo>")


def test_rows_without_history_use_nothing_of_it(retriever: Retriever) -> None:
    """Two episodes that differ in all but one step give the same rows for that step."""
    episode = EPISODES[0]
    settings = replace(SINGLE, demonstrations_share=0.0, max_k=0, alone_recall_share=0.0)
    found = 0
    for row in rows(retriever, settings, [episode]):
        text = "".join(part for part, _ in row)
        assert text.count("<no_history>") == text.count("<action>") == 1
        assert "places: " not in text or "middle of the room" in text
        action = text.split("<action>")[1].split("</action>")[0]
        step = next(step for step in episode.transitions if step.action == action)
        assert row[0][0] == f"<task>{episode.task.text}</task><state>{step.state}</state><no_history>"
        known = set(re.findall(r"[a-z]+ \d+", step.state + action + step.next_state + episode.task.text))
        assert set(re.findall(r"[a-z]+ \d+", text)) <= known
        assert not re.search(r"Seen (open )?[a-z]+ \d+ ✓", text)
        found += 1
    assert found == 4


def test_rows_without_history_may_recall_what_history_would_say(retriever: Retriever) -> None:
    settings = replace(SINGLE, demonstrations_share=0.0, alone_recall_share=1.0, num_alone=99)
    there = EPISODES[0].transitions[0]
    away = replace(
        there,
        state=there.next_state,
        action="go to sinkbasin 1",
        next_state=AWAY,
    )
    back = replace(there, state=away.next_state)
    num_recalled = 0
    for row in rows(retriever, settings, [replace(EPISODES[0], transitions=(there, away, back))] * 9):
        text = "".join(part for part, _ in row)
        seen = re.search(r"Seen (?:open )?[a-z]+ \d+ (✓|✗)", text)
        assert seen is None or (seen[1] == "✓") is ("<recall>at: " in text)
        num_recalled += "<recall>at: " in text
    assert num_recalled == 9


def test_past_steps_keep_no_reasoning_that_use_would_not_show(retriever: Retriever) -> None:
    """Reasoning of a step is its own target only; a later step of the row may follow it, as `<think>` stands there."""
    quiet = rows(retriever, replace(ALL, reasoning_shares=(0.0,)))
    assert not any("<think>" in text for row in quiet for text, _ in row)
    loud = rows(retriever, ALL)
    assert not any("<no_think>" in text for row in loud for text, _ in row)


def test_long_episodes_think_least_and_are_cut(retriever: Retriever) -> None:
    settings = replace(ALL, reasoning_shares=(0.0, 1.0), long_episode=6, max_steps=5)
    mixed = [row for seed in range(4) for row in rows(retriever, replace(settings, seed=seed))]
    assert {len(row) for row in mixed} == {1 + 4 * 5}
    longer = rows(retriever, replace(settings, max_steps=7))
    assert not any("<think>" in text for row in longer for text, _ in row)


def test_a_seed_gives_the_same_rows_and_another_seed_others(retriever: Retriever) -> None:
    settings = RowSettings(seed=1)
    assert rows(retriever, settings) == rows(retriever, settings) != rows(retriever, replace(settings, seed=2))


def test_an_episode_without_steps_gives_no_row(retriever: Retriever) -> None:
    assert rows(retriever, ALL, [replace(EPISODES[0], transitions=())]) == []


def test_episodes_are_read_under_other_goals_by_their_share(alfworld_tasks: list[Task], retriever: Retriever) -> None:
    played = list(collect("alfworld", alfworld_tasks[:4], "expert", noise=0.25, seed=1, max_steps=50))
    settings = RowSettings(relabel_share=1.0, no_history_share=0.0)
    read, plain = (rows(retriever, replace(settings, relabel_share=share), played) for share in (1.0, 0.0))
    for episode, *pair in zip(played, read, plain, strict=True):
        text, as_played = ("".join(text for text, _ in row) for row in pair)
        assert as_played.startswith(f"<task>{episode.task.text}</task>")
        assert text.startswith("<task>") and f"<task>{episode.task.text}</task>" not in text
        assert text.count("<done>1</done>") == text.endswith("<reward>1.0</reward><done>1</done>") <= 1
    assert rows(retriever, settings, played) == read
    assert rows(retriever, replace(settings, seed=1), played) != read


def test_an_episode_under_another_goal_still_shows_nothing_of_its_own_task(
    alfworld_tasks: list[Task], tmp_path: Path
) -> None:
    (episode,) = collect("alfworld", alfworld_tasks[:1], "expert", noise=0.25, max_steps=20)
    with ReplayBuffer(tmp_path / "experience.sqlite", HashedNgrams()) as buffer:
        buffer.add(episode)
    own = Retriever([tmp_path / "experience.sqlite"], HashedNgrams())
    for row in rows(own, replace(ALL, relabel_share=1.0), [episode]):
        assert not any("<demo>" in text for text, _ in row)


def test_what_a_teacher_wrote_is_the_reasoning(retriever: Retriever) -> None:
    known = solved()
    steps = [replace(step, reasoning=f"Because {n}." if n != 1 else None) for n, step in enumerate(known.transitions)]
    settings = RowSettings(reasoning_shares=(1.0,), relabel_share=0.0, no_history_share=0.0)
    (row,) = episode_rows([replace(known, transitions=tuple(steps))], retriever, settings)
    text = "".join(part for part, _ in row)
    told = [f"<think>Because {n}.</think>" in text for n, _ in enumerate(steps)]
    assert told == [n != 1 for n, _ in enumerate(steps)]
    assert text.count("<no_think>") == 1, "a step that the teacher left out has no reasoning, not ours"


def test_what_a_teacher_wrote_of_one_goal_is_not_learned_under_another(retriever: Retriever) -> None:
    known = solved()
    taught = replace(known, transitions=tuple(replace(step, reasoning="Because.") for step in known.transitions))
    settings = RowSettings(relabel_share=1.0, no_history_share=0.0)
    (row,) = episode_rows([taught], retriever, settings)
    assert known.task.text in row[0][0]
    alone = list(episode_rows([taught], retriever, RowSettings(relabel_share=0.0, no_history_share=1.0)))
    assert alone and not any("Because." in text for row in alone for text, _ in row), "it speaks of a history"
