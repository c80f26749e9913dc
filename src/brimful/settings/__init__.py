"""Settings: the only reader of the environment.

Every name begins with `BRIMFUL_` but for those that the field has agreed on, `DATABASE_URL`, `STRIPE_*` and `OTEL_*`.
What cannot be used is a `ConfigurationError` that names every setting at fault.
"""

from brimful.settings import environment as environment, model as model, values as values
