"""Repair an experience model from what people have said of its dreams, and measure what that brings.

    settled annotations ─► lessons ─► rows, with old episodes among them ─► SFT or DPO on a copy ─► a new version
                             └─ held out, and of test rooms ─► dreamed before and after, as are recorded test episodes

The copy stands in a folder of its own with repair.json: what it was made of, how, and all figures. Without training,
corrections can also do their work as demonstrations alone: wrong steps are barred from retrieval, corrected ones shown.
"""

import json
import logging
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from dreamgym.annotation import measuring
from dreamgym.annotation.export import Keep
from dreamgym.annotation.lessons import Lessons, corrections, lessons, without
from dreamgym.annotation.repair_rows import replay_rows, step_rows
from dreamgym.annotation.store import AnnotationStore
from dreamgym.annotation.training_rows import dpo_rows
from dreamgym.config import check_not_empty, check_range, check_types, from_mapping
from dreamgym.engines.model_folder import model_name
from dreamgym.engines.registry import find_model
from dreamgym.errors import ConfigError
from dreamgym.experience_model import nano
from dreamgym.experience_model.chat_prompts import CompactForm, PromptForm, prompt_form
from dreamgym.experience_model.dataset import Segment
from dreamgym.experience_model.evaluate import evaluation_set
from dreamgym.experience_model.model import ExperienceModel
from dreamgym.experience_model.refresh import fixed_episodes, real_train_episodes, write_recipe
from dreamgym.experience_model.train import FitSettings, Watch, encode_rows, fit, fit_lora
from dreamgym.experience_model.versions import Versions
from dreamgym.replay_buffer.encoders import HashedNgrams
from dreamgym.replay_buffer.retrieval import Retriever
from dreamgym.results import origin
from dreamgym.runs.process import Control
from dreamgym.types import Trajectory
from dreamgym.workspace import Workspace

Method = Literal["sft", "dpo", "demonstrations"]
LEARNING_RATES: Mapping[Method, float] = {"sft": 5e-4, "dpo": 5e-5}
"""Where the settings name none."""
RECORD, TRAINED = "repair.json", "trained.json"
"""What a repair says in the end; what its training took, which is not done again when only the measuring is left."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RepairSettings:
    """How a model learns."""

    environment: str = "alfworld"
    """Whose annotations and model."""
    model: str = ""
    """A folder or a bundled name; empty: what the workspace uses for the environment."""
    method: Method = "sft"
    """"demonstrations" trains nothing: corrections only change what is retrieved."""
    steps: int = 60
    """Optimizer steps."""
    batch_size: int = 8
    """Rows in a step; in DPO half as many pairs."""
    learning_rate: float = 0.0
    """0: LEARNING_RATES."""
    replay: float = 0.5
    """SFT: share of the rows that are old real episodes, in [0, 1)."""
    lora_rank: int = 16
    """Of instruction models' adapters; nano's kind trains all its weights."""
    test_rooms: bool = False
    """Learn from annotated steps of test and validation rooms as well."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_types(self)
        check_not_empty("environment", self.environment)
        check_range("steps", self.steps, 1, 1_000_000)
        check_range("batch_size", self.batch_size, 2, 4096)
        check_range("learning_rate", self.learning_rate, 0.0, 1.0)
        check_range("lora_rank", self.lora_rank, 1, 1024)
        if not 0 <= self.replay < 1:
            raise ConfigError(f"replay is the share of rows that are old, from 0 to less than 1; got {self.replay}")

    @property
    def fit(self) -> FitSettings:
        """For the trainer."""
        rate = self.learning_rate or LEARNING_RATES[self.method]
        return FitSettings(self.steps, self.batch_size, rate, max_length=2048, seed=self.seed)


@dataclass(frozen=True, slots=True)
class MeasureSettings:
    """What is dreamed before and after."""

    hold_out: float = 0.2
    """Share of the train tasks whose annotated steps are not learned, to measure by, in [0, 1)."""
    tasks: int = -1
    """Test tasks whose recorded episodes are dreamed; 0: none, -1: all."""
    threads: int = 0
    """CPU threads, of training as well; 0: torch's choice."""

    def __post_init__(self) -> None:
        """Check types and ranges."""
        check_types(self)
        check_range("tasks", self.tasks, -1, 1_000_000)
        check_range("threads", self.threads, 0, 1024)
        if not 0 <= self.hold_out < 1:
            raise ConfigError(f"hold_out is a share of the tasks, from 0 to less than 1; got {self.hold_out}")


@dataclass(frozen=True, slots=True)
class Repair:
    """All that a repair is told."""

    workspace: Path
    keep: Keep = field(default_factory=Keep)
    settings: RepairSettings = field(default_factory=RepairSettings)
    measure: MeasureSettings = field(default_factory=MeasureSettings)
    buffer: Path | None = None
    """Real train episodes for replay and demonstrations; None: the workspace's."""
    command: str = ""
    """What repeats it."""
    last_answer: int | None = None
    """Number of the last row of answers that counts, see `AnnotationStore`; None: all that there are."""

    @property
    def num_reports(self) -> int:
        """Optimizer steps, and the measuring behind them."""
        return 1 if self.settings.method == "demonstrations" else self.settings.steps + 1


def repair_record(one: Repair) -> dict[str, Any]:
    """Write what a repair is told as plain values, for JSON."""
    buffer = None if one.buffer is None else str(one.buffer.absolute())
    return asdict(one) | {"workspace": str(one.workspace.absolute()), "buffer": buffer}


def read_repair(record: Mapping[str, Any]) -> Repair:
    """Read what `repair_record` wrote; ConfigError or AnnotationError for what cannot be."""
    return Repair(
        workspace=Path(record["workspace"]),
        keep=Keep(**record["keep"]),
        settings=from_mapping(RepairSettings, record["settings"]),
        measure=from_mapping(MeasureSettings, record["measure"]),
        buffer=None if record["buffer"] is None else Path(record["buffer"]),
        command=record["command"],
        last_answer=record.get("last_answer"),
    )


def repair(told: Repair, folder: Path, control: Control) -> dict[str, Any]:
    """Train and measure; a second call with the same folder goes on from the last checkpoint.

    Args:
        told: What to do.
        folder: Gets weights, tokenizer, recipe.json and repair.json; the version that is registered.
        control: The process around it.

    Returns:
        What repair.json says.

    Raises:
        AnnotationError: There is nothing to learn from.
        ConfigError: There is nothing to replay, or this model cannot be trained so.
        EngineError: There is no such model.
        FitStoppedError: A stop was asked for.
    """
    start, settings = time.perf_counter(), told.settings
    store = AnnotationStore(Workspace.open(told.workspace), told.last_answer)
    versions = Versions(store.workspace)
    source = Path(find_model(settings.model or versions.model(settings.environment)))
    found = lessons(
        store,
        told.keep,
        settings.environment,
        hold_out=told.measure.hold_out,
        test_rooms=settings.test_rooms,
        seed=settings.seed,
    )
    log.info(
        "%d lessons, %d steps to measure by, left out: %s", len(found.learned), len(found.held_out), found.left_out
    )
    old = fixed_episodes(folder, "replayed", _episodes(told, store))
    test = _test_episodes(told)
    retriever = _retriever(told, store)
    before = _examine(source, found, test, retriever, told)
    control.report(0, "measured the model as it is", None)
    repaired, trained = source, {}
    if settings.method == "demonstrations":
        retriever.correct(without(corrections(store, told.keep), found.held_out))
    else:
        trained = train(source, found, old, retriever, told, folder, _watch(control, settings.steps))
        repaired = folder
    after = _examine(repaired, found, test, retriever, told)
    record = {
        "model": model_name(repaired),
        "parent": model_name(source),
        "annotations": _told_of(found),
        **repair_record(told),
        "trained": trained,
        **_figures(found, before, after),
        "minutes": (time.perf_counter() - start) / 60,
        **origin(told.command),
    }
    _write(folder / RECORD, record)
    if trained:
        made = {"by": "repair", "command": told.command, "num_annotations": len(found.learned)}
        versions.register(folder, settings.environment, record["parent"], made, _scores(record))
    control.report(told.num_reports, "measured the repaired model", None)
    return record


def train(
    source: Path,
    found: Lessons,
    old: Sequence[Trajectory],
    retriever: Retriever,
    told: Repair,
    folder: Path,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Train a copy of the model in `source` on lessons and old episodes, into `folder`, unless that is done.

    Returns:
        Amounts, loss and time, as trained.json has them.

    Raises:
        ConfigError: DPO of an instruction model, or of no pair; nothing to replay.
    """
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch

    done, settings = folder / TRAINED, told.settings
    if done.exists():
        return dict(json.loads(done.read_text(encoding="utf-8")))
    fit_settings = replace(settings.fit, threads=told.measure.threads)
    form = prompt_form(TransformersEngine(source))
    amounts: dict[str, Any]
    if settings.method == "dpo":
        from dreamgym.training.preference import fit_pairs

        if not isinstance(form, CompactForm):
            raise ConfigError("DPO is for models that know the tags, as nano's kind does; repair this one by SFT")
        unpaired: Counter[str] = Counter()
        pairs = list(dpo_rows(((one.item, one.resolution) for one in found.learned), unpaired))
        result = fit_pairs(*nano.load(source), pairs, fit_settings, folder, watch)
        amounts = {"unpaired": unpaired}
    else:
        num = settings.steps * settings.batch_size
        num_old = round(settings.replay * num)
        if num_old and not old:
            raise ConfigError("there is no real train episode to replay: dreamgym collect, --buffer FILE or --replay 0")
        rows = list(step_rows([one.step for one in found.learned], retriever, form, num - num_old, settings.seed))
        rows += replay_rows(old, retriever, form, num_old, settings.seed) if num_old else ()
        result = fit_rows(source, form, rows, fit_settings, folder, settings.lora_rank, watch)
        amounts = {"num_lesson_rows": num - num_old, "num_replayed_rows": num_old}
    # No new real transition: corrections are no steps of a real environment.
    write_recipe(source, folder, {"num_transitions": 0, "num_annotations": len(found.learned), **amounts, **result})
    trained = {**amounts, **result, "settings": asdict(fit_settings)}
    _write(done, trained)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return trained


def fit_rows(
    source: Path,
    form: PromptForm,
    rows: Sequence[list[Segment]],
    settings: FitSettings,
    folder: Path,
    lora_rank: int = 16,
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Train a copy of the model in `source` on rows: all weights of nano's kind, adapters of an instruction model."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(source)
    dataset = encode_rows(rows, tokenizer, settings.max_length)
    if isinstance(form, CompactForm):
        return asdict(fit(*nano.load(source), dataset, settings, folder, watch))
    return fit_lora(str(source), tokenizer, dataset, settings, lora_rank, folder, watch)


def _episodes(told: Repair, store: AnnotationStore) -> list[Trajectory]:
    if told.buffer is not None and not told.buffer.exists():
        raise ConfigError(f"there is no buffer {told.buffer}; make one with dreamgym collect, or leave --buffer out")
    if told.settings.method != "sft" or not told.settings.replay:
        return []
    return real_train_episodes([told.buffer or store.workspace.experience_path], told.settings.environment)


def _test_episodes(told: Repair) -> list[Trajectory]:
    tasks = told.measure.tasks
    return evaluation_set(told.settings.environment, "test", None if tasks < 0 else tasks) if tasks else []


def _retriever(told: Repair, store: AnnotationStore) -> Retriever:
    files = [told.buffer or store.workspace.experience_path]
    environment = told.settings.environment
    return Retriever(files, HashedNgrams(), ("train",), read_only=True, environment=environment)


def _examine(
    model: Path, found: Lessons, test: Sequence[Trajectory], retriever: Retriever, told: Repair
) -> measuring.Examined:
    from dreamgym.engines.transformers_engine import TransformersEngine  # noqa: PLC0415  loads torch

    dreamer = ExperienceModel(TransformersEngine(model, num_threads=told.measure.threads or None))
    return measuring.examine(dreamer, found.learned, found.held_out, test, retriever)


def _figures(found: Lessons, before: measuring.Examined, after: measuring.Examined) -> dict[str, Any]:
    types = sorted({one.action_type for one in found.learned if one.is_corrected})
    return {
        "action_types": types,
        "before": measuring.figures(before, types),
        "after": measuring.figures(after, types),
        "change": measuring.changes(before, after, types),
    }


def _watch(control: Control, steps: int) -> Watch:
    def watch(step: int) -> bool:
        control.report(step, f"{step} of {steps} optimizer steps", None)
        return control.should_stop()

    return watch


def _told_of(found: Lessons) -> dict[str, Any]:
    return {
        "learned": [one.item.item_id for one in found.learned],
        "num_learned": len(found.learned),
        "num_corrected": sum(one.is_corrected for one in found.learned),
        "held_out": [one.item.item_id for one in found.held_out],
        "left_out": dict(found.left_out),
    }


def _scores(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: record["after"][name]["value"] for name in ("items", "held_out", "test_elsewhere")}


def _write(path: Path, record: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def work(told: Mapping[str, Any], folder: Path, control: Control) -> str:
    """Do a repair as a job (`runs.jobs`): what `repair_record` wrote."""
    record = repair(read_repair(told), folder, control)
    change = record["change"]["items"]
    more, fewer = f"{change['gained']} annotated steps are right that were not", f"{change['lost']} no longer"
    return f"{record['model']}: of {change['n']}, {more}, {fewer}; {RECORD} has all figures"
