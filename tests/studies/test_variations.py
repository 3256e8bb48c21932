"""The study of task variations, with instructions whose fate is known."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.cli import main
from dreamgym.curriculum.variations import VariationSettings
from dreamgym.engines.scripted import ScriptedEngine
from dreamgym.environments import alfworld
from dreamgym.errors import ConfigError
from dreamgym.experience_model import nano
from dreamgym.experience_model.prompts import variation_prompt
from dreamgym.studies import variations
from dreamgym.studies.variations import Attempt, measure
from dreamgym.types import Task


@pytest.fixture(scope="module")
def train(alfworld_games: Path) -> list[Task]:
    return alfworld.load_tasks("train", 6)


def test_figures_of_known_instructions(alfworld_tasks: list[Task], train: list[Task]) -> None:
    """For one world: what is possible and new, what a seed asks already, what is not there, nonsense."""
    task = alfworld_tasks[0]
    others = alfworld.other_tasks(task)
    assert others
    texts = [others[0].text, task.text, "put a unicorn in shelf", "make me rich"]
    row = measure([Attempt(task, (task,), text) for text in texts], train, workers=1)
    assert row["num"] == 4
    assert row["parsable"]["value"] == 0.75
    assert row["valid"]["value"] == 0.5 and row["valid"]["ci_low"] < 0.5 < row["valid"]["ci_high"]
    assert row["new"]["value"] == 0.5 and row["valid_and_new"]["value"] == 0.25
    assert row["distinct"]["goals"] == 3 and row["distinct"]["object"] >= 2
    assert 0 < row["mean_difference"] <= 1
    assert row["why_not"] == {"ruled out by what can be seen": 2}
    trained = measure([Attempt(task, (task,), train[0].text)], train, workers=1)
    assert trained["new_to_training"] == 0.0


def test_an_object_that_is_not_there_is_found_out_by_the_engine(alfworld_tasks: list[Task], train: list[Task]) -> None:
    """No rule forbids it, as nobody has looked into the drawers."""
    found = []
    for task in alfworld_tasks:
        possible = {other.text for other in alfworld.other_tasks(task) or ()} | {task.text}
        parts = [alfworld.instruction_parts(text) for text in possible]
        texts = [other.text for other in alfworld.load_tasks("train", 24)]
        texts = [text for text in texts if alfworld.instruction_parts(text) not in parts]
        found += [Attempt(task, (task,), text) for text in texts if isinstance(alfworld.vary(task, text), Task)][:1]
    row = measure(found, train, workers=1)
    assert row["num"] >= 3 and row["parsable"]["value"] == 1.0 and row["valid"]["value"] == 0.0
    assert "ruled out by what can be seen" not in row["why_not"]


def test_nothing_written_gives_no_figures(train: list[Task]) -> None:
    row = measure([], train)
    assert row["num"] == 0 and row["valid"]["value"] is None and row["mean_difference"] is None
    assert row["distinct"] == {"goals": 0}


def test_four_ways_are_compared_in_the_same_worlds(alfworld_tasks: list[Task], train: list[Task]) -> None:
    """The script writes nonsense first and then goals that can be reached: selection must tell them apart."""
    tasks = alfworld_tasks[:2]
    possible = {task.first_state: [other.text for other in alfworld.other_tasks(task) or ()] for task in tasks}
    turns = {state: iter(["make me rich", "put a unicorn in shelf", *texts]) for state, texts in possible.items()}

    def write(prompt: str) -> str:
        state = prompt.split("<state>")[1].split("</state>")[0]
        return next(turns[state]) + "</variation>"

    settings = VariationSettings(m=2, num_candidates=6, num_chosen=2)
    figures = variations.run(ScriptedEngine(write), tasks, train, settings, workers=1)
    rows = {row["name"]: row for row in figures["rows"]}
    assert list(rows) == ["selected", "unselected", "train instruction", "train instruction, checked"]
    assert {row["num"] for row in rows.values()} == {4}
    assert rows["selected"]["valid"]["value"] == rows["selected"]["valid_and_new"]["value"] == 1.0
    assert rows["unselected"]["valid"]["value"] == 0.0 and rows["unselected"]["parsable"]["value"] == 0.5
    assert rows["train instruction"]["new_to_training"] == 0.0
    assert "ruled out by what can be seen" not in rows["train instruction, checked"]["why_not"]
    assert figures["candidates"]["generated"] == 12 and figures["candidates"]["chosen"] == 4
    assert figures["num_worlds"] == 2 and figures["settings"]["m"] == 2


def test_official_games_are_refused(alfworld_tasks: list[Task], train: list[Task]) -> None:
    official = [replace(task, source="official") for task in alfworld_tasks]
    with pytest.raises(ConfigError, match="unset ALFWORLD_DATA"):
        variations.run(ScriptedEngine([]), official, train)


def test_the_command_writes_figures_and_where_they_come_from(
    alfworld_games: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = alfworld.load_tasks("test", 2)
    tokenizer = nano.build_tokenizer([variation_prompt([task]) + task.text for task in tasks], min_count=1)
    nano.build_model(tokenizer, nano.NanoShape(16, 1, 2, 1, 32), seed=0).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    output = tmp_path / "variations.json"
    command = ["study", "variations", "--model", str(tmp_path / "model"), "--tasks", "2", "--train-tasks", "2"]
    assert main([*command, "--candidates", "2", "--chosen", "1", "--output", str(output)]) == 0
    figures = json.loads(output.read_text())
    assert figures["candidates"] == {"generated": 4, "malformed": 4}, "an untrained model writes nothing readable"
    assert figures["rows"][0]["num"] == 0 and figures["rows"][1]["parsable"]["value"] == 0.0
    assert figures["command"].startswith("dreamgym") and figures["versions"]["alfworld"]

    assert main([*command, "--candidates", "2", "--chosen", "3"]) == 1
    assert "of 1 to 1000 candidates at least 1 can be chosen" in capsys.readouterr().err
