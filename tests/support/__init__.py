"""What tests share. It is imported as ``support``: pyproject.toml puts tests/ on Python's path."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
OUTPUTS = CHECKOUT / "tests" / "outputs"
"""The folder with the real output of schedulers' commands."""
