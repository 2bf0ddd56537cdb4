"""The gate itself: it decides by severity, keeps each audit with its Data Docs, and judges the same facts once."""

import json
import os
import shutil
from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pytest

from coldframe.errors import GateError
from coldframe.paths import Workspace
from quality.gate import Expectation, Frame, Verdict, judge
from quality.suites import between, filled

AS_OF = date(2024, 5, 5)
CRITICAL = between("share", "critical", "Mend it.", maximum=0.5)
WARNING = between("share", "warning", "Look at it.", maximum=0.2)


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, "shop")


def audit(
    place: Workspace, shares: list[float | None], *expectations: Expectation, keep: int = 5, as_of: date = AS_OF
) -> Verdict:
    rows = pd.DataFrame({"subject": [f"s{n}" for n in range(len(shares))], "share": shares}, dtype=object)
    rows["share"] = rows["share"].astype(float)
    frame = Frame("shares", rows, expectations or (CRITICAL, WARNING))
    return judge(place, "landed", as_of, [frame], keep)


def test_a_critical_failure_is_refused_with_what_where_how_many_and_what_to_do(place: Workspace) -> None:
    verdict = audit(place, [0.1, 0.9, 0.8, 0.7, 0.6])
    with pytest.raises(GateError) as refusal:
        verdict.refuse_if_critical()
    assert str(refusal.value).splitlines() == [
        f"The landed gate refuses {verdict.run}: 1 of 2 expectations failed critically. "
        "The last good snapshot stays in place.",
        "  - shares.share is 0.9, 0.8, 0.7 (s1, s2, s3 and 1 more), expected at most 0.5. Mend it.",
        f"Data Docs: {verdict.docs}",
    ]


def test_a_warning_passes_although_great_expectations_calls_the_suite_unsuccessful(place: Workspace) -> None:
    verdict = audit(place, [0.3])
    verdict.refuse_if_critical()
    assert verdict.warnings == ("shares.share is 0.3 (s0), expected at most 0.2. Look at it.",)
    assert verdict.summary == "2 expectations: 0 critical failures, 1 warnings"


def test_two_limits_on_one_column_are_both_judged(place: Workspace) -> None:
    assert [f.severity for f in audit(place, [0.9]).failures] == ["critical", "warning"]


def test_a_missing_value_passes_a_limit_but_not_a_rule_that_it_be_there(place: Workspace) -> None:
    assert audit(place, [None, 0.1]).failures == ()
    [failure] = audit(place, [None, float("nan"), 0.1], CRITICAL, filled("share", "critical", "Mend it.")).failures
    assert (failure.observed, failure.rows, failure.subjects) == ("missing", 2, ("s0", "s1"))


def test_what_great_expectations_cannot_judge_is_a_failure(place: Workspace) -> None:
    [failure] = audit(place, [0.1], between("nowhere", "critical", "Mend it.", maximum=1)).failures
    assert failure.severity == "critical"
    assert failure.observed.startswith("not judgeable, ")
    assert "nowhere" in failure.observed


def test_the_same_facts_are_judged_once_and_other_facts_or_rules_anew(place: Workspace) -> None:
    first = audit(place, [0.1])
    again = audit(place, [0.1])
    assert again.reused
    assert not first.reused
    assert again.run == first.run
    assert not audit(place, [0.2]).reused
    assert not audit(place, [0.1], CRITICAL).reused


def test_a_refusal_is_refused_again_when_it_is_found_again(place: Workspace) -> None:
    audit(place, [0.9])
    again = audit(place, [0.9])
    assert again.reused
    with pytest.raises(GateError):
        again.refuse_if_critical()


def test_an_audit_that_was_killed_is_judged_anew(place: Workspace) -> None:
    verdict = audit(place, [0.1])
    (verdict.folder / "results.json").unlink()
    assert not audit(place, [0.1]).reused
    assert audit(place, [0.1]).reused


def test_each_run_keeps_its_own_data_docs_with_every_rule_and_its_advice(place: Workspace) -> None:
    good, bad = audit(place, [0.1]), audit(place, [0.9])
    assert good.docs != bad.docs
    for verdict in (good, bad):
        assert verdict.docs.is_file()
        assert verdict.run in str(verdict.docs)
        pages = "".join(p.read_text(encoding="utf-8") for p in verdict.docs.parent.rglob("*.html"))
        assert "Mend it." in pages
    assert json.loads((bad.folder / "results.json").read_text())["failures"][0]["advice"] == "Mend it."


def test_the_same_facts_give_the_same_verdict_under_the_same_names(place: Workspace, tmp_path: Path) -> None:
    """The pages' own bytes differ: Great Expectations makes up ids for what it draws."""
    first = audit(place, [0.9])
    second = audit(Workspace(tmp_path / "other", "shop"), [0.9])
    assert (first.folder / "results.json").read_bytes() == (second.folder / "results.json").read_bytes()
    pages = [sorted(str(p.relative_to(v.docs.parent)) for p in v.docs.parent.rglob("*.html")) for v in (first, second)]
    assert len(pages[0]) == 3
    assert pages[0] == pages[1]


def test_only_the_newest_audits_of_a_gate_are_kept(place: Workspace) -> None:
    runs = []
    for n in range(3):
        verdict = audit(place, [0.1], keep=2, as_of=AS_OF + timedelta(days=n))
        # Two audits within one tick of the clock would be of the same age.
        os.utime(verdict.folder / "results.json", ns=(n, n))
        runs.append(verdict.run)
    audit(place, [0.1], keep=2, as_of=AS_OF + timedelta(days=9))
    kept = {p.name for p in place.audits.iterdir()}
    assert len(kept) == 2
    assert runs[2] in kept
    assert runs[0] not in kept


def test_an_audit_of_the_other_gate_is_not_in_the_way(place: Workspace) -> None:
    verdict = audit(place, [0.1], keep=1)
    other = judge(place, "marts", AS_OF, [Frame("shares", pd.DataFrame({"subject": ["a"], "share": [0.1]}), ())], 1)
    assert verdict.docs.is_file()
    assert other.docs.is_file()
    shutil.rmtree(other.folder)
    assert audit(place, [0.1]).reused
