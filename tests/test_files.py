"""Files, folders and names as they come: data or one line, and nothing of anyone's lost."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

from lockstep.comparisons.csv_file import DataError
from lockstep.comparisons.files import Notice
from lockstep.comparisons.own_data import scenario
from mangled import mangled

FILES = int(os.environ.get("LOCKSTEP_FUZZED_FILES", "400"))
BEGUN = [sys.executable, "-m", "lockstep.reports.cli", "compare"]


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
            assert np.isfinite(np.concatenate(found) if isinstance(found, tuple) else found).all()
    assert FILES / 50 < read < FILES / 2, "most are refused, not all"
    assert slowest < 5, "seconds for a file of a kilobyte"
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 300_000, "kilobytes"
