"""Usage, charges and holds: decided by pure functions, committed in groups."""

from brimful.posting import (
    batch as batch,
    decide as decide,
    expire_holds as expire_holds,
    group_commit as group_commit,
    holds as holds,
    model as model,
)
