"""Leases on things worked on, and the numbers that fence off holders that came back too late. See `models.leases`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Double
from sqlmodel import Field, SQLModel

from models.states import Subject
from models.tables.columns import Choice


class LeaseRow(SQLModel, table=True):
    """A row is never deleted: the number must go on growing."""

    __tablename__ = "lease"

    subject: Subject = Field(primary_key=True, sa_type=Choice(Subject))
    subject_id: str = Field(primary_key=True)
    fence: int = Field(sa_type=BigInteger)
    holder: str = Field(description="who, for people and for finding out whether it is still alive")
    purpose: str = Field(description="what for, as in 'instantiate'")
    expires_s: float = Field(sa_type=Double, description="seconds since 1970 by the database's clock; 0: free")
