"""Which component of one fit is which of another: see `models.labels`."""

from models.labels import matching

__all__ = ["matching"]
