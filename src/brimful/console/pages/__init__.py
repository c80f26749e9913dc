"""Pages of the console, a file per subject: each view makes a Screen."""
