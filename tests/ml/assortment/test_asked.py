"""What a plan is asked for is judged by what has landed, before any work."""

from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from coldframe import landed
from coldframe.errors import BadInputError, ConfigurationError
from coldframe.paths import workspace
from coldframe.run import Request, find_service
from ml.assortment.asked import refuse_unknown_regions
from ml.assortment.plan import Terms

AS_OF = date(2024, 9, 29)
TABLES = {
    "products": pd.DataFrame(
        {
            "product_id": ["p1", "p2"],
            "merchant_id": "m1",
            "category": "tea",
            "subcategory": ["green", "black"],
            "brand": "ACME",
        }
    ),
    "merchants": pd.DataFrame({"merchant_id": ["m1"], "tier": ["gold"]}),
}


@pytest.fixture
def shop(installation: Any) -> None:
    """Two teas of one merchant have landed."""
    installation()
    for name, rows in TABLES.items():
        path = landed.partition(workspace("files"), name, None).path
        path.parent.mkdir(parents=True)
        rows.to_parquet(path)


def check(**more: object) -> None:
    find_service("check_assortment")(Request.model_validate({"source": "files", "as_of": AS_OF, **more}))


def rules(folder: Path, text: str) -> Path:
    (folder / "rules.yaml").write_text(text)
    return folder / "rules.yaml"


@pytest.mark.usefixtures("shop")
def test_what_names_what_is_there_passes(tmp_path: Path) -> None:
    named = "quotas: [{attribute: merchant_tier, value: gold, at_least: 1, category: tea}]\nvariants: [[p1, p2]]"
    check(must_keep=["p1"], must_drop=["p2"], rules=rules(tmp_path, named))


@pytest.mark.usefixtures("shop")
def test_products_nobody_lists_are_named_by_the_rule_that_names_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="must_keep: the catalogue does not list 1 of them: nosuch"):
        check(must_keep=["p1", "nosuch"])
    with pytest.raises(ConfigurationError, match="variants: the catalogue does not list 1 of them: p3"):
        check(rules=rules(tmp_path, "variants: [[p1, p3]]"))


@pytest.mark.usefixtures("shop")
def test_a_quota_of_what_no_product_has_is_refused_with_what_there_is(tmp_path: Path) -> None:
    asked = rules(tmp_path, "quotas: [{attribute: brand, value: AMCE, at_most: 1, category: coffee}]")
    with pytest.raises(ConfigurationError) as refused:
        check(rules=asked)
    assert "quota of brand AMCE: no product has that brand (there is: ACME)." in str(refused.value)
    assert "quota of brand AMCE: no product has the category 'coffee'." in str(refused.value)


@pytest.mark.usefixtures("shop")
def test_a_season_the_calendar_does_not_name_is_refused_with_those_it_names() -> None:
    path = landed.partition(workspace("files"), "calendar", None).path
    path.parent.mkdir(parents=True)
    autumn = pd.date_range("2024-10-01", "2024-11-30").date
    pd.DataFrame({"date": autumn, "event": "autumn", "kind": "season"}).to_parquet(path)
    check(season="autumn")
    with pytest.raises(ConfigurationError, match=r"'christmas' is no season.*here: autumn"):
        check(season="christmas")


@pytest.mark.usefixtures("shop")
def test_a_history_too_short_for_the_season_is_refused() -> None:
    for day in (date(2024, 6, 24), AS_OF):
        path = landed.partition(workspace("files"), "order_lines", day).path
        path.parent.mkdir(parents=True)
        path.touch()
    check(season="2024-Q4")
    with pytest.raises(
        BadInputError, match=r"since 2024-06-24: 14 weeks.*2025-Q1 needs 27: 12, and as many as it looks"
    ):
        check(season="2025-Q1")


def test_where_nothing_has_landed_only_the_file_of_rules_is_judged(installation: Any, tmp_path: Path) -> None:
    installation()
    check(must_keep=["nosuch"])
    with pytest.raises(ConfigurationError, match="quota: Extra inputs are not permitted"):
        check(rules=rules(tmp_path, "quota: []"))


def test_a_quota_of_a_region_in_which_nothing_can_be_ranged_is_refused(tmp_path: Path) -> None:
    asked = rules(tmp_path, "quotas: [{attribute: brand, value: ACME, at_least: 1, region: nort}]")
    terms = Terms.of(Request.model_validate({"source": "files", "as_of": AS_OF, "rules": asked}))
    refuse_unknown_regions(terms, {"nort"})
    with pytest.raises(ConfigurationError, match=r"nothing can be ranged: nort\. There is: north, south"):
        refuse_unknown_regions(terms, {"south", "north"})
