"""A file people ask for is written whole or not at all, and refused before any work where it could not be."""

from pathlib import Path

import pytest

from coldframe.errors import ConfigurationError
from coldframe.files import check_out, whole


def test_a_name_that_promises_another_sort_of_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"plan.xlsx should end in .csv or .parquet"):
        check_out(tmp_path / "plan.xlsx", ".csv", ".parquet")


def test_a_folder_that_is_a_file_is_named_and_one_that_is_not_there_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"file/out.csv cannot be written \(File exists\). Choose a folder"):
        check_out(tmp_path / "file" / "out.csv", ".csv")
    with whole(tmp_path / "new" / "folder" / "out.csv") as unfinished:
        unfinished.write_text("all")
    assert (tmp_path / "new" / "folder" / "out.csv").read_text() == "all"


def test_asking_leaves_nothing_behind_and_what_is_there_as_it_is(tmp_path: Path) -> None:
    out = tmp_path / "o'brien.csv"
    out.write_text("before")
    check_out(out, ".csv")
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    assert out.read_text() == "before"


def test_what_fails_halfway_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("before")

    def fail() -> None:
        with whole(out) as unfinished:
            unfinished.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(out.name, "before")]
