"""The child and the bytes. Nothing here imports anything heavy, and nothing waits for the telemetry side."""
