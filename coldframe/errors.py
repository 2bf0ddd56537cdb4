"""What can go wrong, by what the caller should do about it.

The retry policy of the DAGs reads these classes: bad data and refused gates are never retried, a lost lock is.
"""


class ColdframeError(Exception):
    """Anything Coldframe raises on purpose. The message says what is wrong, where, how many, and what to do."""


class ConfigurationError(ColdframeError):
    """A setting, an argument or a name is wrong; trying again changes nothing."""


class BadInputError(ColdframeError):
    """The source breaks the landing contract as a whole (file, table or column), so nothing of it was landed."""


class GateError(ColdframeError):
    """A critical expectation failed. The last good snapshot stays in place."""


class NotAvailableError(ColdframeError):
    """Something a step needs does not exist yet; the message names the step that makes it."""


class WarehouseBusyError(ColdframeError):
    """Another process holds the embedded warehouse. Trying again later helps."""
