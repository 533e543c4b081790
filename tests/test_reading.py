"""Tables as they come: how each is written is found and said, or refused in one line."""

from __future__ import annotations

import gzip
import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from lockstep.comparisons import dialect
from lockstep.comparisons.dialect import DataError, Dialect
from lockstep.comparisons.own_data import scenario
from lockstep.reports import cli

X, XY, HMM = "gaussian_mixture_1d", "gaussian_mixture_2d", "categorical_hmm"
ROWS = [[1.5, 2.25], [3.0, -5.5], [0.125, 4.0], [7.0, 1.0]]
FRAME = pd.DataFrame(ROWS, columns=["größe", "y"])


def read(tmp_path, content, model=XY, **options):
    path = tmp_path / "data.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return scenario(path, model, 2, **options)


def refusal(tmp_path, content, model=XY, **options):
    with pytest.raises(DataError) as refused:
        read(tmp_path, content, model, **options)
    message = str(refused.value)
    assert "data.csv" in message
    assert message.isprintable()
    return message


def written(**options):
    return FRAME.to_csv(index=False, **options)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (written(), "commas, UTF-8"),
        (written(sep=";", decimal=","), "semicolons, decimal commas, UTF-8"),
        (written(sep=";"), "semicolons, UTF-8"),
        (written(sep="\t", decimal=","), "tabs, decimal commas"),
        (written(sep="|"), "pipes"),
        (written(sep=" "), "spaces"),
        (written(decimal=","), "commas, decimal commas"),  # in quotes, therefore
        (written(sep=";", decimal=",").encode("cp1252"), "Windows-1252 (it is no UTF-8)"),
        (written(sep="\t").encode("utf-16"), "tabs, UTF-16"),
        (written().encode("utf-16-be"), "UTF-16"),
        (written().encode("utf-32"), "UTF-32"),
        (written().encode("utf-8-sig"), "UTF-8 with a byte order mark"),
        (written(quoting=1, lineterminator="\r"), "commas"),
        ("  größe     y\n   1.5  2.25\n     3  -5.5\n 0.125   4.0\n     7     1\n", "spaces"),
        ('"größe" "y"\n"1" 1.5 2.25\n"2" 3 -5.5\n"3" 0.125 4\n"4" 7 1\n', "left out"),
        (written().replace("\n", ",\n"), "The column without a name is left out."),
        (FRAME.to_csv(), "The column without a name is left out."),
        (FRAME.set_axis(list("abcd")).to_csv(sep=";"), "semicolons"),
        ('"Größe; m","y"\n1.5,2.25\n3,-5.5\n0.125,4\n7,1\n', "commas"),
        ("v, km/h;t, s\n1,5;2,25\n3;-5,5\n0,125;4\n7;1\n", "semicolons, decimal commas"),
    ],
)
def test_how_text_is_written_is_found_and_said(tmp_path, content, said):
    own, prepared = read(tmp_path, content)
    np.testing.assert_array_equal(prepared.data, ROWS)
    assert said in own.lesson
    assert own.lesson.startswith("4 rows; ")


@pytest.mark.parametrize(
    "content",
    [
        '"x"\n"1" 1.5\n"2" 3\n"3" 0.125\n',
        '"","x"\n"1",1.5\n"2",3\n"3",0.125\n',
        "x\n1,5\n3,0\n0,125\n",
        "height; in m\n1.5\n3\n0.125\n",
        "length of stay\n1.5\n3\n0.125\n",
    ],
)
def test_a_single_column(tmp_path, content):
    np.testing.assert_array_equal(read(tmp_path, content, X)[1].data, [1.5, 3, 0.125])


@pytest.mark.parametrize(
    ("content", "given", "expected"),
    [
        ("x:y\n1:2\n3:5\n4:4\n", Dialect(":"), [[1, 2], [3, 5], [4, 4]]),
        ("x\ty\n1,000\t2\n3,500\t5\n4,000\t4\n", Dialect(decimal=","), [[1, 2], [3.5, 5], [4, 4]]),
        ("x,y;y\n1;2\n3;5\n4;4\n", Dialect("semicolon"), [[1, 2], [3, 5], [4, 4]]),
        ("\u043b,y\n1,2\n3,5\n4,4\n".encode("cp1251"), Dialect(encoding="cp1251"), None),
    ],
)
def test_what_is_given_overrules(tmp_path, content, given, expected):
    _, prepared = read(tmp_path, content, written=given)
    np.testing.assert_array_equal(prepared.data, expected or [[1, 2], [3, 5], [4, 4]])
    if expected is None:
        assert prepared.labels["axes"] == ("\u043b", "y")


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("x\ty\n1,000\t2\n3,500\t5\n", {}, "line 2: '1,000' is not a finite number; write it with"),
        (
            "x;y\n1,5;2\n1.234,5;5\n4;3\n",
            {},
            "line 3: '1.234,5' is not a finite number; write it without p",
        ),
        (
            "x;y\n1,5;2\n3,5;5\n1.2;3\n",
            {"written": Dialect(decimal=",")},
            "line 4: '1.2' has a dec",
        ),
        ("x y\n1 2\n3\n4 5\n2 2\n", {"written": Dialect(" ")}, "line 3 has 1 value and the header"),
        (b"x,y\n1,2\n\xe4,5\n4,3\n", {}, "line 3: 'ä' is not a finite number"),
        (b"x,y\n1,2\n\xe4,5\n", {"written": Dialect(encoding="utf-8")}, "line 3 has the byte 0xe4"),
        ("x,y\n1,2\n", {"written": Dialect("tabs")}, "'tabs' is not one character"),
        (",x,y\n1,1,2\n1,3,5\n2,4,4\n", {}, "a column has no name, and its values repeat"),
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path, content, options, message):
    assert message in refusal(tmp_path, content, **options)


def test_a_mark_beyond_the_sample_is_refused_not_guessed(tmp_path):
    text = "x;y\n" + "1,5;2\n3,25;7\n" * dialect.SAMPLE + "2.5;3\n"
    assert f"line {2 * dialect.SAMPLE + 2}: '2.5' has a decimal point" in refusal(tmp_path, text)


# --- columnar files -------------------------------------------------------------------------

MIXED = pd.DataFrame(
    {
        "weather": pd.Categorical(["sun", "rain", None, "sun", "fog"]),
        "x": np.array([0.1, np.nan, 3, 4, 1e-300], dtype=np.float64),
        "n": pd.array([1, 2, 3, None, 2**40], dtype="Int64"),
        "f": np.array([0.1, 2, 3, 4, 5], dtype=np.float32),
        "lists": [[1]] * 5,
        "day": pd.date_range("2020-01-01", periods=5),
        "inf": [1, 2, np.inf, 4, 5],
    }
)


def as_parquet(frame):
    return frame.to_parquet()


def as_feather(frame):
    out = io.BytesIO()
    frame.to_feather(out)
    return out.getvalue()


def as_stream(frame):
    table, out = pa.Table.from_pandas(frame), pa.BufferOutputStream()
    with pa.ipc.new_stream(out, table.schema) as stream:
        stream.write_table(table)
    return out.getvalue().to_pybytes()


KINDS = pytest.mark.parametrize(
    ("make", "kind"),
    [(as_parquet, "Parquet"), (as_feather, "Arrow (Feather)"), (as_stream, "an Arrow stream")],
)


@KINDS
def test_columnar_files_are_read_to_the_last_bit(tmp_path, make, kind):
    content = make(MIXED)
    own, prepared = read(tmp_path, content, columns=["x", "n"])
    np.testing.assert_array_equal(
        prepared.data, MIXED[["x", "n"]].to_numpy(np.float64, na_value=np.nan)
    )
    assert own.lesson.startswith(f"5 rows; {kind}.")
    assert "2 of 10 values are missing (x 1, n 1), and integrated out" in own.lesson
    _, prepared = read(tmp_path, content, X, columns=["f"])
    np.testing.assert_array_equal(prepared.data, MIXED["f"].to_numpy(np.float64))
    _, prepared = read(tmp_path, content, HMM, columns=["weather"])
    assert prepared.labels["symbols"] == ("fog", "rain", "sun")
    assert prepared.data[0].tolist() == [2, 1, -1, 2, 0]


@KINDS
def test_columnar_files_are_refused_in_a_line(tmp_path, make, kind):
    content = make(MIXED)
    for column, message in {
        "lists": "column 'lists' is of type list<",
        "weather": "column 'weather', row 1: 'sun' is not a finite number",
        "day": "column 'day', row 1: '2020-01-01",
        "inf": "column 'inf', row 3: 'inf' is not a finite number; leave such rows out",
        "no": "there is no column 'no'; there are weather, x",
    }.items():
        assert message in refusal(tmp_path, content, X, columns=[column])
    for share in (0.3, 0.6, 0.9):
        cut = content[: int(share * len(content))]
        assert "damaged or cut short" in refusal(tmp_path, cut, X, columns=["f"])
    assert "no rows below" in refusal(tmp_path, make(MIXED[:0]), X, columns=["f"])


def test_an_index_that_pandas_stored_is_left_out(tmp_path):
    own, prepared = read(tmp_path, FRAME.set_axis([5, 3, 2, 9]).to_parquet())
    np.testing.assert_array_equal(prepared.data, ROWS)
    assert "left out" in own.lesson


def test_zstandard(tmp_path):
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as stream:
        stream.write(written().encode())
    packed = out.getvalue().to_pybytes()
    own, prepared = read(tmp_path, packed)
    np.testing.assert_array_equal(prepared.data, ROWS)
    assert "Zstandard" in own.lesson
    assert "damaged or cut short" in refusal(tmp_path, packed[:-9])


@pytest.mark.parametrize("content", [written().encode(), as_parquet(FRAME)])
def test_standard_input(tmp_path, monkeypatch, content):
    class Piped:
        buffer = io.BytesIO(content)

    monkeypatch.setattr("sys.stdin", Piped)
    from pathlib import Path

    own, prepared = scenario(Path("-"), XY, 2)
    assert (own.name, own.title) == ("stdin", "standard input")
    np.testing.assert_array_equal(prepared.data, ROWS)
    with pytest.raises(DataError, match="standard input: the file is empty"):
        scenario(Path("-"), XY, 2)


# --- symbols, sequences and missing values --------------------------------------------------


def test_words_missing_values_and_sequences_that_lie_apart(tmp_path):
    text = "id,weather\nb,sun\na,rain\nb,NA\na,heavy snow\nb,rain\nc,?\na,sun\n"
    own, prepared = read(tmp_path, text, HMM, columns=["weather"], sequence_column="id")
    assert prepared.labels["symbols"] == ("heavy snow", "rain", "sun")
    assert [s.tolist() for s in prepared.data] == [[2, -1, 1], [1, 0, 2], [-1]]
    assert "2 of 7 symbols are missing, and summed out." in own.lesson
    assert "3 sequences by 'id', whose rows lie apart in the file." in own.lesson


def test_a_column_of_ids_is_one_sequence_or_several(tmp_path):
    one = read(tmp_path, "id,s\n1,0\n1,1\n1,0\n", HMM, columns=["s"], sequence_column="id")[1]
    assert [s.tolist() for s in one.data] == [[0, 1, 0]]
    text = "s,who\n2,ann\n1,ann\n2,bo\n"
    own, two = read(tmp_path, text, HMM, sequence_column="who")
    assert [s.tolist() for s in two.data] == [[1, 0], [1]]
    assert "2 sequences by 'who'." in own.lesson


@pytest.mark.parametrize(
    ("texts", "missing", "codes", "names"),
    [
        (["1.0", "2.0", "", "2.0"], [], [0, 1, -1, 1], ("1", "2")),
        (["none", "rain", "none", "NA"], [], [0, 1, 0, -1], ("none", "rain")),
        (["10", "9", "-99", "10"], ["-99"], [1, 0, -1, 1], ("9", "10")),
        (["A", "unknown", "B", "a"], ["unknown"], [0, -1, 1, 2], ("A", "B", "a")),
        (["x1", "7", "x2", "x1"], [], [1, 0, 2, 1], ("7", "x1", "x2")),
    ],
)
def test_symbols_are_numbers_or_words(tmp_path, texts, missing, codes, names):
    text = "\n".join(["s,t", *(f"{t},1" for t in texts)])
    _, prepared = read(tmp_path, text, HMM, columns=["s"], missing=missing)
    assert prepared.data[0].tolist() == codes
    assert prepared.labels["symbols"] == names


@pytest.mark.parametrize(
    ("texts", "told"),
    [("-999 0 1", True), ("-1 1 2", True), ("-9 0 1", True), ("-1 0 1", False), ("0 1 3", False)],
)
def test_a_number_that_may_be_a_missing_one_is_pointed_at(tmp_path, texts, told):
    own, _ = read(tmp_path, "\n".join(["s", *texts.split()]), HMM)
    assert ("stands for a missing one" in own.lesson) is told


def test_symbols_from_0_need_no_other_names(tmp_path):
    own, prepared = read(tmp_path, "s\n0\n2\n1\n", HMM)
    assert "symbols" not in prepared.labels
    assert own.lesson == "3 rows; one column, UTF-8."


@pytest.mark.parametrize("hole", ["", "NA", "NaN", "null", ".", "?", "N/A", "None"])
def test_missing_numbers_are_not_observed_and_empty_rows_left_out(tmp_path, hole):
    text = f"x,y\n1,2\n{hole},3\n4,{hole}\n{hole},{hole}\n7,1\n3,3.5\n8,2\n"
    own, prepared = read(tmp_path, text)
    nan = np.nan
    np.testing.assert_array_equal(
        prepared.data, [[1, 2], [nan, 3], [4, nan], [7, 1], [3, 3.5], [8, 2]]
    )
    assert "1 row without any value left out." in own.lesson
    assert "2 of 12 values are missing (x 1, y 1), and integrated out." in own.lesson


# --- weights and what is held out -----------------------------------------------------------


def test_a_row_counts_as_often_as_its_weight_says(tmp_path):
    own, prepared = read(tmp_path, "x,n\n1,3\n2.5,0\n4,1\n,7\n9,2\n", X, weights_column="n")
    assert prepared.data.tolist() == [1, 1, 1, 4, 9, 9]
    assert "5 rows stand for 13, each counted as often as 'n' says." in own.lesson
    text = "x,y,n\n1,2,1\n3,5,2\n4,4,1e0\n"
    _, prepared = read(tmp_path, text, weights_column="n")
    assert prepared.data.tolist() == [[1, 2], [3, 5], [3, 5], [4, 4]]


def test_a_sequence_counts_as_often_as_its_weight_says(tmp_path):
    text = "s,q,n\na,1,2\nb,1,\nb,2,3\na,2,3\na,3,0\n"
    _, prepared = read(tmp_path, text, HMM, sequence_column="q", weights_column="n")
    assert [s.tolist() for s in prepared.data] == [[0, 1]] * 2 + [[1, 0]] * 3
    for rows, message in {
        "a,1,2\nb,1,3\n": "line 3: another row of the sequence has another weight",
        "a,1,\nb,1,\na,2,1\n": "line 2: the weight is missing",
        "a,1,1.5\nb,2,1\n": "line 2: '1.5' is no whole number from 0",
        "a,1,0\nb,2,0\n": "column 'n': every weight is 0",
    }.items():
        options = {"sequence_column": "q", "weights_column": "n"}
        assert message in refusal(tmp_path, "s,q,n\n" + rows, HMM, **options)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ("-1", "line 3: '-1' is no whole number from 0"),
        ("0.5", "line 3: '0.5' is no whole number from 0"),
        ("", "line 3: the value is missing"),
        ("many", "line 3: 'many' is not a finite number"),
        ("1e9", "the weights add up to 1,000,000,003, more than 10,000,000"),
    ],
)
def test_weights_that_are_none_are_refused(tmp_path, weight, message):
    text = f"x,n\n1,1\n2,{weight}\n4,1\n5,1\n"
    assert message in refusal(tmp_path, text, X, weights_column="n")


def test_rows_are_held_out_before_they_are_counted(tmp_path):
    text = "x,n\n" + "".join(f"{i},{1 + i % 3}\n" for i in range(50))
    own, prepared = read(tmp_path, text, X, weights_column="n", holdout=0.2)
    held, fitted = set(prepared.heldout.tolist()), set(prepared.data.tolist())
    assert len(held) == 10
    assert held | fitted == set(range(50))
    assert not held & fitted
    assert "Held out: 10 of 50 rows, drawn at random." in own.lesson
    again = read(tmp_path, text, X, weights_column="n", holdout=0.2, seed=5)[1]
    assert again.heldout.tolist() == prepared.heldout.tolist(), "whatever the seed of the fits"


def test_whole_sequences_are_held_out_or_the_ends_of_few(tmp_path):
    text = "s,q\n" + "".join(f"{(i * i) % 3 % 2},{i // 10}\n" for i in range(100))
    own, prepared = read(tmp_path, text, HMM, sequence_column="q", holdout=0.3)
    assert [len(s) for s in prepared.heldout] == [10] * 3
    assert [len(s) for s in prepared.data] == [10] * 7
    assert "Held out: 3 of 10 sequences, drawn at random." in own.lesson
    own, prepared = read(tmp_path, text[:130], HMM, columns=["s"], holdout=0.25)
    (train,), (test,) = prepared.data, prepared.heldout
    every = [int(line[0]) for line in text[:130].splitlines()[1:]]
    assert [*train, *test] == every
    assert len(test) == round(0.25 * len(every))
    assert "the end of the sequence" in own.lesson


@pytest.mark.parametrize("share", [0, 1, -0.5, 3, float("nan"), 0.01])
def test_a_share_that_leaves_nothing_is_refused(tmp_path, share):
    assert "--holdout" in refusal(tmp_path, written(), holdout=share)
    assert "--holdout" in refusal(tmp_path, "s\n0\n1\n0\n", HMM, holdout=share)


# --- through the whole comparison -----------------------------------------------------------


def compared(tmp_path, monkeypatch, capsys, *arguments):
    """Run the command line here and return its status, results, page and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCKSTEP_CACHE", str(tmp_path / "cache"))
    code = cli.main(["compare", *arguments, "--components", "2", "--out", "out"])
    said = capsys.readouterr()
    content = json.loads((tmp_path / "out/results.json").read_text())["scenarios"][0]
    return code, content, (tmp_path / "out/index.html").read_text("utf-8"), said.err


@pytest.mark.slow
def test_words_gaps_and_sequences_go_through_a_comparison(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(3)
    words = np.array(["light rain", "schön", "fog"])
    lines = ["station;weather"]
    for t in range(60):
        for station in "ABC":
            word = words[rng.choice(3, p=[[0.7, 0.1, 0.2], [0.1, 0.8, 0.1]][(t // 8) % 2])]
            lines.append(f"{station};{word if rng.random() > 0.1 else 'NA'}")
    (tmp_path / "weather.csv").write_bytes(gzip.compress("\n".join(lines).encode("cp1252")))
    code, content, page, said = compared(
        *(tmp_path, monkeypatch, capsys, "weather.csv", "--model", "categorical-hmm"),
        *("--columns", "weather", "--sequence-column", "station", "--holdout", "0.2"),
        *("--implementations", "em", "hmmlearn"),
    )
    assert code == 0
    first = said.splitlines()[0]
    assert first.startswith("weather.csv: 180 rows; semicolons, Windows-1252")
    assert content["lesson"] in first
    assert content["labels"]["symbols"] == ["fog", "light rain", "schön"]
    assert content["n_heldout"] == 36
    ours, theirs = (
        [o for o in content["outcomes"] if o["implementation"] == name]
        for name in ("em", "hmmlearn")
    )
    assert all(o["log_likelihood"]["heldout"] < -10 for o in ours)
    assert {o["status"] for o in theirs} == {"unsupported"}
    assert "hmmlearn takes no sequence with gaps" in theirs[0]["message"]
    for text in ("state 1 shows light rain", "state 2 shows schön", "36 held out", "semicolons"):
        assert text in page


@pytest.mark.slow
def test_rows_with_gaps_go_through_a_comparison(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.normal(0, 1, (40, 2)), rng.normal(6, 1, (40, 2))])
    x[::9, 0] = np.nan
    x[5::11, 1] = np.nan
    frame = pd.DataFrame(x, columns=["länge", "breite"]).assign(n=rng.integers(0, 3, 80))
    frame.to_parquet(tmp_path / "data.parquet")
    arguments = ("data.parquet", "--model", "gaussian-mixture-2d", "--weights-column", "n")
    code, content, page, _ = compared(
        *(tmp_path, monkeypatch, capsys, *arguments, "--holdout", "0.25"),
        *("--implementations", "em", "scikit-learn"),
    )
    assert code == 0
    by_name = {o["implementation"]: o for o in content["outcomes"]}
    assert by_name["em"]["verdict"] == "agrees"
    assert "integrated out" in content["lesson"]
    assert "take none that is missing" in by_name["scikit-learn"]["message"]
    assert content["n_train"] + content["n_heldout"] == frame.n[~np.isnan(x).all(axis=1)].sum()
    assert "breite" in page


# --- running again --------------------------------------------------------------------------


@pytest.mark.slow
def test_a_smaller_run_leaves_the_report_that_has_more(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCKSTEP_CACHE", str(tmp_path / "cache"))
    x = np.random.default_rng(0).normal([[0], [9]], 1, (2, 40)).ravel()
    (tmp_path / "x.csv").write_text("\n".join(["x", *map(str, x)]))

    def run(*options):
        arguments = ["compare", "x.csv", "--model", "gaussian-mixture-1d", "--components", "2"]
        code = cli.main([*arguments, "--implementations", *options])
        assert code == 0
        return capsys.readouterr()

    def rows(folder):
        content = json.loads((tmp_path / folder / "results.json").read_text())
        return {o["implementation"] for o in content["scenarios"][0]["outcomes"]}

    first = run("em", "scikit-learn")
    assert "as configured" in first.out
    assert first.out.splitlines()[-1].startswith("✓ All fits agree")
    less = run("em")
    assert (
        "lockstep-x stays, which has scikit-learn too; this report goes to lockstep-x-part"
        in (less.err.splitlines()[0])
    )
    assert rows("lockstep-x") == {"em", "scikit-learn"}
    assert rows("lockstep-x-part") == {"em"}

    again = run("em", "scikit-learn")
    assert "Nothing has changed since this report was made. Its tables: --tables." in again.err
    assert [line.split(":")[0].split(".")[0] for line in again.out.splitlines()] == [
        "Report",
        "✓ All fits agree",
    ]
    assert "as configured" in run("em", "scikit-learn", "--tables").out
