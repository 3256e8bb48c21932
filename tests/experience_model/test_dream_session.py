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
    to_failure,
    to_transition,
)
from dreamgym.experience_model.nano import NanoShape, build_model, build_tokenizer
from dreamgym.replay_buffer.retrieval import Demonstration
from dreamgym.tokens import unpack
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


def said(answer: Prediction | MalformedPrediction | None) -> list[str]:
    """What each token of a reply wrote; the tags that every reply begins with are given to it."""
    assert answer is not None and answer.token_probabilities is not None
    tokens = unpack(answer.token_probabilities, answer.raw_reply)
    return [answer.raw_reply[token.start : token.end] for token in tokens]


def test_every_token_of_a_reply_is_kept_with_its_piece_and_probability() -> None:
    thoughts = iter(["Seen egg 1 there.</think>", "So.</think>"])
    rest = "<state>You take egg 1.</state> <reward>0.5</reward> <done>0</done>"
    engine = ScriptedEngine(lambda prompt: next(thoughts) if prompt.endswith("<think>") else rest, logprob=-0.6931)
    session = ExperienceModel(engine).open(1)
    for thought in (["Seen", " egg", " 1", " there.</think>"], ["So.</think>"]):
        (answer,) = session.predict([query(0, 0)], Switches(temperature=1.0))
        state = ["<state>You", " take", " egg", " 1.</state>", " <reward>0.5</reward>", " <done>0</done>"]
        assert said(answer) == [*thought, *state], "thought and state are drawn apart"
        assert isinstance(answer, Prediction) and answer.token_probabilities is not None
        tokens = unpack(answer.token_probabilities, answer.raw_reply)
        assert {round(token.probability, 2) for token in tokens} == {0.5}
        assert to_transition(query(0, 0), answer).token_probabilities == answer.token_probabilities
    (broken,) = ExperienceModel(ScriptedEngine(["I do not know."])).predict([query(0, 0)])
    assert isinstance(broken, MalformedPrediction) and said(broken) == ["I", " do", " not", " know."]
    assert to_failure(query(0, 0), broken).token_probabilities == broken.token_probabilities


def test_the_tokens_of_a_drawn_and_of_a_greedy_reply_spell_it(nano: TransformersEngine) -> None:
    for temperature in (0.0, 1.0):
        answers = ExperienceModel(nano, max_tokens=30).predict(
            [query(0, 0), query(1, 3)], Switches(temperature=temperature)
        )
        for answer in answers:
            assert "<think>" + "".join(said(answer)) == answer.raw_reply and len(said(answer)) == answer.num_tokens


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
