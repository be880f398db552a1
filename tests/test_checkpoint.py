"""States on disk: whole or not at all, and never silently another one."""

import errno
from pathlib import Path

import cases
import pytest
import torch
from safetensors.torch import save

from counterplay._checkpoint import fingerprint, FolderCheckpoints
from counterplay.errors import RunError
from counterplay.game import State


def some_state(step=7):
    state = cases.gan(**cases.EXTRAS["everything"]).game.initial()
    return State(step, state.params, state.buffers, state.slots, state.averages)


def test_a_state_comes_back_bit_for_bit(tmp_path):
    state = some_state()
    FolderCheckpoints(tmp_path, run="a")[7] = state
    found = FolderCheckpoints(tmp_path, run="a")[7]
    assert found.step == 7
    assert found.slots.keys() == state.slots.keys() == {"G", "D"}  # empty, with SGD
    for name, tensor in state.tensors().items():
        assert torch.equal(found.tensors()[name], tensor)
        assert found.tensors()[name].dtype == tensor.dtype
    assert fingerprint(found) == fingerprint(state)


def test_the_folder_is_a_mapping_in_the_order_of_moves(tmp_path):
    kept = FolderCheckpoints(tmp_path / "deep" / "folder")
    for move in (20, 3, 100):
        kept[move] = some_state(move)
    assert list(kept) == [3, 20, 100]
    assert len(kept) == 3
    assert 20 in kept
    assert 21 not in kept
    del kept[20]
    assert list(kept) == [3, 100]
    with pytest.raises(KeyError):
        kept[20]


def test_every_bit_of_a_state_is_in_its_fingerprint():
    state = some_state()
    changed = [
        State(8, state.params, state.buffers, state.slots, state.averages),
        State(7, state.params, state.buffers, {"G": {}}, state.averages),
        State(7, {**state.params, "D": {}}, state.buffers, state.slots, state.averages),
    ]
    for name, tensor in state.tensors().items():
        if tensor.is_floating_point():
            bits = tensor.clone().view(torch.int64)
            bits.view(-1)[-1] ^= 1
            changed.append(
                state.with_tensors({**state.tensors(), name: bits.view(tensor.dtype)})
            )
            shape = tensor.reshape(1, *tensor.shape)
            changed.append(state.with_tensors({**state.tensors(), name: shape}))
    prints = {fingerprint(other) for other in changed} | {fingerprint(state)}
    assert len(prints) == len(changed) + 1


def test_any_damaged_byte_is_found(tmp_path):
    kept = FolderCheckpoints(tmp_path, run="some run")
    kept[7] = cases.gan().game.initial()
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= (1, 16, 128)[position % 3]
        path.write_bytes(damaged)
        with pytest.raises(RunError, match=r"is damaged: .*Delete the file|belongs to run"):
            kept[7]


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9999])
def test_half_a_file_is_found(tmp_path, share):
    kept = FolderCheckpoints(tmp_path)
    kept[7] = some_state()
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(RunError, match=r"is damaged"):
        kept[7]


def test_a_file_that_is_no_checkpoint_is_found(tmp_path):
    kept = FolderCheckpoints(tmp_path)
    (tmp_path / "000000007.safetensors").write_bytes(save({"params": torch.zeros(2)}))
    with pytest.raises(RunError, match=r"is damaged"):
        kept[7]


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    FolderCheckpoints(tmp_path, run="ours")[7] = some_state()
    with pytest.raises(
        RunError, match=r"belongs to run 'ours', not to 'theirs': the data or"
    ):
        FolderCheckpoints(tmp_path, run="theirs")[7]


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        RunError, match=r"cannot be created: .*Choose a folder you can write"
    ):
        FolderCheckpoints(tmp_path / "file")


def test_what_cannot_be_deleted_is_named(tmp_path, monkeypatch):
    kept = FolderCheckpoints(tmp_path)
    kept[7] = some_state()
    with pytest.raises(KeyError):
        del kept[8]

    def refused(path):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "unlink", refused)
    with pytest.raises(RunError, match=r"7.safetensors' cannot be deleted: Read-only file"):
        del kept[7]


def test_files_with_other_names_are_left_alone(tmp_path):
    kept = FolderCheckpoints(tmp_path)
    kept[7] = some_state()
    (tmp_path / "best_move.safetensors").write_bytes(b"of the user")
    assert list(kept) == [7]


def test_the_head_alone_gives_the_fingerprint_or_is_called_damaged(tmp_path):
    kept = FolderCheckpoints(tmp_path)
    kept[7] = state = some_state()
    assert kept.fingerprint_of(7) == fingerprint(state)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    printed = fingerprint(state).encode()
    path.write_bytes(content.replace(printed, printed[::-1]))
    with pytest.raises(RunError, match=r"is damaged: its bytes do not match"):
        kept.fingerprint_of(7)
    path.write_bytes(save({}, {"counterplay.state": "[]"}))
    with pytest.raises(RunError, match=r"is damaged"):
        kept.fingerprint_of(7)
