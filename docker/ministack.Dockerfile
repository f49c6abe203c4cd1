# S3 and SQS for `sam local`: the emulator of `make run` in a container that the functions reach.
# Everything is in memory and goes with the container. compose.emulator.yaml keeps objects in /data,
# and runs it with MinIO's way of telling of them.
# checkov:skip=CKV_DOCKER_2:who runs it knows its port and checks that (compose.emulator.yaml, sam_storage.py)
ARG BASE_IMAGE=python:3.13-slim-bookworm
FROM ${BASE_IMAGE}

COPY requirements/emulator.txt /opt/ministack/
RUN pip install --no-cache-dir --no-deps --require-hashes -r /opt/ministack/emulator.txt

RUN mkdir /data /queue && chown 10001:10001 /data /queue
COPY docker/emulator/store_emulator /opt/ministack/store_emulator

# All interfaces of the container: what the host publishes is the host's to say.
ENV BIND_HOST=0.0.0.0 \
    GATEWAY_PORT=4566 \
    PERSIST_STATE=0 \
    SFTP_ENABLED=0 \
    IOT_MTLS_ENABLED=0 \
    PYTHONPATH=/opt/ministack \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp
WORKDIR /tmp
USER 10001:10001
EXPOSE 4566

ENTRYPOINT ["ministack"]
