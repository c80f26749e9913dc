"""What comes next when one of a rule's two cards is declined."""

import pytest

from brimful.auto_top_up.backup import Cards, after_decline
from brimful.gateway.declines import DeclineKind as Kind

FIRST = Cards(on_backup=False, first_ready=True, backup_ready=True)
ALONE = Cards(on_backup=False, first_ready=True, backup_ready=False)
LOST = Cards(on_backup=False, first_ready=False, backup_ready=True)
BACKUP = Cards(on_backup=True, first_ready=True, backup_ready=False)
ASKS = Cards(on_backup=True, first_ready=True, backup_ready=False, first_asks=True)
LAST = Cards(on_backup=True, first_ready=False, backup_ready=False)


@pytest.mark.parametrize(
    ("kind", "reason", "cards", "left", "following"),
    [
        (Kind.SOFT, "generic_decline", FIRST, True, "backup"),
        (Kind.HARD, "invalid_account", LOST, False, "backup"),
        (Kind.DATA, "expired_card", LOST, False, "backup"),
        (Kind.AUTHENTICATE, "authentication_required", FIRST, True, "backup"),
        (Kind.TECHNICAL, "processing_error", FIRST, True, "retry"),  # nobody decided
        (Kind.TECHNICAL, "processing_error", FIRST, False, "fail"),
        (Kind.HARD, "stolen_card", LOST, False, "fail"),
        (Kind.HARD, "fraudulent", LOST, True, "fail"),
        (Kind.SOFT, "generic_decline", ALONE, True, "retry"),
        (Kind.SOFT, "generic_decline", ALONE, False, "fail"),
        (Kind.AUTHENTICATE, "authentication_required", ALONE, True, "ask"),
        (Kind.HARD, "invalid_account", ALONE, True, "fail"),
        (Kind.SOFT, "generic_decline", BACKUP, True, "retry"),
        (Kind.SOFT, "generic_decline", BACKUP, False, "fail"),
        (Kind.HARD, "lost_card", BACKUP, True, "retry"),  # the first card's ladder goes on
        (Kind.SOFT, "generic_decline", ASKS, False, "ask"),
        (Kind.TECHNICAL, "processing_error", BACKUP, True, "retry"),
        (Kind.AUTHENTICATE, "authentication_required", LAST, True, "ask"),
        (Kind.HARD, "lost_card", LAST, True, "fail"),
        (Kind.SOFT, "generic_decline", LAST, True, "retry"),
    ],
)
def test_what_comes_next(kind, reason, cards, left, following):
    assert after_decline(kind, reason, cards, retries_left=left) == following
