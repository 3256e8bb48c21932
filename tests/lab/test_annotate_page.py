"""What the Annotate tab does: which item is next, what is kept, what stays hidden, how answers are taken back."""

import json
import shlex
import zipfile
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from dreamgym.annotation.labels import AXES, ERROR_KINDS, ErrorMark, Labels
from dreamgym.annotation.store import AnnotationStore
from dreamgym.cli import main
from dreamgym.environments.pool import WorkerPool
from dreamgym.errors import AnnotationError, DreamGymError, WorkspaceError
from dreamgym.experience_model.versions import Versions
from dreamgym.replay_buffer.buffer import ReplayBuffer
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.reader import ExperienceReader
from dreamgym.runs.store import StoredRollout
from dreamgym.types import transition_id
from dreamgym.workspace import Workspace
from lab.annotate_page import AnnotatePage, Here
from lab.exporting import forget
from lab.navigation import Selection, follow
from lab.services import EnvironmentServices, Services
from lab.viewmodels.annotate import QUEUE_LABELS, Visit, checked_view, progress_text
from lab.viewmodels.episode import Dream
from lab.viewmodels.repair import repair_view
from tests.lab.experience import dream_malformed, dream_with_neighbours, real_success, store, task
from tests.lab.runs import WrittenRun

DREAM = dream_with_neighbours(real_success())
HEAT = transition_id(DREAM.trajectory_id, 4)
BROKEN = transition_id(dream_malformed().trajectory_id, 3)
FINE, LOST = {"is_fine": True}, {"errors": [{"kind": "lost object"}]}
DOUBTFUL = Selection("annotate", queue="doubtful")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace.create(tmp_path / "w")
    store(made.experience_path)
    return made


def page_of(workspace: Workspace, read_only: bool = False, pool: WorkerPool | None = None) -> AnnotatePage:
    reader = ExperienceReader([workspace.experience_path, workspace.lab_path])
    here = {"alfworld": EnvironmentServices(pool=pool)}
    return AnnotatePage(Services(workspace, reader, here, read_only=read_only))


@pytest.fixture
def page(workspace: Workspace) -> AnnotatePage:
    return page_of(workspace)


def at(item_id: str, **changes: str) -> Selection:
    trajectory, _, step = item_id.rpartition(".")
    return replace(DOUBTFUL, trajectory=trajectory, step=int(step), **changes)


def test_the_first_that_waits_is_shown_and_an_answered_one_gives_way(page: AnnotatePage):
    here = Here(DOUBTFUL, "mia")
    chosen = page.choose(here)
    queue, item = page.view(chosen, here.visit)
    assert item["id"] == queue["rows"][0]["id"] == chosen.selection.transition_id and queue["rows"][0]["current"]
    assert queue["done"] == 0 and queue["total"] == len({row["id"] for row in queue["rows"]})
    done = page.answer(here, item["id"], FINE, 12.0)
    after = Here(DOUBTFUL, "mia", Visit((done,), (), "2026-01-01T00:00:00+00:00"))
    queue, following = page.view(page.choose(after), after.visit)
    assert following["id"] != item["id"] and queue["done"] == 1 and following["can_undo"]
    assert (queue["rows"][0]["id"], queue["rows"][0]["done"]) == (item["id"], True)
    assert queue["pace"].startswith("median 12 s") and following["effect"][2] == {"value": "1", "label": "fine"}
    json.dumps([queue, following])


def test_a_skipped_item_comes_last_and_every_queue_says_what_it_is(page: AnnotatePage):
    first, second = (each.item_id for each, _ in page.choose(Here(DOUBTFUL, "mia")).rows[:2])
    chosen = page.choose(Here(DOUBTFUL, "mia", Visit(skipped=(first,))))
    assert chosen.selection.transition_id == second and chosen.rows[-1][0].item_id == first
    every = [each.item_id for each, _ in page.choose(Here(DOUBTFUL, "mia")).rows]
    again = page.choose(Here(DOUBTFUL, "mia", Visit(skipped=(*every[1:], every[0]))))
    assert again.selection.transition_id == every[1], "what was skipped first comes first again"
    for queue in QUEUE_LABELS:
        view, item = page.view(page.choose(Here(Selection("annotate", queue=queue, like=HEAT), "mia")), Visit())
        assert view["about"] and (view["rows"] or view["empty"]) and (item.get("id") or item["text"])


def test_a_queue_heeds_the_filters_and_says_which(page: AnnotatePage):
    for queue in ("random", "doubtful", "filter"):
        kept = Selection("annotate", queue=queue, world="dream", action_type="heat")
        view, item = page.view(page.choose(Here(kept, "mia")), Visit())
        assert view["total"] == 1 and item["id"] == HEAT and view["filters"] == "world dream, action heat"
        assert follow(kept, dict(parse_qsl(view["unfiltered"][1:], keep_blank_values=True))).action_type == ""
        view, _ = page.view(page.choose(Here(replace(kept, action_type="clean"), "mia")), Visit())
        assert view["total"] == 0 and "that the filters keep" in view["empty"]
    view, _ = page.view(page.choose(Here(Selection("annotate", queue="second", world="dream"), "mia")), Visit())
    assert view["filters"] == "", "that queue has no filter"


def test_more_like_a_step_of_a_run_is_looked_for_in_its_record_too(workspace: Workspace, page: AnnotatePage):
    played = [replace(DREAM, provenance=replace(DREAM.provenance, seed=number)) for number in (7, 8)]
    run = WrittenRun(workspace.runs_path, "a")
    run.iterate(1, rollouts=[StoredRollout(one) for one in played])
    run.say("done")
    run.store.close()
    first, second = (transition_id(one.trajectory_id, 4) for one in played)
    chosen = page.choose(Here(Selection("annotate", queue="like", like=first), "mia"))
    assert {each.item_id for each, _ in chosen.rows} == {second, HEAT}
    stored_alone = page.choose(Here(Selection("annotate", queue="like", like=BROKEN.replace(".3", ".2")), "mia"))
    assert second not in {each.item_id for each, _ in stored_alone.rows}


def test_an_address_opens_its_item_whatever_the_queue_and_one_of_nothing_says_so(page: AnnotatePage):
    chosen = page.choose(Here(at(BROKEN), "mia"))
    _, item = page.view(chosen, Visit())
    assert item["failure"] and item["texts"]["next_state"].startswith("<think>") and item["figures"] == []
    missing = page.choose(Here(at("tr-000000000000.1"), "mia"))
    assert "tr-000000000000.1" in missing.notice and missing.item is not None


def test_an_answer_is_kept_with_its_author_or_refused_with_a_reason(workspace: Workspace, page: AnnotatePage):
    answers = AnnotationStore(workspace)
    with pytest.raises(AnnotationError, match="who you are"):
        page.answer(Here(DOUBTFUL), HEAT, LOST, 1.0)
    with pytest.raises(AnnotationError, match="not both"):
        page.answer(Here(DOUBTFUL, "mia"), HEAT, {**LOST, "is_fine": True}, 1.0)
    with pytest.raises(WorkspaceError, match="no transition"):
        page.answer(Here(DOUBTFUL, "mia"), "tr-000000000000.1", FINE, 1.0)
    with pytest.raises(WorkspaceError, match="read-only"):
        page_of(workspace, read_only=True).answer(Here(DOUBTFUL, "mia"), HEAT, FINE, 1.0)
    assert answers.every_version() == []
    page.answer(Here(DOUBTFUL, "eve", login="mia"), HEAT, LOST, 1.0)
    decides = Here(Selection("annotate", queue="disputed"), "ann")
    with pytest.raises(AnnotationError, match="Nobody disagrees"):
        page.answer(decides, HEAT, FINE, 1.0)
    page.answer(Here(DOUBTFUL, "bob"), HEAT, FINE, 1.0)
    page.answer(decides, HEAT, FINE, 1.0)
    said = [(one.annotator, one.role) for one in answers.current()]
    assert said == [("mia", "annotator"), ("bob", "annotator"), ("ann", "adjudicator")]


def test_others_and_the_engine_stay_hidden_until_one_has_answered(page: AnnotatePage):
    page.answer(Here(DOUBTFUL, "bob"), HEAT, {**LOST, "note": "gone"}, 1.0)
    here = Here(at(HEAT), "mia")
    _, before = page.view(page.choose(here), Visit())
    assert before["others"] == [] and "until you submit" in before["engine_reason"]
    with pytest.raises(AnnotationError, match="Answer first"):
        page.engine(here)
    _, nobody = page.view(page.choose(Here(at(HEAT))), Visit())
    assert nobody["others"] == [] and not nobody["can_answer"]
    page.answer(here, HEAT, FINE, 1.0)
    queue, after = page.view(page.choose(here), Visit())
    assert after["others"] == [{"who": "bob", "said": "lost object", "correction": None, "note": "gone"}]
    assert after["mine"]["is_fine"] and queue["agreement"]["disputed"]["num"] == 1
    with pytest.raises(DreamGymError):
        page.engine(here)  # this lab has none, and says why
    assert after["engine_reason"]


def test_agreement_is_told_of_every_label_and_of_every_pair(page: AnnotatePage):
    steps = [transition_id(DREAM.trajectory_id, number) for number in (1, 2, 3)]
    for name, said in (("ann", (LOST, FINE, LOST)), ("bob", (LOST, FINE, FINE)), ("jo", (LOST, FINE, LOST))):
        for item_id, labels in zip(steps, said, strict=True):
            page.answer(Here(DOUBTFUL, name), item_id, labels, 1.0)
    told = page.view(page.choose(Here(at(HEAT), "ann")), Visit())[0]["agreement"]
    assert [row["label"] for row in told["rows"]] == ["verdict", "lost object"]
    assert {row["label"] for row in told["rows"] + told["more"]} == {"verdict", *ERROR_KINDS, *AXES}
    assert told["more"][-1]["alpha"] == "–" and told["more"][-1]["why"]
    verdict = [(row["pair"], row["kappa"], row["num"]) for row in told["pairs"] if row["label"] == "verdict"]
    assert verdict == [("ann and bob", ".40", 3), ("ann and jo", "1.0", 3), ("bob and jo", ".40", 3)]


def test_the_engine_says_what_really_happens(workspace: Workspace):
    class Played:
        """An engine in which the potato stays in the hand."""

        def reset(self, task):
            self.steps = iter(real_success().transitions)
            return task.first_state

        def step(self, action):
            return next(self.steps)

        def close(self):
            self.is_closed = True

    class Pool:
        environment = Played()

        def acquire(self, seconds: float):
            return self.environment

    page = page_of(workspace, pool=Pool())  # type: ignore[arg-type]
    here = Here(at(HEAT), "mia")
    page.answer(here, HEAT, LOST, 1.0)
    item_id, told = page.engine(here)
    assert item_id == HEAT
    assert ("insert", "potato 2 (hot)") in told["diff"] and not told["same"] and Pool.environment.is_closed


def test_a_step_of_a_dream_that_is_only_on_a_page_is_annotated_with_its_text(workspace: Workspace):
    page = page_of(workspace)
    live = replace(DREAM, transitions=DREAM.transitions[:2], provenance=replace(DREAM.provenance, policy="by hand"))
    name = page._services.live.keep(Dream(live.task, live.transitions), live)
    here = Here(at(f"{name}.2"), "mia")
    assert page.choose(here).item.source == "a dream on a page"
    assert page.choose(Here(at(f"{name}.3"), "mia")).notice
    page.answer(here, f"{name}.2", LOST, 1.0)
    kept = AnnotationStore(workspace).item(f"{name}.2")
    assert kept.transition.next_state == live.transitions[1].next_state, "it outlives the page"


def test_undo_brings_back_what_was_said_before_or_nothing(workspace: Workspace, page: AnnotatePage):
    here, answers = Here(at(HEAT), "mia"), AnnotationStore(workspace)
    first = page.answer(here, HEAT, LOST, 1.0)
    second = page.answer(here, HEAT, FINE, 1.0)
    page.undo(here, second)
    assert answers.current_of(HEAT, "mia").labels == Labels((ErrorMark("lost object"),))
    page.undo(here, first)
    assert answers.current_of(HEAT, "mia") is None and len(answers.versions(HEAT)) == 4
    with pytest.raises(WorkspaceError, match="read-only"):
        page_of(workspace, read_only=True).undo(here, first)


def test_undo_takes_back_what_was_said_as_whoever_it_was_said(workspace: Workspace, page: AnnotatePage):
    page.answer(Here(DOUBTFUL, "bob"), HEAT, LOST, 1.0)
    page.answer(Here(DOUBTFUL, "ann"), HEAT, FINE, 1.0)
    decided = page.answer(Here(Selection("annotate", queue="disputed"), "mia"), HEAT, LOST, 1.0)
    page.undo(Here(DOUBTFUL, "mia"), decided)
    assert [one.role for one in AnnotationStore(workspace).current()] == ["annotator", "annotator"]


def test_who_decides_sees_only_what_is_in_dispute(page: AnnotatePage):
    page.answer(Here(DOUBTFUL, "bob"), HEAT, LOST, 1.0)
    decides = Here(at(HEAT, queue="disputed"), "mia")
    assert page.view(page.choose(decides), Visit())[1]["others"] == [], "bob alone has answered: mia may yet"
    page.answer(Here(DOUBTFUL, "ann"), HEAT, FINE, 1.0)
    assert [each["who"] for each in page.view(page.choose(decides), Visit())[1]["others"]] == ["bob", "ann"]


def test_what_was_said_of_one_is_said_of_ticked_ones_like_it(workspace: Workspace, page: AnnotatePage):
    like = Here(Selection("annotate", queue="like", like=HEAT), "mia")
    with pytest.raises(AnnotationError, match="first"):
        page.answer_alike(like, [BROKEN])
    page.answer(like, HEAT, {**LOST, "note": "only here"}, 1.0)
    with pytest.raises(AnnotationError, match="Tick"):
        page.answer_alike(like, [])
    assert page.view(page.choose(like), Visit())[0]["apply"] == ["lost object"]
    first = transition_id(DREAM.trajectory_id, 1)
    assert [kept.item_id for kept in page.answer_alike(like, [first, first])] == [first]
    said = AnnotationStore(workspace).current_of(first, "mia").labels
    assert said.errors == (ErrorMark("lost object"),) and said.note == f"as {HEAT}" and said.correction is None


def test_a_person_exports_his_own_answers_and_nobody_elses(page: AnnotatePage):
    page.answer(Here(DOUBTFUL, "bob"), HEAT, {**LOST, "note": "bob's"}, 1.0)
    page.answer(Here(DOUBTFUL, "mia"), BROKEN, {**LOST, "note": "mia's"}, 1.0)
    path = page.export(Here(DOUBTFUL, "mia"), "jsonl")
    with zipfile.ZipFile(path) as file:
        told = file.read("annotations.jsonl").decode()
        assert set(file.namelist()) == {"annotations.jsonl", "manifest.json"}
    assert "mia's" in told and "bob's" not in told
    forget(str(path))
    assert not path.parent.exists()
    for name, format in (("", "jsonl"), ("mia", "../../etc")):
        with pytest.raises(DreamGymError):
            page.export(Here(DOUBTFUL, name), format)


def test_an_export_is_of_what_the_filters_keep_and_of_others_where_one_has_answered(
    workspace: Workspace, page: AnnotatePage, tmp_path: Path
):
    for name, item_id in (
        ("mia", HEAT),
        ("mia", BROKEN),
        ("bob", HEAT),
        ("bob", transition_id(DREAM.trajectory_id, 1)),
    ):
        page.answer(Here(DOUBTFUL, name), item_id, LOST, 1.0)
    here = Here(replace(DOUBTFUL, world="dream", action_type="heat"), "mia")
    assert page.view(page.choose(here), Visit())[0]["export_filter"] == "world dream, action heat"
    for everybody, filtered, expected in (
        (False, False, {("mia", HEAT), ("mia", BROKEN)}),
        (False, True, {("mia", HEAT)}),
        (True, False, {("mia", HEAT), ("mia", BROKEN), ("bob", HEAT)}),
        (True, True, {("mia", HEAT), ("bob", HEAT)}),
    ):
        with zipfile.ZipFile(page.export(here, "jsonl", everybody=everybody, filtered=filtered)) as file:
            written = file.read("annotations.jsonl").decode()
            command = json.loads(file.read("manifest.json"))["command"]
        rows = [json.loads(line) for line in written.splitlines()]
        assert {(row["annotation"]["annotator"], row["item"]["item_id"]) for row in rows} == expected
        again = [*shlex.split(command)[1:], "--workspace", str(workspace.path), "--output", str(tmp_path / "again")]
        assert main(again) == 0 and (tmp_path / "again" / "annotations.jsonl").read_text() == written


def test_what_a_repair_would_learn_from_is_counted_by_room(page: AnnotatePage):
    _, before = page.view(page.choose(Here(at(HEAT), "mia")), Visit())
    assert before["repair"]["command"] == "" and "Nothing to learn" in before["repair"]["text"]
    page.answer(Here(DOUBTFUL, "mia"), HEAT, {"correction": {"next_state": "Nothing happens."}}, 1.0)
    _, after = page.view(page.choose(Here(at(HEAT), "mia")), Visit())
    assert "1 of test and validation rooms only measure" in after["repair"]["text"]
    assert after["repair"]["command"] == "", "it would fail"
    told = repair_view(3, 0, {"lost object": 2}, "Ann O'Hara", "dreamgym repair")
    assert told["text"] == "3 corrected steps of train rooms, settled, of everybody."
    error, answers, method = ([each["options"] for each in one["values"]] for one in told["choices"])
    assert error == ["", "--error 'lost object'"] and answers[1] == shlex.join(["--annotator", "Ann O'Hara"])
    assert method == ["", "--method dpo", "--demonstrations-only"]
    assert len(repair_view(3, 0, {}, "", "dreamgym repair")["choices"][1]["values"]) == 1, (
        "nobody has said who they are"
    )


def test_a_person_is_told_what_came_of_the_labels(workspace: Workspace, page: AnnotatePage):
    dream = replace(DREAM, task=task(900, split="train"))
    with ReplayBuffer(workspace.lab_path, HashedNgrams()) as buffer:
        buffer.add(dream)
    first, second = (transition_id(dream.trajectory_id, number) for number in (3, 4))
    corrected = LOST | {"correction": {"next_state": "Nothing happens."}}
    for name, item_id, labels in (("mia", first, corrected), ("mia", second, LOST), ("bob", HEAT, corrected)):
        page.answer(Here(DOUBTFUL, name), item_id, labels, 1.0)
    folder = workspace.models_path / "repair-01"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    learned = {"annotations": {"learned": [first, HEAT]}}
    (folder / "repair.json").write_text(json.dumps(learned))
    version = Versions(workspace).register(folder, "alfworld", None, {"by": "repair"}).version_id

    def told(name: str) -> list[str]:
        return page.view(page.choose(Here(at(BROKEN), name)), Visit())[1]["led_to"]

    by_version = f"{version} learned from 1 step of mine."
    assert told("mia") == ["2 steps settled as wrong, barred from retrieval; 1 shown corrected.", by_version]
    assert told("bob") == ["1 step settled as wrong, barred from retrieval; 0 shown corrected.", by_version]
    assert told("jo") == []
    page.answer(Here(DOUBTFUL, "jo"), first, FINE, 1.0)
    assert told("mia")[0].startswith("1 step settled"), "the other is in dispute"


def test_a_repair_tells_no_kind_of_error_of_a_step_before_ones_own_answer(workspace: Workspace, page: AnnotatePage):
    dream = replace(DREAM, task=task(900, split="train"))
    with ReplayBuffer(workspace.lab_path, HashedNgrams()) as buffer:
        buffer.add(dream)
    item_id = transition_id(dream.trajectory_id, 4)
    page.answer(Here(DOUBTFUL, "bob"), item_id, LOST | {"correction": {"next_state": "Nothing happens."}}, 1.0)

    def kinds(name: str) -> list[str]:
        told = page.view(page.choose(Here(at(item_id), name)), Visit())[1]["repair"]
        return [each["label"] for each in told["choices"][0]["values"]]

    assert kinds("bob") == ["Any kind of error", "lost object (1)"]
    assert kinds("mia") == kinds("") == ["Any kind of error"]
    page.answer(Here(DOUBTFUL, "mia"), item_id, LOST, 1.0)
    assert kinds("mia") == ["Any kind of error", "lost object (1)"]


def test_a_repair_learns_what_was_chosen_and_how(workspace: Workspace, monkeypatch: pytest.MonkeyPatch):
    started: list[Path] = []
    monkeypatch.setattr("dreamgym.runs.folders.Folders.start", lambda _, folder, *rest: started.append(folder))
    dream = replace(DREAM, task=task(900, split="train"))
    with ReplayBuffer(workspace.lab_path, HashedNgrams()) as buffer:
        buffer.add(dream)
    page, here = page_of(workspace), Here(at(transition_id(dream.trajectory_id, 4)), "mia")
    with pytest.raises(AnnotationError, match="nothing to learn from"):
        page.repair(here)
    page.answer(here, here.selection.transition_id, LOST | {"correction": {"next_state": "Nothing happens."}}, 1.0)
    page.repair(here, "lost object", "demonstrations", mine=True)
    told = json.loads((started[0] / "job.json").read_text())
    assert (told["told"]["keep"]["error"], told["told"]["keep"]["annotator"]) == ("lost object", "mia")
    assert told["told"]["settings"]["method"] == "demonstrations"
    assert told["command"].endswith("--error 'lost object' --annotator mia --demonstrations-only")
    page.repair(here)
    assert not json.loads((started[1] / "job.json").read_text())["told"]["keep"]["error"]
    for problem, error, method in (("unknown error", "bad luck", "sft"), ("learns by one of", "", "magic")):
        with pytest.raises(AnnotationError, match=problem):
            page.repair(here, error, method)
    with pytest.raises(AnnotationError, match="nothing to learn from"):
        page.repair(replace(here, name="bob"), mine=True)
    with pytest.raises(AnnotationError, match="who you are"):
        page.repair(replace(here, name=""), mine=True)
    assert len(started) == 2


def test_a_correction_is_looked_at_while_it_is_written():
    dreamed = "You heat it.\nat: microwave 1\nholding: nothing\nhere: nothing"
    checked = checked_view("alfworld", dreamed, dreamed.replace("holding: nothing", "holding: potato 2 (hot)"))
    assert checked["ok"] and any("potato 2" in fact for _, fact in checked["facts"])
    assert not checked_view("alfworld", dreamed, "")["ok"]
    assert checked_view("nowhere", "a", "b")["diff"]


def test_the_pace_is_the_median_of_what_was_timed():
    assert progress_text([], 5) == "" and progress_text([0.0], 5) == ""
    assert progress_text([10, 20, 90, 0], 6) == "median 20 s an item, about 2 min left"
    assert progress_text([20], 0) == "median 20 s an item"
