"""Which products to range next season, per region and category, how deep, and why."""
