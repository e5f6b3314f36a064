"""Fleet: run logs out of this machine and into engines that exist: NATS JetStream, PostgreSQL, OpenTelemetry."""
