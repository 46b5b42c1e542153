"""Functions: code of a team behind HTTP, in AWS Lambda, or a task of its own Celery app; one module for each."""
