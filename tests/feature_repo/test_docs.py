"""The features page says what the code does, and its examples run."""

import json
import re
from typing import Any

import pandas as pd

from coldframe.settings import PROJECT_ROOT
from feature_repo.definitions import SERVICES, VIEWS

PAGE = (PROJECT_ROOT / "docs" / "features.md").read_text(encoding="utf-8")


def test_the_page_lists_every_view_and_service() -> None:
    views = re.findall(r"^\| `(\w+)` \| `(\w+)` \| `(\w+)` \| `(\w+)` \| (.+?) \|$", PAGE, re.MULTILINE)
    said = [(v.name, v.table, v.entity, v.key, v.description.rstrip(".").lower()) for v in VIEWS]
    assert views == said
    services = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (?!`)", PAGE, re.MULTILINE)
    assert {name: (view,) for name, view in services} == SERVICES


def test_the_training_example_runs_as_it_stands(features: Any) -> None:
    features.publish([features.row("p01", units=1), features.row("p01", weeks_ago=1, units=2)])
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code.replace("complete_journey", features.source), names)
    assert [None if pd.isna(v) else v for v in names["frame"]["units_4w"]] == [1, 2, None]


def test_the_question_and_the_answer_shown_are_json_of_the_shape_that_is_served() -> None:
    [question] = re.findall(r"-d '(\{.*?\})'", PAGE)
    asked = json.loads(question)
    [answer] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    shown = json.loads(answer)
    assert [f"product_week:{name}" for name in shown["metadata"]["feature_names"]] == asked["features"]
    assert len(shown["results"]) == len(asked["features"])
