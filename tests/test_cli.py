import json
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.cli import benchmarks, main
from dreamgym.engines.vllm_server import PYTHON
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from tests.engines.endpoint import Endpoint, serve
from tests.experience_model.kitchen import solved


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["collect", "--policy", "wizard"], "unknown policy 'wizard'"),
        (["collect", "--noise", "2"], "noise"),
        (["collect", "--episodes", "0"], "episodes"),
        (["collect", "--workers", "0"], "workers"),
        (["evaluate-experience-model", "--buffer", "nowhere.sqlite"], "there is no buffer nowhere.sqlite"),
        (["nano", "--environment", "webshop", "--no-hard-negatives"], "is there for alfworld alone"),
        (["evaluate-experience-model", "--annotations", "nowhere"], "nowhere is no folder"),
        (["evaluate-experience-model", "--k", "99"], "k is the number of demonstrations"),
        (["evaluate-experience-model", "--temperature", "9"], "temperature goes from 0"),
    ],
)
def test_a_setting_that_cannot_be_gives_one_sentence_and_leaves_nothing(
    arguments: list[str],
    says: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    message = capsys.readouterr().err.strip()
    assert message.startswith(f"dreamgym {arguments[0]}: ") and says in message
    assert "\n" not in message and "Traceback" not in message
    assert list(tmp_path.iterdir()) == []


def test_without_a_bundled_model_the_command_that_makes_one_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dreamgym.engines.model_folder.BUNDLED", tmp_path)
    assert main(["evaluate-experience-model", "--environment", "webshop"]) == 1
    message = capsys.readouterr().err
    assert (
        "no experience model of webshop is bundled" in message and 'make nano ARGS="--environment webshop"' in message
    )


def test_a_folder_of_somebody_else_is_no_workspace(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, alfworld_games: Path
) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    assert main(["collect", "--episodes", "1", "--workspace", str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("arguments", [[], ["fly"], ["collect", "--split", "moon"], ["collect", "--episodes", "many"]])
def test_a_word_that_is_no_argument_shows_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: dreamgym" in capsys.readouterr().err


def test_collected_episodes_are_in_the_workspace(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, alfworld_games: Path
) -> None:
    folder = tmp_path / "workspace"
    command = ["collect", "--episodes", "2", "--max-steps", "3", "--workers", "1", "--workspace", str(folder)]
    assert main(command) == 0
    assert "2 episodes played, 0 solved, 0 failed; 2 new" in capsys.readouterr().out
    assert main(command) == 0
    assert "; 0 new" in capsys.readouterr().out, "the same episodes are stored once"


def test_every_benchmark_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    names = benchmarks()
    assert "retrieval" in names and "training" in names
    with pytest.raises(SystemExit) as left:
        main(["bench", "training", "--help"])
    assert left.value.code == 0
    assert "Muon" in capsys.readouterr().out


def test_the_teacher_of_a_config_is_asked_and_options_come_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = solved()
    source, settings = tmp_path / "experience.sqlite", tmp_path / "my.toml"
    with ReplayBuffer(source, HashedNgrams()) as buffer:
        buffer.add(replace(known, task=replace(known.task, split="train")))
    num = len(known.transitions)
    words = ["teach", "--buffer", str(source), "--output", str(tmp_path / "annotated.sqlite"), "--dry-run"]
    assert main(words) == 1
    assert "no teacher is named: --model NAME, or teacher.model" in capsys.readouterr().err
    with serve(Endpoint(lambda _: "", is_vllm=False)) as endpoint:
        settings.write_text(f'[teacher]\nmodel = "{endpoint.url}"\nhindsight = false\n')
        words += ["--config", str(settings)]
        for more, num_prompts in (([], num), (["--hindsight"], 1), (["--set", "teacher.hindsight=true"], 1)):
            assert main([*words, *more]) == 0
            assert f"{num_prompts} prompts for 1 episodes" in capsys.readouterr().out, more
    monkeypatch.setenv(PYTHON, "/nowhere/python")
    assert main([*words, "--model", "vllm:owner/name"]) == 0, "no server is started to count prompts"
    assert main([*words, "--model", "/no/where"]) == 1
    assert "expected a model folder at /no/where, found none" in capsys.readouterr().err


def test_a_teacher_writes_reasoning_into_a_new_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known = solved()
    episode = replace(known, task=replace(known.task, split="train"))
    source, output = tmp_path / "experience.sqlite", tmp_path / "annotated.sqlite"
    with ReplayBuffer(source, HashedNgrams()) as buffer:
        buffer.add(episode)
    steps = [{"step": n, "reasoning": f"Because {n}."} for n, _ in enumerate(episode.transitions, 1)]
    with serve(Endpoint(lambda _: json.dumps({"steps": steps}) + "</json>", is_vllm=False)) as endpoint:
        words = ["teach", "--model", endpoint.url, "--buffer", str(source), "--output", str(output)]
        assert main([*words, "--dry-run", "--price", "1", "2", "--tokens-per-second", "0.5"]) == 0
        said = capsys.readouterr().out
        assert "1 prompts for 1 episodes, 0 of them answered before" in said and "cost about 0.00" in said
        assert f"time about {len(steps) * 2} minutes" in said, "60 tokens a step"
        assert not output.exists() and not endpoint.asked
        assert main(words) == 0
        assert "says what was left out" in capsys.readouterr().out
        assert main(words) == 1 and "is there already" in capsys.readouterr().err
    (annotated,) = ExperienceReader([output]).iterate_trajectories()
    assert [step.reasoning for step in annotated.transitions] == [each["reasoning"] for each in steps]
    told = json.loads(output.with_suffix(".json").read_text())
    assert (told["num_written"], told["hindsight"], told["left_out"]) == (len(steps), True, {})
