"""E-mail: one message for each recipient, so that none sees another one's address."""
