"""SMS: one call for each number."""
