"""The dbt project's own promises: layers, descriptions, unit tests, sources, and a test that stops the build."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from coldframe import transform
from coldframe.errors import GateError, NotAvailableError
from coldframe.settings import get_settings
from landing.contract import BY_NAME, OWN, TABLES
from landing.dbt_sources import render


@pytest.fixture(scope="module")
def nodes(shop: Any) -> dict[str, Any]:
    with shop.at(shop.fresh(shop.saturday)):
        return transform.manifest()["nodes"]


@pytest.fixture(scope="module")
def models(nodes: dict[str, Any]) -> dict[str, Any]:
    return {n["name"]: n for n in nodes.values() if n["resource_type"] == "model"}


def test_the_committed_sources_are_those_of_the_landing_contract() -> None:
    path = transform.PROJECT / "models" / "sources.yml"
    assert path.read_text() == render(), "run `python -m landing.dbt_sources > dbt/models/sources.yml`"


def test_each_layer_reads_only_the_layers_before_it(models: dict[str, Any]) -> None:
    allowed = {
        "staging": {"source", "staging"},
        # Intermediate models may read the core facts, which alone keep the history.
        "intermediate": {"staging", "intermediate", "core"},
        "core": {"staging", "intermediate", "core"},
        "features": {"staging", "intermediate", "core"},
    }
    for model in models.values():
        for parent in model["depends_on"]["nodes"]:
            kind, _, name = parent.split(".", 2)
            layer = "source" if kind == "source" else models[name]["fqn"][-2]
            assert layer in allowed[model["fqn"][-2]], f"{model['name']} reads {parent}"


def test_staging_reads_other_staging_models_only_to_know_the_run(models: dict[str, Any]) -> None:
    for model in models.values():
        if model["fqn"][-2] == "staging":
            others = {p for p in model["depends_on"]["nodes"] if p.startswith("model.")}
            assert others <= {"model.coldframe.stg_run"}, model["name"]


def test_every_model_and_column_is_described_and_no_column_is_forgotten(shop: Any, models: dict[str, Any]) -> None:
    built = shop.query(
        shop.fresh(shop.saturday),
        "select table_name, column_name from information_schema.columns"
        " where table_schema in ('staging', 'intermediate', 'marts')",
    )
    assert {table for table, _ in built} == set(models)
    for name, model in models.items():
        assert model["description"], name
        described = {c for c, spec in model["columns"].items() if spec["description"]}
        assert described == {column for table, column in built if table == name}, name


def test_every_published_mart_has_a_contract_a_tested_key_and_an_order(nodes: dict[str, Any]) -> None:
    published = [n for n in nodes.values() if n["config"].get("meta", {}).get("publish")]
    assert len(published) == 29
    for model in published:
        assert model["config"]["contract"]["enforced"], model["name"]
        keys = [
            n["test_metadata"]["kwargs"]["columns"]
            for n in nodes.values()
            if n.get("attached_node") == model["unique_id"] and n["test_metadata"]["name"] == "unique_key"
        ]
        assert keys == [model["config"]["meta"]["order_by"]], model["name"]


def test_a_mart_that_needs_an_optional_table_says_which(nodes: dict[str, Any]) -> None:
    needed = {n["name"]: n["config"]["meta"]["needs"] for n in nodes.values() if "needs" in n["config"].get("meta", {})}
    assert needed == {
        "dim_lead": "merchant_funnel",
        "dim_price": "prices",
        "fct_content_product": "content_products",
        "fct_exposure_line": "exposure_lines",
        "fct_payments": "payments",
        "fct_plan_line": "plan_lines",
        "fct_refund_lines": "refunds",
        "fct_stock_out": "inventory",
        "fct_surface_week": "traffic",
        "fct_traffic_day": "traffic",
        "fct_visit_day": "visits",
    }
    assert not any(table.required for table in (*TABLES, *OWN) if table.name in needed.values())


def test_lists_of_allowed_values_are_the_contracts(nodes: dict[str, Any]) -> None:
    owners = {"dim_calendar": "calendar", "stg_order_lines": "order_lines"}
    allowed = {
        (nodes[n["attached_node"]]["name"], n["column_name"]): tuple(n["test_metadata"]["kwargs"]["values"])
        for n in nodes.values()
        if n.get("test_metadata", {}).get("name") == "accepted_values"
    }
    checked = {key: values for key, values in allowed.items() if key[0] in owners}
    assert checked == {(m, c): BY_NAME[owners[m]].column(c).values for m, c in checked}
    assert {model for model, _ in checked} == owners.keys()


def test_the_units_of_logic_hold(shop: Any, tmp_path: Path) -> None:
    home = shutil.copytree(shop.fresh(shop.saturday), tmp_path / "home")
    with shop.at(home) as place, pytest.MonkeyPatch.context() as patch:
        patch.setattr(transform, "dbt_env", _with_unit_tests(transform.dbt_env))
        results = transform.run_dbt(
            ["test", "--select", "test_type:unit"], place, get_settings(), home / "dbt" / "units"
        )
    assert len(results) >= 7


def _with_unit_tests(dbt_env: Any) -> Any:
    return lambda *arguments: {k: v for k, v in dbt_env(*arguments).items() if k != "DBT_EXCLUDE_RESOURCE_TYPES"}


def test_a_line_of_an_unknown_product_fails_the_build_by_name_and_count(shop: Any, tmp_path: Path) -> None:
    home = shutil.copytree(shop.fresh(shop.saturday), tmp_path / "home")
    stray = pd.DataFrame(
        {
            "order_id": ["x"],
            "line_number": [1],
            "ordered_at": [pd.Timestamp(shop.sunday)],
            "product_id": ["nobody knows"],
            "region": ["north"],
            "channel": ["shop"],
            "quantity": [1],
            "gross_amount": [1.0],
            "merchant_discount": [0.0],
            "platform_discount": [0.0],
            "status": ["completed"],
        }
    )
    shop.write(home, "order_lines", shop.sunday, stray)
    with pytest.raises(GateError, match=r"relationships_stg_order_lines_product_id.*1 rows; the query is"):
        shop.build(home, shop.sunday)
    with shop.at(home) as place, pytest.raises(NotAvailableError, match="did not finish"):
        transform.mark_built(place)
