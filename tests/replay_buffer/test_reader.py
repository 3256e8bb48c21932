import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

import pytest

from dreamgym.errors import WorkspaceError
from dreamgym.replay_buffer import queries
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import EVERYTHING, ExperienceReader
from dreamgym.replay_buffer.rows import Filter, Order, Page
from dreamgym.types import Trajectory, World, transition_id
from tests.replay_buffer.stored_episodes import dream, failed, make_task, real

TEST_TASK = make_task(5, split="test", task_type="look")
EPISODES = (
    real(1),  # go, go, go
    dream(2, confidence=0.9),  # take
    failed(3),  # go, go, and a failed open
    real(4, solved=False),  # go, go, go
    dream(5, confidence=0.4, task=TEST_TASK),  # take
    failed(6, num_steps=0),  # a failed open
)
NUM_ROWS = 3 + 1 + 3 + 3 + 1 + 1


def store(path: Path, episodes: Sequence[Trajectory] = EPISODES) -> ExperienceReader:
    with ReplayBuffer(path, HashedNgrams(16)) as buffer:
        for episode in episodes:
            assert buffer.add(episode)
    return ExperienceReader([path])


@pytest.fixture
def reader(tmp_path: Path) -> ExperienceReader:
    return store(tmp_path / "experience.sqlite")


def step_ids(episode: Trajectory) -> list[str]:
    num_steps = len(episode.transitions) + (episode.failure is not None)
    return [transition_id(episode.trajectory_id, step) for step in range(1, num_steps + 1)]


def listed(reader: ExperienceReader, order: Order, page_size: int, keep: Filter = EVERYTHING) -> list[str]:
    first = reader.transitions(keep, 1, page_size, order)
    pages = [reader.transitions(keep, page, page_size, order) for page in range(1, first.num_pages + 1)]
    assert all(len(page.rows) == page_size for page in pages[:-1])
    return [row.transition_id for page in pages for row in page.rows]


@pytest.mark.parametrize("page_size", [1, 2, 5, 50])
def test_pages_follow_each_other_without_gap_or_repeat(reader: ExperienceReader, page_size: int) -> None:
    oldest = [key for episode in EPISODES for key in step_ids(episode)]
    newest = [key for episode in reversed(EPISODES) for key in step_ids(episode)]
    dreamed = [step_ids(EPISODES[4])[0], step_ids(EPISODES[1])[0]]
    assert listed(reader, "oldest", page_size) == oldest
    assert listed(reader, "newest", page_size) == newest
    assert listed(reader, "least_confident", page_size) == dreamed + [key for key in oldest if key not in dreamed]


@pytest.mark.parametrize("text", ["potato", "MIDDLE OF THE ROOM", "o", "zq"])
@pytest.mark.parametrize("world", [None, "dream"])
def test_a_text_is_found_least_confident_first(text: str, world: World | None, reader: ExperienceReader) -> None:
    keep = Filter(text=text, world=world)
    passing = set(listed(reader, "oldest", 50, keep))
    ordered = [key for key in listed(reader, "least_confident", 50, replace(keep, text=None)) if key in passing]
    assert listed(reader, "least_confident", 2, keep) == ordered
    last = reader.transitions(keep, 10**30, 2, "least_confident")
    assert last.page == last.num_pages and [row.transition_id for row in last.rows] == ordered[2 * (last.page - 1) :]


@pytest.mark.parametrize("text", ["potato", "o", "zq", 'a "b" \\'])
@pytest.mark.parametrize("order", ["newest", "oldest", "least_confident"])
def test_large_files_are_looked_through_in_pieces_with_the_same_result(
    text: str, order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(tmp_path / "experience.sqlite", EPISODES[:3])
    store(tmp_path / "lab.sqlite", EPISODES[2:])
    reader = ExperienceReader([tmp_path / name for name in ("experience.sqlite", "lab.sqlite")])
    keep = Filter(text=text)
    whole = listed(reader, order, 2, keep)
    monkeypatch.setattr(queries, "SMALL_FILE", 2)
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    looked: list[int] = []
    opened = queries.open_files
    monkeypatch.setattr(queries, "open_files", lambda paths: looked.append(threading.get_ident()) or opened(paths))
    assert listed(reader, order, 2, keep) == whole
    assert text not in ("o", "potato") or (whole and len(looked) >= 2 * 3)  # three pieces of either file
    assert reader.num_transitions(keep) == len(whole)


def test_filtered_pages_follow_each_other_too(reader: ExperienceReader) -> None:
    walks = [key for episode in (EPISODES[0], EPISODES[2], EPISODES[3]) for key in step_ids(episode)]
    walks.remove(step_ids(EPISODES[2])[2])
    assert listed(reader, "oldest", 2, Filter(action_type="go")) == walks


@pytest.mark.parametrize(
    ("keep", "num_steps", "num_episodes"),
    [
        (Filter(), NUM_ROWS, 6),
        (Filter(world="real"), 6, 2),
        (Filter(world="dream"), 6, 4),
        (Filter(split="test"), 1, 1),
        (Filter(split="train", task_type="look"), 0, 0),
        (Filter(task_type="pick_heat"), NUM_ROWS - 1, 5),
        (Filter(task_id="alfworld/test/4"), 3, 1),
        (Filter(policy="random"), 2, 2),
        (Filter(outcome="success"), 3, 1),
        (Filter(outcome="failure"), 5, 3),
        (Filter(outcome="failed"), 4, 2),
        (Filter(action_type="open"), 2, 2),
        (Filter(action_type="open", world="real"), 0, 0),
        (Filter(max_confidence=0.4), 1, 1),
        (Filter(max_confidence=0.39), 0, 0),
        (Filter(text="mug 2 from"), 1, 1),
        (Filter(text="MIDDLE OF THE ROOM"), 6, 6),
        (Filter(text="potato 4"), 3, 1),
        (Filter(text="can be taken: 100%_sure"), 2, 2),
        (Filter(text="%"), 2, 2),
        (Filter(text="_"), 2, 2),
        (Filter(text="\\"), 0, 0),
        (Filter(text="no <state>"), 2, 2),
        (Filter(text="%_"), 2, 2),
        (Filter(text="<"), 2, 2),
        (Filter(text="zq"), 0, 0),
        (Filter(text=""), NUM_ROWS, 6),
        (Filter(text="'; DROP TABLE tasks; --"), 0, 0),
        (Filter("dream", "test", "look", TEST_TASK.task_id, "random", "failure", "take", "mug", 0.5), 1, 1),
    ],
)
def test_a_filter_keeps_what_it_says(reader: ExperienceReader, keep: Filter, num_steps: int, num_episodes: int) -> None:
    for order in ("newest", "oldest", "least_confident"):
        page = reader.transitions(keep, order=order)
        assert (page.num_rows, len(page.rows)) == (num_steps, num_steps)
    assert (reader.num_transitions(keep), reader.num_trajectories(keep)) == (num_steps, num_episodes)
    episodes = reader.trajectories(keep)
    assert (episodes.num_rows, len(episodes.rows)) == (num_episodes, num_episodes)
    assert len(list(reader.iterate_trajectories(keep))) == num_episodes


@pytest.mark.parametrize(
    "text",
    [
        'say "potato"',
        '"',
        """ ' " `  """,
        "NEAR(potato mug, 2) AND state: fridge* OR ^go NOT -here + {action}: (",
        "{file} {has_trigrams} %s ? :a",
        "Käse für ÉMILE",
        "日本語の文",
        "🥔🔥🧊",
        "line\n  break\t",
        "a" * 60_000,
        "a\\b\\",
        "[0-9]*?%_",
    ],
)
def test_whatever_a_person_types_finds_where_it_stands_and_nothing_else(text: str, tmp_path: Path) -> None:
    said = replace(dream(1).transitions[0], reasoning=f"Before it {text} and after it.")
    reader = store(tmp_path / "lab.sqlite", [*EPISODES, replace(dream(1), transitions=(said,))])
    (row,) = reader.transitions(Filter(text=text)).rows
    assert row.reasoning == said.reasoning
    assert reader.transitions(Filter(text=text[:-1] + "¤" + text[-1:])).rows == ()


@pytest.mark.parametrize("text", ["\ud800", "fridge\ud83e", "\x00", "at: \x00 fridge", "\x00\x00\x00\x00"])
def test_a_text_that_stands_nowhere_finds_nothing(reader: ExperienceReader, text: str) -> None:
    assert reader.transitions(Filter(text=text)).rows == ()


def test_words_that_only_stand_apart_are_not_found_together(reader: ExperienceReader) -> None:
    assert reader.transitions(Filter(text="You look around")).num_rows > 0
    assert reader.transitions(Filter(text="You look around: at")).num_rows == 0
    assert reader.transitions(Filter(text="around You look")).num_rows == 0


def test_a_page_number_out_of_range_gives_the_nearest_page(reader: ExperienceReader) -> None:
    assert reader.transitions(page=99, page_size=5).page == 3
    assert len(reader.transitions(page=99, page_size=5).rows) == 2
    assert reader.transitions(page=-1, page_size=5).page == 1
    assert reader.transitions(page=99, page_size=5, order="least_confident").page == 3
    assert reader.trajectories(page=99, page_size=4).page == 2
    assert reader.transitions(Filter(text="zeppelin"), page=7) == Page((), 1, 50, 0)


def test_a_step_in_the_list_says_what_was_stored(reader: ExperienceReader) -> None:
    episode = EPISODES[4]
    (row,) = reader.transitions(Filter(split="test")).rows
    (step,) = episode.transitions
    assert row.transition_id == f"{episode.trajectory_id}.1"
    assert (row.world, row.outcome, row.policy, row.model) == ("dream", "failure", "random", "nano@01234567")
    assert (row.task_id, row.task_text, row.task_type) == (TEST_TASK.task_id, TEST_TASK.text, "look")
    assert (row.step, row.num_transitions, row.action_type) == (1, 1, "take")
    for field in fields(row):
        if hasattr(step, field.name):
            assert getattr(row, field.name) == getattr(step, field.name), field.name
    assert row.truncated is True
    assert row.success is False


def test_a_failed_attempt_stands_after_the_last_transition(reader: ExperienceReader) -> None:
    rows = [row for row in reader.transitions(order="oldest").rows if row.trajectory_id == EPISODES[2].trajectory_id]
    assert [(row.step, row.failure) for row in rows] == [(1, None), (2, None), (3, "the reply has no <state>")]
    attempt = rows[-1]
    assert (attempt.action, attempt.next_state, attempt.reward, attempt.num_transitions) == (
        "open fridge 1",
        None,
        None,
        2,
    )
    assert attempt.state == EPISODES[2].transitions[-1].next_state
    assert reader.transition(attempt.transition_id) == (EPISODES[2], 3)


def test_an_episode_in_the_list_says_what_was_stored(reader: ExperienceReader) -> None:
    rows = {row.trajectory_id: row for row in reader.trajectories().rows}
    assert list(rows) == [episode.trajectory_id for episode in reversed(EPISODES)]
    for episode in EPISODES:
        row = rows[episode.trajectory_id]
        assert row.total_reward == episode.total_reward
        assert row.num_transitions == len(episode.transitions)
        assert row.failure == (episode.failure.reason if episode.failure else None)
        assert (row.seed, row.run, row.room) == (
            episode.provenance.seed,
            episode.provenance.run,
            episode.task.room,
        )
    assert [row.lowest_confidence for row in rows.values()] == [None, 0.4, None, None, 0.9, None]
    assert [row.outcome for row in rows.values()] == ["failed", "failure", "failure", "failed", "failure", "success"]


def test_counts_and_facets_say_what_is_stored(reader: ExperienceReader) -> None:
    assert reader.counts() == {
        "num_tasks": 6,
        "num_trajectories": 6,
        "num_transitions": 10,
        "real": 2,
        "dream": 4,
        "failed": 2,
    }
    assert reader.facets() == {
        "environment": ("alfworld",),
        "world": ("dream", "real"),
        "split": ("test", "train"),
        "task_type": ("look", "pick_heat"),
        "policy": ("expert(noise=0.2)", "random"),
        "outcome": ("failed", "failure", "success"),
        "action_type": ("go", "open", "take"),
    }


def test_tasks_come_sorted_and_by_split(reader: ExperienceReader) -> None:
    assert [task.task_id for task in reader.tasks()] == [f"alfworld/test/{number}" for number in range(1, 7)]
    assert reader.tasks("test") == [TEST_TASK]
    assert reader.tasks("validation") == []


@pytest.mark.parametrize("unknown", ["tr-000000000000", "", "nonsense"])
def test_an_unknown_trajectory_is_an_error_with_a_sentence(reader: ExperienceReader, unknown: str) -> None:
    with pytest.raises(WorkspaceError, match=r"no trajectory .* in experience\.sqlite"):
        reader.trajectory(unknown)
    with pytest.raises(WorkspaceError, match="no trajectory"):
        reader.transition(f"{unknown}.1")


@pytest.mark.parametrize("step", ["0", "4", "-1", "x", "", "²", "99999999999999999999"])
def test_an_unknown_step_is_an_error_with_a_sentence(reader: ExperienceReader, step: str) -> None:
    with pytest.raises(WorkspaceError, match=r"is no transition|has the steps 1 to 3"):
        reader.transition(f"{EPISODES[0].trajectory_id}.{step}")


def test_two_files_read_as_one_and_a_shared_episode_counts_once(tmp_path: Path) -> None:
    store(tmp_path / "experience.sqlite", EPISODES[:3])
    store(tmp_path / "lab.sqlite", EPISODES[2:])
    reader = ExperienceReader([tmp_path / name for name in ("experience.sqlite", "missing.sqlite", "lab.sqlite")])
    oldest = [key for episode in EPISODES for key in step_ids(episode)]
    assert listed(reader, "oldest", 4) == oldest
    assert sorted(listed(reader, "least_confident", 4)) == sorted(oldest)
    assert reader.transitions(Filter(action_type="open")).num_rows == 2
    assert list(reader.iterate_trajectories()) == list(EPISODES)
    assert reader.counts()["num_trajectories"] == 6
    assert reader.counts()["num_tasks"] == 6
    assert len(reader.tasks()) == 6
    assert reader.facets()["split"] == ("test", "train")
    assert reader.trajectory(EPISODES[5].trajectory_id) == EPISODES[5]


@pytest.mark.parametrize("names", [[], ["missing.sqlite"]])
def test_no_file_is_an_empty_list(tmp_path: Path, names: list[str]) -> None:
    reader = ExperienceReader([tmp_path / name for name in names])
    for order in ("newest", "oldest", "least_confident"):
        assert reader.transitions(order=order).rows == ()
    assert reader.trajectories().num_pages == 1
    assert set(reader.counts().values()) == {0}
    assert set(reader.facets().values()) == {()}
    assert reader.tasks() == []
    assert list(reader.iterate_trajectories()) == []
    with pytest.raises(WorkspaceError, match="no trajectory"):
        reader.trajectory("tr-000000000000")


def test_more_files_than_can_be_attached_are_refused(tmp_path: Path) -> None:
    paths = [tmp_path / f"{i}.sqlite" for i in range(11)]
    for path in paths:
        store(path, [])
    assert ExperienceReader(paths[:10]).transitions().rows == ()
    with pytest.raises(WorkspaceError, match="at most 10 files"):
        ExperienceReader(paths).counts()


def test_a_reader_sees_what_is_stored_later_also_from_threads(tmp_path: Path) -> None:
    path = tmp_path / "lab.sqlite"
    reader, seen = ExperienceReader([path]), []
    with ReplayBuffer(path, HashedNgrams(16)) as buffer:
        for number in range(5):
            buffer.add(real(number))
            thread = threading.Thread(target=lambda: seen.append(reader.trajectories().num_rows))
            thread.start()
            thread.join()
    assert seen == [1, 2, 3, 4, 5]


def test_many_episodes_are_all_yielded_in_order(tmp_path: Path) -> None:
    episodes = [real(number, num_steps=1) for number in range(230)]
    reader = store(tmp_path / "experience.sqlite", episodes)
    assert list(reader.iterate_trajectories()) == episodes


def test_reading_a_demo_in_delete_mode_leaves_no_file_behind(tmp_path: Path) -> None:
    reader = store(tmp_path / "experience.sqlite")
    connection = sqlite3.connect(tmp_path / "experience.sqlite")
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    content = (tmp_path / "experience.sqlite").read_bytes()
    assert reader.transitions().num_rows == NUM_ROWS
    assert [path.name for path in tmp_path.iterdir()] == ["experience.sqlite"]
    assert (tmp_path / "experience.sqlite").read_bytes() == content


def test_a_name_with_signs_of_its_own_can_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "what? 100% #1 'né'"
    folder.mkdir()
    assert store(folder / "experience.sqlite").counts()["num_trajectories"] == 6


def test_a_huge_episode_can_be_listed_in_its_middle(tmp_path: Path) -> None:
    long = real(1, num_steps=500)
    reader = store(tmp_path / "experience.sqlite", [long, replace(real(2), task=make_task(2))])
    page = reader.transitions(page=4, page_size=100, order="oldest")
    assert [row.step for row in page.rows] == list(range(301, 401))
