"""Pickles: what is admitted reads back alike, everything else is refused without running."""

import io
import os
import pickle
import struct
import tempfile
from collections import Counter, OrderedDict, deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from steve1.checkpoints import dump_pickle, load_pickle
from steve1.cli import UserError

ADMITTED = [
    np.zeros((2, 3), "f4"),
    np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    np.asfortranarray(np.eye(3)[:2]),
    np.arange(3, dtype=">i4"),
    np.array(["ab", "ç"]),
    np.array([b"ab", b"c"]),
    np.zeros((0, 512)),
    np.array(5.0),
    np.array([True, False]),
    np.array([1, {"a": np.ones(2)}, None], object),
    np.float32(3),
    np.bool_(True),
    np.int64(-4),
    np.str_("hé"),
    OrderedDict(a=1),
    {"camera": np.ones((1, 2)), "nested": (1, [None, {2, 3}])},
    [None] * 15,
    frozenset([3]),
    b"xx",
    bytearray(b"yy"),
    2**70,
    1 + 2j,
]


def same(a, b) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray) and a.dtype == object:
        return a.shape == b.shape and all(same(x, y) for x, y in zip(a.flat, b.flat, strict=True))
    if isinstance(a, (np.ndarray, np.generic)):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_reads_what_python_and_numpy_write(protocol):
    read = load_pickle(io.BytesIO(pickle.dumps(ADMITTED, protocol)))
    for ours, theirs in zip(ADMITTED, read, strict=True):
        assert same(ours, theirs), ours


@pytest.mark.parametrize("spelling", [b"numpy.core", b"numpy._core"])
def test_reads_both_spellings_of_numpy(spelling):
    # Protocol 0 writes names without their lengths, so that they can be replaced.
    array = np.arange(6, dtype="f4").reshape(2, 3)
    written = pickle.dumps([array, np.float32(1)], 0)
    written = written.replace(b"numpy._core", b"numpy.core").replace(b"numpy.core", spelling)
    assert same(load_pickle(io.BytesIO(written)), [array, np.float32(1)])


def test_cycles_stay_cycles():
    value: list = [np.ones(2)]
    value.append(value)
    read = load_pickle(io.BytesIO(pickle.dumps(value)))
    assert read[1] is read
    np.testing.assert_array_equal(read[0], np.ones(2))


@given(hnp.arrays(hnp.scalar_dtypes().filter(lambda d: d.kind in "biufc"), hnp.array_shapes(min_side=0)))
def test_what_we_write_is_read_by_us_and_by_plain_pickle(array):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.pkl")
        dump_pickle({"a": array}, path)
        with open(path, "rb") as file:
            written = file.read()
        assert same(load_pickle(path)["a"], np.ascontiguousarray(array).reshape(array.shape))
    assert b"numpy.core" not in written
    assert b"numpy._core" not in written
    assert same(pickle.loads(written)["a"], np.ascontiguousarray(array).reshape(array.shape))


def test_written_scalars_are_pythons_own(tmp_path):
    dump_pickle([np.float32(0.5), np.int64(3), np.bool_(False)], tmp_path / "x.pkl")
    assert same(load_pickle(tmp_path / "x.pkl"), [0.5, 3, False])
    with pytest.raises(TypeError, match="object"):
        dump_pickle(np.array([None]), tmp_path / "y.pkl")
    assert os.listdir(tmp_path) == ["x.pkl"]


class Reduces:
    def __init__(self, function, *args):
        self.reduced = (function, args)

    def __reduce__(self):
        return self.reduced


HOSTILE = {
    "os.system": (Reduces(os.system, "touch {marker}"), "system"),
    "eval": (Reduces(eval, "open('{marker}', 'w')"), "builtins.eval"),
    "getattr": (Reduces(getattr, 1, "real"), "builtins.getattr"),
    "import": (Reduces(__import__, "antigravity"), "__import__"),
    "exec in a list": ([1, {"a": Reduces(exec, "open('{marker}', 'w')")}], "builtins.exec"),
    "numpy.load": (Reduces(np.load, "x.npy"), "numpy.load"),
    "pickle in a pickle": (Reduces(pickle.loads, b"N."), "loads"),
    "type": (Reduces(type, "X", (), {}), "builtins.type"),
    "a class": (Counter("aab"), "collections.Counter"),
    "deque": (deque([1]), "collections.deque"),
    "path": (Reduces(os.remove, "{marker}"), "remove"),
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_foreign_code_is_refused_by_name_and_never_runs(name, protocol, tmp_path):
    value, refused = HOSTILE[name]
    path = tmp_path / "hostile.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    with pytest.raises(UserError, match=r"hostile\.pkl was not loaded: it asks for") as caught:
        load_pickle(path)
    assert refused in str(caught.value)
    assert os.listdir(tmp_path) == ["hostile.pkl"]
    assert not os.path.exists("{marker}")


def assemble(*parts: bytes) -> io.BytesIO:
    return io.BytesIO(b"\x80\x02" + b"".join(parts) + b".")


RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
F8 = b"cnumpy\ndtype\n(U\x02f8K\x00K\x01tR"


@pytest.mark.parametrize(
    "pickled",
    [
        # bytes for an array of objects
        assemble(RECONSTRUCT, b"(K\x01K\x01\x85cnumpy\ndtype\n(U\x02O8K\x00K\x01tRK\x00U\x08AAAAAAAAtb"),
        # fewer bytes than the shape says
        assemble(RECONSTRUCT, b"(K\x01K\x09\x85", F8, b"K\x00U\x08AAAAAAAAtb"),
        # a negative shape, and one that overflows
        assemble(RECONSTRUCT, b"(K\x01J\xff\xff\xff\xff\x85", F8, b"K\x00U\x00tb"),
        assemble(b"cnumpy\nndarray\n(I9223372036854775807\nI9223372036854775807\n\x86U\x02f8C\x08AAAAAAAAtR"),
        # an array that was never filled
        assemble(RECONSTRUCT),
        # attributes set on an admitted function, and on an admitted class
        assemble(b"cnumpy\ndtype\n}U\x01aK\x01sb"),
        assemble(b"ccollections\nOrderedDict\nN}U\x0b__setitem__K\x01s\x86b"),
        # a function or class where a value belongs, a class made without its function, a dotted name
        assemble(b"cnumpy\ndtype\n"),
        assemble(b"ccollections\nOrderedDict\n)\x81"),
        assemble(b"ccollections\nOrderedDict.fromkeys\n)R"),
        assemble(b"cnumpy\nndarray.tofile\n)R"),
        # persistent ids
        assemble(b"Pname\n"),
        # a dtype with fields
        assemble(b"cnumpy\ndtype\n(U\x05i4,i4K\x00K\x01tR"),
        # stand-ins hidden where they would not be replaced
        assemble(b"}", RECONSTRUCT, b"K\x01s"),
        assemble(b"cbuiltins\nset\n(]", RECONSTRUCT, b"atR"),
        # a codec that is not text
        assemble(b"c_codecs\nencode\n(U\x01aU\x05rot13tR"),
        # billions of zero bytes out of six
        assemble(b"cbuiltins\nbytes\n(I99999999999\ntR"),
    ],
)
def test_forged_pickles_are_refused(pickled):
    with pytest.raises(UserError):
        load_pickle(pickled)
    # and leave the reader as it was
    assert same(load_pickle(io.BytesIO(pickle.dumps(ADMITTED))), ADMITTED)


def test_a_dtype_that_claims_to_hold_objects_gives_plain_numbers():
    # numpy itself would take the flags (63) for true, and the eight bytes for a pointer to follow.
    flagged = F8 + b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb"
    read = load_pickle(assemble(RECONSTRUCT, b"(K\x01K\x01\x85", flagged, b"K\x00C\x08AAAAAAAAtb"))
    assert read.dtype == np.dtype("<f8")
    assert read.tobytes() == b"AAAAAAAA"


def test_files_cut_anywhere_are_users_errors():
    written = pickle.dumps({"a": [np.arange(5.0), "text", (1, 2.5)]}, 4)
    for cut in range(len(written)):
        with pytest.raises(UserError):
            load_pickle(io.BytesIO(written[:cut]))


def test_a_truncated_file_is_named(tmp_path):
    path = tmp_path / "embeds_attn.pkl"
    path.write_bytes(pickle.dumps(list(range(1000)))[:-7])
    with pytest.raises(UserError, match=r"embeds_attn\.pkl is not a readable pickle .*truncated"):
        load_pickle(path)
    path.write_bytes(struct.pack("<Q", 0))
    with pytest.raises(UserError, match=r"embeds_attn\.pkl"):
        load_pickle(path)


def test_a_missing_file_is_the_operating_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_pickle(tmp_path / "nothing.pkl")
