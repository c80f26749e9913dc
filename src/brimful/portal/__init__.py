"""The Billing Portal: the HTML pages on which customers act for themselves."""

from brimful.portal import (
    app as app,
    chart as chart,
    context as context,
    csrf as csrf,
    error_messages as error_messages,
    limits as limits,
    live as live,
    pages as pages,
    presenters as presenters,
    step_up as step_up,
    theme as theme,
)
