"""Schema changes of the decision ledger, applied by `coldframe.ledger.Ledger.open`."""
