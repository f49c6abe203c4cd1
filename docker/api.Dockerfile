# The API, the sweep and the notifier: `docker build -f docker/api.Dockerfile .` from the root of the project.
# One image for all three: they need the same few packages, and none touches media.
# Plain instructions only, so that every builder can read it.
ARG BASE_IMAGE=python:3.13-slim-bookworm
FROM ${BASE_IMAGE}

COPY requirements/api.txt /opt/whisperdrop/requirements/
RUN pip install --no-cache-dir --no-deps --require-hashes -r /opt/whisperdrop/requirements/api.txt

COPY layers/core/whisperdrop /opt/whisperdrop/whisperdrop
COPY functions/api/whisperdrop_api /opt/whisperdrop/whisperdrop_api
COPY functions/dispatcher/whisperdrop_dispatcher /opt/whisperdrop/whisperdrop_dispatcher
COPY functions/notifier/whisperdrop_notifier /opt/whisperdrop/whisperdrop_notifier

ENV PYTHONPATH=/opt/whisperdrop \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    HOST=0.0.0.0 \
    PORT=8000
WORKDIR /tmp
USER 10001:10001
EXPOSE 8000

# No curl in the image. A failure's traceback shows in `docker inspect`.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/health', timeout=4)"]

ENTRYPOINT ["python", "-m"]
CMD ["whisperdrop_api", "serve"]
