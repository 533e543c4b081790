"""Files, folders and names as they come: data or one line, and nothing of anyone's lost."""

from __future__ import annotations

import bz2
import errno
import gzip
import html.parser
import io
import json
import lzma
import multiprocessing
import os
import resource
import tarfile
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt

from lockstep.comparisons import cache as cache_module
from lockstep.comparisons import csv_file
from lockstep.comparisons.cache import FitCache, Timed
from lockstep.comparisons.csv_file import read
from lockstep.comparisons.dialect import DataError
from lockstep.comparisons.files import Notice
from lockstep.comparisons.implementations import _pymc
from lockstep.comparisons.own_data import scenario
from lockstep.comparisons.problem import Mode, Problem
from lockstep.models import categorical_hmm, gaussian_mixture_1d, uncertainty
from lockstep.models.fits import PointFit, Status
from lockstep.reports import cli, folder, markdown
from mangled import mangled

FILES = int(os.environ.get("LOCKSTEP_FUZZED_FILES", "400"))


def outcome(path, model, **options):
    """Return the data, or the refusal: one printable line that names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Notice)
            return scenario(path, model, 2, **options)[1].data
    except DataError as error:
        message = str(error)
        assert message.isprintable(), message
        assert "data." in message
        assert len(message) < 1000
        return message


def test_mangled_files_are_data_or_one_line(tmp_path):
    read = 0
    slowest, before = 0.0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for seed in range(FILES):
        content, name, model, options = mangled(seed)
        path = tmp_path / name
        path.write_bytes(content)
        began = time.perf_counter()
        found = outcome(path, model, **options)
        slowest = max(slowest, time.perf_counter() - began)
        if not isinstance(found, str):
            read += 1
            assert not np.isinf(np.concatenate(found) if isinstance(found, tuple) else found).any()
    assert FILES / 50 < read < FILES / 2, "most are refused, not all"
    assert slowest < 5, "seconds for a file of a kilobyte"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 300_000, "kilobytes"


def test_mangled_files_on_the_command_line(tmp_path, capsys):
    """In this process: a process of its own would show nothing more, and take a second each."""
    refused = 0
    for seed in range(10_000, 10_060):
        content, name, model, options = mangled(seed)
        path = tmp_path / name
        path.write_bytes(content)
        if not isinstance(outcome(path, model, **options), str):
            continue
        more = ["--lengths-column", "length"] if options else []
        code = cli.main(
            ["compare", str(path), "--model", model.replace("_", "-"), "--components", "2", *more]
        )
        said = capsys.readouterr()
        assert code == 2
        assert said.out == ""
        (line,) = said.err.splitlines()
        assert name in line
        refused += 1
    assert refused > 30


# --- values and lines -----------------------------------------------------------------------


def refusal(tmp_path, content, model="gaussian_mixture_1d", name="data.csv", **options):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError) as refused:
        scenario(path, model, 2, **options)
    message = str(refused.value)
    assert message.isprintable()
    assert name in message
    return message


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("1e-400", "'1e-400' is too small: it would become 0 in double precision"),
        ("-0.00001e-330", "too small"),
        (f"0.{'0' * 400}1", "too small"),
        ("1e400", "'1e400' is too large in double precision"),
        ("-1" + "0" * 309, "too large"),
        ("1_000", "write digits only"),
        ("1\u202f000", "write digits only"),
        ('"1,000,000"', "write it without commas"),
        ('"1,5"', "write a decimal point"),
        ("0x10", "'0x10' is not a finite number"),
        ("inf", "leave such rows out"),
        ("-Infinity", "leave such rows out"),
        ("\uff11\uff12", "is not a finite number"),
        ("\u22125", "is not a finite number"),
        ("# 5", "comments are not read"),
        ("1.2.3", "is not a finite number"),
        ("1e", "is not a finite number"),
        ("1e5.0", "is not a finite number"),
        ("\x1b[31m", r"'\x1b[31m' is not a finite number"),
        ("9" * 1000 + "x", "... is not a finite number"),
        ("missing", "'missing' is not a finite number"),
        ("-", "'-' is not a finite number"),
    ],
)
def test_a_value_that_is_no_double_is_named_with_its_line(tmp_path, value, message):
    said = refusal(tmp_path, f"x\n1.5\n{value}\n2\n")
    assert "column 'x', line 3: " in said
    assert message in said
    assert len(said) < 400


@pytest.mark.parametrize(
    "text", ["0e-999", "-0.000e-400", "5.", ".5", "+3", " 7\t", "1E3", "4.9e-324", "1" + "0" * 300]
)
def test_unusual_numbers_are_read_to_the_last_bit(tmp_path, text):
    path = tmp_path / "data.csv"
    path.write_text(f"x\n{text}\n1\n")
    assert read(path, lambda _: [0]).numbers(0)[0] == float(text)


def test_numbers_survive_writing_and_reading(tmp_path):
    x = np.random.default_rng(0).integers(0, 2**63, 2000).view(np.float64)
    x = x[np.isfinite(x)]
    path = tmp_path / "data.csv"
    path.write_text("\n".join(["x", *map(repr, x.tolist())]))
    np.testing.assert_array_equal(read(path, lambda _: [0]).numbers(0), x)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("x\n1\n\n2\n3\n", 3),
        ("x\n1\n2\n\n", 4),  # a blank line at the end is a row as well
        ("\n\nx\n1\n2\n\n3\n", 6),
        ("x\r\n1\r\n\r\n2\r\n", 3),
        ("x\r1\r\r2\r", 3),
        ("\ufeffx\n1\n  \n2\n", 3),
        ('"x\ny"\n1\n\n2\n', 4),
        ('x\n1\n"\n"\n2\n', 3),
    ],
)
def test_a_blank_line_of_a_single_column_is_a_missing_value(tmp_path, content, line):
    path = tmp_path / "data.csv"
    path.write_bytes(content.encode())
    own, prepared = scenario(path, "gaussian_mixture_1d", 2)
    assert "1 row without a value left out" in own.lesson
    assert np.isfinite(prepared.data).all()
    own, prepared = scenario(path, "categorical_hmm", 2)
    assert "symbols is missing, and summed out" in own.lesson
    (symbols,) = prepared.data
    assert np.flatnonzero(symbols < 0).size == 1
    table = read(path, lambda _: [0])
    (row,) = np.flatnonzero(symbols < 0)
    assert table.lines[row] == line


def test_a_blank_line_between_rows_of_several_columns_is_refused(tmp_path):
    xy, options = "gaussian_mixture_2d", {"lengths_column": "n"}
    assert "line 3 is blank" in refusal(tmp_path, "x,y\n1,2\n\n3,5\n4,4\n", xy)
    assert "line 4 is blank" in refusal(
        tmp_path, "s,n\n0,3\n1,\n \n1,\n", "categorical_hmm", **options
    )
    path = tmp_path / "data.csv"
    path.write_text("x,y\n1,2\n3,5\n4,4\n\n\n")
    assert len(scenario(path, xy, 2)[1].data) == 3, "blank lines at the end are no rows"


def test_lines_are_an_editors_though_values_span_several(tmp_path):
    text = 'note,x\n"two\nlines",1\n"three\r\nand\rmore",oops\nlast,3\n'
    assert "line 6: 'oops'" in refusal(tmp_path, text, columns=["x"])
    text = 'x,note\n1,"two\nlines"\noops,"a\nb"\n'
    assert "line 4: 'oops'" in refusal(tmp_path, text, columns=["x"])
    assert "line 4 has 3 values" in refusal(tmp_path, 'x,y\n1,"a\nb"\n1,2,3\n', columns=["x"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\u00fc\n1\n".encode() + b"\xe9t\xe9\n", "line 3 has the byte 0xe9, which is not UTF-8"),
        (b"x\n1\n\x81\n", "line 3 has the byte 0x81, which is not UTF-8"),
        (b"x\n1\n2\0\n", "line 3 has a NUL byte"),
        ("x\n1\nabc\n".encode("utf-16"), "line 3: 'abc' is not a finite number"),
        ("x\n1\n2\n".encode("utf-16")[:-1], "which is not UTF-16"),
        ("x\n1\nabc\n".encode("utf-16-be"), "line 3: 'abc' is not a finite number"),
        (b"\xef\xbb\xbf", "the file is empty"),
        (b"\n\n\n", "the file is empty"),
        (b"x\n", "no rows below the header"),
        (b'x\n1\n"2\n3\n', "line 3: a quoted value is never closed"),
        (b'x\n1\n"2"3\n', "line 3: there is text behind a closing quote"),
        (b"x\n1\n" + b"2" * 200_000 + b"\n", "line 3: a value is longer than 131,072 characters"),
        (b"x,x\n1,2\n3,5\n", "2 columns are called 'x'"),
        (b"PAR1" + bytes(50), "it is damaged or cut short: Parquet"),
        (b"\x28\xb5\x2f\xfd" + bytes(50), "it is compressed, and damaged or cut short"),
        (b",".join(b"c%d" % i for i in range(20_000)) + b"\n1\n", "c9 and 19990 more"),
    ],
)
def test_what_is_no_table_is_said_in_a_line(tmp_path, content, message):
    said = refusal(tmp_path, content)
    assert message in said
    assert len(said) < 400


def test_only_ambiguous_names_are_refused(tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("x,,\n1,2,3\n4,2,3\n6,7,8\n")
    assert len(scenario(path, "gaussian_mixture_1d", 2, columns=["x"])[1].data) == 3


# --- packed files, pipes and devices --------------------------------------------------------

TABLE = b"x\n" + b"".join(b"%.3f\n" % v for v in np.random.default_rng(1).normal(size=400))


def zipped(*contents):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for i, content in enumerate(contents):
            archive.writestr(f"{i}.csv", content)
    return out.getvalue()


def tarred(*contents):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for i, content in enumerate(contents):
            member = tarfile.TarInfo(f"{i}.csv")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


PACKINGS = {
    "gz": gzip.compress(TABLE), "bz2": bz2.compress(TABLE), "xz": lzma.compress(TABLE),
    "zip": zipped(TABLE), "tar": tarred(TABLE), "tar.gz": gzip.compress(tarred(TABLE)),
}  # fmt: skip


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("ending", ["csv", "gz", "zst", "zip"])
def test_a_packed_table_is_read_whatever_it_is_called(tmp_path, packing, ending):
    path = tmp_path / f"data.{ending}"
    path.write_bytes(PACKINGS[packing])
    assert len(scenario(path, "gaussian_mixture_1d", 2)[1].data) == 400


@pytest.mark.parametrize("packing", PACKINGS)
def test_a_damaged_packing_is_said_in_a_line(tmp_path, packing):
    whole = PACKINGS[packing]
    length = 512 + len(TABLE) if packing == "tar" else len(whole)  # behind it there are only zeros
    for share in (0.3, 0.6, 0.9):
        said = refusal(tmp_path, whole[: int(length * share)], name=f"data.{packing}")
        assert "damaged or cut short" in said


def test_archives_hold_one_table(tmp_path):
    assert "the archive holds 2 files" in refusal(tmp_path, zipped(TABLE, TABLE))
    assert "the archive holds 3 files" in refusal(tmp_path, tarred(TABLE, TABLE, TABLE))
    assert "the archive holds 0 files" in refusal(tmp_path, zipped())
    longer = b"x\n1\n2,3\n"
    for packed in (gzip.compress(longer), lzma.compress(longer), zipped(longer), tarred(longer)):
        assert "line 3 has 2 values and the header has 1 name" in refusal(tmp_path, packed)


def test_a_file_that_unpacks_without_end_is_refused_within_bounds(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_file, "LARGEST", 2**20)
    bomb = gzip.compress(gzip.compress(bytes(2**24)))
    assert "more than 1 MiB" in refusal(tmp_path, bomb)
    monkeypatch.setattr(csv_file, "MOST_ROWS", 100)
    assert "more than 100 rows" in refusal(tmp_path, TABLE)


def test_pipes_devices_and_folders(tmp_path):
    """A pipe from the shell is read once; what may never end is refused."""
    named = tmp_path / "pipe.csv"
    os.mkfifo(named)
    for path, message in (
        (named, "a named pipe"),
        (Path("/dev/zero"), "a device"),
        (Path("/dev/null"), "a device"),
        (tmp_path, "a folder"),
        (tmp_path / "no", "no such file"),
        (tmp_path / ("n" * 300), "cannot be read: File name too long"),
        (Path("nul\0.csv"), "cannot be read"),
    ):
        with pytest.raises(DataError, match=message):
            scenario(path, "gaussian_mixture_1d", 2)
    for content, expected in ((TABLE, 400), (b"x\n1\n2,3\n", "line 3 has 2 values")):
        reading, writing = os.pipe()
        os.write(writing, content)
        os.close(writing)
        path = Path(f"/dev/fd/{reading}")
        try:
            if isinstance(expected, int):
                assert len(scenario(path, "gaussian_mixture_1d", 2)[1].data) == expected
            else:
                with pytest.raises(DataError, match=expected):
                    scenario(path, "gaussian_mixture_1d", 2)
        finally:
            os.close(reading)


# --- lengths and symbols --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["0,1", "1,1", "0,1", "1,1"], "give it as --sequence-column"),
        (["0,7", "1,7", "0,8", "1,8", "1,8"], "give it as --sequence-column"),
        (["0,a", "1,a", "0,b", "1,b", "1,b"], "give it as --sequence-column"),
        (["0,1", "1,", "0,2", "1,", "1,3", "0,"], "neither at the top of the column nor"),
        (["0,2", "1,2", "0,", "1,x"], "line 5: 'x' is not a finite number"),
    ],
)
def test_a_column_of_names_is_no_list_of_lengths(tmp_path, rows, message):
    text = "\n".join(["s,id", *rows, ""])
    assert message in refusal(tmp_path, text, "categorical_hmm", lengths_column="id")


@pytest.mark.parametrize(
    "lengths", [["2", "", "3", "", ""], ["2", "3", "", "", ""], ["", "2", "", "", "3"]]
)
def test_lengths_stand_on_top_or_with_their_sequences(tmp_path, lengths):
    path = tmp_path / "data.csv"
    rows = [f"{i % 2},{length}" for i, length in enumerate(lengths)]
    path.write_text("\n".join(["s,n", *rows]))
    _, prepared = scenario(path, "categorical_hmm", 2, lengths_column="n")
    assert [len(s) for s in prepared.data] == [2, 3]


@pytest.mark.parametrize(
    ("symbols", "codes"),
    [
        ([1, 2, 6, 3, 4, 5], [0, 1, 5, 2, 3, 4]),
        ([0, 1, 3], [0, 1, 2]),
        ([5, 9, 5], [0, 1, 0]),
        ([1, -1, 0, 1], [2, 0, 1, 2]),
    ],
)
def test_symbols_are_those_that_occur_and_keep_their_numbers(tmp_path, symbols, codes):
    path = tmp_path / "data.csv"
    path.write_text("\n".join(["s", *map(str, symbols)]))
    own, prepared = scenario(path, "categorical_hmm", 2)
    assert prepared.data[0].tolist() == codes
    names = [str(v) for v in sorted(set(symbols))]
    assert prepared.dims["n_features"] == len(names)
    assert prepared.labels["symbols"] == tuple(names)
    assert f"{len(names)} symbols, in sorted order: {', '.join(names)}." in own.lesson


# --- size -----------------------------------------------------------------------------------


def test_a_model_of_more_parameters_than_a_report_can_show_is_refused(tmp_path):
    rows = "\n".join(map(str, range(12_000)))
    path = tmp_path / "data.csv"
    path.write_text(f"s\n{rows}\n")
    with pytest.raises(DataError, match="1,222,302 parameters, more than 1,000,000"):
        scenario(path, "categorical_hmm", 101)
    own, _ = scenario(path, "categorical_hmm", 50)
    assert own.n_iter < 50, "the paths of the matched fits are bounded too"


def test_posteriors_of_many_parameters_are_rows_that_say_so():
    data = (np.arange(600),)
    for dims, size in (({"n_components": 2, "n_features": 600}, 1201),):
        problem = Problem("categorical_hmm", data, dims, Mode.AS_CONFIGURED, 0)
        assert (
            _pymc.unsupported(problem) == f"{size:,} parameters are too many to draw: at most 1,000"
        )
    wide = Problem(
        "gaussian_mixture_2d", np.zeros((3, 44)), {"n_components": 1}, Mode.AS_CONFIGURED, 0
    )
    assert "1,034 parameters" in _pymc.unsupported(wide)
    few = Problem(
        "categorical_hmm", data, {"n_components": 3, "n_features": 300}, Mode.AS_CONFIGURED, 0
    )
    assert _pymc.unsupported(few) is None


def test_wald_is_skipped_beyond_a_size_and_says_so(monkeypatch):
    parameters = categorical_hmm.Parameters.of(
        startprob=[0.5, 0.5],
        transmat=[[0.5, 0.5], [0.4, 0.6]],
        emissionprob=np.full((2, 600), 1 / 600),
    )
    data = (np.arange(600),)
    known = uncertainty.wald(categorical_hmm, parameters, data)
    assert set(known.no_interval.values()) == {
        "1,201 free parameters are too many for the observed information: at most 1,000"
    }
    assert np.isnan(known.sd.emissionprob).all()


# --- runs side by side ----------------------------------------------------------------------


def a_fit(value=0.0):
    parameters = gaussian_mixture_1d.Parameters.of(weights=[1.0], means=[value], variances=[1.0])
    return Timed(PointFit(parameters, Status.CONVERGED, "", 1), 1.0)


KEYS = [f"{i:064x}" for i in range(20)]


def test_an_entry_is_not_believed_under_another_key(tmp_path):
    kept = FitCache(tmp_path)
    for i in range(3):
        kept.store(KEYS[i], a_fit(i))
    there = tmp_path / "00"
    (there / KEYS[1]).write_bytes((there / KEYS[0]).read_bytes())
    assert kept.load(KEYS[1]) is None
    assert kept.load(KEYS[2]).fit.parameters.means[0] == 2
    assert kept.load(KEYS[0]).fit.parameters.means[0] == 0


def test_a_sealed_entry_that_is_no_fit_is_as_good_as_none(tmp_path):
    import hashlib

    for i, content in enumerate((b"", b"PK", b"not an archive", bytes(1000))):
        path = tmp_path / "00" / KEYS[i]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        assert FitCache(tmp_path).load(KEYS[i]) is None


@pytest.mark.parametrize("place", ["file", "below a file", "proc", "full"])
def test_a_cache_that_cannot_be_used_costs_one_warning(tmp_path, monkeypatch, place):
    (tmp_path / "file").write_text("mine")
    where = {
        "file": tmp_path / "file",
        "below a file": tmp_path / "file" / "cache",
        "proc": Path("/proc/cache"),
        "full": tmp_path / "cache",
    }[place]
    if place == "full":

        def full(*_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(cache_module, "write_whole", full)
    kept = FitCache(where)
    assert kept.load(KEYS[0]) is None
    with pytest.warns(Notice, match="finished fits cannot be kept in .*again next time") as told:
        [kept.store(key, a_fit()) for key in KEYS]
    assert len(told) == 1
    assert (tmp_path / "file").read_text() == "mine"


def test_the_cache_keeps_within_its_size_what_was_asked_for_last(tmp_path):
    FitCache(tmp_path).store(KEYS[0], a_fit())
    size = (tmp_path / "00" / KEYS[0]).stat().st_size
    kept = FitCache(tmp_path, most_kept=5 * size + 10)
    (tmp_path / "00" / "notes.txt").write_text("mine" * size)
    left = tmp_path / "00" / f".{KEYS[0]}.left"
    left.write_text("half")
    os.utime(left, (0, 0))
    for i in range(1, 12):
        for age, path in enumerate(sorted((tmp_path / "00").glob("0*"))):
            if path.name != KEYS[0]:
                os.utime(path, (1000 + age, 1000 + age))
        assert kept.load(KEYS[0]) is not None, "asked for again and again"
        kept.store(KEYS[i], a_fit())
    assert [i for i in range(12) if (tmp_path / "00" / KEYS[i]).exists()] == [0, 8, 9, 10, 11]
    assert (tmp_path / "00" / "notes.txt").exists()
    assert not left.exists(), "what a killed run was writing"


def _write_slowly(out, begun, go_on):
    with folder.replaced(out, "x") as fresh:
        (fresh / "index.html").write_text("slow")
        begun.set()
        go_on.wait(60)


def test_a_second_run_leaves_the_partial_folder_of_a_first(tmp_path):
    """And clears it away once the first was killed."""
    context = multiprocessing.get_context("fork")
    out = tmp_path / "out [1]"
    folder.prepare(out)
    runs = []
    for killed in (False, True):
        begun, go_on = context.Event(), context.Event()
        run = context.Process(target=_write_slowly, args=(out, begun, go_on))
        run.start()
        assert begun.wait(60)
        folder.prepare(out)
        with folder.replaced(out, "y") as fresh:
            (fresh / "index.html").write_text("quick")
        assert (out / "index.html").read_text() == "quick"
        assert len(list(tmp_path.glob(".out*"))) == 1, "the first run's is still there"
        run.kill() if killed else go_on.set()
        run.join(60)
        runs.append(run)
        assert (out / "index.html").read_text() == ("quick" if killed else "slow")
        assert json.loads((out / "manifest.json").read_text())["files"].keys() == {"index.html"}
    folder.prepare(out)
    assert [path.name for path in tmp_path.iterdir()] == ["out [1]"]


@pytest.mark.parametrize("out", ["/proc/report", "/sys/kernel/report", "n" * 250])
def test_a_place_that_cannot_be_written_is_refused_before_the_fits(
    tmp_path, monkeypatch, capsys, out
):
    monkeypatch.chdir(tmp_path)
    Path("data.csv").write_text("x\n1\n2\n4\n")
    monkeypatch.setattr("lockstep.comparisons.suite.compare", lambda *_: pytest.fail("it began"))
    for options in (["--out", out], ["--json", f"{out}/{'n' * 300}/results.json"]):
        code = cli.main(
            ["compare", "data.csv", "--model", "gaussian-mixture-1d", "--components", "2", *options]
        )
        said = capsys.readouterr()
        assert code == 2
        assert len(said.err.splitlines()) == 1


# --- names ----------------------------------------------------------------------------------

NAMES = (
    "[a](http://b.example)", "![a](b)", "`code` ``", "*a* _b_ **c** ~~d~~", "<b>&amp;</b>", "a|b",
    "# heading #", "- item", "1. item", "+ item", "===", "> quote", "$x$ \\(y\\)", "\\", "[x]: y",
    "a\nb", "---", "<!-- a -->", "\x1b[31mred\x07", "a\u202eb",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_markdown_shows_a_name_as_it_is(name):
    def text(made):
        parts = []
        for token in MarkdownIt("gfm-like", {"linkify": False}).parse(made):
            assert token.type in ("paragraph_open", "paragraph_close", "inline"), token
            for child in token.children or []:
                assert child.type in ("text", "text_special", "code_inline"), child
                parts.append(child.content)
        return "".join(parts)

    shown = markdown.printable(" ".join(name.split()))
    assert text(markdown._paragraph(name)) == shown
    assert text(f"so {markdown._escaped(name)} it is") == f"so {shown} it is"
    assert text(f"so {markdown._code(name)} it is") == f"so {shown} it is"


class _Texts(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.texts = set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.slow
def test_a_report_on_hostile_names(tmp_path, monkeypatch, capsys):
    """A file's and its columns' names, through every part of a report."""
    from xml.etree import ElementTree

    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (40, 2)), rng.normal(6, 1, (40, 2))])
    columns = ("a$b$_{c <blink> [x](y)", "`d` | e\x1b[31m & \u2603")
    monkeypatch.chdir(tmp_path)
    path = os.fsdecode(b"odd \xff\x1b[1m <blink> [red]$x^$.csv")
    header = ",".join(f'"{name}"' for name in columns)
    rows = [",".join(map(repr, row)) for row in x.tolist()]
    Path(path).write_text("\n".join([header, *rows]))
    code = cli.main(
        [
            *("compare", path, "--model", "gaussian-mixture-2d", "--components", "2"),
            *("--implementations", "em", "--out", "out"),
        ]
    )
    said = capsys.readouterr()
    assert code == 0
    for text in (said.out, said.err, Path("out/report.md").read_text("utf-8")):
        assert "\x1b" not in text
        assert "odd " in text
    page = _Texts()
    page.feed(Path("out/index.html").read_text("utf-8"))
    assert "blink" not in page.tags
    shown = "odd \\udcff\\x1b[1m <blink> [red]$x^$.csv"
    assert any(shown in text for text in page.texts)
    svg = ElementTree.parse("out/figures/odd-udcff-x1b-1m-blink-red-x-data.svg")
    drawn = {"".join(text.itertext()) for text in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert columns[0] in drawn
    assert columns[1].replace("\x1b", "\\x1b") in drawn
