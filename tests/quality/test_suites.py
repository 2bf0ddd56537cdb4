"""The rules as a whole: each is tested, each is told on the page, and they hold for any contract table."""

import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from coldframe.settings import PROJECT_ROOT
from coldframe.snapshots import Mart
from landing import contract
from quality.gate import LIMITS
from quality.suites import JUDGEABLE, SLICE_ROWS, Question, between, landed_suite, last_complete_week, marts_suite

AS_OF = date(2024, 5, 5)
PAGE = PROJECT_ROOT / "docs" / "quality.md"
MARTS = [
    Mart(name, "marts", ("key",))
    for name in (
        "fct_order_lines",
        "fct_product_day",
        "fct_product_week",
        "fct_category_week",
        "fct_merchant_week",
        "fct_plan_line",
        "fct_exposure_line",
        "ftr_product_week",
    )
]
BY_CONTRACT = "order_lines_of_last_week"
Rule = tuple[str, str, str]


def questions(gate: str) -> tuple[Question, ...]:
    if gate == "landed":
        return landed_suite(AS_OF, [table.name for table in contract.TABLES])
    return marts_suite(AS_OF, MARTS, {"ftr_product_week": ["units_4w"]}, "0", 0)


def rules(gate: str) -> set[Rule]:
    """(what is measured, severity, what it must be), with the many rules of one shape under one name."""
    found = set()
    for question in questions(gate):
        for expectation in question.expectations:
            limits = " and ".join(f"{LIMITS[k]} {v}" for k, v in expectation.kwargs.items() if k in LIMITS)
            name = f"{question.name}.{expectation.kwargs['column']}"
            if question.name == BY_CONTRACT:
                name, limits = f"{BY_CONTRACT}.*", "as the contract says"
            name = re.sub(r"^empty_values_ftr_\w+?_week", "empty_values_ftr_*", name)
            found.add((name, expectation.severity, limits or "there"))
    return found


def told(gate: str) -> set[Rule]:
    """The same from the page's tables, whose first three columns say it."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## What the {gate} gate asks\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \| (\w+) \| ([^|]+?) \|", section, re.MULTILINE))


@pytest.mark.parametrize("gate", ["landed", "marts"])
def test_the_page_tells_every_rule_with_its_severity_and_limits(gate: str) -> None:
    missing = "\n".join(f"| `{name}` | {severity} | {limits} | |" for name, severity, limits in sorted(rules(gate)))
    assert told(gate) == rules(gate), f"docs/quality.md should tell of the {gate} gate:\n{missing}"


def test_the_page_tells_how_many_rows_a_judgement_needs_and_takes() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert f"at least {JUDGEABLE} orders were to be expected" in page
    assert f"{JUDGEABLE} rows." in page
    assert f"{SLICE_ROWS:,} lines at most" in page


@pytest.mark.parametrize("gate", ["landed", "marts"])
def test_every_rule_has_a_test_that_shows_it_stopping_the_run_or_warning(gate: str) -> None:
    source = (Path(__file__).parent / f"test_{gate}_gate.py").read_text(encoding="utf-8")
    shown = {
        ({"stops": "critical", "warns": "warning"}[verb], name)
        for verb, name in re.findall(r'\b(stops|warns)\(STEP, "([\w.]+)"', source)
    }
    wanted = {(e.severity, f"{q.name}.{e.kwargs['column']}") for q in questions(gate) for e in q.expectations}
    # One table of features stands for all, and so does one column of the contract.
    shown = {(severity, name.replace("ftr_customer_week", "ftr_product_week")) for severity, name in shown}
    assert any(name.startswith(BY_CONTRACT) for _, name in shown) or gate == "marts"
    assert {rule for rule in wanted - shown if not rule[1].startswith(BY_CONTRACT)} == set()


def test_only_two_severities_are_used_and_every_rule_says_what_to_do() -> None:
    for question in (*questions("landed"), *questions("marts")):
        for expectation in question.expectations:
            assert expectation.severity in {"critical", "warning"}
            assert re.search(r"[.?]$", expectation.advice)


def test_a_source_with_the_required_tables_alone_is_asked_about_no_other() -> None:
    required = [table.name for table in contract.TABLES if table.required]
    optional = [table.name for table in contract.TABLES if not table.required]
    asked = " ".join(q.sql for q in landed_suite(AS_OF, required))
    assert [name for name in optional if re.search(rf"\bfrom {name}\b", asked)] == []


@pytest.mark.parametrize(
    ("days", "monday"), [(0, "2024-04-29"), (1, "2024-04-29"), (6, "2024-04-29"), (7, "2024-05-06")]
)
def test_a_week_is_complete_when_its_sunday_is_over(days: int, monday: str) -> None:
    assert last_complete_week(AS_OF + timedelta(days=days)) == date.fromisoformat(monday)


def test_a_limit_that_is_not_given_is_not_judged() -> None:
    assert between("x", "warning", "Look.", minimum=0).kwargs == {"column": "x", "min_value": 0}
