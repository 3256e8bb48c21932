from pathlib import Path

import pytest

from dreamgym.cli import benchmarks, main


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["collect", "--policy", "wizard"], "unknown policy 'wizard'"),
        (["collect", "--noise", "2"], "noise"),
        (["collect", "--episodes", "0"], "episodes"),
        (["collect", "--workers", "0"], "workers"),
        (["evaluate-experience-model", "--buffer", "nowhere.sqlite"], "there is no buffer nowhere.sqlite"),
        (["evaluate-experience-model", "--environment", "webshop"], "no experience model of webshop is bundled"),
        (["nano", "--environment", "webshop", "--no-hard-negatives"], "is there for alfworld alone"),
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
