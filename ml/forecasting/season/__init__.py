"""What each product will sell in a season that lies weeks ahead: the figure an assortment is chosen by.

Weekly forecasts added up are right about a shop and poor about a product: they follow the last weeks, and a season's
products are those that did not sell in them. Here a product's share of the season is read from what it sold lately,
what it sold in the same weeks a year before, and how products with the same words in their names took to the season;
the weekly forecast of its category says how much there is to share.
"""

from ml.forecasting.season.learn import MEASURES, Course, Season, learn
from ml.forecasting.season.signals import Ahead

__all__ = ["MEASURES", "Ahead", "Course", "Season", "learn"]
