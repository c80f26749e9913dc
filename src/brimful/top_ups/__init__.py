"""Top-ups: the request to add funds, its states, and the payments that carry it out."""

from brimful.top_ups import (
    bridges as bridges,
    failures as failures,
    model as model,
    rebuild as rebuild,
    request as request,
    review as review,
    store as store,
    timing as timing,
)
