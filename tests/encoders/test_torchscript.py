import io
import os
import pickle
import warnings
import zipfile

import pytest
import torch

from clipcap_cli.encoders.torchscript import is_torchscript, read_tensors


def test_the_tensors_are_those_that_torch_reads(clip):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        theirs = torch.jit.load(str(clip.archive)).state_dict()
    ours = read_tensors(clip.archive)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def test_half_precision_views_and_single_numbers_are_read(tmp_path):
    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            both = torch.arange(12, dtype=torch.float16).view(3, 4)
            self.register_buffer("turned", both.t())
            self.register_buffer("row", both[1])
            self.register_buffer("number", torch.tensor(7))
            self.register_buffer("nothing", torch.empty(0))
            self.names = ["a", "b"]

        def forward(self, x):
            return x + self.number

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Module()).save(str(tmp_path / "a.pt"))
    found = read_tensors(tmp_path / "a.pt")
    assert found["turned"].tolist() == [[0, 4, 8], [1, 5, 9], [2, 6, 10], [3, 7, 11]]
    assert found["row"].tolist() == [4, 5, 6, 7]
    assert found["number"].item() == 7
    assert found["nothing"].shape == (0,)


def test_a_state_dict_is_no_archive(clip, tmp_path):
    assert is_torchscript(clip.archive)
    assert not is_torchscript(clip.state_dict)
    (tmp_path / "text.pt").write_text("hello")
    assert not is_torchscript(tmp_path / "text.pt")


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def archive_of(path, data, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a/data.pkl", data)
        archive.writestr("a/constants.pkl", pickle.dumps(()))
        archive.writestr("a/data/0", bytes(16))
    return path


def tensor_pickle(size, stride, offset=0, count=4):
    """A module with one tensor, written by hand: torch._utils._rebuild_tensor_v2 of a FloatStorage named "0"."""
    stream = io.BytesIO()
    stream.write(b"\x80\x02c__torch__.Module\nModule\n)\x81}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((")
    stream.write(b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + pickle.dumps(count, 2)[2:-1] + b"tQ")
    stream.write(pickle.dumps(offset, 2)[2:-1] + pickle.dumps(size, 2)[2:-1] + pickle.dumps(stride, 2)[2:-1] + b"tRsb.")
    return stream.getvalue()


def test_an_honest_archive_written_by_hand_is_read(tmp_path):
    assert read_tensors(archive_of(tmp_path / "a.pt", tensor_pickle((2, 2), (2, 1))))["w"].tolist() == [[0, 0], [0, 0]]


def test_code_in_an_archive_is_not_run(tmp_path):
    with pytest.raises(ValueError, match=r"names posix\.mkdir"):
        read_tensors(archive_of(tmp_path / "a.pt", pickle.dumps(Evil(str(tmp_path / "made")))))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "data",
    [
        tensor_pickle((10**9, 10**9), (0, 0)),  # a huge view of few bytes
        tensor_pickle((4,), (1,), offset=1),  # beyond the end
        tensor_pickle((4,), (-1,)),
        tensor_pickle((4,), (1,), count=400),
        pickle.dumps([1, 2])[:-1],
        b"",
    ],
)
def test_a_damaged_or_lying_archive_is_refused(tmp_path, data):
    with pytest.raises(ValueError, match="the archive cannot be read"):
        read_tensors(archive_of(tmp_path / "a.pt", data))


def test_a_small_archive_cannot_become_a_large_one(tmp_path):
    with pytest.raises(ValueError, match="compressed"):
        read_tensors(archive_of(tmp_path / "a.pt", tensor_pickle((2, 2), (2, 1)), zipfile.ZIP_DEFLATED))
