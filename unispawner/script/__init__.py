"""Makes the job's script: its own, or from a site's template. Pure; both sides use it."""
