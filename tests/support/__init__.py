"""What tests share. It is importable as ``support``, for pyproject.toml has tests/ on the path."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
OUTPUTS = CHECKOUT / "tests" / "outputs"
"""What schedulers' commands have printed, as it was printed."""
