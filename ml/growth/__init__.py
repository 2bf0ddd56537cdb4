"""Which recent launches will be bestsellers: the chance of each, with reasons, beside the rule it must beat."""
