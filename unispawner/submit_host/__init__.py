"""Runs commands on the submit host, and holds dialogues with schedulers there."""
