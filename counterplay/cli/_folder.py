"""Run folders: what a run is, what it has become, and who is writing it."""

import subprocess
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, UTC
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import tomli_w
import torch
from pyarrow import csv, parquet

from counterplay import __version__
from counterplay._atomic import make_folder, write_atomically
from counterplay._bank import Bank
from counterplay._checkpoint import FolderCheckpoints
from counterplay._lock import locked
from counterplay._recipe import Recipe
from counterplay._retrain import removed as without
from counterplay._sealed import CHECKSUM, checksum, dumps, loads
from counterplay._toml import read_anchored, read_toml
from counterplay._trajectory import make_plan, Plan, Trajectory
from counterplay.cli._place import is_temporary, place, RUNS
from counterplay.errors import RunError
from counterplay.game import Columns


FORMAT = 1  # raised when older folders cannot be read any more
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class RunFolder:
    """A folder with one run in it.

    Attributes:
        path: Where it is.
        recipe: What is played.
        facts: The table `[run]`: where, when and with what it was played.
    """

    path: Path
    recipe: Recipe
    facts: dict[str, Any]

    @classmethod
    def create(
        cls,
        recipe: Recipe,
        out: Path | None = None,
        *,
        threads: int = 1,
        removed: Sequence[str] = (),
        **facts: Any,
    ) -> Self:
        """Make a folder that begins with its complete `run.toml`.

        Args:
            recipe: What is played.
            out: Where; the next number in `runs` if left out.
            threads: Of the computation, now and whenever the folder is opened.
            removed: Ids of instances whose weight is 0.
            facts: Further entries of the table `[run]`.

        Returns:
            The folder, numbered and named by game and data.

        Raises:
            RunError: If there is something at `out` already, or it cannot be written.
        """
        torch.set_num_threads(threads)
        recipe.require_playable()  # a folder that can hold no run would be in the way
        facts = {
            "format": FORMAT,
            "version": __version__,
            "commit": _commit(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "device": recipe.numerics.device,
            "threads": threads,
            "data": recipe.splits.train.fingerprint,
            **({"removed": _hash_of(removed)} if removed else {}),
            **facts,
        }
        text = _toml(recipe, facts)
        name = f"{recipe.game['name']}-{recipe.data['name']}".replace("/", "_")
        files = {"run.toml": text}
        if removed:
            files["removed.txt"] = "".join(f"{name}\n" for name in removed)
        path = place(files, out, name)
        return cls(path, _with_data_of(recipe, tomllib.loads(text)), facts)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read a folder, and compute as it was computed.

        Raises:
            RunError: If there is no run, it has another format, or its data has changed.
        """
        if not (path / "run.toml").is_file():
            raise RunError(
                f"There is no run in {str(path)!r}: it has no run.toml. `counterplay play` "
                f"makes run folders, in {str(RUNS)!r} unless told otherwise."
            )
        tables = read_tables(path)
        facts = tables.pop("run", {})
        if facts.get("format") != FORMAT:
            raise RunError(
                f"The run {str(path)!r} was written by Counterplay "
                f"{facts.get('version', 'of an unknown version')} in format "
                f"{facts.get('format')!r}; this is {__version__}, which reads format "
                f"{FORMAT}. Use that version, or play the run again with `--from {path}`."
            )
        recipe = Recipe.from_tables(tables)
        found = recipe.splits.train.fingerprint
        if found != facts["data"]:
            raise RunError(
                f"The data of {str(path)!r} has changed: the training set "
                f"{recipe.data['name']!r} has fingerprint {found}, but the run was played "
                f"on {facts['data']}. Bring the original data back, or play a new run."
            )
        torch.set_num_threads(facts["threads"])  # another number gives other last bits
        return cls(path, recipe, facts)

    @contextmanager
    def locked(self) -> Iterator[Self]:
        """Keep other processes from writing here.

        Yields:
            The folder.
        """
        with interruptible(self.path), locked(self.path / "lock"):
            sweep(self.path)
            yield self

    @property
    def data(self) -> Columns:
        """The training set."""
        return self.recipe.splits.train

    @property
    def plan(self) -> Plan:
        """The draws and the weights of the run.

        Raises:
            RunError: If the list of those left out is damaged.
        """
        table = self.recipe.tables()["play"]
        rows = {name: row for row, name in enumerate(self.data.ids)}
        weights = torch.ones(len(self.data), dtype=torch.float64)
        gone = self.removed
        unknown = [name for name in gone if name not in rows]
        if unknown or _hash_of(gone) != self.facts.get("removed", _hash_of(gone)):
            raise RunError(
                f"{str(self.path / 'removed.txt')!r} is damaged: it does not name the "
                "instances that the run was played without. Bring it back from a copy, or "
                "play the run again with `counterplay retrain`."
            )
        return make_plan(
            self.data,
            batch_size=table["batch_size"],
            seed=table["seed"],
            weights=without(weights, [rows[name] for name in gone]),
            numerics=replace(self.recipe.numerics, n_ranks=self.facts.get("ranks", 1)),
        )

    @property
    def removed(self) -> list[str]:
        """Ids of the instances whose weight is 0."""
        path = self.path / "removed.txt"
        return path.read_text(errors="replace").splitlines() if path.exists() else []

    @property
    def n_steps(self) -> int:
        """Moves of the whole run."""
        return self.recipe.tables()["play"]["n_steps"]

    @property
    def checkpoints(self) -> FolderCheckpoints:
        """The kept states."""
        run = f"{self.recipe.identity}/{self.facts.get('without', '')}"
        return FolderCheckpoints(self.path / "checkpoints", run=run)

    @property
    def bank(self) -> Bank:
        """The finished retrainings."""
        return Bank(self.path / "bank.jsonl")

    def trajectory(self, *, tolerate_drift: bool = False) -> Trajectory:
        """The finished run.

        Args:
            tolerate_drift: Whether its replays may differ from the record.

        Returns:
            The run.

        Raises:
            RunError: If it is not finished.
        """
        checkpoints = self.checkpoints
        if self.n_steps not in checkpoints:
            reached = max(checkpoints, default=0)
            raise RunError(
                f"The run {str(self.path)!r} ends at move {reached} of {self.n_steps}. "
                f"Finish it with `counterplay play --resume --out {self.path}`."
            )
        prints = {move: checkpoints.fingerprint_of(move) for move in checkpoints}
        found = Trajectory(self.plan, self.n_steps, checkpoints, prints)
        return found.tolerant() if tolerate_drift else found

    def write(self, name: str, content: bytes | str) -> None:
        """Replace a file."""
        path = self.path / name
        make_folder(path.parent)
        write_atomically(path, content.encode() if isinstance(content, str) else content)

    def write_json(self, name: str, value: Any) -> None:
        """Replace a file by what `value` is as JSON."""
        self.write(name, dumps(value))

    def write_table(self, name: str, rows: Rows) -> None:
        """Replace a table, as CSV or Parquet."""
        write_table(self.path / name, rows)

    def read_json(self, name: str, missing: Any = None) -> Any:
        """What a file holds, or `missing`.

        Raises:
            RunError: If it is damaged.
        """
        path = self.path / name
        try:
            return loads(path.read_bytes()) if path.exists() else missing
        except ValueError as error:
            raise RunError(
                f"{str(path)!r} is damaged: {error}. Delete it, and repeat the command "
                "that wrote it with `--resume`."
            ) from error

    def note(self, **facts: Any) -> None:
        """Add entries to the table `[run]`."""
        self.facts.update(facts)
        self.write("run.toml", _toml(self.recipe, self.facts))


def read_tables(path: Path) -> dict[str, Any]:
    """The tables of a recipe, or of the run in a folder with the checksum taken off.

    Raises:
        RunError: If the run is not what was written.
    """
    if not path.is_dir():
        return read_anchored(path)
    tables = read_toml(path / "run.toml")
    facts = tables.get("run", {})
    claimed = facts.pop(CHECKSUM, None)
    known = facts.get("format", FORMAT) == FORMAT  # others may seal in another way
    if "format" not in facts or (known and claimed not in (None, checksum(tables))):
        raise RunError(
            f"{str(path / 'run.toml')!r} is not what was written: it is damaged or was "
            "edited. Undo the change; or if it is meant, delete the line that begins with "
            f"`{CHECKSUM} =`."
        )
    return tables


def _toml(recipe: Recipe, facts: Mapping[str, Any]) -> str:
    text = tomli_w.dumps({**recipe.tables(), "run": facts})
    return f'{text}{CHECKSUM} = "{checksum(tomllib.loads(text))}"\n'


def _hash_of(removed: Sequence[str]) -> str:
    return checksum({"removed": list(removed)})


@contextmanager
def interruptible(path: Path) -> Iterator[None]:
    """Give an interrupt the folder in which it happened.

    Yields:
        Nothing.

    Raises:
        KeyboardInterrupt: After Ctrl-C, with the folder.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(path) from interrupt


def write_table(path: Path, rows: Rows) -> None:
    """Write rows as CSV or Parquet, by the name of the file."""
    columns = dict.fromkeys(name for row in rows for name in row)
    write_columns(path, {name: [row.get(name) for row in rows] for name in columns})


def write_columns(path: Path, columns: Mapping[str, Any]) -> None:
    """Write columns of equal length as CSV or Parquet, by the name of the file."""
    table = pa.table(dict(columns))
    content = pa.BufferOutputStream()
    write = parquet.write_table if path.suffix == ".parquet" else csv.write_csv
    write(table, content)
    write_atomically(path, content.getvalue().to_pybytes())


def _with_data_of(recipe: Recipe, tables: Mapping[str, Any]) -> Recipe:
    """The recipe as `run.toml` holds it, without loading the data once more."""
    known = {name: table for name, table in tables.items() if name != "run"}
    return Recipe.from_tables(known).sharing(recipe)


def _commit() -> str:
    """The commit of the code, if it is a checkout; empty otherwise."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=5,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def sweep(folder: Path) -> None:
    """Delete what writes that a kill interrupted left behind."""
    for path in folder.rglob(".*"):
        if is_temporary(path):
            with suppress(OSError):
                path.unlink()
