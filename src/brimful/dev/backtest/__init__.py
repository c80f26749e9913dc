"""The backtest: the engine's own policy over past usage, rule by rule, with payments that take time and fail."""

from brimful.dev.backtest import engine as engine, page as page, run as run, sources as sources
