"""Where raw facts come from, and which rows are fit to come in."""
