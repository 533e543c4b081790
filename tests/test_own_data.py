"""A user's file: read as it is, or refused in one line that says where and why."""

from __future__ import annotations

import numpy as np
import pytest

from lockstep.comparisons.dialect import DataError, Dialect
from lockstep.comparisons.own_data import scenario


def read(tmp_path, text, model="gaussian_mixture_1d", components=2, name="data.csv", **options):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return scenario(path, model, components, **options)


def test_one_column(tmp_path):
    own, prepared = read(tmp_path, "x\n1\n2.5\n-3e2\n")
    np.testing.assert_array_equal(prepared.data, [1, 2.5, -300])
    assert (own.name, own.title, own.model) == ("data", "data.csv", "gaussian_mixture_1d")
    assert prepared.labels["axes"] == ("x",)
    assert prepared.start.n_components == 2


def test_named_columns_in_the_order_named(tmp_path):
    text = "a,b,c\n1,2,x\n3,5,y\n4,4,z\n7,1,w\n"
    _, prepared = read(tmp_path, text, "gaussian_mixture_2d", columns=["b", "a"])
    np.testing.assert_array_equal(prepared.data, [[2, 1], [5, 3], [4, 4], [1, 7]])


def test_more_than_two_columns_if_named(tmp_path):
    text = "a,b,c\n1,2,0\n3,5,1\n4,4,5\n7,1,2\n2,2,9\n"
    _, prepared = read(tmp_path, text, "gaussian_mixture_2d", columns=["a", "b", "c"])
    assert prepared.data.shape == (5, 3)


def test_symbols_and_lengths(tmp_path):
    text = "symbol,length\n0,2\n1,\n2,3\n0,\n0,\n"
    _, prepared = read(tmp_path, text, "categorical_hmm", lengths_column="length")
    assert [s.tolist() for s in prepared.data] == [[0, 1], [2, 0, 0]]
    assert prepared.dims == {"n_components": 2, "n_features": 3}


def test_tabs_and_a_byte_order_mark(tmp_path):
    _, prepared = read(
        tmp_path, b"\xef\xbb\xbfx\ty\n1\t2\n3\t4.5\n5\t7\n", name="data.tsv", columns=["x"]
    )
    np.testing.assert_array_equal(prepared.data, [1, 3, 5])


SPACES = {"written": Dialect(delimiter="space")}
X = "gaussian_mixture_1d"
XY = "gaussian_mixture_2d"
HMM = "categorical_hmm"


@pytest.mark.parametrize(
    ("text", "model", "options", "message"),
    [
        ("", X, {}, "the file is empty"),
        ("x\n", X, {}, "no rows below the header"),
        ("x\nNA\n\n.\nnan\n", X, {}, "column 'x': every value is missing"),
        ("x,y\n1,?\n2,\n3,NA\n", XY, {}, "column 'y': every value is missing"),
        ("s\nNA\n?\nnull\n", HMM, {}, "column 's': every value is missing"),
        ("x\n1\ntwo\n3\n", X, {}, "column 'x', line 3: 'two' is not a finite number"),
        ("x\n1\ninf\n3\n", X, {}, "column 'x', line 3: 'inf' is not a finite number; leave"),
        ("x\n1\n", X, {}, "1 observations are too few for 2 components"),
        ("x\n4\n4\n4\n", X, {}, "column 'x': every value is 4; a constant"),
        ("x,y\n1,3\n2,3\n3,3\n", XY, {}, "column 'y': every value is 3; a constant"),
        ("x,y\n1,2\n2,4\n3,6\n", XY, {}, "the columns determine one another"),
        ("x,y\n1,2\n2,4\n3,7\n", X, {}, "takes 1 column and the file has x, y; name them"),
        ("x\n1\n2\n3\n", XY, {}, "takes 2 columns and the file has x"),
        ("x\n1\n2\n", X, {"columns": ["z"]}, "there is no column 'z'; there are x"),
        ("x,y\n1,2\n2,4\n3,7\n", X, {"columns": ["x", "y"]}, "takes 1 column and 2 were named"),
        ("1\n2\n3\n", X, {}, "the first row has numbers only; put column names above"),
        ("s\n0\n1.5\n1\n", HMM, {}, "column 's', line 3: '1.5' is not a symbol"),
        ("s\n0\n1\n1e30\n", HMM, {}, "line 4: '1e30' is not a symbol"),
        ("s\nsun\nsun\nsun\nNA\n", HMM, {}, "every value is sun; a constant"),
        ("s\n0\n1\nsun\n1\n", HMM, {}, "line 4: 'sun' is not a finite number"),
        ("x,y\n1,2,3\n4,5\n2,9\n", XY, {}, "line 2 has 3 values and the header has 2 names"),
        ("x,y\n1,2\n4,5,6\n2,9\n", XY, {}, "line 3 has 3 values and the header has 2"),
        ("x y\n1 2\n4\n2 9\n3 1\n", XY, SPACES, "line 3 has 1 value and the header has 2"),
        ("s\n1\n1\n1\n", HMM, {}, "every value is 1; a constant"),
        ("s\n0\n1\n", HMM, {"components": 3}, "2 observations are too few for 3 components"),
        ("s,n\n0,1\n1,\n", HMM, {"lengths_column": "n"}, "add up to 1 and there are 2 symbols"),
        ("s,n\n0,2\n1,x\n0,\n", HMM, {"lengths_column": "n"}, "line 3: 'x' is not a finite number"),
        ("s,n\n0,0\n1,2\n0,\n", HMM, {"lengths_column": "n"}, "line 2: '0' is not the length"),
        ("s\n0\n1\n", HMM, {"lengths_column": "n"}, "there is no column 'n'; there are s"),
        ("x,n\n0,2\n1,\n", X, {"lengths_column": "n"}, "--lengths-column is for the HMM"),
        ('x\n1\n"2\n', X, {}, "line 3: a quoted value is never closed"),
        (b"x\n\xff\xfe\n1\n", X, {}, "line 2: '\xff\xfe' is not a finite number"),
        ("x\n1\n2\n3\n", X, {"written": Dialect("::")}, "'::' is not one character"),
        ("x\n1\n2\n3\n", X, {"written": Dialect(",", ",")}, "cannot both be ','"),
        ("x\n1\n2\n3\n", X, {"written": Dialect(encoding="zip")}, "no encoding of text called"),
        ("s,q\n0,a\n1,\n0,b\n", HMM, {"sequence_column": "q"}, "line 3: the name of the seq"),
        ("s\n0\n1\n0\n", HMM, {"sequence_column": "q"}, "there is no column 'q'; there are s"),
        ("x,q\n0,a\n1,a\n", X, {"sequence_column": "q"}, "--sequence-column is for the HMM"),
        (
            "s,q,n\n0,a,2\n1,a,\n",
            HMM,
            {"sequence_column": "q", "lengths_column": "n"},
            "name either --lengths-column or --sequence-column",
        ),
    ],
)
def test_bad_files_are_refused(tmp_path, text, model, options, message):
    with pytest.raises(DataError) as refused:
        read(tmp_path, text, model, **options)
    assert message in str(refused.value)
    assert "data.csv" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(DataError, match=r"nowhere.csv: there is no such file"):
        scenario(tmp_path / "nowhere.csv", X, 2)
    with pytest.raises(DataError, match="this is a folder"):
        scenario(tmp_path, X, 2)
