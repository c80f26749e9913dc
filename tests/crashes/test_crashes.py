"""The crash table: each point once here, with faults and webhooks in turn; all of it by `make crash-table`."""

import itertools

import pytest

from crashes import sweep


def sample():
    """Each point with one fault; over the points every fault meets every timing."""
    locks = itertools.cycle(itertools.product(sweep.FAULTS, ("never", "before", "after")))
    for (story, point), (fault, webhooks) in zip(sweep.POINTS, locks, strict=False):
        if point.endswith("webhook") and webhooks == "never":
            webhooks = "before"
        yield story, point, fault, webhooks


@pytest.mark.parametrize(("story", "point", "fault", "webhooks"), list(sample()))
async def test_whatever_happens_there_it_ends_right(database_url, story, point, fault, webhooks):
    """F2, F3, F4, F5, F6, F29, F50."""
    await sweep.run(database_url, story, point, fault, webhooks)
