"""The JSON API: `/v1` for the platform, Stripe's webhooks, health and metrics."""

from brimful.api import (
    app as app,
    auth as auth,
    context as context,
    docs as docs,
    idempotency as idempotency,
    json_body as json_body,
    metrics as metrics,
    openapi as openapi,
    origins as origins,
    pagination as pagination,
    problems as problems,
    rate_limit_headers as rate_limit_headers,
    routes as routes,
    schemas as schemas,
    usage as usage,
)
