"""Who finds the instances that harm a generator? Counterplay and its peers, in one run.

Records a game with Counterplay, retrains it without single instances and without groups of
5 % (the truth, which is resumed where it was interrupted), hands the discriminator and its
data to every peer in the peer's own environment, and prints one Markdown table. Answers are
kept in the folder too; remove it to ask again.

Run: python benchmarks/attribution_peers/compare.py --game toy --seeds 3 [--out FOLDER]
"""

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from _environments import CACHE, InstallError, interpreter, run
from _exchange import timed
from _games import GAMES
from _judging import judged, left_out, Row, Rows, table, Truth, verdict
from _methods import Method, METHODS
from _recorded import problem, Recorded, recorded
from torch import Tensor

from counterplay import _rng
from counterplay._bank import Bank
from counterplay._retrain import counterfactual_effects, leave_out


TITLE = "Counterplay and its peers in one run"
GROUP = 0.05


def truth(of: Recorded, folder: Path) -> Truth:
    """Retrain without instances and groups; finished retrainings are looked up."""
    setting, n = of.setting, len(of.setting.data)
    instances = _rng.permutation(n, 0, "peers", "instances")[: setting.n_instances]
    groups = torch.stack(
        [
            _rng.permutation(n, 0, "peers", "group", i)[: round(GROUP * n)]
            for i in range(setting.n_subsets)
        ]
    )
    bank, costs = Bank(folder / "bank.jsonl"), folder / "retraining_cpu.json"
    sign = 1.0 if setting.target.higher_is_better else -1.0
    found = []
    for name, removed in (("alone", instances[:, None]), ("together", groups)):
        rows, before = leave_out(of.run.plan.weights, list(removed)), len(bank)

        def effects(rows: Tensor = rows, name: str = name) -> Tensor:
            return counterfactual_effects(
                setting.game,
                setting.data,
                of.run,
                [setting.target],
                rows,
                since=of.since,
                chunk=setting.chunk,
                bank=bank,
                on_runs=lambda done: say(f"{done} of {len(rows)} retrained, {name}"),
            )

        effect, cpu = timed(effects)
        found.append(sign * effect[:, 0].numpy())
        if name == "alone" and (new := len(bank) - before):
            costs.write_text(json.dumps(cpu / new))
    return Truth(instances, found[0], groups, found[1], json.loads(costs.read_text()))


def measured(method: Method, folder: Path, cache: Path, true: Truth) -> Row:
    """Run a method in its environment, or say why it could not be; CPU in seconds."""
    try:
        python = interpreter(method.peer, cache) if method.peer else Path(sys.executable)
    except InstallError as error:
        return Row(reason=str(error))
    out, log = folder / f"{method.stem}.npz", folder / f"{method.stem}.log"
    accounted = folder / f"{method.stem}.json"
    if not out.exists():
        say(f"{method.label}, {method.asks}")
        outcome = run(python, method.script, str(folder), method.name, str(out), log=log)
        if outcome.reason:
            return Row(reason=outcome.reason)
        accounted.write_text(json.dumps(outcome.cpu))
    with np.load(out) as file:
        return replace(
            judged(file["harm"], true),
            cpu=float(file["cpu"]),
            process=json.loads(accounted.read_text()),
            peak=float(file["peak"]),
            added=float(file["added"]),
        )


def one_seed(folder: Path, game: str, cache: Path) -> tuple[Rows, str]:
    """Every row of one recorded run, and what was done."""
    of = recorded(folder)
    cost = folder / "training_cpu.json"
    if not cost.exists():
        torch.save(problem(of), folder / "problem.pt")
        cost.write_text(json.dumps(of.training_cpu()))
    training = json.loads(cost.read_text())
    true, n = truth(of, folder), len(of.setting.data)
    rows: Rows = {}
    for method in METHODS:
        if not method.games or game in method.games:
            row = measured(method, folder, cache, true)
            rows[method] = replace(
                row, cpu=row.cpu / training, process=row.process / training
            )
    rows |= left_out(true, rows[METHODS[0]].cpu, training, n)
    written = [{**asdict(method), **asdict(row)} for method, row in rows.items()]
    (folder / "rows.json").write_text(json.dumps(written, indent=1))
    return rows, (
        f"{game}: {n} instances, {of.n_traced} of {of.run.n_steps} moves traced and "
        f"retrained, {len(true.instances)} instances removed alone, {len(true.groups)} "
        f"groups of 5 %, metric `{of.setting.target.name}`"
    )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=TITLE)
    parser.add_argument("--game", choices=sorted(GAMES), default="toy")
    parser.add_argument("--seeds", type=int, default=1, help="runs, from seed 0 on")
    parser.add_argument("--out", type=Path, default=Path("attribution_peers"))
    parser.add_argument("--cache", type=Path, default=CACHE, help="of environments")
    parser.add_argument("--mnist", type=Path, help="an .npz file, for the game 'mnist'")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    mnist = str(chosen.mnist.resolve()) if chosen.mnist else ""
    seeds, said = [], ""
    for seed in range(chosen.seeds):
        folder = chosen.out / chosen.game / str(seed)
        folder.mkdir(parents=True, exist_ok=True)
        noted = {"game": chosen.game, "seed": seed, "mnist": mnist}
        (folder / "game.json").write_text(json.dumps(noted))
        rows, said = one_seed(folder, chosen.game, chosen.cache)
        seeds.append(rows)
    plural = "seed" if chosen.seeds == 1 else "seeds"
    text = f"{said}; {chosen.seeds} {plural}\n\n{table(seeds)}\n\n{verdict(seeds)}\n"
    (chosen.out / chosen.game / "table.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
