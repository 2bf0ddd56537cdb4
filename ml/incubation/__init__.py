"""Which new products deserve traffic tomorrow, which have proved themselves, which to let go."""
