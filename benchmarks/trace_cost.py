"""What does tracing cost, in units of plain training of the same moves?

A 28 x 28 DCGAN (width 32, batch 64), one thread, CPU seconds; every round measures the
plain loop, `play` and `trace` in turn, so that ratios hold on a shared machine. Also: the
same trace with ten times the instances, and peak memory against the number of moves.

Run: python benchmarks/trace_cost.py
"""

import statistics
import subprocess
import sys
import time

import torch
from _plain import plain_loop

from counterplay import games, metrics, nets, play, trace, Unroll
from counterplay.game import Columns


SHAPE, LATENT, BATCH, STEPS, EVERY = (1, 28, 28), 32, 64, 32, 8


def instances(n: int) -> Columns:
    random = torch.Generator().manual_seed(0)
    x = torch.rand(n, *SHAPE, generator=random) * 2 - 1
    return Columns({"x": x}, tuple(map(str, range(n))), kind="image")


def make(width: int, norm: str, activation: str):
    pair = nets.pair(
        "dcgan", SHAPE, latent_dim=LATENT, width=width, norm=norm, activation=activation
    )
    return pair, games.load("gan")(*pair, latent_dim=LATENT)


def ratios(activation: str, norm: str, n: int, *, rounds: int = 5) -> tuple[float, float]:
    """Median CPU ratio to the plain loop of `play` and of `trace`."""
    (generator, discriminator), game = make(32, norm, activation)
    data = instances(n)
    metric = metrics.of_samples(
        lambda fake: fake.square().mean(), game, n=64, higher_is_better=False
    )
    found = []
    for _ in range(rounds + 1):
        plain = plain_loop(
            generator, discriminator, data["x"],
            n_steps=STEPS, batch_size=BATCH, latent_dim=LATENT,
        )  # fmt: skip
        start = time.process_time()
        run = play(game, data, n_steps=STEPS, batch_size=BATCH, every=EVERY)
        played = time.process_time()
        trace(game, data, run, metric, adjoint=Unroll(memory="2GiB"))
        playing, tracing = played - start, time.process_time() - played
        found.append((playing / plain, tracing / plain))
    playing, tracing = zip(*found[1:], strict=True)  # the first round warms up
    return statistics.median(playing), statistics.median(tracing)


def of_four_metrics(networks: str, shape: tuple[int, ...], *, rounds: int = 3) -> float:
    """Median CPU ratio of tracing four metrics in one sweep to tracing one."""
    pair = nets.pair(networks, shape, latent_dim=LATENT, width=32)
    game = games.load("gan")(*pair, latent_dim=LATENT)
    random = torch.Generator().manual_seed(0)
    x = torch.rand(640, *shape, generator=random) * 2 - 1
    data = Columns({"x": x}, tuple(map(str, range(640))), kind="image")
    targets = [
        metrics.of_samples(
            lambda fake, power=power: fake.pow(power).mean(), game, n=64,
            higher_is_better=False, name=f"moment {power}",
        )
        for power in (1, 2, 3, 4)
    ]  # fmt: skip
    run = play(game, data, n_steps=STEPS, batch_size=BATCH, every=EVERY)
    found = []
    for _ in range(rounds + 1):
        start = time.process_time()
        trace(game, data, run, targets[:1])
        one = time.process_time()
        trace(game, data, run, targets)
        found.append((time.process_time() - one) / (one - start))
    return statistics.median(found[1:])


def peak_memory(n_steps: int) -> float:
    """Peak MiB of a process that plays and traces `n_steps` moves of the 2-D game."""
    code = f"""
import resource, torch
torch.set_num_threads(1)
from counterplay import Recipe, trace
recipe = Recipe.from_tables(dict(
    data=dict(name="two_d_normal", n_train=1000, n_valid=100, n_test=100),
    nets=dict(name="mlp", width=32), game=dict(name="gan", latent_dim=10),
    play=dict(n_steps={n_steps}, batch_size=50),
    metric=dict(names=["average_log_likelihood"], n=100)))
game = recipe.make_game()
run = recipe.record(game)
trace(game, recipe.splits.train, run, recipe.targets(game)[0])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    return float(done.stdout)


def main() -> None:
    torch.set_num_threads(1)
    print("activation  norm   instances  play / plain  trace / plain")
    for activation, norm, n in [
        ("silu", "group", 640),
        ("silu", "group", 6_400),
        ("silu", "none", 640),
        ("tanh", "group", 640),
        ("tanh", "none", 640),
    ]:
        playing, tracing = ratios(activation, norm, n)
        print(f"{activation:10}  {norm:5}  {n:9}  {playing:12.2f}  {tracing:13.2f}")
    print("networks  four metrics / one")
    for networks, shape in (("mlp", (2,)), ("dcgan", SHAPE)):
        print(f"{networks:8}  {of_four_metrics(networks, shape):18.2f}", flush=True)
    print("moves  peak MiB")
    for n_steps in (100, 1_000, 10_000):
        print(f"{n_steps:5}  {peak_memory(n_steps):8.0f}", flush=True)


if __name__ == "__main__":
    main()
