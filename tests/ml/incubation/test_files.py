"""Files as people bring them: read as they stand, or refused with the line."""

import gzip
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from coldframe.errors import BadInputError, ConfigurationError
from ml.incubation.files import opened, place

HEAD = "action,reward\n"
Opened = Callable[[Path], tuple[list[str], list[tuple[str, ...]]]]


@pytest.fixture
def read() -> Opened:
    def columns_and_rows(file: Path) -> tuple[list[str], list[tuple[str, ...]]]:
        with duckdb.connect() as connection:
            return opened(connection, file, file.name), connection.execute("from file").fetchall()

    return columns_and_rows


def written(file: Path, text: str | bytes) -> Path:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


@pytest.mark.parametrize(
    "text",
    [
        "action,reward\na,0\nb,1\n",
        "\ufeffaction,reward\r\na,0\r\nb,1",
        "action;reward\na;0\nb;1\n",
        "action\treward\na\t0\nb\t1\n",
        'action,reward\n\n"a",0\n\nb,1\n',
    ],
)
def test_a_csv_is_read_as_its_header_separates_it(tmp_path: Path, read: Opened, text: str) -> None:
    assert read(written(tmp_path / "log.csv", text)) == (["action", "reward"], [("a", "0"), ("b", "1")])


def test_a_column_without_a_name_gets_one(tmp_path: Path, read: Opened) -> None:
    assert read(written(tmp_path / "log.csv", ",action\n0,a\n"))[0] == ["column 1", "action"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # DuckDB alone would take the last line for the header, and say nothing of the others.
        (HEAD + "a,0\n" * 300 + "b\na,0,1\n", r"cannot be read: Line: 302 Original Line: b Expected .* 2 Found: 1\."),
        ("# an export\n" + HEAD + "a,0\n" * 300, "cannot be read: Line: 2 "),
        (HEAD + 'a,"0\n', "unterminated quote"),
        (HEAD + "a,0\ncaf\xe9,0\n", "line 3: the text is not UTF-8"),
        ("caf\xe9,reward\na,0\n", "line 1: the text is not UTF-8"),
        ("action,reward,action\na,0,b\n", "has the column action more than once"),
        ("", "has no rows.*Its first line names the columns"),
        (HEAD, "has no rows"),
    ],
)
def test_a_csv_that_is_broken_is_told_with_its_line(tmp_path: Path, read: Opened, text: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        read(written(tmp_path / "log.csv", text.encode("latin-1")))


def test_files_that_are_no_tables_are_refused(tmp_path: Path, read: Opened) -> None:
    with pytest.raises(ConfigurationError, match="There is no file"):
        read(tmp_path / "none.csv")
    with pytest.raises(ConfigurationError, match=r"should end in \.csv"):
        read(tmp_path / "log.xlsx")
    for name in ("cut.parquet", "cut.csv.gz"):
        with pytest.raises(BadInputError, match=f"{name} cannot be read"):
            read(written(tmp_path / name, b"PAR1 and no more"))


def test_a_row_is_told_by_its_line_whatever_stands_above_it(tmp_path: Path) -> None:
    text = 'action,reward\n\na,0\n"b\nb",0\n\nc,0\n'
    assert place(written(tmp_path / "log.csv", text), 2) == "line 7"
    assert place(written(tmp_path / "log.csv.gz", gzip.compress(text.encode())), 0) == "line 3"


def test_where_there_are_no_lines_a_row_is_told_by_its_number(tmp_path: Path) -> None:
    pd.DataFrame({"action": [1, 2]}).to_parquet(tmp_path / "log.parquet")
    assert place(tmp_path / "log.parquet", 1) == place(None, 1) == "row 2"
