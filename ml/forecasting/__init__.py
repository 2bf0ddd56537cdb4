"""How much will be asked for? Weekly demand per product and region and per category and region, with intervals."""
