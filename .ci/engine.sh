# Sourced by .ci/run: a Docker Engine and a base image, for the tests of images, compose and SAM.
#
# An engine that runs is used as it is. Where none does, Debian's is installed and started, and
# ended again when the run ends. A machine that can run none, or has nothing to build on, skips the
# lane and says so: nothing here may fail.

if [ -z "${WHISPERDROP_STANDINS:-}" ] && [ -f ../shared/tools/standin.sh ]; then
    WHISPERDROP_STANDINS=$(cd ../shared/tools && pwd)
    export WHISPERDROP_STANDINS
fi

engine_answers() { docker version > /dev/null 2>&1; }

install_engine() {
    command -v dockerd > /dev/null && command -v debootstrap > /dev/null && return
    echo "installing a Docker Engine, for the tests of the images"
    apt-get update -qq && apt-get install -y -qq --no-install-recommends docker.io debootstrap
}

start_engine() {
    # One that runs and does not answer is somebody's: never a second one beside it.
    if pgrep -x dockerd > /dev/null; then return 1; fi
    mkdir -p .local
    dockerd > .local/dockerd.log 2>&1 &
    ENGINE=$!
    trap 'kill "$ENGINE" 2> /dev/null && wait "$ENGINE" 2> /dev/null || true' EXIT
    for _ in $(seq 60); do
        if engine_answers; then return; fi
        kill -0 "$ENGINE" 2> /dev/null || return 1
        sleep 0.5
    done
    return 1
}

find_base() {
    docker image inspect python:3.13-slim-bookworm > /dev/null 2>&1 && return
    timeout 120 docker pull --quiet python:3.13-slim-bookworm > /dev/null 2>&1 && return
    [ -n "${WHISPERDROP_STANDINS:-}" ] || return 1
    echo "making a stand-in for the base image"
    bash "$WHISPERDROP_STANDINS/standin.sh" 3.13.0 python-standin:3.13
}

have_engine() {
    engine_answers && return
    [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null || return 1
    install_engine > /dev/null && { engine_answers || start_engine; }
}

if ! have_engine; then
    echo "no Docker Engine runs here, and none can be started: the lane 'docker' is skipped"
elif ! find_base; then
    echo "the base image cannot be had: the lane 'docker' is skipped"
else
    export WHISPERDROP_REQUIRE_LANES=$WHISPERDROP_REQUIRE_LANES,docker
fi
