"""Run folders: what a run is, what it has become, and who is writing it."""

import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, UTC
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import tomli_w
import torch
from pyarrow import csv, parquet

from counterplay import __version__
from counterplay._atomic import write_atomically
from counterplay._checkpoint import FolderCheckpoints
from counterplay._recipe import read_toml, Recipe
from counterplay._retrain import Bank, removed as without
from counterplay._trajectory import make_plan, Plan, Trajectory
from counterplay.errors import RunError
from counterplay.game import Columns


FORMAT = 1  # raised when older folders cannot be read any more
RUNS = Path("runs")
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
            "device": "cpu",
            "threads": threads,
            "data": recipe.splits.train.fingerprint,
            **facts,
        }
        text = tomli_w.dumps({**recipe.tables(), "run": facts})
        name = f"{recipe.game['name']}-{recipe.data['name']}".replace("/", "_")
        files = {"run.toml": text}
        if removed:
            files["removed.txt"] = "".join(f"{name}\n" for name in removed)
        path = _place(files, out, name)
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
        tables = read_toml(path / "run.toml")
        facts = tables.get("run", {})
        if facts.get("format") != FORMAT:
            raise RunError(
                f"The run {str(path)!r} was written by Counterplay "
                f"{facts.get('version', 'of an unknown version')} in format "
                f"{facts.get('format')!r}; this is {__version__}, which reads format "
                f"{FORMAT}. Use that version, or play the run again with `--from {path}`."
            )
        recipe = Recipe.load(path / "run.toml")
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

        Raises:
            RunError: If another process writes here, or nobody can.
        """
        path = self.path / "lock"
        with interruptible(self.path), _opened(path) as lock:
            try:
                # The system lets go of it when the process ends, however it ends.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.pread(lock, 20, 0).decode() or "unknown"
                raise RunError(
                    f"Process {holder} is writing {str(self.path)!r}. "
                    "Wait for it or stop it, or use another folder."
                ) from error
            with suppress(OSError):  # a full disk has no room for who it is
                os.ftruncate(lock, 0)
                os.pwrite(lock, str(os.getpid()).encode(), 0)
            _sweep(self.path)
            try:
                yield self
            finally:
                path.unlink(missing_ok=True)

    @property
    def data(self) -> Columns:
        """The training set."""
        return self.recipe.splits.train

    @property
    def plan(self) -> Plan:
        """The draws and the weights of the run."""
        table = self.recipe.tables()["play"]
        rows = {name: row for row, name in enumerate(self.data.ids)}
        weights = torch.ones(len(self.data), dtype=torch.float64)
        return make_plan(
            self.data,
            batch_size=table["batch_size"],
            seed=table["seed"],
            weights=without(weights, [rows[name] for name in self.removed]),
        )

    @property
    def removed(self) -> list[str]:
        """Ids of the instances whose weight is 0."""
        path = self.path / "removed.txt"
        return path.read_text().splitlines() if path.exists() else []

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

    def trajectory(self) -> Trajectory:
        """The finished run.

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
        return Trajectory(self.plan, self.n_steps, checkpoints, prints)

    def write(self, name: str, content: bytes | str) -> None:
        """Replace a file."""
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, content.encode() if isinstance(content, str) else content)

    def write_json(self, name: str, value: Any) -> None:
        """Replace a file by what `value` is as JSON."""
        self.write(name, json.dumps(value, indent=1, default=_plain))

    def write_table(self, name: str, rows: Rows) -> None:
        """Replace a table, as CSV or Parquet."""
        write_table(self.path / name, rows)

    def read_json(self, name: str, missing: Any = None) -> Any:
        """What a file holds, or `missing`."""
        path = self.path / name
        return json.loads(path.read_text()) if path.exists() else missing

    def note(self, **facts: Any) -> None:
        """Add entries to the table `[run]`."""
        self.facts.update(facts)
        self.write("run.toml", tomli_w.dumps({**self.recipe.tables(), "run": self.facts}))


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


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """A file to lock, made if it is not there.

    Yields:
        Its descriptor.

    Raises:
        RunError: If it cannot be made.
    """
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise RunError(
            f"The folder {str(path.parent)!r} cannot be written: {error.strerror}. What is "
            "in it is intact; free some space or make it writable, then repeat the command."
        ) from error
    try:
        yield lock
    finally:
        os.close(lock)


def write_table(path: Path, rows: Rows) -> None:
    """Write rows as CSV or Parquet, by the name of the file."""
    columns = dict.fromkeys(name for row in rows for name in row)
    table = pa.Table.from_pylist(
        [{name: row.get(name) for name in columns} for row in rows]
    )
    content = pa.BufferOutputStream()
    write = parquet.write_table if path.suffix == ".parquet" else csv.write_csv
    write(table, content)
    write_atomically(path, content.getvalue().to_pybytes())


def _place(files: Mapping[str, str], out: Path | None, name: str) -> Path:
    """Move a folder with its first files into place: it is there whole or not at all.

    Raises:
        RunError: If it cannot be written, or something is there.
    """
    parent = RUNS if out is None else out.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    except OSError as error:
        raise RunError(_unwritable(parent, error)) from error
    draft.chmod(0o755)
    try:
        for file, text in files.items():
            write_atomically(draft / file, text.encode())
    except RunError as error:  # it names the draft, which nobody knows
        shutil.rmtree(draft)
        raise RunError(_unwritable(parent, error.__cause__ or error)) from error
    if out is not None:
        try:
            draft.replace(out)
        except OSError as error:
            shutil.rmtree(draft)
            raise RunError(
                f"There is something in {str(out)!r} already. Continue it with `--resume`, "
                "or choose another `--out`."
            ) from error
        return out
    while True:
        path = parent / f"{_next_number(parent):04d}-{name}"
        try:
            draft.replace(path)
        except OSError:  # another process was faster
            continue
        return path


def _unwritable(parent: Path, error: BaseException) -> str:
    reason = getattr(error, "strerror", None) or error
    return (
        f"The folder {str(parent)!r} cannot be written: {reason}. Free some space, or "
        "choose another place with `--out`."
    )


def _next_number(parent: Path) -> int:
    starts = [path.name.split("-")[0] for path in parent.iterdir()]
    return 1 + max((int(start) for start in starts if start.isdigit()), default=0)


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


def _sweep(folder: Path) -> None:
    """Delete what writes that a kill interrupted left behind."""
    for path in folder.rglob(".*"):
        if path.is_file() and path.suffix[1:].isdigit():
            path.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")
