"""The file that Inspect hands out: what its filters keep, in a zip whose folder is not kept."""

import json
import zipfile
from pathlib import Path

import pytest

from dreamgym.errors import ConfigError, WorkspaceError
from dreamgym.replay_buffer.reader import ExperienceReader
from lab import exporting
from lab.exporting import export_zip, forget
from lab.navigation import parse
from tests.lab.experience import store


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperienceReader:
    store(tmp_path / "experience.sqlite")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    return ExperienceReader([tmp_path / "experience.sqlite"])


def test_the_filters_of_the_address_hold(reader: ExperienceReader, tmp_path: Path) -> None:
    path = export_zip(reader, parse("?tab=inspect&world=dream&q=heat&p=7"), "jsonl")
    assert path.name == "dreamgym-transitions-2-jsonl.zip"
    with zipfile.ZipFile(path) as file:
        assert file.namelist() == ["transitions.jsonl", "manifest.json"]
        assert json.loads(file.read("manifest.json"))["filter"] == {"world": "dream", "text": "heat"}
        assert len(file.read("transitions.jsonl").splitlines()) == 2
    forget(str(path))
    assert not list((tmp_path / "temporary").iterdir())
    whole = export_zip(reader, parse("?tab=inspect&rows=trajectories&world=dream"), "parquet")
    assert whole.name == "dreamgym-trajectories-3-parquet.zip"


def test_what_is_refused_leaves_nothing(
    reader: ExperienceReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(WorkspaceError, match="the formats are jsonl, parquet"):
        export_zip(reader, parse("?tab=inspect"), "csv")
    monkeypatch.setattr(exporting, "MAX_ROWS", 3)
    with pytest.raises(ConfigError, match="in a shell"):
        export_zip(reader, parse("?tab=inspect"), "jsonl")
    monkeypatch.setattr(exporting, "MAX_TRAJECTORIES", 2)
    with pytest.raises(ConfigError, match="more than the page writes"):
        export_zip(reader, parse("?tab=inspect&rows=trajectories"), "jsonl")
    assert not list((tmp_path / "temporary").iterdir())


def test_only_a_folder_of_an_export_is_removed(tmp_path: Path) -> None:
    kept = tmp_path / "dreamgym-export-mine" / "file.zip"
    kept.parent.mkdir()
    kept.touch()
    forget(str(kept))
    forget("")
    assert kept.exists()
