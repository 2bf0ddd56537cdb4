"""What people ask of the daily forecast: why this number, what changed, what if. Nothing here makes a forecast."""
