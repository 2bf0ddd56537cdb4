"""The ground every room stands on: settings, paths, the warehouse, snapshots, the decision ledger, the command line."""

from importlib.metadata import version

__version__ = version("coldframe")
