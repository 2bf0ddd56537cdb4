"""What is expected of facts before anybody may use them, as data: questions in SQL, and the answers that pass.

Two suites: `landed` judges what came in, `marts` what is about to be published. DuckDB answers each question with a
small profile (a row a table, column or week), so that a hundred million lines cost no more memory than a thousand.
Critical is what would make a plan wrong without anybody noticing, and cannot happen by chance in a healthy shop, be it
ever so small; all else is a warning. docs/quality.md lists the rules; a test holds that page equal to this file.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from coldframe.snapshots import Mart
from landing import contract
from quality.gate import SUBJECT, Expectation, Severity

# Ratios to the trailing weeks are judged only where that many orders (or units) were to be expected: below it, halving
# or doubling is the ordinary luck of a small shop.
JUDGEABLE = 50
SLICE_ROWS = 50_000
MOST_QUARANTINED = 0.01
NULL_JUMP = 0.2
SILENT_FEED_DAYS = 14
# Tables whose silence would quietly turn a feature into zeros. Coupons or contents may well pause for weeks.
STEADY_FEEDS = ("traffic", "exposures", "inventory")
LAUNCHES = "ftr_launch_day"


@dataclass(frozen=True)
class Question:
    """A profile to compute (`sql` gives a `subject` column and what is measured) and what is expected of it."""

    name: str
    sql: str
    expectations: tuple[Expectation, ...]


def between(
    column: str, severity: Severity, advice: str, minimum: float | None = None, maximum: float | None = None
) -> Expectation:
    limits = {"min_value": minimum, "max_value": maximum}
    kwargs: dict[str, Any] = {"column": column} | {k: v for k, v in limits.items() if v is not None}
    return Expectation("expect_column_values_to_be_between", kwargs, severity, advice)


def none_of(column: str, severity: Severity, advice: str) -> Expectation:
    """Counts that must be zero."""
    return between(column, severity, advice, maximum=0)


def filled(column: str, severity: Severity, advice: str) -> Expectation:
    """For measures of which none may be empty: Great Expectations skips empty ones, and a NaN is one of them."""
    return Expectation("expect_column_values_to_not_be_null", {"column": column}, severity, advice)


def landed_suite(as_of: date, available: Sequence[str]) -> tuple[Question, ...]:
    """Questions about what landed. `available` are the contract tables that have at least one version.

    They are asked of one view per contract table that has landed, and of the table `quarantine_counts`.
    """
    week = as_of - timedelta(days=6)
    return (
        _presence(),
        _calendar(),
        _keys([contract.BY_NAME[name] for name in available]),
        _freshness(as_of),
        _last_week(as_of, week),
        _last_day(as_of),
        *_feeds(as_of, available),
        *_null_jumps(week, available),
        _quarantine(),
        _lines(week),
    )


def _presence() -> Question:
    return Question(
        "required_tables",
        " union all ".join(
            f"select '{t.name}' as {SUBJECT}, count(*) as number_of_rows from {t.name}"
            for t in contract.TABLES
            if t.required and not t.may_be_empty
        ),
        (between("number_of_rows", "critical", "No row up to the as-of. Land it, or take a later as-of.", minimum=1),),
    )


def _calendar() -> Question:
    return Question(
        "calendar",
        f"select 'calendar' as {SUBJECT}, count(*) as number_of_events from calendar",
        (between("number_of_events", "warning", "No model knows a holiday ahead: deliver some events.", minimum=1),),
    )


def _keys(tables: Iterable[contract.Table]) -> Question:
    return Question(
        "keys",
        " union all ".join(
            f"select '{t.name} ({', '.join(t.key)})' as {SUBJECT}, coalesce(sum(times - 1), 0) as repeated "
            f"from (select count(*) as times from {t.name} group by {', '.join(t.key)})"
            for t in tables
            # Landing holds keys unique within a day; only where the day is no part of the key can two days clash.
            if t.day not in t.key
        ),
        (none_of("repeated", "critical", "The same key landed on two days. Deliver each row on one day only."),),
    )


def _freshness(as_of: date) -> Question:
    return Question(
        "freshness",
        f"""
        select 'order_lines' as {SUBJECT}, date '{as_of}' - cast(max(ordered_at) as date) as days_since_last_order
        from order_lines
        """,
        (
            none_of("days_since_last_order", "warning", "The last day has no orders. Was it delivered whole?"),
            between(
                "days_since_last_order",
                "critical",
                "No orders at all in the last 7 days. Check the source, or run as of an earlier day.",
                maximum=6,
            ),
        ),
    )


def _last_week(as_of: date, week: date) -> Question:
    return Question(
        "last_week",
        f"""
        with days as (
            select cast(ordered_at as date) as day, count(distinct order_id) as orders, sum(gross_amount) as gross
            from order_lines group by 1
        ),
        measured as (
            select
                coalesce(sum(orders) filter (where day >= date '{week}'), 0) as orders,
                sum(gross) filter (where day >= date '{week}') as gross,
                sum(orders) filter (where day < date '{week}' and day >= date '{week}' - 28) / 4.0 as expected,
                min(day) <= date '{week}' - 28 as has_history
            from days
        )
        select
            'order_lines {week}..{as_of}' as {SUBJECT}, orders, cast(gross as double) as gross_amount, expected,
            if(has_history and expected >= {JUDGEABLE}, orders / expected, null) as ratio_to_trailing_4_weeks
        from measured
        """,
        (
            between(
                "ratio_to_trailing_4_weeks",
                "critical",
                "Less than 30 % of the usual orders. Part of the delivery is missing; land it again.",
                minimum=0.3,
            ),
            between(
                "ratio_to_trailing_4_weeks",
                "warning",
                "Unusual for this shop: a holiday, a campaign, a delivery in part or a double one.",
                minimum=0.6,
                maximum=2.5,
            ),
            between(
                "gross_amount",
                "critical",
                "A week of orders is worth nothing. Check gross_amount at the source.",
                minimum=0.01,
            ),
        ),
    )


def _last_day(as_of: date) -> Question:
    same_weekdays = ", ".join(f"date '{as_of - timedelta(days=7 * n)}'" for n in range(1, 5))
    return Question(
        "last_day",
        f"""
        with days as (
            select cast(ordered_at as date) as day, count(distinct order_id) as orders from order_lines group by 1
        ),
        measured as (
            select
                coalesce(sum(orders) filter (where day = date '{as_of}'), 0) as orders,
                sum(orders) filter (where day in ({same_weekdays})) / 4.0 as expected,
                min(day) <= date '{as_of}' - 28 as has_history
            from days
        )
        select
            'order_lines {as_of}' as {SUBJECT}, orders, expected,
            if(has_history and expected >= {JUDGEABLE}, orders / expected, null) as ratio_to_same_weekday
        from measured
        """,
        (
            between(
                "ratio_to_same_weekday",
                "warning",
                "Unusual for this weekday: a holiday, a campaign, a delivery in part or a double one.",
                minimum=0.6,
                maximum=2.5,
            ),
        ),
    )


def _feeds(as_of: date, available: Sequence[str]) -> list[Question]:
    feeds = [contract.BY_NAME[name] for name in STEADY_FEEDS if name in available]
    sql = " union all ".join(
        f"select '{t.name}' as {SUBJECT}, date '{as_of}' - cast(max({t.day}) as date) as silent_days from {t.name}"
        for t in feeds
    )
    advice = "Nothing came for two weeks, so the features made from it fade to zero."
    expectations = (
        between("silent_days", "warning", advice, maximum=SILENT_FEED_DAYS),
        filled("silent_days", "warning", "The table has landed without a single row. Deliver it, or leave it out."),
    )
    question = Question("feeds", sql, expectations)
    return [question] if feeds else []


def _null_jumps(week: date, available: Sequence[str]) -> list[Question]:
    measured = [
        f"""
        select
            '{table.name}.{column.name}' as {SUBJECT},
            avg(cast({column.name} is null as int)) filter (where {table.day} >= date '{week}') as null_share,
            avg(cast({column.name} is null as int)) filter (where {table.day} < date '{week}') as usual_share,
            count(*) filter (where {table.day} >= date '{week}') as fresh,
            count(*) filter (where {table.day} < date '{week}') as earlier
        from {table.name} where {table.day} >= date '{week}' - 28
        """
        for table in (contract.BY_NAME[name] for name in available)
        if table.day
        for column in table.columns
        if column.nullable
    ]
    sql = f"""
        select
            {SUBJECT}, null_share, usual_share,
            if(least(fresh, earlier) >= {JUDGEABLE}, null_share - usual_share, null) as jump_in_nulls
        from ({" union all ".join(measured)})
    """
    advice = "Far more empty values than in the four weeks before. Did the source stop filling the column?"
    question = Question("empty_values", sql, (between("jump_in_nulls", "warning", advice, maximum=NULL_JUMP),))
    return [question] if measured else []


def _quarantine() -> Question:
    return Question(
        "quarantine",
        f"""
        select table_name as {SUBJECT}, quarantined, quarantined / nullif(read, 0) as quarantined_share
        from quarantine_counts order by 1
        """,
        (
            between(
                "quarantined_share",
                "warning",
                "More than 1 % of the rows were refused. Their reasons stand in the quarantine folder.",
                maximum=MOST_QUARANTINED,
            ),
        ),
    )


def _lines(week: date) -> Question:
    """The last week's lines one by one against the contract, taken evenly where there are many."""
    advice = "Landing let a row through that breaks the contract: a fault in landing/validate, not in the source."
    expectations = []
    for column in contract.ORDER_LINES.columns:
        if not column.nullable:
            expectations.append(filled(column.name, "critical", advice))
        if column.minimum is not None or column.maximum is not None:
            expectations.append(between(column.name, "critical", advice, column.minimum, column.maximum))
        if column.values:
            kwargs = {"column": column.name, "value_set": list(column.values)}
            expectations.append(Expectation("expect_column_values_to_be_in_set", kwargs, "critical", advice))
    numbers = {contract.Type.MONEY, contract.Type.INTEGER, contract.Type.RATIO}
    columns = ", ".join(
        f"cast({c.name} as double) as {c.name}" if c.type in numbers else c.name for c in contract.ORDER_LINES.columns
    )
    return Question(
        "order_lines_of_last_week",
        f"""
        select order_id || '/' || line_number as {SUBJECT}, {columns}
        from order_lines where ordered_at >= date '{week}' or ordered_at is null
        qualify row_number() over (order by hash(order_id, line_number)) <= {SLICE_ROWS}
        order by 1
        """,
        tuple(expectations),
    )


def marts_suite(
    as_of: date, marts: Sequence[Mart], features: Mapping[str, Sequence[str]], accepted_gmv: str, accepted_lines: int
) -> tuple[Question, ...]:
    """Questions about the built marts. `features` are the feature columns of each ftr_ mart.

    `accepted_*` are what landed, computed without dbt; `accepted_gmv` is a decimal number as text, because sums of
    money are compared exactly.
    """
    names = {m.name: f"{m.schema}.{m.name}" for m in marts}
    last_week = last_complete_week(as_of)
    return (
        _mart_keys(marts),
        _reconciliation(names, accepted_gmv, accepted_lines),
        _sales_of_last_week(names, last_week),
        _panel(names, as_of, last_week),
        _plans(names),
        _exposure(names),
        _feature_rows(names, as_of, last_week),
        *(_feature_nulls(names[name], columns, last_week) for name, columns in sorted(features.items())),
    )


def last_complete_week(as_of: date) -> date:
    """Monday of the newest week whose Sunday is not after `as_of`."""
    return as_of - timedelta(days=(as_of.weekday() + 1) % 7 + 6)


def _mart_keys(marts: Sequence[Mart]) -> Question:
    # A mart's sort key must be its key, or its bytes would not repeat; so this also guards the snapshot's checksums.
    required = ("dim_product", "dim_merchant", "dim_region", "fct_")
    # A shop may have launched nothing: all it sells was there before its history.
    filled_ones = {
        m.name for m in marts if m.name.startswith(required) and not m.name.startswith("fct_launch") and m.needs is None
    }
    return Question(
        "marts",
        " union all ".join(
            f"""
            select
                '{m.name} ({", ".join(m.order_by)})' as {SUBJECT},
                {"coalesce(sum(times), 0)" if m.name in filled_ones else "null"} as number_of_rows,
                coalesce(sum(times - 1), 0) as repeated_keys
            from (select count(*) as times from {m.schema}.{m.name} group by {", ".join(m.order_by)})
            """
            for m in marts
        ),
        (
            between("number_of_rows", "critical", "The mart is empty. Run `coldframe transform` again.", minimum=1),
            none_of("repeated_keys", "critical", "A join multiplies rows. Mend the model in dbt/models/marts."),
        ),
    )


def _reconciliation(names: dict[str, str], accepted_gmv: str, accepted_lines: int) -> Question:
    sums = [
        f"""
        select
            '{name}' as {SUBJECT}, cast(coalesce(sum(gmv), 0) - {accepted_gmv} as double) as gmv_off_by,
            {f"count(*) - {accepted_lines}" if name == "fct_order_lines" else "null"} as lines_off_by
        from {names[name]}
        """
        for name in (
            "fct_order_lines",
            "fct_product_day",
            "fct_product_week",
            "fct_category_week",
            "fct_merchant_week",
        )
    ]
    advice = f"Accepted GMV is {accepted_gmv}. The model loses or repeats lines: look at its joins."
    return Question(
        "reconciliation",
        " union all ".join(sums),
        (
            between("gmv_off_by", "critical", advice, 0, 0),
            filled("gmv_off_by", "critical", "A sum of GMV is not a number."),
            between("lines_off_by", "critical", "Landed lines are missing or repeated in the marts.", 0, 0),
        ),
    )


def _sales_of_last_week(names: dict[str, str], last_week: date) -> Question:
    return Question(
        "last_complete_week",
        f"""
        with weeks as (
            select week_start, sum(orders) as orders, sum(units) as units from {names["fct_category_week"]} group by 1
        ),
        measured as (
            select
                (date '{last_week}' - max(week_start) filter (where week_start <= date '{last_week}')) / 7
                    as weeks_late,
                coalesce(sum(orders) filter (where week_start = date '{last_week}'), 0) as orders,
                avg(orders) filter (
                    where week_start < date '{last_week}' and week_start >= date '{last_week}' - 56
                ) as expected,
                min(week_start) <= date '{last_week}' - 56 as has_history
            from weeks
        )
        select
            'week of {last_week}' as {SUBJECT}, weeks_late, orders, expected,
            if(has_history and expected >= {JUDGEABLE}, orders / expected, null) as ratio_to_trailing_8_weeks
        from measured
        """,
        (
            between("weeks_late", "critical", "The last complete week is missing from the marts.", 0, 0),
            between(
                "ratio_to_trailing_8_weeks",
                "critical",
                "Less than 30 % of the usual orders. Part of the delivery is missing; land it again.",
                minimum=0.3,
            ),
            between(
                "ratio_to_trailing_8_weeks",
                "warning",
                "Unusual for this shop: a holiday, a campaign, a delivery in part or a double one.",
                minimum=0.6,
                maximum=2.5,
            ),
        ),
    )


def _panel(names: dict[str, str], as_of: date, last_week: date) -> Question:
    newest = as_of - timedelta(days=as_of.weekday())
    panels = {
        "fct_product_week": ("product_id", "region"),
        "fct_category_week": ("category", "region"),
        "fct_merchant_week": ("merchant_id",),
    }
    return Question(
        "panels",
        " union all ".join(
            f"""
            select
                '{name}' as {SUBJECT},
                count(*) filter (where number_of_weeks <> (date '{newest}' - first_week) / 7 + 1) as series_with_gaps,
                coalesce(sum(negative), 0) as rows_below_zero,
                coalesce(sum(unfinished), 0) as weeks_with_wrong_days_elapsed
            from (
                select
                    count(*) as number_of_weeks, min(week_start) as first_week,
                    count(*) filter (where coalesce(units < 0 or gmv < 0, true)) as negative,
                    count(*) filter (where (days_elapsed = 7) is distinct from (week_start <= date '{last_week}'))
                        as unfinished
                from {names[name]} group by {", ".join(key)}
            )
            """
            for name, key in panels.items()
        ),
        (
            none_of("series_with_gaps", "critical", "A week without a sale must be a zero, or forecasts skip it."),
            none_of("rows_below_zero", "critical", "Units and GMV cannot be negative or missing. Mend the model."),
            none_of("weeks_with_wrong_days_elapsed", "critical", "A part of a week would be learned as a whole one."),
        ),
    )


def _plans(names: dict[str, str]) -> Question:
    lines = names["fct_plan_line"]
    return Question(
        "plans",
        f"""
        with plans as (
            select plan_id, valid_from, valid_until, sum(gmv) as gmv from {lines} group by all
        ),
        beyond as (
            select plan_id from plans
            left join {names["fct_product_day"]} as sales on sales.date between valid_from and valid_until
            group by plan_id, plans.gmv having plans.gmv > coalesce(sum(sales.gmv), 0)
        )
        select
            'fct_plan_line' as {SUBJECT},
            (select count(*) from {lines}) - (select count(*) from landed.plan_lines) as lines_off_by,
            (select count(*) from beyond) as plans_beyond_the_shop
        """,
        (
            between("lines_off_by", "critical", "Lines of published plans are missing or repeated in the mart.", 0, 0),
            none_of("plans_beyond_the_shop", "critical", "A plan sold more than the whole shop: a join repeats sales."),
        ),
    )


def _exposure(names: dict[str, str]) -> Question:
    lines = names["fct_exposure_line"]
    return Question(
        "exposure",
        f"""
        with days as (select sum(propensity) as whole from {lines} group by date having sum(propensity) > 0)
        select
            'fct_exposure_line' as {SUBJECT},
            (select count(*) from {lines}) - (select count(*) from landed.exposure_lines) as lines_off_by,
            (select count(*) from days where whole not between 0.999 and 1.001) as days_with_wrong_propensities
        """,
        (
            between("lines_off_by", "critical", "Lines of incubation plans are missing or repeated in the mart.", 0, 0),
            none_of(
                "days_with_wrong_propensities",
                "warning",
                "Propensities of a day add up to 1, or no other policy can be judged by it. Look at that day's plan.",
            ),
        ),
    )


def _feature_rows(names: dict[str, str], as_of: date, last_week: date) -> Question:
    known = last_week + timedelta(days=7)
    # Launches are followed by the day, and a shop may well have none.
    ends = {name: as_of + timedelta(days=1) if name == LAUNCHES else known for name in names}
    # A shop in its first days has no complete week, so nothing could be known at the end of one.
    rows = f"if((select min(week_start) from {names['fct_category_week']}) <= date '{last_week}', count(*), null)"
    return Question(
        "features",
        " union all ".join(
            f"""
            select
                '{name}' as {SUBJECT},
                {rows if name == "ftr_product_week" else "null"} as rows_last_week_products,
                {rows if name not in ("ftr_product_week", LAUNCHES) else "null"} as rows_last_week_others,
                (select count(*) from {table} where event_timestamp > timestamp '{ends[name]}') as rows_from_the_future,
                (
                    select count(*) from {table} where coalesce(created_timestamp < event_timestamp, true)
                ) as rows_known_too_early
            from {table} where event_timestamp = timestamp '{known}'
            """
            for name, table in names.items()
            if name.startswith("ftr_")
        ),
        (
            between("rows_last_week_products", "critical", "No product has features for the last complete week.", 1),
            between(
                "rows_last_week_others", "warning", "This feature table has no rows for the last complete week.", 1
            ),
            none_of("rows_from_the_future", "critical", "Features of a day that is not over leak into training."),
            none_of("rows_known_too_early", "critical", "A feature cannot be known before its week ended."),
        ),
    )


def _feature_nulls(table: str, columns: Sequence[str], last_week: date) -> Question:
    known = last_week + timedelta(days=7)
    measured = " union all ".join(
        f"""
        select
            '{table.rsplit(".", maxsplit=1)[-1]}.{column}' as {SUBJECT},
            avg(cast({column} is null as int)) filter (where event_timestamp = timestamp '{known}') as null_share,
            avg(cast({column} is null as int)) filter (where event_timestamp < timestamp '{known}') as usual_share,
            count(*) filter (where event_timestamp = timestamp '{known}') as fresh,
            count(*) filter (
                where typeof({column}) in ('DOUBLE', 'FLOAT') and not isfinite(try_cast({column} as double))
            ) as rows_not_finite
        from recent
        """
        for column in columns
    )
    advice = "Far more empty values than in the four weeks before. Did a source table stop coming?"
    return Question(
        f"empty_values_{table.rsplit('.', maxsplit=1)[-1]}",
        f"""
        with recent as materialized (
            select * from {table}
            where event_timestamp > timestamp '{known}' - interval 35 day and event_timestamp <= timestamp '{known}'
        )
        select
            {SUBJECT}, null_share, usual_share,
            if(fresh >= {JUDGEABLE}, null_share - usual_share, null) as jump_in_nulls,
            rows_not_finite
        from ({measured})
        """,
        (
            between("jump_in_nulls", "warning", advice, maximum=NULL_JUMP),
            none_of("rows_not_finite", "critical", "A feature is infinite or not a number. Mend the division in dbt."),
        ),
    )
