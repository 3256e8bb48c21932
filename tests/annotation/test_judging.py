"""What judges are given, real outcomes beside it, and their verdicts on the disk, apart from people's answers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.annotation.items import item_of
from dreamgym.annotation.judging import (
    annotated_cases,
    case_of,
    drawn,
    judged,
    read_verdicts,
    stored_cases,
    with_references,
    write_verdicts,
)
from dreamgym.annotation.store import AnnotationStore
from dreamgym.cli import main
from dreamgym.engines.vllm_server import PYTHON
from dreamgym.environments import environment_module
from dreamgym.errors import AnnotationError
from dreamgym.experience_model.judge import Verdict, judge
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.replay_buffer.rows import Filter
from dreamgym.types import Provenance, Task, Trajectory, Transition
from dreamgym.workspace import Workspace
from tests.annotation.answers import FINE, dreamed, stored, workspace_of_all_kinds
from tests.engines.endpoint import Endpoint, serve
from tests.experience_model.kitchen import solved
from tests.experience_model.test_model_judge import scores
from tests.replay_buffer.stored_episodes import dream, failed

KITCHEN = replace(solved(), world="dream")


def test_a_filter_says_which_steps_are_judged_and_failed_attempts_are_none(tmp_path: Path) -> None:
    stored(tmp_path / "lab.sqlite", KITCHEN, dream(1), failed(3))
    reader = ExperienceReader([tmp_path / "lab.sqlite"])
    assert len(stored_cases(reader, Filter(world="dream"))) == 7 + 1 + 2
    (taken,) = stored_cases(reader, Filter(action_type="take", text="egg 1"))
    assert taken == case_of(KITCHEN, 3) and len(taken.history) == 2


def test_a_draw_keeps_the_order_and_the_seed_decides() -> None:
    assert drawn(range(5), None, 0) == drawn(range(5), 9, 0) == [0, 1, 2, 3, 4]
    some = drawn(range(100), 10, 1)
    assert some == sorted(set(some)) == drawn(range(100), 10, 1) and some != drawn(range(100), 10, 2)


def test_annotated_replies_that_nobody_can_read_are_no_cases() -> None:
    items = {one.item_id: one for one in (dreamed(1), item_of(failed(3), 3, "lab"))}
    (case,) = annotated_cases(items)
    assert (case.item_id, case.step) == (dreamed(1).item_id, dreamed(1).step)


def test_a_step_knows_whether_it_is_what_follows() -> None:
    verdict = Verdict("x", "m", "1", False)
    case = case_of(KITCHEN, 3)
    assert judged(case, verdict).exact is True and judged(case, verdict).action_type == "take"
    lost = replace(case, step=replace(case.step, next_state="Nothing happens."))
    assert judged(lost, verdict).exact is False
    new = judged(case_of(KITCHEN, 1), verdict)
    assert (new.determined, new.exact) == (False, None)


def test_the_real_outcome_stands_beside_a_dream_until_it_parts(alfworld_tasks: list[Task]) -> None:
    task = alfworld_tasks[0]
    module = environment_module("alfworld")
    engine = module.make()
    state, steps = engine.reset(task), []
    for place in task.first_state.partition("places: ")[2].split(", ")[:3]:
        steps.append(engine.step(f"go to {place}"))
    engine.close()
    assert steps[0].state == state
    lie = replace(steps[1], next_state="A dark room.")
    dreams: tuple[Transition, ...] = (steps[0], lie, replace(steps[2], state="A dark room."))
    episode = Trajectory(task, "dream", dreams, Provenance("p", 0, "v"))
    first, second, third = with_references([case_of(episode, number) for number in (1, 2, 3)])
    assert first.reference is not None and first.reference.next_state == steps[0].next_state
    assert second.reference is not None and second.reference.next_state == steps[1].next_state
    assert judge(second).ratings["consistency"] == 0
    assert third.reference is None, "its history has not happened"


def test_a_task_that_cannot_be_played_has_no_reference(alfworld_games: Path) -> None:
    (case,) = with_references([case_of(KITCHEN, 1)])
    assert case.reference is None


def test_verdicts_come_back_from_the_disk(tmp_path: Path) -> None:
    rows = [judged(case_of(KITCHEN, 3), judge(case_of(KITCHEN, 3)))]
    assert write_verdicts(rows, tmp_path / "verdicts.jsonl") == 1
    assert list(read_verdicts(tmp_path / "verdicts.jsonl")) == rows


@pytest.mark.parametrize("change", ["ratings", "missing", "text"])
def test_a_line_that_is_no_verdict_is_named(tmp_path: Path, change: str) -> None:
    path = tmp_path / "verdicts.jsonl"
    write_verdicts([judged(case_of(KITCHEN, 3), judge(case_of(KITCHEN, 3)))], path)
    row = json.loads(path.read_text())
    if change == "ratings":
        row["verdict"]["ratings"]["diversity"] = 5
    elif change == "missing":
        del row["determined"]
    path.write_text("not JSON\n" if change == "text" else json.dumps(row) + "\n")
    with pytest.raises(AnnotationError, match="line 1 is no verdict"):
        list(read_verdicts(path))
    with pytest.raises(AnnotationError, match="cannot read"):
        list(read_verdicts(tmp_path / "nowhere.jsonl"))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = workspace_of_all_kinds(tmp_path / "mine")
    stored(made.lab_path, KITCHEN)
    return made


def test_the_command_writes_what_the_rules_say_and_no_annotation(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "verdicts"
    words = ["judge", "--workspace", str(workspace.path), "--output", str(output), "--text", "egg 1"]
    assert main([*words, "--dry-run"]) == 0 and not output.exists()
    assert main(words) == 0
    assert "hallucination    mean 2.00   0: 0   1: 0   2: 7" in capsys.readouterr().out
    manifest = json.loads((output / "manifest.json").read_text())
    assert (manifest["judge"], manifest["num_judged"], manifest["with_reference"]) == ("rules", 7, False)
    assert len(list(read_verdicts(output / "verdicts.jsonl"))) == 7
    assert not AnnotationStore(workspace).current(), "a judge never answers as a person"


def test_the_command_asks_an_endpoint_and_says_the_cost_first(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    AnnotationStore(workspace).answer(dreamed(1), "Ann", FINE)
    output = tmp_path / "verdicts"
    with serve(Endpoint(lambda _: scores(hallucination=1), is_vllm=False)) as endpoint:
        words = ["judge", "--annotated", "--workspace", str(workspace.path), "--output", str(output)]
        words += ["--model", endpoint.url]
        assert main([*words, "--dry-run", "--price", "1000", "0", "--tokens-per-second", "0.01"]) == 0
        said = capsys.readouterr().out
        assert "1 prompts, 0 of them answered before" in said and "cost about 0." in said
        assert "time about " in said
        assert not endpoint.asked and not output.exists()
        assert main(words) == 0 and main(words) == 0
        assert len(endpoint.asked) == 1, "a reply is paid for once"
    (one,) = read_verdicts(output / "verdicts.jsonl")
    assert (one.verdict.item_id, one.verdict.judge) == (dreamed(1).item_id, "small")
    assert one.verdict.ratings["hallucination"] == 1 and one.verdict.prompt
    assert [each.annotator for each in AnnotationStore(workspace).current()] == ["Ann"]


def test_the_judge_of_a_config_is_asked_and_options_come_first(
    workspace: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "my.toml"
    words = ["judge", "--workspace", str(workspace.path), "--output", str(tmp_path / "verdicts"), "--dry-run"]
    with serve(Endpoint(lambda _: scores(), is_vllm=False)) as endpoint:
        settings.write_text(f'[judge]\nmodel = "{endpoint.url}"\nreference = true\n')
        words += ["--config", str(settings)]
        assert main(words) == 0
        said = capsys.readouterr().out
        assert "0 of 10 steps can be judged" in said and "0 prompts" in said, "this kitchen is in no engine"
        assert main([*words, "--no-reference"]) == 0
        assert "10 prompts, 0 of them" in capsys.readouterr().out
        assert main([*words, "--no-reference", "--model", "rules"]) == 0
        assert "prompts" not in capsys.readouterr().out
    monkeypatch.setenv(PYTHON, "/nowhere/python")
    assert main([*words, "--no-reference", "--model", "vllm:owner/name"]) == 0, "no server is started to count prompts"


@pytest.mark.parametrize(
    ("words", "says"),
    [(["--limit", "0"], "at least 1 step"), (["--run", "nowhere"], "no run 'nowhere'")],
)
def test_what_cannot_be_judged_is_said(
    workspace: Workspace, words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["judge", "--workspace", str(workspace.path), *words]) == 1
    assert says in capsys.readouterr().err
