from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.experience_model.evaluate import evaluate
from dreamgym.experience_model.fidelity import ScoredStep, score_steps, summarize, wilson
from dreamgym.experience_model.model import ExperienceModel, Switches
from dreamgym.experience_model.prompts import reply_text
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.retrieval import Retriever
from tests.experience_model.kitchen import kitchen_episodes, solved

RIGHT = ScoredStep("go", True, False, True, True, 0.0, 0.0, False, False)
MALFORMED = replace(RIGHT, malformed=True, exact=False, changes_right=False, dreamed_reward=None)
EPISODE = solved()

pytestmark = pytest.mark.usefixtures("alfworld_games")  # what fits where stands in the package's tables


def test_figures_of_eight_steps_worked_out_by_hand() -> None:
    steps = [
        RIGHT,
        replace(RIGHT, exact=False),
        replace(RIGHT, exact=False, changes_right=False, dreamed_reward=0.5),
        MALFORMED,
        replace(RIGHT, determined=False, exact=False),
        replace(RIGHT, reward=1.0, dreamed_reward=1.0, success=True, dreamed_success=True),
        replace(RIGHT, dreamed_reward=1.0, dreamed_success=True),
        replace(MALFORMED, reward=1.0, success=True),
    ]
    assert summarize(steps) == {
        "num_steps": 8,
        "determined_share": 7 / 8,
        "determined_exact": 3 / 7,  # the first and the two that claim success
        "determined_changes_right": 4 / 7,
        "undetermined_exact": 0.0,
        "reward_accuracy": 4 / 6,  # two replies are unreadable; 0.5 and the false success are wrong
        "success_precision": 1 / 2,
        "success_recall": 1 / 2,
        "false_successes": 1,
        "malformed_rate": 2 / 8,
    }


def test_a_malformed_reply_is_no_reward_of_zero() -> None:
    """The real reward is 0: counting the reply as 0 would call it right."""
    assert summarize([MALFORMED])["reward_accuracy"] is None
    assert summarize([MALFORMED, replace(RIGHT, dreamed_reward=1.0)])["reward_accuracy"] == 0.0
    assert summarize([MALFORMED, RIGHT])["reward_accuracy"] == 1.0


def test_nothing_to_divide_by_gives_no_figure() -> None:
    figures = summarize([])
    assert (figures.pop("num_steps"), figures.pop("false_successes")) == (0, 0)
    assert set(figures.values()) == {None}


@pytest.mark.parametrize(
    ("successes", "num", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (1, 2, 0.0945, 0.9055),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, table I
        (15, 148, 0.0624, 0.1605),
        (1, 29, 0.0061, 0.1718),
        (0, 0, 0.0, 1.0),
    ],
)
def test_the_wilson_interval_has_its_published_values(successes: int, num: int, low: float, high: float) -> None:
    assert wilson(successes, num) == pytest.approx((low, high), abs=6e-5)


def oracle(prompt: str) -> str:
    """Answers each step of EPISODE as it really went."""
    index = prompt.count("<action>") - 1
    return reply_text(EPISODE.transitions[index], "Because.").removeprefix("<think>")


def test_a_perfect_dream_scores_perfectly() -> None:
    figures = evaluate(ExperienceModel(ScriptedEngine(oracle)), [EPISODE], None, Switches(), "test")
    assert figures["num_steps"] == 7
    # going to a place for the first time is open, three times; all else follows
    assert figures["determined_share"] == pytest.approx(4 / 7)
    for name in ("determined_exact", "determined_changes_right", "undetermined_exact", "reward_accuracy"):
        assert figures[name] == 1.0
    assert (figures["success_precision"], figures["success_recall"], figures["malformed_rate"]) == (1.0, 1.0, 0.0)
    assert {name: part["num_steps"] for name, part in figures["by_action_type"].items()} == {
        "go": 3,
        "heat": 1,
        "move": 1,
        "open": 1,
        "take": 1,
    }
    assert (figures["model"], figures["split"], figures["num_trajectories"]) == ("scripted", "test", 1)
    assert figures["determined_exact_macro"] == figures["hidden"]["plausible"] == 1.0
    assert figures["wrong_steps"]["num"] == 0
    for way in ("own", "told"):
        assert figures["closed_loop"][way]["determined_exact"]["value"] == 1.0


def test_a_closed_loop_takes_so_many_episodes_and_no_empty_one() -> None:
    empty = replace(EPISODE, transitions=())
    model = ExperienceModel(ScriptedEngine(oracle))
    figures = evaluate(model, [empty, EPISODE, EPISODE], None, Switches(), "test", num_closed=1)
    assert figures["closed_loop"]["own"]["num_episodes"] == 1
    assert figures["closed_loop"]["own"]["num_steps"] == 7


def test_a_dream_that_never_answers_is_malformed_everywhere() -> None:
    figures = evaluate(ExperienceModel(ScriptedEngine(lambda _: "hm")), [EPISODE], None, Switches(), "test")
    assert figures["malformed_rate"] == 1.0
    assert figures["determined_exact"] == figures["determined_changes_right"] == figures["success_recall"] == 0.0
    assert figures["reward_accuracy"] is None and figures["success_precision"] is None


def test_every_step_is_dreamed_from_its_real_history() -> None:
    prompts: list[str] = []

    def wrong(prompt: str) -> str:
        prompts.append(prompt)
        return "</think><state>A dark room.</state><reward>1.0</reward><done>1</done>"

    scored = score_steps(ExperienceModel(ScriptedEngine(wrong)), [EPISODE], None, Switches())
    assert "A dark room." not in "".join(prompts)
    assert [prompt.count("<action>") for prompt in prompts] == [1, 2, 3, 4, 5, 6, 7]
    assert sum(step.dreamed_success and not step.success for step in scored) == 6


def test_an_evaluated_task_is_never_its_own_demonstration(tmp_path: Path) -> None:
    trajectories = [solved(0, seed=0), solved(0, seed=1), *kitchen_episodes(3)[1:]]
    with ReplayBuffer(tmp_path / "experience.sqlite", HashedNgrams()) as buffer:
        for trajectory in trajectories:
            buffer.add(trajectory)
    retriever = Retriever([tmp_path / "experience.sqlite"], HashedNgrams())
    prompts: list[str] = []
    engine = ScriptedEngine(lambda prompt: prompts.append(prompt) or "hm")  # type: ignore[func-returns-value]
    score_steps(ExperienceModel(engine), [EPISODE], retriever, Switches(k=4))
    shown = "".join(part.split("</demo>")[0] for prompt in prompts for part in prompt.split("<demo>")[1:])
    assert sum(prompt.count("<demo>") for prompt in prompts) == 7 * 4
    assert "egg 1" not in shown and "potato 2" in shown
