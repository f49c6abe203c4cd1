"""From MinIO's webhook to SQS: what AWS's bucket notifications do by themselves."""
