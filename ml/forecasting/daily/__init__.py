"""Demand by the day: every product in every region, and every level it adds up to."""
