"""Networks that begin where a finished run has ended, for fine-tuning."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from counterplay._checkpoint import FolderCheckpoints
from counterplay._tables import Table
from counterplay._toml import read_toml
from counterplay.errors import ConfigError
from counterplay.game import Game
from counterplay.nets.low_rank import Adapter, low_rank
from counterplay.typing import Tensors


def identified(table: Table) -> Table:
    """The table `[nets]`, where `start` is not a path but the hash of its final state."""
    if not (start := table.get("start")):
        return table
    kept, n_steps = _checkpoints(start)
    return {**table, "start": kept.fingerprint_of(n_steps)}


def tuned(
    make: Callable[[], Game],
    networks: Sequence[nn.Module | list[nn.Module]],
    *,
    start: str | Path = "",
    rank: int = 0,
) -> Game:
    """A game that continues from a run, or trains nothing but adapters, or both.

    Args:
        make: Makes the game of the networks.
        networks: The networks, which are changed in place.
        start: The folder of a finished run with whose parameters they begin, if any.
        rank: Of adapters on every network, which are then all that is trained; 0 for none.

    Returns:
        The game.
    """
    game = make()
    if start:
        start_from(start, game.modules)
    if rank:
        for each in networks:
            for network in each if isinstance(each, list) else [each]:
                low_rank(network, rank)
    return make() if rank else game  # it has made copies of the networks without


def start_from(start: str | Path, modules: Mapping[str, nn.Module]) -> None:
    """Give players the parameters with which a run has ended, in place.

    Args:
        start: The folder of the run.
        modules: The players; adapters that the run did not have stay as they are.

    Raises:
        ConfigError: If the run has other players, or networks of other shapes.
    """
    kept, n_steps = _checkpoints(start)
    state = kept[n_steps]
    if sorted(state.params) != sorted(modules):
        raise ConfigError(
            f"`nets.start` {str(start)!r} is a run of the players {sorted(state.params)}, "
            f"but this game has {sorted(modules)}. Start from a run of a game with these."
        )
    for player, module in modules.items():
        given = {**state.params[player], **state.buffers[player]}
        _fill(module, given, f"The player {player!r} of `nets.start` {str(start)!r}")


def _checkpoints(start: str | Path) -> tuple[FolderCheckpoints, int]:
    """The checkpoints of a run, and its number of moves.

    Raises:
        ConfigError: If it is not finished.
    """
    n_steps = read_toml(Path(start) / "run.toml")["play"]["n_steps"]
    kept = FolderCheckpoints(Path(start) / "checkpoints", run=None)
    if n_steps not in kept:
        raise ConfigError(
            f"The run {str(start)!r} of `nets.start` ends at move {max(kept, default=0)} "
            f"of {n_steps}. Finish it with `counterplay play --resume --out {start}`."
        )
    return kept, n_steps


def _fill(module: nn.Module, given: Tensors, whose: str) -> None:
    new = {
        id(p) for m in module.modules() if isinstance(m, Adapter) for p in m.parameters()
    }
    own = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    # A weight with an adapter has another name than it had without.
    plain = {
        name if name in given else _without_adapter(name): tensor
        for name, tensor in own.items()
        if name in given or not (id(tensor) in new or name.endswith("num_batches_tracked"))
    }
    shapes, expected = (
        {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        for tensors in (given, plain)
    )
    different = sorted(
        name for name in {**shapes, **expected} if shapes.get(name) != expected.get(name)
    )
    if different:
        name = different[0]
        raise ConfigError(
            f"{whose} has {name!r} of shape {shapes.get(name)}, but the network to fill "
            f"has {expected.get(name)}; {len(different)} of its tensors differ. Give "
            "`nets` and the sizes in `game` as they are in that run's run.toml."
        )
    with torch.no_grad():
        for name, tensor in plain.items():
            tensor.copy_(given[name])


def _without_adapter(name: str) -> str:
    """`0.weight` for `0.parametrizations.weight.original`."""
    if not name.endswith(".original"):
        return name
    return name.removesuffix(".original").replace("parametrizations.", "")
