"""Runs are processes: they queue, stop, go on, die and are found again, and nothing that was committed is lost."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from dreamgym.config import ROOT
from dreamgym.errors import ConfigError, WorkspaceError
from dreamgym.runs import slots, status
from dreamgym.runs.config import TrainConfig, override
from dreamgym.runs.manager import RunInfo, RunManager
from dreamgym.runs.sections import RunConfig
from dreamgym.runs.store import IterationRow, RunReader

PROGRAM = (sys.executable, "-P", "-m", "tests.runs.second_trainer")
LONG = TrainConfig(run=RunConfig(iterations=10_000))
SHORT = TrainConfig(run=RunConfig(iterations=2))


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[RunManager]:
    manager = RunManager(tmp_path / "runs", program=PROGRAM)
    yield manager
    for info in manager.list():
        if info.is_live:
            wait_for(manager, info.run_id, lambda now: not now.is_live or status.read(now.folder).pid > 0)
            with suppress(ProcessLookupError):
                kill(info)


def wait_for(runs: RunManager, run_id: str, true: Callable[[RunInfo], bool], seconds: float = 20.0) -> RunInfo:
    deadline = time.monotonic() + seconds
    while not true(info := runs.show(run_id)):
        assert time.monotonic() < deadline, f"{info}\n{runs.log(run_id)[0]}"
        time.sleep(0.02)
    return info


def ended(info: RunInfo) -> bool:
    return not info.is_live


def committed(info: RunInfo) -> list[IterationRow]:
    return RunReader(info.folder / "run.sqlite").iterations()


def kill(info: RunInfo) -> None:
    os.kill(status.read(info.folder).pid, signal.SIGKILL)


def test_a_run_trains_to_its_end_and_its_folder_tells_all(runs: RunManager) -> None:
    launched = runs.launch(SHORT)
    assert (launched.run_id, launched.state, launched.iterations) == ("dream-grpo-01", "queued", 2)
    assert launched.command == "dreamgym train --set run.iterations=2"
    info = wait_for(runs, launched.run_id, ended)
    assert (info.state, info.iteration, info.checkpoint, info.config) == ("done", 2, "step-2", SHORT)
    assert info.heartbeat_age is not None and info.heartbeat_age < 10
    assert [row.iteration for row in committed(info)] == [0, 1, 2]
    text, end = runs.log(info.run_id)
    assert "iteration 2 of 2: committed" in text
    assert runs.log(info.run_id, end) == ("", end)
    assert "".join(runs.log(info.run_id, place)[0][:1] for place in (0, 1)) == text[:2]


def test_ids_are_numbered_and_never_used_twice_while_the_folder_exists(runs: RunManager) -> None:
    names = ["", "", "kl-0_1", "dream-grpo", "DREAM-grpo"]
    made = [runs.create(SHORT, name) for name in names]
    for _, lock in made:
        status.release(lock)
    numbers = ["dream-grpo-01", "dream-grpo-02", "kl-0_1-01", "dream-grpo-03", "DREAM-grpo-04"]
    assert [folder.name for folder, _ in made] == numbers
    assert all(folder.parent == runs.runs_path for folder, _ in made)
    assert [info.run_id for info in runs.list()] == numbers[::-1], "newest first"
    runs.delete("dream-grpo-02")
    folder, lock = runs.create(SHORT)
    status.release(lock)
    assert folder.name == "dream-grpo-05"


def test_a_name_is_part_of_the_command_that_repeats_a_run(runs: RunManager) -> None:
    for name, words in (("kl-0_1", " --name kl-0_1"), ("", "")):
        folder, lock = runs.create(SHORT, name)
        status.release(lock)
        command = f"dreamgym train{words} --set run.iterations=2"
        assert runs.show(folder.name).command == command
        assert f"# command: {command}\n" in (folder / status.CONFIG).read_text()


@pytest.mark.parametrize("name", ["../../etc", "a b", "-x", "_x", ".x", "ä", "x\n", "x" * 49])
def test_a_name_with_other_characters_is_refused_and_leaves_nothing(runs: RunManager, name: str) -> None:
    with pytest.raises(ConfigError, match="letters"):
        runs.create(SHORT, name)
    assert not runs.runs_path.exists()


def test_two_runs_with_one_slot_train_in_the_order_they_were_launched(runs: RunManager) -> None:
    first = runs.launch(LONG, "z")
    wait_for(runs, first.run_id, lambda info: info.state == "running")
    niceness = os.getpriority(os.PRIO_PROCESS, status.read(first.folder).pid)
    assert niceness > os.getpriority(os.PRIO_PROCESS, 0), "pages come first"
    second, third = runs.launch(SHORT, "y"), runs.launch(SHORT, "x")
    for waiting in (second, third):
        wait_for(runs, waiting.run_id, lambda info: info.heartbeat_age is not None)
    assert [info.state for info in runs.list()] == ["queued", "queued", "running"]
    os.kill(status.read(second.folder).pid, signal.SIGSTOP)  # asleep, so that the younger could be faster
    runs.stop(first.run_id)
    wait_for(runs, first.run_id, ended)
    time.sleep(3 * slots.WAIT_SECONDS)
    assert runs.show(third.run_id).state == "queued"
    os.kill(status.read(second.folder).pid, signal.SIGCONT)
    assert wait_for(runs, third.run_id, ended).state == runs.show(second.run_id).state == "done"
    started = [status.read(info.folder).started_at for info in (first, second, third)]
    assert started == sorted(started)
    ends = [committed(info)[-1].ended_at for info in (first, second)]
    assert ends == sorted(ends) and ends[1] < committed(third)[0].ended_at, "one at a time"


def test_a_run_that_waits_can_be_stopped_and_one_that_died_waiting_holds_nobody_up(runs: RunManager) -> None:
    first, *waiting = [runs.launch(LONG, name) for name in "abcd"]
    for info in waiting:
        wait_for(runs, info.run_id, lambda info: info.state == "queued" and info.heartbeat_age is not None)
    stopped, killed, last = waiting
    runs.stop(stopped.run_id)
    assert wait_for(runs, stopped.run_id, ended).state == "stopped"
    kill(killed)
    assert wait_for(runs, killed.run_id, ended).state == "died"
    kill(first)
    wait_for(runs, last.run_id, lambda info: info.state == "running")


@pytest.mark.parametrize("how", ["file", "SIGTERM", "SIGINT"])
def test_a_stop_lets_the_iteration_end_and_resume_goes_on_behind_it(runs: RunManager, how: str) -> None:
    launched = runs.launch(LONG)
    wait_for(runs, launched.run_id, lambda info: info.iteration >= 1)
    if how == "file":
        runs.stop(launched.run_id)
        assert runs.show(launched.run_id).state in ("stopping", "stopped")
    else:
        os.kill(status.read(launched.folder).pid, getattr(signal, how))
    stopped = wait_for(runs, launched.run_id, ended)
    assert stopped.state == "stopped" and stopped.checkpoint == f"step-{stopped.iteration}"
    before = committed(stopped)
    assert before[-1].iteration == stopped.iteration
    with pytest.raises(WorkspaceError, match="is not running"):
        runs.stop(launched.run_id)
    resumed = runs.resume(launched.run_id)
    assert (resumed.state, resumed.iteration, resumed.created_at) == ("queued", stopped.iteration, stopped.created_at)
    wait_for(runs, launched.run_id, lambda info: info.iteration > stopped.iteration)
    assert committed(stopped)[: len(before)] == before
    kill(launched)


def test_a_live_run_is_neither_resumed_nor_deleted_by_any_manager(runs: RunManager) -> None:
    info = runs.launch(LONG)
    for manager in (runs, RunManager(runs.runs_path, program=PROGRAM)):
        assert manager.show(info.run_id).state in ("queued", "running"), "live from its first moment"
        with pytest.raises(WorkspaceError, match="still running: stop it, wait until it has ended, then resume it"):
            manager.resume(info.run_id)
        with pytest.raises(WorkspaceError, match="then delete it"):
            manager.delete(info.run_id)
    direct = subprocess.run(
        [*PROGRAM, str(info.folder)], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert direct.returncode == 1 and "is run by another process" in direct.stderr
    wait_for(runs, info.run_id, lambda info: info.iteration > 0)
    kill(info)
    wait_for(runs, info.run_id, ended)
    RunManager(runs.runs_path).delete(info.run_id)
    assert runs.list() == [] and [path.name for path in runs.runs_path.iterdir()] == [".slot-0"]


def test_a_killed_run_is_seen_at_once_even_when_a_child_of_it_lives(
    runs: RunManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINER", "fork")
    info = runs.launch(LONG)
    wait_for(runs, info.run_id, lambda info: info.iteration >= 1)
    kill(info)
    died = wait_for(runs, info.run_id, ended, seconds=3)
    assert died.state == "died" and "resume" in died.message
    monkeypatch.setenv("TRAINER", "")
    runs.resume(info.run_id)
    wait_for(runs, info.run_id, lambda info: info.state == "running", seconds=5)


def test_ten_kills_lose_no_iteration_and_repeat_none(runs: RunManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINER", "pause=0.02")
    rng = random.Random(0)
    info = runs.launch(LONG)
    seen: dict[int, str] = {}
    for number in range(10):
        wait_for(runs, info.run_id, lambda now: status.read(now.folder).pid > 0)
        if number % 2:  # the others may be killed while they still start
            wait_for(runs, info.run_id, lambda now: len(committed(now)) > len(seen))
        time.sleep(rng.uniform(0.0, 0.4))
        seen.update((row.iteration, row.ended_at) for row in committed(info))
        kill(info)
        wait_for(runs, info.run_id, lambda now: now.state == "died", seconds=10)
        runs.resume(info.run_id)
    reached = len(seen)
    wait_for(runs, info.run_id, lambda now: now.iteration > reached + 5)
    runs.stop(info.run_id)
    assert wait_for(runs, info.run_id, ended).state == "stopped"
    rows = committed(info)
    assert reached >= 5
    assert [row.iteration for row in rows] == list(range(len(rows)))
    assert {row.iteration: row.ended_at for row in rows}.items() >= seen.items()


def test_an_error_of_ours_is_the_message_and_a_mistake_is_in_the_log(
    runs: RunManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINER", "error")
    info = wait_for(runs, runs.launch(SHORT).run_id, ended)
    assert (info.state, info.message) == ("failed", "the model is not there: give another")
    assert "Traceback" not in runs.log(info.run_id)[0]
    monkeypatch.setenv("TRAINER", "bug")
    info = wait_for(runs, runs.launch(SHORT).run_id, ended)
    assert info.state == "failed"
    assert info.message == "ZeroDivisionError: a mistake of ours; log.txt has the rest"
    assert "Traceback" in runs.log(info.run_id)[0] and "second_trainer.py" in runs.log(info.run_id)[0]


def test_a_disk_that_takes_no_more_is_said_so_and_the_run_goes_on_later(
    runs: RunManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINER", "full")
    info = wait_for(runs, runs.launch(SHORT).run_id, ended)
    assert info.state == "failed" and info.message.startswith("no space is left on the disk: free some, then resume")
    monkeypatch.setenv("TRAINER", "")
    runs.resume(info.run_id)
    assert wait_for(runs, info.run_id, ended).state == "done"


def test_a_program_that_cannot_run_leaves_a_run_that_died_with_a_log(tmp_path: Path) -> None:
    manager = RunManager(tmp_path, program=(sys.executable, "-c", "raise SystemExit('no such thing')"))
    info = wait_for(manager, manager.launch(SHORT).run_id, ended)
    assert info.state == "died" and "no such thing" in manager.log(info.run_id)[0]
    missing = RunManager(tmp_path, program=(str(tmp_path / "nothing"),))
    with pytest.raises(WorkspaceError, match="cannot be started"):
        missing.launch(SHORT)


BROKEN = [
    ("config.toml", "[run", "is not TOML"),
    ("config.toml", None, "cannot read the settings"),
    ("status.json", "", "is damaged"),
    ("status.json", "[1]", "is damaged"),
    ("status.json", '{"state": "flying", "iterations": 2}', "state must be one of"),
    ("status.json", '{"state": "done", "iterations": "two"}', "iterations must be of type int"),
    ("status.json", "\ud800".encode("utf-8", "surrogatepass"), "is damaged"),
    ("status.json", None, "cannot be read"),
]


@pytest.mark.parametrize(("name", "content", "reason"), BROKEN)
def test_one_broken_run_is_listed_as_failed_beside_the_others(
    runs: RunManager, name: str, content: str | bytes | None, reason: str
) -> None:
    for _ in range(2):
        status.release(runs.create(SHORT)[1])
    path = runs.runs_path / "dream-grpo-01" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    broken = next(info for info in runs.list() if info.run_id == "dream-grpo-01")
    assert broken.state == "failed" and reason in broken.message
    assert (broken.config is None) == (name == "config.toml")
    assert runs.show("dream-grpo-02").state == "died", "it was never started"
    if content == "[1]":
        runs.resume("dream-grpo-01")
        assert wait_for(runs, "dream-grpo-01", ended).state == "done"
    elif name == "config.toml":
        with pytest.raises(ConfigError):
            runs.resume("dream-grpo-01")
    runs.delete("dream-grpo-01")
    assert [info.run_id for info in runs.list()] == ["dream-grpo-02"]


@pytest.mark.parametrize("run_id", ["nothing-01", "..", "../runs", "a/b", "", ".new-1", "dream-grpo-01\n", "x" * 200])
def test_an_id_of_no_run_is_refused_and_the_runs_are_named(runs: RunManager, run_id: str) -> None:
    with pytest.raises(WorkspaceError, match="there are none yet"):
        runs.show(run_id)
    status.release(runs.create(SHORT)[1])
    (runs.runs_path.parent / "config.toml").write_text("")
    for call in (runs.show, runs.stop, runs.resume, runs.delete, runs.log):
        with pytest.raises(WorkspaceError, match=r"there is no run .*; there are dream-grpo-01"):
            call(run_id)


def test_a_link_to_elsewhere_is_no_run(runs: RunManager, tmp_path: Path) -> None:
    folder, lock = runs.create(SHORT)
    status.release(lock)
    shutil.copytree(folder, tmp_path / "elsewhere")
    (runs.runs_path / "link-01").symlink_to(tmp_path / "elsewhere")
    assert [info.run_id for info in runs.list()] == [folder.name]


def test_half_a_character_of_the_log_waits_for_its_other_half(runs: RunManager) -> None:
    folder, lock = runs.create(SHORT)
    status.release(lock)
    assert runs.log(folder.name) == ("", 0)
    (folder / "log.txt").write_bytes("aé".encode()[:2])
    assert runs.log(folder.name) == ("a", 1)
    (folder / "log.txt").write_bytes("aéb".encode())
    assert runs.log(folder.name, 1) == ("éb", 4)
    assert runs.log(folder.name, 99) == ("aéb", 4), "a log that became shorter is read again"


def test_each_gpu_is_a_slot_and_a_run_sees_its_own_alone(
    runs: RunManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\nprintf '0\\n1\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    infos = [runs.launch(LONG) for _ in range(3)]
    for info in infos[:2]:
        wait_for(runs, info.run_id, lambda info: info.iteration > 0)
    assert runs.show(infos[2].run_id).state == "queued"
    assert [committed(info)[0].metrics["device"] for info in infos[:2]] == [0.0, 1.0]


def test_a_config_file_stays_as_it_was_launched(runs: RunManager) -> None:
    config = override(replace(SHORT), ['policy.model="a\\nb"', "run.method=ppo"])
    folder, lock = runs.create(config)
    status.release(lock)
    assert runs.show(folder.name).config == config
    assert json.loads((folder / "status.json").read_text())["state"] == "queued"
