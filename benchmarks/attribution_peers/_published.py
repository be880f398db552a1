"""The published methods for GANs, written anew as published, their faults included.

They read our recorded run: what their own training would have stored is written first,
outside of the account, and read back inside of it. Both take the first traced move as the
start of the run.

Source: Terashita et al. 2021, arXiv 2101.08367, algorithm 1 and the authors' code (`iclr`);
Terashita, Ohashi, Hara 2025, arXiv 2504.00603, and the authors' code (`itd`, `aid`).
"""

import json
import pickle
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from _exchange import answer
from _games import Setting
from _recorded import Recorded, recorded
from torch import Tensor

from counterplay import losses, penalties
from counterplay._trajectory import draw
from counterplay.game import apply_of, Batch, State
from counterplay.typing import Noise, Tensors


SCALE = 1e-2  # the code's damping of every step's Jacobian
AID_DEPTH = 1_000  # the code's
Cotangents = dict[str, Tensors]  # player -> name -> tensor


@dataclass(frozen=True)
class Stored:
    """A recorded run with what the published training stores beside it."""

    of: Recorded
    folder: Path
    keeper: tempfile.TemporaryDirectory[str]

    @property
    def setting(self) -> Setting:
        return self.of.setting


def stored(folder: Path) -> Stored:
    of = recorded(folder)
    keeper = tempfile.TemporaryDirectory()
    found = Stored(of, Path(keeper.name), keeper)
    states = of.states()
    write_pickle(found, states)
    write_files(found, states)
    return found


# ICLR 2021: every step's parameters in one list, one pickle; SGD's step; one instance at a
# time.


def write_pickle(of: Stored, states: list[State]) -> None:
    """Parameters, indices, latents and rates of every step, as one list."""
    setting, steps = of.setting, []
    for state in states[:-1]:
        batch, noise = draw(setting.game, setting.data, of.of.run.plan, state)
        movers = setting.game.movers(state.step)
        rates = {player: setting.rate(player) for player in movers}
        params = {player: dict(group) for player, group in state.params.items()}
        steps.append(
            {
                "params": params,
                "index": batch.index.tolist(),
                "noise": dict(noise),
                "rates": rates,
                "step": state.step,
            }
        )
    with (of.folder / "steps.pickle").open("wb") as file:
        pickle.dump(steps, file)


def iclr(of: Stored) -> Tensor:
    """Unrolled through plain SGD, whatever the optimizer was.

    A moving average is unknown to it: the metric's gradient is taken as the generator's.
    """
    setting, data = of.setting, of.setting.data
    with (of.folder / "steps.pickle").open("rb") as file:
        steps = pickle.load(file)
    cotangent = final_cotangent(of, joined=True)
    holders = {  # the session's variables, assigned anew at every call
        player: {name: torch.empty_like(p).requires_grad_() for name, p in group.items()}
        for player, group in steps[0]["params"].items()
    }
    effect = torch.zeros(len(data), dtype=torch.float64)
    for step in reversed(steps):
        if step["index"]:
            share = step["rates"][setting.reader] / setting.batch_size
            for j in range(len(data)):
                if j in step["index"]:
                    assign(holders, step["params"])
                    grads = grad_of_instance(of, holders, data["x"][j : j + 1])
                    effect[j] += share * float(dot(grads, cotangent[setting.reader]))
        assign(holders, step["params"])
        cotangent = before_sgd(of, holders, step, cotangent)
    return harm(of, effect)


def assign(holders: Cotangents, params: Cotangents) -> None:
    with torch.no_grad():
        for player, group in params.items():
            for name, value in group.items():
                holders[player][name].copy_(value)


def grad_of_instance(of: Stored, params: Cotangents, x: Tensor) -> Tensors:
    """Gradient of one instance's own term of the reader's loss."""
    setting, reader = of.setting, of.setting.reader
    D = apply_of(reader, setting.game.modules[reader])
    own = params[reader]

    def score(x: Tensor) -> Tensor:
        return losses.per_instance(D({reader: own}, x.to(next(iter(own.values())))))

    term = losses.adversarial("non_saturating").real(score(x)).sum()
    if setting.r1:
        term = term + setting.r1 / 2 * penalties.r1(score, x.to(term)).sum()
    return dict(zip(own, torch.autograd.grad(term, list(own.values())), strict=True))


def before_sgd(
    of: Stored, params: Cotangents, step: dict, cotangent: Cotangents
) -> Cotangents:
    """`(I - rate J)^T` times the cotangent, for the players that moved."""
    setting = of.setting
    batch, weights = batch_of(of, step["index"], params)
    along = []
    for player, rate in step["rates"].items():
        value = setting.game.losses[player](params, batch, step["noise"], weights)
        own = params[player]
        grads = torch.autograd.grad(
            value, list(own.values()), create_graph=True, materialize_grads=True
        )
        along.append(rate * dot(dict(zip(own, grads, strict=True)), cotangent[player]))
    leaves = [leaf for group in params.values() for leaf in group.values()]
    pulled = iter(
        torch.autograd.grad(torch.stack(along).sum(), leaves, materialize_grads=True)
    )
    return {
        player: {name: value - next(pulled) for name, value in cotangent[player].items()}
        for player in params
    }


# TNNLS 2025: six files a step, images among them; Adam's step with constant moments.


def write_files(of: Stored, states: list[State]) -> None:
    """Six files per step and an index of all steps that is written anew every time."""
    setting, index = of.setting, []
    for state in states[:-1]:
        batch, noise = draw(setting.game, setting.data, of.of.run.plan, state)
        parts = {
            "D": state.params["D"],
            "G": state.params["G"],
            "average": dict(state.averages),
            "slots_D": state.slots["D"],
            "slots_G": state.slots["G"],
            "batch": {"x": batch.columns.get("x"), "index": batch.index, "noise": noise},
        }
        files = {}
        for name, content in parts.items():
            files[name] = str(of.folder / f"{state.step}_{name}.pth")
            torch.save(content, files[name])
        index.append({"step": state.step, **files})
        (of.folder / "index.json").write_text(json.dumps(index))
    torch.save(states[-1].slots["G"], of.folder / "last_slots_G.pth")


def itd(of: Stored) -> Tensor:
    """As the paper has it: only Adam's moments are taken as constants."""
    return traced(of, scale=1.0, stale=False)


def itd_code(of: Stored) -> Tensor:
    """As the code has it: G's moments of the last step, a damped Jacobian, no penalty."""
    return traced(without_penalty(of), scale=SCALE, stale=True)


def without_penalty(of: Stored) -> Stored:
    """The same run whose losses leave out the gradient penalty while tracing."""
    setting = of.setting
    if not setting.r1:
        return of
    G, D = (apply_of(player, setting.game.modules[player]) for player in "GD")
    family = losses.adversarial("non_saturating")

    def loss_d(params, batch, noise, weights):
        real, fake = losses.scores(
            lambda x: D(params, x), batch["x"], G(params, noise["z"])
        )
        return losses.wmean(family.real(real), weights) + family.fake(fake).mean()

    game = replace(setting.game, losses={**setting.game.losses, "D": loss_d})
    return replace(of, of=replace(of.of, setting=replace(setting, game=game)))


def traced(of: Stored, *, scale: float, stale: bool) -> Tensor:
    setting = of.setting
    last = torch.load(of.folder / "last_slots_G.pth")
    cotangent = final_cotangent(of)
    effect = torch.zeros(len(setting.data), dtype=torch.float64)
    for entry in reversed(json.loads((of.folder / "index.json").read_text())):
        read = {k: torch.load(v) for k, v in entry.items() if k != "step"}
        slots = {"D": read["slots_D"], "G": last if stale else read["slots_G"]}
        state = State(entry["step"], {p: read[p] for p in "DG"}, buffers(of), slots)
        index, noise = read["batch"]["index"], read["batch"]["noise"]
        cotangent = before_step(of, state, index, noise, cotangent, effect, scale)
    return harm(of, effect)


def aid_code(of: Stored) -> Tensor:
    """As the code has it: the series loses its source term and is a power iteration."""
    of = without_penalty(of)
    setting, final = of.setting, of.of.run.final
    plan = replace(of.of.run.plan, seed=of.of.run.plan.seed + 1)
    cotangent = final_cotangent(of, joined=True)
    for depth in range(AID_DEPTH):
        state = replace(final, step=final.step + depth)
        batch, noise = draw(setting.game, setting.data, plan, state)
        cotangent = before_step(of, state, batch.index, noise, cotangent, None, SCALE)
    effect = torch.zeros(len(setting.data), dtype=torch.float64)
    move = final.step
    while not (effect != 0).all() and move < final.step + AID_DEPTH:
        state = replace(final, step=move)
        batch, noise = draw(setting.game, setting.data, plan, state)
        found = torch.zeros_like(effect)
        before_step(of, state, batch.index, noise, cotangent, found, SCALE)
        effect = torch.where(effect == 0, found, effect)
        move += 1
    return harm(of, effect)


def before_step(
    of: Stored,
    state: State,
    index: Tensor,
    noise: Noise,
    cotangent: Cotangents,
    effect: Tensor | None,
    scale: float,
) -> Cotangents:
    """The cotangent before a step whose moments are constants; adds to `effect`."""
    game = of.setting.game
    params = {
        player: {name: p.detach().requires_grad_() for name, p in group.items()}
        for player, group in state.params.items()
    }
    batch, weights = batch_of(of, index.tolist(), params)
    weights.requires_grad_()
    cotangent, along = dict(cotangent), []
    for player in game.movers(state.step):
        view = {p: {**params[p], **state.buffers[p]} for p in params}
        value = game.losses[player](view, batch, noise, weights)
        own = params[player]
        grads = torch.autograd.grad(
            value, list(own.values()), create_graph=True, materialize_grads=True
        )
        moved, _ = game.optimizers[player].update(
            dict(zip(own, grads, strict=True)),
            state.slots[player],
            {name: p.detach() for name, p in own.items()},
            state.step,
            game.n_updates(player, state.step),
        )
        average = f"average {player}"
        if average in cotangent:  # average' = decay average + (1 - decay) params'
            decay = 0.5 ** (1 / game.averages[player])
            through = cotangent[average]
            cotangent[average] = {k: decay * v for k, v in through.items()}
            cotangent[player] = {
                k: v + (1 - decay) * through[k] for k, v in cotangent[player].items()
            }
        along.append(dot(moved, cotangent[player]))
    leaves = [leaf for group in params.values() for leaf in group.values()]
    *pulled, by_weight = torch.autograd.grad(
        torch.stack(along).sum(), [*leaves, weights], materialize_grads=True
    )
    if effect is not None and len(index):
        effect.index_add_(0, index, -by_weight.double())
    parts = iter(pulled)  # of the step without its identity, which `detach` took out
    changed = {
        player: {k: v + scale * next(parts) for k, v in cotangent[player].items()}
        for player in params
    }
    return {**cotangent, **changed}


# What they share.


def final_cotangent(of: Stored, *, joined: bool = False) -> Cotangents:
    """The metric's derivative by the final parameters and averages.

    With `joined`, that of the average counts as that of the parameters.
    """
    final, target = of.of.run.final, of.setting.target
    _, flat = target.cotangent(final)
    found = {
        player: {
            name: flat.get(f"params/{player}/{name}", p * 0) for name, p in group.items()
        }
        for player, group in final.params.items()
    }
    for player, group in final.averages.items():
        average = {
            name: flat.get(f"averages/{player}/{name}", p * 0) for name, p in group.items()
        }
        found[player if joined else f"average {player}"] = average
    return found


def batch_of(of: Stored, index: list[int], params: Cotangents) -> tuple[Batch, Tensor]:
    rows, like = torch.tensor(index, dtype=torch.int64), next(iter(params["D"].values()))
    x = of.setting.data["x"][rows].to(like.dtype)
    return Batch(rows, {"x": x}), torch.ones(len(rows), dtype=like.dtype)


def buffers(of: Stored) -> dict[str, Tensors]:
    return {player: dict(group) for player, group in of.of.run.final.buffers.items()}


def dot(left: Tensors, right: Tensors) -> Tensor:
    return torch.stack([(left[name] * right[name]).sum() for name in left]).sum()


def harm(of: Stored, effect: Tensor) -> Tensor:
    """From the predicted change of the metric by removal."""
    return effect if of.setting.target.higher_is_better else -effect


if __name__ == "__main__":
    answer(
        {function.__name__: function for function in (iclr, itd, itd_code, aid_code)},
        load=stored,
    )
