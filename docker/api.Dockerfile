# The API, from the root of the project: `docker build -t whisperdrop-api -f docker/api.Dockerfile .`
# The dispatcher, the notifier and MinIO's bridge are in it too: they need the same few packages, and
# none touches media. A Lambda function sets its command to `awslambdaric` and a handler.
# docs/images.md says what is in it, and how to pin the base image to a digest. Plain instructions
# only, so that every builder can read it.
ARG BASE_IMAGE=python:3.13-slim-bookworm

# --- what is installed, without what nobody reads ----------------------------------------------
FROM ${BASE_IMAGE} AS packages
COPY requirements/api-image.txt /build/requirements/
# The locks are complete: --no-deps keeps pip from looking further.
RUN pip install --no-cache-dir --no-compile --no-deps --require-hashes --prefix /packages \
        -r /build/requirements/api-image.txt \
    && rm -rf /packages/bin /packages/share
COPY docker/image /build/image
ENV PYTHONPATH=/build/image PYTHONDONTWRITEBYTECODE=1
RUN python -m whisperdrop_image.slim /packages/lib/python3*/site-packages

# --- our own code, all bytecode, and the bill of materials ----------------------------------------
FROM packages AS code
COPY layers/core/whisperdrop /code/opt/whisperdrop/whisperdrop
COPY functions/api/whisperdrop_api /code/opt/whisperdrop/whisperdrop_api
COPY functions/dispatcher/whisperdrop_dispatcher /code/opt/whisperdrop/whisperdrop_dispatcher
COPY functions/notifier/whisperdrop_notifier /code/opt/whisperdrop/whisperdrop_notifier
COPY docker/bridge/whisperdrop_bridge /code/opt/whisperdrop/whisperdrop_bridge
# Where they will lie, so that the compiled modules name the right files.
RUN cp -a /packages/. /usr/local/ && ln -s /code/opt/whisperdrop /opt/whisperdrop
ENV PYTHONPATH=/opt/whisperdrop:/build/image
# The API's server before its handler, whose quick start keeps out what a server imports.
RUN python -m whisperdrop_image.bytecode /code \
        awslambdaric.__main__ whisperdrop_api.__main__ whisperdrop_api.handler \
        uvicorn.loops.auto uvicorn.lifespan.on uvicorn.protocols.http.h11_impl \
        whisperdrop_dispatcher.__main__ whisperdrop_dispatcher.handler \
        whisperdrop_notifier.__main__ whisperdrop_notifier.handler \
        whisperdrop_bridge.__main__ whisperdrop.pulse \
    && python -m whisperdrop_image.sbom --name whisperdrop-api \
        --target /code/opt/whisperdrop/sbom.cdx.json /packages/lib/python3*/site-packages

# --- the image ------------------------------------------------------------------------------------
FROM ${BASE_IMAGE}
ARG BASE_IMAGE
# Nothing is installed here any more. The bytes are in the base image's layer; this hides them.
RUN rm -rf /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip \
        /usr/local/bin/pip*
COPY --from=packages /packages/ /usr/local/
COPY --from=code /code/ /

# Writes nothing outside /tmp: the root file system may be read-only, as it is in Lambda.
ENV PYTHONPATH=/opt/whisperdrop \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    HOST=0.0.0.0 \
    PORT=8000 \
    PULSE_FILE=/tmp/whisperdrop.pulse
WORKDIR /tmp
# A number, because Kubernetes cannot tell whether a name is root. Lambda brings a user of its own.
USER 10001:10001
EXPOSE 8000

# The API's. No curl in the image; a failure's traceback shows in `docker inspect`. Dispatcher and
# notifier serve no HTTP: their check is ["python", "-m", "whisperdrop.pulse"].
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/health', timeout=4)"]

ENTRYPOINT ["python", "-m"]
CMD ["whisperdrop_api", "serve"]

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="whisperdrop-api" \
      org.opencontainers.image.description="API, dispatcher, notifier and bridge of Whisperdrop" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"
