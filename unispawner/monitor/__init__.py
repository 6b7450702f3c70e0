"""Follows all jobs with one query for all of them, never one for each user."""
