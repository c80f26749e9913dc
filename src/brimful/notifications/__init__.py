"""Events, and those who receive them: webhooks to the platform, alerts on low balances."""
