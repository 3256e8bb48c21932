"""Files hold exactly what the filter keeps; JSON lines come back as they went, and a broken file brings nothing."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from dreamgym.annotation.export import FORMATS, Keep, command, export
from dreamgym.annotation.importing import Imported, import_annotations
from dreamgym.annotation.items import Item, item_of
from dreamgym.annotation.labels import Correction, Labels
from dreamgym.annotation.store import AnnotationStore
from dreamgym.cli import main
from dreamgym.errors import AnnotationError, WorkspaceError
from dreamgym.experience_model import prompts
from dreamgym.replay_buffer.export import Exported
from dreamgym.workspace import Workspace
from tests.annotation.answers import FINE, WRONG, dreamed, wrong
from tests.lab.experience import HOSTILE
from tests.replay_buffer.stored_episodes import dream, failed, make_task, real

ONE, TWO, THREE = (dreamed(number) for number in (1, 2, 3))
MALFORMED = item_of(failed(4), 3, "lab")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> AnnotationStore:
    """Two annotators, one adjudication, a second thought, an answer that was taken back; an item of a run."""
    store = AnnotationStore(Workspace.create(tmp_path_factory.mktemp("filled") / "mine"))
    store.answer(ONE, "Ann", FINE, 3.5)
    store.answer(ONE, "Ann", WRONG, 4.5)
    store.answer(ONE, "Bob", WRONG, 1.0)
    store.answer(TWO, "Ann", FINE)
    store.answer(TWO, "Bob", wrong("lost object", consistency=0))
    store.answer(replace(THREE, source="runs/a"), "Ann", FINE)
    store.answer(MALFORMED, "Ann", FINE)
    store.withdraw(MALFORMED.item_id, "Ann")
    return store


@pytest.fixture
def store(filled: AnnotationStore, tmp_path: Path) -> AnnotationStore:
    """A copy of it, for a test that adds to it."""
    return AnnotationStore(Workspace(shutil.copytree(filled.workspace.path, tmp_path / "mine")))


def lines(done: Exported) -> list[dict[str, Any]]:
    return [json.loads(one) for one in done.data.read_text(encoding="utf-8").splitlines()]


def manifest(done: Exported) -> dict[str, Any]:
    return json.loads(done.manifest.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def test_json_lines_bring_everything_into_another_workspace_once(store: AnnotationStore, tmp_path: Path) -> None:
    store.answer(TWO, "Jo", FINE, role="adjudicator")
    done = export(store, Keep(), "jsonl", tmp_path / "out")
    other = AnnotationStore(Workspace.create(tmp_path / "other"))
    assert import_annotations(other, done.data) == Imported(9, 9)
    assert other.every_version() == store.every_version() and other.items() == store.items()
    assert import_annotations(other, done.data) == Imported(9, 0)
    assert other.every_version() == store.every_version()
    again = export(other, Keep(), "jsonl", tmp_path / "again")
    assert again.data.read_bytes() == done.data.read_bytes()


def test_an_import_joins_what_is_there_already(store: AnnotationStore, tmp_path: Path) -> None:
    other = AnnotationStore(Workspace.create(tmp_path / "other"))
    other.answer(ONE, "Eve", FINE)
    import_annotations(other, export(store, Keep(), "jsonl", tmp_path / "out").data)
    assert other.annotators() == ["Ann", "Bob", "Eve"]
    store.answer(ONE, "Bob", FINE)
    assert import_annotations(other, export(store, Keep(), "jsonl", tmp_path / "out").data) == Imported(9, 1)


def test_a_name_that_two_people_share_is_told_apart_and_not_mixed(store: AnnotationStore, tmp_path: Path) -> None:
    other = AnnotationStore(Workspace.create(tmp_path / "other"))
    other.answer(ONE, "Ann", wrong("other"))
    with pytest.raises(AnnotationError, match=r"line 1: version 1 of Ann .* another content"):
        import_annotations(other, export(store, Keep(), "jsonl", tmp_path / "out").data)
    assert len(other.every_version()) == 1 and list(other.items()) == [ONE.item_id]


def break_item(row: dict[str, Any]) -> None:
    row["item"]["step"]["transition"]["next_state"] = "A dragon."


BROKEN = {
    "no JSON": b"{",
    "no UTF-8": b'{"item": "\xff"}',
    "half a character": b'{"item": "\\ud800"}',
    "no object": b"[]",
    "other fields": b'{"a": 1}',
    "nested": b"[" * 100_000,
    "long number": b"9" * 5_000,
}
CHANGES: dict[str, Any] = {
    "unknown role": lambda row: row["annotation"].update(role="king"),
    "no name": lambda row: row["annotation"].update(annotator="\n"),
    "version 0": lambda row: row["annotation"].update(version=0),
    "version missing": lambda row: row["annotation"].pop("version"),
    "a version is left out": lambda row: row["annotation"].update(version=5),
    "infinite time": lambda row: row["annotation"].update(seconds=float("inf")),
    "no date": lambda row: row["annotation"].update(stored_at="yesterday"),
    "unknown label": lambda row: row["annotation"]["labels"].update(mood="good"),
    "mark behind the end": lambda row: row["annotation"]["labels"].update(
        is_fine=False, errors=[{"kind": "other", "span": {"field": "state", "start": 0, "end": 10**9}}]
    ),
    "other item under the same id": break_item,
    "confidence out of range": lambda row: row["item"]["step"]["transition"].update(confidence=float("nan")),
    "number of the step": lambda row: row["item"].update(item_id=row["item"]["item_id"][:-1] + "7"),
}


@pytest.mark.parametrize("name", [*BROKEN, *CHANGES])
def test_a_broken_line_is_named_and_nothing_of_the_file_comes_in(
    name: str, store: AnnotationStore, tmp_path: Path
) -> None:
    good = export(store, Keep(), "jsonl", tmp_path / "out").data.read_bytes().splitlines()
    if name in BROKEN:
        bad = BROKEN[name]
    else:
        row = json.loads(good[0])
        CHANGES[name](row)
        bad = json.dumps(row).encode()
    path = tmp_path / "broken.jsonl"
    path.write_bytes(b"\n".join([*good[:2], b"", bad, *good[2:]]))
    other = AnnotationStore(Workspace.create(tmp_path / "other"))
    with pytest.raises(AnnotationError, match=r"broken\.jsonl, line 4: .*nothing was imported"):
        import_annotations(other, path)
    assert other.every_version() == [] and other.items() == {}


def test_a_file_that_is_not_there_is_said(store: AnnotationStore, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"gone\.jsonl cannot be read"):
        import_annotations(store, tmp_path / "gone.jsonl")


@pytest.mark.parametrize(
    ("keep", "items", "num_rows"),
    [
        (Keep(), [ONE, TWO, THREE, MALFORMED], 8),
        (Keep(annotator="Bob"), [ONE, TWO], 2),
        (Keep(error="lost object"), [TWO], 2),
        (Keep(error="malformed"), [], 0),
        (Keep(run="run 7"), [ONE, TWO, THREE], 6),
        (Keep(run="a"), [THREE], 1),
        (Keep(model="nano@01234567"), [ONE, TWO, THREE], 6),
        (Keep(environment="webshop"), [], 0),
        (Keep(environment="alfworld", only="disputed"), [TWO], 2),
        (Keep(only="resolved"), [ONE, THREE], 4),
        (Keep(only="resolved", annotator="Ann"), [ONE, TWO, THREE], 4),
    ],
)
def test_exactly_what_a_filter_keeps_is_written(
    keep: Keep, items: list[Item], num_rows: int, store: AnnotationStore, tmp_path: Path
) -> None:
    done = export(store, keep, "jsonl", tmp_path / "out")
    found = lines(done)
    assert list(dict.fromkeys(row["item"]["item_id"] for row in found)) == [item.item_id for item in items]
    assert done.num_rows == len(found) == num_rows
    told = manifest(done)
    assert told["filter"] == keep.given and told["num_items"] == len(items) and told["num_rows"] == num_rows
    assert told["sha256"] == hashlib.sha256(done.data.read_bytes()).hexdigest()


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(AnnotationError, match="unknown error"):
        Keep(error="ugly")


def test_parquet_has_a_row_for_each_version(store: AnnotationStore, tmp_path: Path) -> None:
    rows = parquet.read_table(export(store, Keep(), "parquet", tmp_path / "out").data).to_pylist()
    assert [(row["annotator"], row["version"], row["verdict"]) for row in rows[:3]] == [
        ("Ann", 1, "fine"),
        ("Ann", 2, "wrong"),
        ("Bob", 1, "wrong"),
    ]
    assert rows[1]["errors"][0] == {"kind": "invented object", "field": "next_state", "start": 16, "end": 21}
    assert rows[1]["next_state"][16:21] == "mug 1" and rows[1]["errors"][2]["start"] is None
    assert (rows[1]["consistency"], rows[1]["corrected_reward"], rows[1]["corrected_done"]) == (2, 0.0, None)
    assert rows[-1]["is_withdrawn"] and rows[-1]["verdict"] is None and rows[-1]["raw_reply"] == "<think>zzz"


def test_sft_rows_are_prompts_and_right_replies(store: AnnotationStore, tmp_path: Path) -> None:
    done = export(store, Keep(), "sft", tmp_path / "out")
    first, third = lines(done)
    head = prompts.start_text(ONE.task, ONE.state) + "<action>take mug 1 from shelf 2</action>"
    assert first["prompt"] == head + "<no_think>", "what led to a wrong step is no reason for the right one"
    assert first["completion"] == "<state>Nothing happens.</state><reward>0.0</reward><done>0</done>"
    assert third["prompt"].endswith("<think>") and third["item_id"] == THREE.item_id
    step = THREE.transition
    assert step is not None and third["completion"] == prompts.reply_text(step, step.reasoning).removeprefix("<think>")
    assert isinstance(prompts.parse("<think>" + third["completion"]), prompts.ParsedReply)
    assert manifest(done)["left_out"] == {"disputed": 1}


def test_what_makes_no_training_row_is_counted_by_reason(tmp_path: Path) -> None:
    store = AnnotationStore(Workspace.create(tmp_path / "mine"))
    held_out = item_of(dream(1, task=make_task(1, split="test")), 1, "lab")
    store.answer(held_out, "Ann", FINE)
    store.answer(TWO, "Ann", Labels(axes={"diversity": 1}))
    store.answer(THREE, "Ann", wrong("other"))
    store.answer(MALFORMED, "Ann", Labels(correction=Correction(next_state="Nothing happens.")))
    done = export(store, Keep(), "sft", tmp_path / "out")
    assert lines(done) == [] and manifest(done)["left_out"] == {
        "not of a training room": 1,
        "no verdict": 1,
        "wrong, and not corrected": 1,
        "malformed, and next state, reward or done not written anew": 1,
    }


def test_pairs_prefer_the_correction_to_what_was_written(store: AnnotationStore, tmp_path: Path) -> None:
    thought = Correction(next_state="Nothing happens.", reward=0.0, reasoning="No mug is here.")
    store.answer(THREE, "Ann", Labels(correction=thought))
    whole = Correction(next_state="at: fridge 1", reward=0.0, done=False, reasoning="It opens.")
    store.answer(MALFORMED, "Ann", Labels(correction=whole))
    real_step = item_of(real(5), 1, "experience")
    store.answer(real_step, "Ann", Labels(correction=Correction(reward=1.0)))
    done = export(store, Keep(), "dpo", tmp_path / "out")
    plain, thinking, malformed = lines(done)
    assert plain["prompt"].endswith("<no_think>")
    assert plain["chosen"] == "<state>Nothing happens.</state><reward>0.0</reward><done>0</done>"
    assert plain["rejected"].startswith("<state>You pick up the mug 1.") and "<reward>0.1" in plain["rejected"]
    assert thinking["prompt"].endswith("<think>") and thinking["chosen"].startswith("No mug is here.</think><state>")
    assert thinking["rejected"].startswith("The mug is here")
    assert malformed["chosen"].startswith("It opens.</think>") and malformed["rejected"] == "zzz"
    assert malformed["prompt"].count("<action>") == 3, "the history stands before the step"
    assert manifest(done)["left_out"] == {"disputed": 1, "a real step, which no model wrote": 1}


def test_the_folder_for_the_hub_opens_as_a_data_set_with_a_card(store: AnnotationStore, tmp_path: Path) -> None:
    from datasets import load_dataset

    store.answer(TWO, "J|o <b>", FINE, 7200.0, role="adjudicator")
    done = export(store, Keep(), "hf", tmp_path / "out", licence="cc-by-4.0")
    found = load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))["train"]
    rows = {row["item_id"]: row for row in found}
    assert {item_id: row["status"] for item_id, row in rows.items()} == {
        ONE.item_id: "unanimous",
        TWO.item_id: "adjudicated",
        THREE.item_id: "single",
    }
    assert rows[TWO.item_id]["verdict"] == "fine" and len(rows[TWO.item_id]["answers"]) == 3
    assert rows[ONE.item_id]["corrected_next_state"] == "Nothing happens."
    card = (tmp_path / "out/README.md").read_text(encoding="utf-8")
    assert card.startswith('---\nlicense: "cc-by-4.0"\n')
    for line in ("| adjudicated | 1 |", "| Ann, annotator | 3 |", "| fine | 3 |", "| invented object | 2 |"):
        assert line in card
    assert "| J\\|o \\<b\\>, adjudicator | 1 |" in card
    assert "| verdict (nominal) | 0.00 | 2 | Ann, Bob: 0.00 |" in card
    assert "undefined (fewer than 2 items answered by more than one)" in card
    assert "3 items, 6 answers, 2.0 hours" in card and done.num_rows == 3


def test_commands_of_a_shell(store: AnnotationStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, workspace = tmp_path / "out", ["--workspace", str(store.workspace.path)]
    given = ["--error", "lost object", "--only", "disputed", "--run", "run 7"]
    assert main(["annotations", "export", *given, "--output", str(out), *workspace]) == 0
    told = json.loads((out / "manifest.json").read_text())
    keep = Keep(error="lost object", only="disputed", run="run 7")
    assert told["num_rows"] == 2 and told["command"] == command(keep, "jsonl")
    assert told["command"].endswith("export --format jsonl '--error=lost object' '--run=run 7' --only=disputed")
    other = Workspace.create(tmp_path / "other")
    assert main(["annotations", "import", str(out / "annotations.jsonl"), "--workspace", str(other.path)]) == 0
    assert "2 new of 2 versions" in capsys.readouterr().out
    (out / "annotations.jsonl").write_text("{")
    assert main(["annotations", "import", str(out / "annotations.jsonl"), "--workspace", str(other.path)]) == 1
    assert "line 1" in capsys.readouterr().err
    assert main(["annotations", "agreement", *workspace]) == 0
    text = capsys.readouterr().out
    assert "3 items: 0 adjudicated, 1 single, 1 unanimous, 0 majority, 1 disputed" in text
    assert "kappa of Ann and Bob 0.000 (2 items)" in text and "undefined: fewer than 2 items" in text
    assert main(["annotations", "agreement", "--json", *workspace]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["status"]["disputed"] == 1 and told["labels"][0]["kappas"][0]["annotators"] == ["Ann", "Bob"]


@pytest.mark.parametrize("format", FORMATS)
def test_hostile_text_and_no_text_are_written_in_every_format(format: Any, tmp_path: Path) -> None:
    store = AnnotationStore(Workspace.create(tmp_path / "mine"))
    assert export(store, Keep(), format, tmp_path / "empty").num_rows == 0
    note = HOSTILE + "\u2028\x00\ud800</think><state>"
    labels = Labels(note=note, correction=Correction(next_state=note, reward=0.5))
    store.answer(ONE, HOSTILE[:60], labels)
    assert export(store, Keep(), format, tmp_path / "out").num_rows == 1
    assert [path.name for path in (tmp_path / "out").iterdir() if path.suffix == ".part"] == []


def test_a_folder_that_cannot_be_written_is_named(store: AnnotationStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkspaceError, match="cannot write"):
        export(store, Keep(), "jsonl", tmp_path / "file")
