"""A recorded run on disk, and what the scripts of our own environment read of it."""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from _exchange import Joint, Problem, timed
from _games import GAMES, Setting
from torch import Tensor

from counterplay import retrain, Trajectory
from counterplay.game import State


N_CHECKPOINTS = 10  # that peers see
N_TEST = 300  # instances and samples each


@dataclass(frozen=True)
class Recorded:
    """A run and the moves of it that are traced."""

    setting: Setting
    run: Trajectory
    since: int

    @property
    def n_traced(self) -> int:
        """Moves that are traced and retrained."""
        return self.run.n_steps - self.since

    def states(self) -> list[State]:
        """The state before each traced move, and the final one."""
        setting, found = self.setting, []
        start = self.run.state_at(setting.game, setting.data, self.since)
        retrain(
            setting.game,
            setting.data,
            self.run,
            since=self.since,
            on_step=lambda state, losses: found.append(state),
        )
        return [start, *found]

    def training_cpu(self) -> float:
        """CPU seconds of playing the traced moves, the least of three times."""
        game, data, run, since = self.setting.game, self.setting.data, self.run, self.since
        found = []
        for _ in range(3):
            _, start = timed(lambda: run.state_at(game, data, since))
            _, whole = timed(
                lambda: retrain(game, data, run, since=since, every=run.n_steps + 1)
            )
            found.append(whole - start)  # playing again begins with the state at the start
        return min(found)


def setting_of(folder: Path) -> Setting:
    """The game of a folder, as `compare.py` has noted it there."""
    noted = json.loads((folder / "game.json").read_text())
    mnist = Path(noted["mnist"]) if noted["mnist"] else None
    return GAMES[noted["game"]](noted.get("seed", 0), mnist)


def recorded(folder: Path) -> Recorded:
    """The run of a folder; it is played and kept there if it has not been yet."""
    setting, path = setting_of(folder), folder / "run.pt"
    kept: dict[int, State] = torch.load(path, weights_only=False) if path.exists() else {}
    run = setting.record(kept)
    if not path.exists():
        torch.save(dict(run.checkpoints), path)
    return Recorded(setting, run, setting.since(run))


def problem(of: Recorded) -> Problem:
    """The reader as a classifier, as peers want it."""
    setting, run, player = of.setting, of.run, of.setting.reader
    module = setting.game.modules[player]
    states = of.states()
    kept = torch.linspace(0, len(states) - 1, N_CHECKPOINTS + 1).round().int()[1:]
    checkpoints = [dict(states[int(i)].params[player]) for i in kept]
    x, held_out, n = setting.data["x"], setting.held_out, len(setting.data)
    if setting.game.sample is None:
        y, test_x, test_y = setting.data["y"], held_out["x"], held_out["y"]
    else:
        test = held_out["x"][:N_TEST]
        fake = samples(of, n + len(test))
        x, y = torch.cat([x, fake[:n]]), labels(n, n)
        test_x, test_y = torch.cat([test, fake[n:]]), labels(len(test), len(test))
    dtype = next(module.parameters()).dtype
    return Problem(
        module=module,
        x=x.to(dtype),
        y=y.to(dtype),
        n=n,
        test_x=test_x.to(dtype),
        test_y=test_y.to(dtype),
        checkpoints=checkpoints,
        rates=[setting.rate(player)] * len(checkpoints),
        joint=joint(of) if run.final.params.keys() == {"G", "D"} else None,
    )


def labels(n_real: int, n_fake: int) -> Tensor:
    return torch.cat([torch.ones(n_real), torch.zeros(n_fake)])


def samples(of: Recorded, n: int) -> Tensor:
    """Samples of the final generator, as the discriminator has last met it."""
    sample, game, final = of.setting.game.sample, of.setting.game, of.run.final
    assert sample is not None
    with torch.no_grad():
        noise = game.draw(n, torch.Generator().manual_seed(7), final.view())
        return sample(final.view(), noise)


def joint(of: Recorded) -> Joint:
    """The generator that the metric reads, and the metric's gradient by it."""
    game, final, target = of.setting.game, of.run.final, of.setting.target
    part = "averages" if game.averages else "params"
    params = final.averages["G"] if game.averages else final.params["G"]
    _, cotangent = target.cotangent(final)
    sign = -1.0 if target.higher_is_better else 1.0
    noise = game.draw(len(of.setting.data), torch.Generator().manual_seed(8), final.view())
    return Joint(
        generator=game.modules["G"],
        params=dict(params),
        z=noise["z"],
        badness={name: sign * cotangent[f"{part}/G/{name}"] for name in params},
    )
