"""Runs the ledger's migrations on the connection `Ledger.open` hands over, inside its transaction.

A new migration is a new file in versions/ and a raised `coldframe.ledger.HEAD`; tests hold both equal to the models.
"""

from alembic import context

from coldframe.ledger import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
context.run_migrations()
