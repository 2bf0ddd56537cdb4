"""What is told of a folder that is not the data set it should be."""

import gzip
from pathlib import Path

import duckdb
import pytest

from coldframe.errors import BadInputError, ConfigurationError
from landing.sources.folder import load, tables

WANTED = {"orders": ("id", "price"), "items": ("id",)}


def find(folder: Path | None) -> dict[str, Path]:
    return tables(folder, WANTED, "Tea", "Get it at the tea house.")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Orders.csv").write_bytes('\ufeffid,price,more\r\n1,"a ""b"", c",\r\n#2,,\r\n'.encode())
    duckdb.execute(f"copy (select 1 as id) to '{tmp_path / 'items.parquet'}'")
    return tmp_path


def test_each_table_comes_in_any_format_and_spelling(folder: Path) -> None:
    found = find(folder)
    assert {stem: path.name for stem, path in found.items()} == {"orders": "Orders.csv", "items": "items.parquet"}
    with duckdb.connect() as connection:
        load(connection, found)
        assert connection.execute("from orders").fetchall() == [("1", 'a "b", c', None), ("#2", None, None)]
        assert connection.execute("from items").fetchall() == [(1,)]


def test_everything_that_is_wrong_is_told_at_once_with_where_to_get_it(folder: Path) -> None:
    (folder / "Orders.csv").write_text("id,prise\n1,2\n")
    (folder / "items.parquet").unlink()
    with pytest.raises(BadInputError) as error:
        find(folder)
    assert "is not the Tea data set: 2 problem(s). Nothing was landed. Get it at the tea house." in str(error.value)
    assert "Orders.csv: column 'price' is missing. Is it 'prise'?" in str(error.value)
    assert "items.csv (or .csv.gz, .parquet) is missing." in str(error.value)


def test_the_same_table_twice_is_refused(folder: Path) -> None:
    (folder / "orders.csv.gz").write_bytes(gzip.compress(b"id,price\n1,2\n"))
    with pytest.raises(BadInputError, match=r"orders is there 2 times: Orders\.csv, orders\.csv\.gz\. Keep one\."):
        find(folder)


def test_a_cut_off_download_is_refused(folder: Path) -> None:
    whole = (folder / "items.parquet").read_bytes()
    (folder / "items.parquet").write_bytes(whole[:-10])
    with pytest.raises(BadInputError, match=r"items\.parquet cannot be read: .* Get it again"):
        find(folder)


def test_a_csv_that_breaks_off_behind_its_first_lines_names_the_file_and_the_line(folder: Path) -> None:
    (folder / "Orders.csv").write_text("id,price\n" + "1,2\n" * 300_000 + "1,2,3\n")
    found = find(folder)
    with duckdb.connect() as connection, pytest.raises(BadInputError, match=r"Orders\.csv cannot be read.*300002"):
        load(connection, found)


def test_no_folder_or_a_wrong_one_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"your copy of the Tea data set is: --path FOLDER.*at the tea house"):
        find(None)
    with pytest.raises(BadInputError, match=r"nowhere does not exist\. Nothing was landed\. Check --path"):
        find(tmp_path / "nowhere")
