"""What the scheduler says of all jobs: one query for all of them, never one a user."""
