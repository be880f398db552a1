"""Games side by side: the same data, networks and moves, over several seeds."""

import functools
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from counterplay import executors
from counterplay._adjoint import Unroll
from counterplay._atomic import make_folder, write_atomically
from counterplay._bank import Bank
from counterplay._influence import trace
from counterplay._recipe import options_of_game, Recipe
from counterplay._sealed import dumps, loads
from counterplay._study import one_thread, reported
from counterplay._tables import require_known, Table
from counterplay._verify import verify
from counterplay.errors import ConfigError
from counterplay.game import Game
from counterplay.scoring import score


Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Check:
    """How well the influence of each game is checked.

    Attributes:
        instances: Training instances to retrain without, one at a time; 0 checks nothing.
        last_epochs: Trace and retrain the last passes over the data; 0 is the whole run.
    """

    instances: int = 0
    last_epochs: int = 1


def compare_games(
    tables: Mapping[str, Table],
    names: Sequence[str],
    folder: Path | str,
    *,
    seeds: Sequence[int],
    check: Check = Check(),
    n_jobs: int = 1,
    executor: executors.Choice = None,
) -> Rows:
    """Play several games on the same data and measure what they come to.

    Args:
        tables: A recipe: data, networks, moves, features and metrics; of the table `[game]`
            each game takes the options that it has.
        names: The games.
        folder: Where finished runs are kept; they are not repeated.
        seeds: Runs of each game.
        check: How well the influence is checked.
        n_jobs: Runs at once.
        executor: Who plays them; see `counterplay.executors`.

    Returns:
        One row per game, seed and metric, with `value`, `of_real`, the CPU seconds that
        playing took, and the number of parameters of each player; and if influence is
        checked, a row of `metric` "Kendall's tau of <metric>" for each that is traced.

    Raises:
        ConfigError: If there is no game, or an option that none of them has.
    """
    if not names:
        raise ConfigError("There is no game to compare. Name one, see `games.names()`.")
    folder = Path(folder)
    make_folder(folder)
    first, *others = _variants(tables, names)
    _ = first.splits, first.feature_map  # once for all
    tasks = [
        variant.with_seed(seed).sharing(first)
        for variant in (first, *others)
        for seed in seeds
    ]
    place, _ = executors.divided(min(n_jobs, len(tasks)), executor)
    playing_one = functools.partial(_finished, folder, check)
    return [
        row for rows in executors.in_order(place.map(playing_one, tasks)) for row in rows
    ]


def summarise(rows: Rows) -> Rows:
    """One row per game and metric: mean, spread over seeds, parameters, relative CPU time.

    CPU time is in units of the first game's.
    """
    games = list(dict.fromkeys(row["game"] for row in rows))
    cpu = {
        game: np.mean([row["cpu"] for row in rows if row["game"] == game]) for game in games
    }
    found = []
    for game in games:
        own = [row for row in rows if row["game"] == game]
        for metric in dict.fromkeys(row["metric"] for row in own):
            same = [row for row in own if row["metric"] == metric]
            values = np.array([row["value"] for row in same])
            found.append(
                {
                    "game": game,
                    "metric": metric,
                    "value": float(values.mean()),
                    "low": float(values.min()),
                    "high": float(values.max()),
                    "sd": float(values.std(ddof=1)) if len(values) > 1 else None,
                    "of_real": same[0]["of_real"],
                    "better": same[0]["better"],
                    "n_seeds": len(values),
                    "parameters": same[0]["parameters"],
                    "cpu": float(cpu[game] / cpu[games[0]]),
                }
            )
    return found


def _variants(tables: Mapping[str, Table], names: Sequence[str]) -> list[Recipe]:
    """The recipe of each game, with the options that it has."""
    given = {key: v for key, v in tables.get("game", {}).items() if key != "name"}
    known = {name: options_of_game(name) for name in names}
    for key in given:
        everyone = {option: None for options in known.values() for option in options}
        require_known(key, everyone, f"option of {', '.join(names)}")
    return [
        Recipe.from_tables(
            {
                **tables,
                "game": {"name": name, **{k: v for k, v in given.items() if k in options}},
            }
        )
        for name, options in known.items()
    ]


@one_thread()
def _finished(folder: Path, check: Check, recipe: Recipe) -> Rows:
    """The rows of one run, from its file or played now."""
    described = json.dumps(
        [recipe.identity, recipe.tables(), asdict(check)], sort_keys=True
    )
    key = hashlib.blake2b(described.encode(), digest_size=12).hexdigest()
    path = folder / f"{recipe.game['name']}_{recipe.seed}.json"
    try:
        kept = loads(path.read_bytes())
        if isinstance(kept, dict) and kept["key"] == key:
            return kept["rows"]
    except (OSError, ValueError, KeyError):
        pass  # it is played again
    rows = _played(folder, check, recipe)
    write_atomically(path, dumps({"key": key, "rows": rows}).encode())
    return rows


def _played(folder: Path, check: Check, recipe: Recipe) -> Rows:
    game = recipe.make_game()
    began = time.process_time()
    run = recipe.record(game)
    facts = {
        "game": recipe.game["name"],
        "seed": recipe.seed,
        "cpu": time.process_time() - began,
        "parameters": _parameters(game),
    }
    rows = []
    for target in reported(recipe, game):
        found = score(target, run.final)
        better = "higher" if found.higher_is_better else "lower"
        row = {"metric": found.metric, "value": found.value, "of_real": found.of_real}
        rows.append({**facts, **row, "better": better})
    if not check.instances:
        return rows
    data, targets = recipe.splits.train, recipe.targets(game)
    since = run.epochs_back(game, check.last_epochs) if check.last_epochs else 0
    influences = trace(game, data, run, targets, adjoint=Unroll(last=run.n_steps - since))
    agreements = verify(
        game,
        data,
        run,
        targets,
        influences,
        instances=check.instances,
        lowered=(1.0,),
        since=since,
        bank=Bank(folder / f"{recipe.game['name']}_{recipe.seed}.jsonl"),
    )
    for agreement in agreements:
        (comparison,) = agreement.comparisons
        tau = comparison.agreement()["kendall"].value
        name = f"Kendall's tau of {agreement.metric}"
        rows.append(
            {**facts, "metric": name, "value": tau, "of_real": None, "better": "higher"}
        )
    return rows


def _parameters(game: Game) -> str:
    """How many parameters each player has, such as `G 1,200, D 800`."""
    counts = {
        player: sum(each.numel() for each in module.parameters() if each.requires_grad)
        for player, module in game.modules.items()
    }
    return ", ".join(f"{player} {count:,}" for player, count in counts.items())
