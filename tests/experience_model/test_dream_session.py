"""Dreaming side by side: a kept cache answers what reading everything again answers."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.engines.transformers_engine import TransformersEngine
from dreamgym.errors import EngineError
from dreamgym.experience_model.model import (
    ExperienceModel,
    MalformedPrediction,
    Prediction,
    Query,
    Switches,
)
from dreamgym.experience_model.nano import NanoShape, build_model, build_tokenizer
from dreamgym.replay_buffer.retrieval import Demonstration
from tests.experience_model.kitchen import kitchen_episodes

EPISODES = kitchen_episodes(5)
REPLY = "So.</think><state>You look.</state><reward>0.0</reward><done>0</done>"


def query(episode: int, step: int) -> Query:
    """A stored step with its true history and two neighbours from another episode."""
    trajectory, other = EPISODES[episode], EPISODES[(episode + 1) % len(EPISODES)]
    now = trajectory.transitions[step]
    near = tuple(
        Demonstration(f"tr-{i}", "real", other.task.text, other.transitions[(step + i) % 7], 0.5) for i in (0, 1)
    )
    return Query(trajectory.task, trajectory.transitions[:step], now.state, now.action, near)


def schedule() -> list[list[Query | None]]:
    """Three rows: one episode and rest; two episodes in a row; one that is undone, and then jumps to another."""
    first = [query(0, step) for step in range(7)]
    second = [query(1, step) for step in range(4)] + [query(2, step) for step in range(6)]
    third = [query(3, 0), query(3, 1), query(3, 2), query(3, 1), query(4, 5), query(4, 6), query(4, 6)]
    turns = range(10)
    return [[rows[turn] if turn < len(rows) else None for rows in (first, second, third)] for turn in turns]


def test_every_step_reads_the_same_prompt_as_without_a_session() -> None:
    seen: list[str] = []

    def reply(prompt: str) -> str:
        seen.append(prompt)
        return REPLY

    model = ExperienceModel(ScriptedEngine(reply))
    session = model.open(3)
    for turn in schedule():
        session.predict(turn)
        within, seen[:] = list(seen), []
        model.predict([each for each in turn if each is not None])
        alone, seen[:] = list(seen), []
        assert within == alone and len(alone) == sum(each is not None for each in turn)


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> TransformersEngine:
    """A random model with nano's own tokenizer, in which every tag is one token."""
    texts = [step.next_state for episode in EPISODES for step in episode.transitions]
    tokenizer = build_tokenizer(texts)
    folder = tmp_path_factory.mktemp("models") / "random-nano"
    build_model(tokenizer, NanoShape(32, 3, 4, 2, 64), seed=0).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return TransformersEngine(folder, device="cpu", num_threads=1)


@pytest.mark.parametrize("switches", [Switches(), Switches(reasoning=False), Switches(history=False, retrieval=False)])
def test_a_kept_cache_equals_reading_again_demonstrations_included(
    nano: TransformersEngine, switches: Switches
) -> None:
    model = ExperienceModel(nano, max_tokens=24)
    session = model.open(3)
    for turn in schedule():
        kept = [answer for answer in session.predict(turn, switches) if answer is not None]
        again = model.predict([each for each in turn if each is not None], switches)
        assert [answer.raw_reply for answer in kept] == [answer.raw_reply for answer in again]
        assert [a.confidence for a in kept] == pytest.approx([a.confidence for a in again], rel=1e-4)
    session.close()


def test_a_kept_cache_reads_only_what_is_new(nano: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    num_read: list[int] = []
    forward = nano.forward

    def counted(cache: object, rows: object, tokens: list[list[int]]) -> object:
        num_read.append(sum(map(len, tokens)))
        return forward(cache, rows, tokens)  # type: ignore[arg-type]

    monkeypatch.setattr(nano, "forward", counted)
    model = ExperienceModel(nano, max_tokens=1)
    costs: dict[str, list[int]] = {"kept": [], "again": []}
    session = model.open(1)
    calls: dict[str, Callable[[list[Query]], object]] = {"kept": session.predict, "again": model.predict}
    for step in range(7):
        for name, predict in calls.items():
            num_read.clear()
            predict([query(0, step)])
            costs[name].append(sum(num_read))
    assert costs["kept"][0] == costs["again"][0]
    assert costs["again"] == sorted(costs["again"]), "the history grows"
    assert max(costs["kept"][1:]) < costs["again"][-1] / 2


def test_a_failed_step_leaves_a_session_that_works() -> None:
    replies = iter([REPLY, None, REPLY])

    def reply(prompt: str) -> str:
        text = next(replies)
        if text is None:
            raise EngineError("the model's process died")
        return text

    session = ExperienceModel(ScriptedEngine(reply)).open(1)
    assert isinstance(session.predict([query(0, 0)])[0], Prediction)
    with pytest.raises(EngineError, match="died"):
        session.predict([query(0, 1)])
    assert isinstance(session.predict([query(0, 1)])[0], Prediction)


def test_rows_without_a_query_have_no_answer() -> None:
    session = ExperienceModel(ScriptedEngine([REPLY, "hm"])).open(3)
    good, none, bad = session.predict([query(0, 0), None, replace(query(1, 0), demonstrations=())])
    assert isinstance(good, Prediction) and none is None and isinstance(bad, MalformedPrediction)


def test_without_any_query_nothing_is_asked_and_all_is_forgotten() -> None:
    session = ExperienceModel(ScriptedEngine([])).open(2)
    assert session.predict([None, None]) == [None, None]
    session.close()
