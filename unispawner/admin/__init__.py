"""What an administrator runs: the command ``unispawner`` with all that it does."""
