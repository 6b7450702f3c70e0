"""UniSpawner: one server's life, from a click to a job and back."""
