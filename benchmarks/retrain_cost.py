"""What does a counterfactual run cost when many are played at once and share their start?

CPU seconds per run over those of whole runs one after the other, on the paper's 2-D
networks (float64, batch 100, simultaneous SGD, 100 moves in an epoch). Metrics are left
out: they cost the same either way. One thread; every way in every round, medians of rounds.

`at once` plays the runs of a chunk in one vmapped loop. `shared` begins each run where its
instance is first drawn, on average half an epoch after the first retrained move.

Run: python benchmarks/retrain_cost.py
"""

import statistics
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from counterplay import Recipe
from counterplay._fleet import Fleet
from counterplay._retrain import leave_out


PAPER = Path(__file__).parents[1] / "experiments" / "2d_normal_removal_paper.toml"
EPOCH, EPOCHS, CHUNKS = 100, (1, 4), (16, 64, 200)
ROUNDS, SINGLE = 3, 8  # rounds; runs one after the other in each


def fleets_of(recipe: Recipe) -> tuple[Mapping[str, Fleet], Tensor]:
    """Ways to play, by name, and the weights of as many runs as the largest chunk."""
    game, data = recipe.make_game(), recipe.splits.train
    run = recipe.record(game)
    fleets = {
        f"{how}{share}": Fleet(game, data, run, vmapped=how == "at once")
        for how in ("one by one", "at once")
        for share in ("", ", shared")
    }
    for name in ("one by one", "at once"):
        fleets[name].first.zero_()  # as if every instance were in the first batch
    return fleets, leave_out(run.plan.weights, [[i] for i in range(max(CHUNKS))])


def cost(fleet: Fleet, rows: Tensor) -> float:
    """CPU seconds per run."""
    start = time.process_time()
    fleet.final_states(rows) if fleet.vmapped else fleet(rows)
    return (time.process_time() - start) / len(rows)


def main() -> None:
    torch.set_num_threads(1)
    print("epochs  chunk  at once  at once, shared  one by one, shared")
    for epochs in EPOCHS:
        recipe = Recipe.load(PAPER)
        recipe = replace(recipe, play={**recipe.play, "n_steps": epochs * EPOCH})
        fleets, rows = fleets_of(recipe)
        # A sample of single runs that departs as late on average as all of them.
        order = fleets["at once, shared"].departures(rows).argsort()
        single = rows[order[len(rows) // (2 * SINGLE) :: len(rows) // SINGLE]]
        for fleet in fleets.values():  # the unchanged run, which many runs share
            fleet(rows[:1])
        for chunk in CHUNKS:
            costs: dict[str, list[float]] = {name: [] for name in fleets}
            for _ in range(ROUNDS):
                for name, fleet in fleets.items():
                    some = rows[:chunk] if fleet.vmapped else single
                    costs[name].append(cost(fleet, some))
            ratios = [
                statistics.median(
                    ours / plain
                    for ours, plain in zip(costs[name], costs["one by one"], strict=True)
                )
                for name in ("at once", "at once, shared", "one by one, shared")
            ]
            print(
                f"{epochs:6}  {chunk:5}  {ratios[0]:7.2f}  {ratios[1]:15.2f}  "
                f"{ratios[2]:18.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
