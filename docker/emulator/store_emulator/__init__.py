"""MinIO's part in compose where its image cannot be had: an S3 emulator that posts webhooks."""
