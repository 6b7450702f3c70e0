"""The job's script: rendered, or filled in from a site's template. Pure; used on both sides."""
