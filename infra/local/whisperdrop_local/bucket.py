"""The bucket of infra/storage.yaml by boto3, in stores that know no CloudFormation.

Whatever a store does not know (MinIO keeps CORS for the whole server) is left out.
"""

from typing import TYPE_CHECKING, cast

from botocore.exceptions import ClientError

from whisperdrop.observability import Logger

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.literals import BucketLocationConstraintType
    from mypy_boto3_s3.type_defs import (
        FilterRuleTypeDef,
        LifecycleRuleTypeDef,
        QueueConfigurationUnionTypeDef,
    )

logger = Logger(service="keeper")

_WATCHED: tuple[tuple[str, str | None], ...] = (
    ("uploads/", None),
    ("inbox/", None),
    ("jobs/", "/outcome.json"),
)
"""Prefix and suffix of what the store tells of."""


def ensure_bucket(s3: "S3Client", bucket: str) -> bool:
    """Make it if it is missing; whether it was."""
    try:
        s3.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != 404:
            raise
    else:
        return False
    region = s3.meta.region_name
    if region == "us-east-1":  # which S3 refuses as a constraint
        s3.create_bucket(Bucket=bucket)
    else:
        place = cast("BucketLocationConstraintType", region)
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": place})
    return True


def describe_bucket(s3: "S3Client", bucket: str, *, media_retention_days: int) -> None:
    """Let browsers upload, unless somebody has said who may; delete old media if so wished."""
    try:
        s3.get_bucket_cors(Bucket=bucket)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "NoSuchCORSConfiguration":
            _allow_pages(s3, bucket)
    if media_retention_days:
        rules: list[LifecycleRuleTypeDef] = [
            {
                "ID": f"expire-{prefix}",
                "Status": "Enabled",
                "Filter": {"Prefix": f"{prefix}/"},
                "Expiration": {"Days": media_retention_days},
            }
            for prefix in ("uploads", "media")
        ]
        s3.put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration={"Rules": rules}
        )


def _allow_pages(s3: "S3Client", bucket: str) -> None:
    try:
        s3.put_bucket_cors(
            Bucket=bucket,
            CORSConfiguration={
                "CORSRules": [
                    {
                        "AllowedMethods": ["GET", "HEAD", "PUT", "POST"],
                        "AllowedOrigins": ["*"],
                        "AllowedHeaders": ["*"],
                        "ExposeHeaders": ["ETag"],
                        "MaxAgeSeconds": 3600,
                    }
                ]
            },
        )
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code")
        logger.info("no_cors_rules", extra={"bucket": bucket, "error": code})


def ensure_events(s3: "S3Client", bucket: str, arn: str) -> bool:
    """Tell ``arn`` of new objects; whether that was not yet so."""
    wanted = [_configuration(arn, prefix, suffix) for prefix, suffix in _WATCHED]
    found = s3.get_bucket_notification_configuration(Bucket=bucket).get("QueueConfigurations", [])
    told = {_without_region(one["QueueArn"]) for one in found}
    if len(found) == len(wanted) and told == {_without_region(arn)}:
        return False
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": wanted}
    )
    return True


def _without_region(arn: str) -> tuple[str, ...]:
    """MinIO puts its own region in."""
    parts = arn.split(":")
    return (*parts[:3], *parts[4:])


def _configuration(arn: str, prefix: str, suffix: str | None) -> "QueueConfigurationUnionTypeDef":
    rules: list[FilterRuleTypeDef] = [{"Name": "prefix", "Value": prefix}]
    if suffix:
        rules.append({"Name": "suffix", "Value": suffix})
    return {
        "QueueArn": arn,
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": rules}},
    }
