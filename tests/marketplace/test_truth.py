"""Truth is for those who judge. Nothing that runs in the pipeline can come to it, by import or by path."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coldframe.errors import ConfigurationError, NotAvailableError
from coldframe.settings import PROJECT_ROOT
from landing.sources import open_source
from marketplace import truth
from marketplace.delivery import Deliveries, found_deliveries
from marketplace.hidden import OF_DAYS, folder_of, truth_at
from marketplace.parameters import Parameters

PIPELINE = ("coldframe", "landing", "dbt", "quality", "feature_repo", "ml", "dags", "plugins")
READABLE = {".py", ".sql", ".yml", ".yaml", ".toml", ".cfg", ".sh", ".js", ".html"}


def test_no_file_of_the_pipeline_names_the_folder_of_truth() -> None:
    read = 0
    for room in PIPELINE:
        for path in (PROJECT_ROOT / room).rglob("*"):
            if path.suffix in READABLE and path.is_file() and "target" not in path.parts:
                text = path.read_text(encoding="utf-8")
                read += 1
                for forbidden in (".truth", "truth/", '"truth"', "'truth'", "marketplace.hidden"):
                    assert forbidden not in text, f"{path} names {forbidden}"
    assert read > 100


def test_import_rules_forbid_truth_to_every_room() -> None:
    rules = (PROJECT_ROOT / "pyproject.toml").read_text()
    assert 'forbidden_modules = ["marketplace.truth"]' in rules


def test_truth_lies_beside_deliveries_and_not_among_them(two_months: Deliveries) -> None:
    folder = folder_of(two_months.folder)
    assert folder.is_dir()
    assert not folder.is_relative_to(two_months.folder)
    assert truth_at(two_months.folder) is None
    assert folder_of(Path("/home/marketplace")) == Path("/home/truth/marketplace")


@pytest.mark.parametrize("inside", ["", "lost_demand"])
def test_the_source_refuses_a_path_that_is_or_lies_in_truth(two_months: Deliveries, inside: str) -> None:
    with pytest.raises(ConfigurationError, match="must not know"):
        open_source("marketplace", folder_of(two_months.folder) / inside)


def test_the_source_refuses_a_path_that_holds_truth(two_months: Deliveries) -> None:
    with pytest.raises(ConfigurationError, match="must not know"):
        open_source("marketplace", two_months.folder.parent)


def test_truth_is_not_generated_over(two_months: Deliveries, tiny: Parameters) -> None:
    with pytest.raises(ConfigurationError, match="must not know"):
        found_deliveries(folder_of(two_months.folder), tiny)


def test_every_table_of_truth_can_be_read_and_has_rows(two_months: Deliveries) -> None:
    assert set(truth.EVENTS) == set(OF_DAYS)
    empty = {name for name in (*truth.STATES, *truth.EVENTS) if truth.read(two_months.folder, name).empty}
    assert empty <= {"dirty", "movements", "movement_effects"}


def test_the_truth_is_read_as_the_docs_say(
    two_months: Deliveries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (PROJECT_ROOT / "docs" / "marketplace.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (tmp_path / "bazaar").symlink_to(two_months.folder)
    (tmp_path / "bazaar.truth").symlink_to(folder_of(two_months.folder))
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(code, found)
    assert len(found["lost"]) > 0
    assert len(found["curve"]) == 366


def test_unknown_truth_and_missing_truth_are_said(two_months: Deliveries, tmp_path: Path) -> None:
    with pytest.raises(NotAvailableError, match="no truth called 'ceilings'"):
        truth.read(two_months.folder, "ceilings")
    with pytest.raises(NotAvailableError, match="No truth lies beside"):
        truth.read(tmp_path, "products")


def test_a_products_season_is_its_categorys_times_its_own(two_months: Deliveries) -> None:
    products = truth.read(two_months.folder, "products")
    own = products[products["season_amplitude"] > 0].iloc[0]
    plain = products[products["season_amplitude"] == 0].iloc[0]
    curves = truth.read(two_months.folder, "season_curves")
    curve = curves[curves["category"] == plain["category"]].sort_values("day_of_year")["factor"].to_numpy()
    assert truth.season_curve(two_months.folder, plain["product_id"]) == pytest.approx(curve)
    assert curve.mean() == pytest.approx(1)
    ratio = np.ptp(np.log(truth.season_curve(two_months.folder, own["product_id"])))
    assert ratio > np.ptp(np.log(curve)) * 0.5
