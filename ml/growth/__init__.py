"""Which launches will be blockbusters: the chance of each, with reasons, beside the rule it must beat."""
