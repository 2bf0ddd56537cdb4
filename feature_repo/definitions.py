"""What can be looked up: Feast's entities, wide views and services over the feature tables of one snapshot.

One wide view an entity and rhythm: reading many narrow views costs a round trip each. The features themselves are
the columns of the published tables, whose contract dbt enforces, so a new feature is a column there and nothing here.
When a definition is wrong, a model learns from one thing and is served another.
"""

from dataclasses import dataclass
from datetime import timedelta

import pyarrow.parquet as pq
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.feast_object import FeastObject
from feast.types import Bool, Float64, Int64, PrimitiveFeastType, String

from coldframe.errors import ConfigurationError
from coldframe.snapshots import Snapshot

EVENT = "event_timestamp"
CREATED = "created_timestamp"
# Most rows come weekly. After a late correction the latest are unknown to earlier weeks, which then see an older row:
# four weeks old still tells something, older ones would pass for fresh.
TTL = timedelta(weeks=4)
TYPES: dict[str, PrimitiveFeastType] = {"int64": Int64, "double": Float64, "string": String, "bool": Bool}


@dataclass(frozen=True)
class View:
    """A wide view over the feature table `table`, looked up by `key`."""

    name: str
    table: str
    entity: str
    key: str
    description: str
    ttl: timedelta = TTL
    online: bool = True


VIEWS = (
    View("product_week", "ftr_product_week", "product", "product_id", "A product at the end of a complete week."),
    View("merchant_week", "ftr_merchant_week", "merchant", "merchant_id", "A merchant at the end of a complete week."),
    View("customer_week", "ftr_customer_week", "customer", "customer_id", "A customer at the end of a complete week."),
    # A row for each day on which something happened holds until the next. What is online of a launch are its score and
    # its stage, which incubation puts there.
    View(
        "launch_day",
        "ftr_launch_day",
        "product",
        "product_id",
        "A launch at the end of a day.",
        ttl=timedelta(weeks=28),
        online=False,
    ),
    View("region_week", "ftr_region_week", "region", "region", "A region at the end of a complete week."),
)
# A model names its service, so that it keeps its features when a later version of the service adds some. Both ask for
# the product alone: who fetches a product online need not know its merchant.
SERVICES = {"growth_v2": ("launch_day",), "serving_v1": ("product_week",)}


def definitions(snapshot: Snapshot) -> list[FeastObject]:
    """Everything to register for `snapshot`. Raises ConfigurationError for a column type no look-up can hold."""
    entities = {
        v.entity: Entity(name=v.entity, join_keys=[v.key], value_type=ValueType.STRING, description=v.description)
        for v in VIEWS
    }
    views = {v.name: _view(v, entities[v.entity], snapshot) for v in VIEWS}
    services = [FeatureService(name=name, features=[views[view] for view in names]) for name, names in SERVICES.items()]
    return [*entities.values(), *views.values(), *services]


def _view(view: View, entity: Entity, snapshot: Snapshot) -> FeatureView:
    schema = pq.read_schema(snapshot.files(view.table)[0])
    unknown = [f"{f.name} ({f.type})" for f in schema if f.name not in (EVENT, CREATED) and str(f.type) not in TYPES]
    if unknown:
        raise ConfigurationError(
            f"{view.table} of snapshot {snapshot.id} has {len(unknown)} columns no feature view can hold: "
            f"{', '.join(unknown)}. Cast them in dbt/models/marts/features/{view.table}.sql to {', '.join(TYPES)}."
        )
    return FeatureView(
        name=view.name,
        description=view.description,
        entities=[entity],
        ttl=view.ttl,
        online=view.online,
        schema=[Field(name=f.name, dtype=TYPES[str(f.type)]) for f in schema if f.name not in (EVENT, CREATED)],
        source=FileSource(
            name=view.table,
            path=snapshot.glob(view.table),
            timestamp_field=EVENT,
            created_timestamp_column=CREATED,
        ),
    )
