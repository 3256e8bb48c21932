"""The rows of the ablation study, on kitchen episodes and scripted replies."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.environments import alfworld
from dreamgym.errors import ConfigError
from dreamgym.experience_model.baselines import NearestTransition, PlainRules
from dreamgym.experience_model.model import ExperienceModel
from dreamgym.experience_model.prompts import reply_text
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.studies import ablations
from dreamgym.studies.handlers import open_retriever
from tests.experience_model.kitchen import kitchen_episodes, solved

EPISODE = solved()


def player(prompt: str) -> str:
    """Right while it has history and may think; without history it refuses everything, without thoughts the last."""
    step = max(EPISODE.transitions, key=lambda step: prompt.rfind(f"<action>{step.action}</action>"))
    right = reply_text(step, "So it works." if prompt.endswith("<think>") else None)
    right = right.removeprefix("<think>").removeprefix("<no_think>")
    if "<no_history>" in prompt or (prompt.endswith("<no_think>") and step.terminated):
        return right.replace(step.next_state, "Nothing happens.\nat: x\nholding: nothing\nhere: nothing")
    return right


def test_each_part_is_switched_off_and_compared_on_the_same_steps(alfworld_games: Path, tmp_path: Path) -> None:
    others = kitchen_episodes(4)[1:]
    with ReplayBuffer(tmp_path / "experience.sqlite", HashedNgrams()) as buffer:
        for trajectory in others:
            buffer.add(trajectory)
    retriever = Retriever([tmp_path / "experience.sqlite"], HashedNgrams())
    prompts: list[str] = []

    def listening(prompt: str) -> str:
        prompts.append(prompt)
        return player(prompt)

    figures = ablations.run(
        ExperienceModel(ScriptedEngine(listening)),
        NearestTransition(),
        PlainRules(alfworld.rule_guess(others)),
        [EPISODE],
        retriever,
    )
    rows = {row["name"]: row for row in figures["rows"]}
    assert list(rows) == [each.name for each in (*ablations.VARIANTS, ablations.NEAREST, ablations.RULES)]
    assert {row["n"] for row in rows.values()} == {7}
    exact = {name: row["determined_exact"]["value"] for name, row in rows.items()}
    assert exact == {
        "full": 1.0,
        "no history": 0.0,
        "no reasoning": 3 / 4,  # all but the last of four
        "no retrieval (k = 0)": 1.0,
        "no history, no reasoning, no retrieval": 0.0,
        "k = 1": 1.0,
        "k = 4": 1.0,
        "k = 8": 1.0,
        "nearest transition": 0.0,
        "plain rules": 1.0,
    }
    unknown = {name: (row["undetermined_exact"]["value"], row["undetermined_exact"]["n"]) for name, row in rows.items()}
    assert (unknown["full"], unknown["no history"]) == ((1.0, 3), (0.0, 3)), "the player knows what nobody could"
    assert rows["no history"]["against_full"] == {"only_this_right": 0, "only_full_right": 4}
    assert rows["no history"]["possible_refused"]["value"] == 1.0
    assert rows["full"]["reasoning_agrees"] == 5 / 7, "what is refused works as well, and the success is not claimed"
    assert rows["no reasoning"]["reasoning_agrees"] is None
    assert {name: row["trained_for"] for name, row in rows.items() if not row["trained_for"]} == {
        "k = 4": False,
        "k = 8": False,
        "nearest transition": None,
        "plain rules": None,
    }
    shown = [prompt.count("<demo>") for prompt in prompts]
    assert [sum(shown[n : n + 7]) for n in range(0, len(shown), 7)] == [14, 14, 14, 0, 0, 7, 28, 56]


def test_a_buffer_without_episodes_of_the_split_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "experience.sqlite"
    with pytest.raises(ConfigError, match="there is no buffer"):
        open_retriever(path, split="test")
    with ReplayBuffer(path, HashedNgrams()) as buffer:
        buffer.add(replace(EPISODE, task=replace(EPISODE.task, split="train")))
    assert len(open_retriever(path)) == len(EPISODE.transitions)
    with pytest.raises(ConfigError, match="holds no transition of a test task of alfworld"):
        open_retriever(path, split="test")


def test_neighbours_of_the_same_worlds_are_a_row_of_their_own(alfworld_games: Path, tmp_path: Path) -> None:
    others = kitchen_episodes(4)[1:]
    stores = {}
    for name, some in (("train", others[:1]), ("beside", others[1:])):
        with ReplayBuffer(tmp_path / f"{name}.sqlite", HashedNgrams()) as buffer:
            for trajectory in some:
                buffer.add(trajectory)
        stores[name] = Retriever([tmp_path / f"{name}.sqlite"], HashedNgrams())
    shown: list[str] = []

    def listening(prompt: str) -> str:
        shown.append("".join(re.findall("<demo>.*?</demo>", prompt, re.DOTALL)))
        return player(prompt)

    model, rules = ExperienceModel(ScriptedEngine(listening)), PlainRules(alfworld.rule_guess(others))
    figures = ablations.run(model, NearestTransition(), rules, [EPISODE], stores["train"], stores["beside"])
    names = [row["name"] for row in figures["rows"]]
    assert names[len(ablations.VARIANTS)] == "retrieval from the same worlds" and len(names) == 11
    assert figures["num_transitions_beside"] == len(stores["beside"]) != figures["num_transitions_to_retrieve"]
    assert shown[:7] != shown[-7:] and all(shown[-7:]), "other neighbours"
