"""Where the scheduler's commands run, and how a dialogue with a scheduler is held there."""
