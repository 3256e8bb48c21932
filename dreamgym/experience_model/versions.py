"""The experience models of a workspace: where each came from, what it scored, and which one is in use.

A version is a folder with its checksum. Promoting one and rolling back add a line to lab.sqlite: no folder is ever
overwritten or deleted, and what was in use before can always be told. Where nothing was promoted, the bundled model
dreams.
"""

import json
import shlex
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from dreamgym.engines.model_folder import EXPERIENCE_MODELS, SHORT_NAMES, experience_model_of, model_name
from dreamgym.environments import ENVIRONMENTS
from dreamgym.errors import ConfigError, EngineError, WorkspaceError
from dreamgym.replay_buffer.schema import BUSY_TIMEOUT_SECONDS, check, database_errors, open_for_writing, uri
from dreamgym.workspace import Workspace

VERSIONS_FROM = 10
"""The first schema with `model_versions`."""
DISCARDS_FROM = 11
"""The first schema with `model_discards`."""

Choice = Literal["promote", "rollback"]


@dataclass(frozen=True, slots=True)
class Version:
    """One experience model."""

    version_id: str
    """Name and checksum of its weights, as `model_folder.model_name` writes them and runs name their model."""
    environment: str
    folder: Path
    parent: str | None
    """The id or name of the model that it was made of; None: unknown."""
    made: Mapping[str, Any]
    """How: "by" ("repair", "refresh", "import"), the command and what else is worth keeping."""
    scores: Mapping[str, Any]
    """Figures, by name; empty: not measured."""
    registered_at: str
    """UTC, ISO 8601."""

    @property
    def checksum(self) -> str:
        """Of the weights."""
        return self.version_id.rpartition("@")[2]

    def check(self) -> None:
        """Raise EngineError unless the folder holds the very weights that were registered."""
        found = model_name(self.folder).rpartition("@")[2]
        if found != self.checksum:
            raise EngineError(f"the weights in {self.folder} have changed: their checksum is {found}")


VersionList = list[Version]
Rows = list[sqlite3.Row]


class Versions:
    """Reads and writes the versions of a workspace; threads and processes may share them.

    All raise WorkspaceError for a file that is locked, full, read-only or damaged.
    """

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.path = workspace.lab_path

    def register(
        self,
        folder: Path,
        environment: str,
        parent: str | None,
        made: Mapping[str, Any],
        scores: Mapping[str, Any] | None = None,
    ) -> Version:
        """Add a version; it is not in use yet. The same weights in the same folder are one version, registered once.

        One that was discarded comes back.

        Raises:
            ConfigError: There is no such environment.
            EngineError: There is no model in `folder`.
            WorkspaceError: The name and the weights are registered already, of another folder or environment.
        """
        if environment not in ENVIRONMENTS:
            raise ConfigError(f"unknown environment {environment!r}; choose from {', '.join(ENVIRONMENTS)}")
        version_id = model_name(folder)
        stored = {
            "version_id": version_id,
            "environment": environment,
            "folder": self._stored(folder),
            "parent": parent,
            "made": json.dumps(dict(made)),
            "scores": json.dumps(dict(scores or {})),
            "registered_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        with self.workspace.write_lock("lab"), database_errors(self.path):
            known = {one.version_id: one for one in self._all()}.get(version_id)
            if known is None:
                with closing(open_for_writing(self.path)) as database:
                    database.table("model_versions").insert(stored)
                return self.version(version_id)
        if (self._stored(known.folder), known.environment) != (stored["folder"], environment):
            raise WorkspaceError(
                f"{version_id} is registered already, for {known.environment} in {known.folder}: "
                "rename one of the two folders"
            )
        if version_id in self._discarded():
            lock = self.workspace.write_lock("lab")
            with lock, database_errors(self.path), closing(open_for_writing(self.path)) as database:
                database.table("model_discards").delete(version_id)
        return known

    def add_command(self, version: Version) -> str:
        """What registers a version again."""
        words = ["dreamgym", "models", "add", str(version.folder), "--environment", version.environment]
        return shlex.join([*words, "--workspace", str(self.workspace.path)])

    def discard(self, version_id: str) -> Version:
        """Take a version off the list; its folder stays, and registering it again brings it back.

        Raises:
            WorkspaceError: There is no such version, or it is in use, or a roll back would bring it into use.
        """
        version = self.version(version_id)
        row = {"version_id": version.version_id, "discarded_at": datetime.now(UTC).isoformat(timespec="milliseconds")}
        with self.workspace.write_lock("lab"), database_errors(self.path):
            if version.version_id in (in_use := self._in_use(version.environment)):
                state = "is in use" if version.version_id == in_use[-1] else "comes into use again with a roll back"
                raise WorkspaceError(f"{version.version_id} {state} for {version.environment}: roll back first")
            with closing(open_for_writing(self.path)) as database:
                database.table("model_discards").insert(row)
        return version

    def list(self, environment: str | None = None) -> VersionList:
        """Return all versions that were not discarded, oldest first; None: of every environment."""
        discarded = self._discarded()
        chosen = [one for one in self._all() if one.version_id not in discarded]
        return [one for one in chosen if environment in (None, one.environment)]

    def version(self, version_id: str) -> Version:
        """Return one version by its id, or by its folder's name where that is one version's alone.

        Raises:
            WorkspaceError: There is none, or more than one.
        """
        every = self.list()
        found = [one for one in every if one.version_id == version_id]
        found = found or [one for one in every if one.version_id.rpartition("@")[0] == version_id]
        if len(found) != 1:
            known = ", ".join(one.version_id for one in every) or "none yet"
            what = "more than one version is called" if found else "there is no version"
            raise WorkspaceError(f"{what} {version_id!r} in {self.workspace.path}; there are: {known}")
        return found[0]

    def promoted(self, environment: str) -> Version | None:
        """Return the version in use; None: the bundled model."""
        in_use = self._in_use(environment)
        return self.version(in_use[-1]) if in_use else None

    def promote(self, version_id: str) -> Version:
        """Use a version from now on: in the lab when it starts, in runs when they are launched; live ones keep theirs.

        Raises:
            EngineError: Its folder is missing or damaged.
            WorkspaceError: There is no such version, or it is in use already.
        """
        version = self.version(version_id)
        version.check()
        with self.workspace.write_lock("lab"):
            if self._in_use(version.environment)[-1:] == (version.version_id,):
                raise WorkspaceError(f"{version.version_id} is in use for {version.environment} already")
            self._add(version.environment, "promote", version.version_id)
        return version

    def rollback(self, environment: str) -> Version | None:
        """Use again what was in use before the last promotion, and say what that is; None: the bundled model.

        Raises:
            WorkspaceError: The bundled model is in use.
        """
        with self.workspace.write_lock("lab"):
            if not self._in_use(environment):
                raise WorkspaceError(f"nothing is promoted for {environment}: its bundled model is in use")
            self._add(environment, "rollback", None)
        return self.promoted(environment)

    def model(self, environment: str) -> str:
        """Return the folder of the model that dreams an environment here: the promoted version, or the bundled model.

        Raises:
            EngineError: That version's folder is missing or damaged, or no model is bundled. Nothing takes its place.
        """
        version = self.promoted(environment)
        if version is None:
            return experience_model_of(environment)
        try:
            version.check()
        except EngineError as error:
            raise EngineError(
                f"the promoted model of {environment}, {version.version_id}, cannot be used ({error}): put its folder "
                f"back, or go back with dreamgym models rollback --environment {environment} "
                f"--workspace {self.workspace.path}"
            ) from error
        return str(version.folder)

    def named(self, name: str, environment: str) -> str:
        """Return what a model's name in a run's settings means here: "nano" and the like stand for `model`.

        The bundled folder's own name ("nano-experience-model") is always the bundled model.
        """
        bundled = EXPERIENCE_MODELS.get(environment)
        is_default = bundled is not None and SHORT_NAMES.get(name) == bundled
        return self.model(environment) if is_default and self.promoted(environment) else name

    def _all(self) -> VersionList:
        return [self._version(row) for row in self._query("SELECT * FROM model_versions ORDER BY rowid")]

    def _discarded(self) -> set[str]:
        rows = self._query("SELECT version_id FROM model_discards", since=DISCARDS_FROM)
        return {row["version_id"] for row in rows}

    def _in_use(self, environment: str) -> tuple[str, ...]:
        """What is in use, and below it what was before, oldest first."""
        stack: list[str] = []
        sql = "SELECT choice, version_id FROM model_choices WHERE environment = ? ORDER BY id"
        for row in self._query(sql, [environment]):
            if row["choice"] == "promote":
                stack.append(row["version_id"])
            else:
                stack.pop()
        return tuple(stack)

    def _add(self, environment: str, choice: Choice, version_id: str | None) -> None:
        row = {
            "environment": environment,
            "choice": choice,
            "version_id": version_id,
            "chosen_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        with database_errors(self.path), closing(open_for_writing(self.path)) as database:
            database.table("model_choices").insert(row)

    def _stored(self, folder: Path) -> str:
        """A folder as it is stored: of the workspace relative to it, so that both may be moved together."""
        path, home = folder.resolve(), self.workspace.path.resolve()
        return str(path.relative_to(home) if path.is_relative_to(home) else path)

    def _version(self, row: sqlite3.Row) -> Version:
        return Version(
            version_id=row["version_id"],
            environment=row["environment"],
            folder=self.workspace.path / row["folder"],
            parent=row["parent"],
            made=json.loads(row["made"]),
            scores=json.loads(row["scores"]),
            registered_at=row["registered_at"],
        )

    def _query(self, sql: str, values: Sequence[object] = (), since: int = VERSIONS_FROM) -> Rows:
        if not self.path.exists() or check(self.path) < since:
            return []
        with (
            database_errors(self.path),
            closing(sqlite3.connect(uri(self.path, "ro"), uri=True, timeout=BUSY_TIMEOUT_SECONDS)) as connection,
        ):
            connection.row_factory = sqlite3.Row
            return connection.execute(sql, values).fetchall()
