"""What every answer is made of."""

from typing import Annotated

from pydantic import BaseModel, Field, WithJsonSchema

Amount = Annotated[str, WithJsonSchema({"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "examples": ["12.5"]})]
Moment = Annotated[
    str, WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-24T10:00:00.000000Z"]})
]
NextCursor = Annotated[str | None, Field(description="Where the next page begins; null on the last one.")]


class Paged(BaseModel):
    """One page of a list. `next_cursor` leads on though rows are added; offsets are there for Credyt's client."""

    total_count: int
    limit: int
    offset: int
    next_cursor: NextCursor
