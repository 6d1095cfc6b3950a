"""Figures as pictures."""

from pathlib import Path
from typing import Any


def draw(report: dict[str, Any], folder: Path) -> None:
    """Draw."""
