"""Who may do what: permissions, API keys, operators, portal sessions, step-up codes, and the audit log."""
