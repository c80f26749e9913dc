"""The auto top-up room: the customer's rule, the policy that judges it, and the trigger."""

from brimful.auto_topup import preview
from brimful.auto_topup.expiring import EXPIRY_NOTICE, tell_expiring
from brimful.auto_topup.policy import Facts, Judgement, Pace, Reason, fits_limit, judge, superseded
from brimful.auto_topup.rules import (
    Rule,
    RuleForm,
    end_all,
    get_rule,
    list_rules,
    needs_consent,
    remove_card,
    save,
    turn_off,
)
from brimful.auto_topup.trigger import (
    LIMIT_NEAR_PERCENT,
    card_lost,
    enabled_after,
    judge_account,
    overdue_waits,
    pause,
    pause_after_reversal,
    read_facts,
    rearm,
    tell_limit_near,
    wait_until,
)

__all__ = [
    "EXPIRY_NOTICE",
    "LIMIT_NEAR_PERCENT",
    "Facts",
    "Judgement",
    "Pace",
    "Reason",
    "Rule",
    "RuleForm",
    "card_lost",
    "enabled_after",
    "end_all",
    "fits_limit",
    "get_rule",
    "judge",
    "judge_account",
    "list_rules",
    "needs_consent",
    "overdue_waits",
    "pause",
    "pause_after_reversal",
    "preview",
    "read_facts",
    "rearm",
    "remove_card",
    "save",
    "superseded",
    "tell_expiring",
    "tell_limit_near",
    "turn_off",
    "wait_until",
]
