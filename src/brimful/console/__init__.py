"""The operators' console: looks at everything, acts within the customer's limits; chooses no card, enables no rule."""

from brimful.console import app as app, context as context, pages as pages, view_model as view_model
