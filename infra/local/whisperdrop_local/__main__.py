"""``python -m whisperdrop_local run`` serves until Ctrl-C; ``demo`` transcribes once and exits.

``sample`` sends the sample to a service that runs already, at ``PORT`` of this machine.
"""

import argparse
import shutil
import signal
import sys
import threading
import time

import requests
from pydantic import ValidationError

from whisperdrop_local.deploy import BUCKET, DeployError
from whisperdrop_local.processes import ChildDiedError
from whisperdrop_local.sample import SampleError, bundled, same_words, transcribe
from whisperdrop_local.settings import StackSettings
from whisperdrop_local.stack import LOOPBACK, Stack, StackError, data_dir_for_demo


def main(arguments: list[str] | None = None) -> int:
    """Parse, run, and answer with an exit status."""
    parser = argparse.ArgumentParser(prog="whisperdrop_local", description=__doc__)
    parser.add_argument("verb", choices=["run", "demo", "sample"])
    verb = parser.parse_args(arguments).verb
    # Both by name: a shell without job control starts its background processes with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        settings = StackSettings()
        match verb:
            case "run":
                return _run(settings)
            case "demo":
                return _demo(settings)
        address = f"http://{LOOPBACK}:{settings.port}"
        return 0 if _show(address, settings.api_key.get_secret_value()) else 1
    except KeyboardInterrupt:
        print("\nstopped")
        return 0
    except ValidationError as error:
        for problem in error.errors():
            field = ".".join(str(part) for part in problem["loc"]).upper()
            print(f"error: {field}: {problem['msg']}", file=sys.stderr)
        return 2
    except requests.ConnectionError as error:
        print(f"error: nothing answers: {error}", file=sys.stderr)
        return 1
    except (StackError, DeployError, ChildDiedError, SampleError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(settings: StackSettings) -> int:
    began = time.monotonic()
    with Stack(settings) as stack:
        print(
            f"""Whisperdrop is ready after {time.monotonic() - began:.1f} s at {stack.address}
  page     {stack.address}/
  docs     {stack.address}/docs
  key      Authorization: Bearer {stack.api_key}
  drop     aws --endpoint-url {stack.endpoint} s3 cp FILE s3://{BUCKET}/inbox/default/
  logs     {settings.data_dir}/logs
Ctrl-C stops it. Meanwhile, a sample:""",
            flush=True,
        )
        # Beside the supervision: behind a full queue the sample takes its turn.
        threading.Thread(target=_try_to_show, args=(stack,), daemon=True).start()
        for name in stack.supervise():
            print(f"{name} died and was started again; see {settings.data_dir}/logs", flush=True)
    return 0


def _demo(settings: StackSettings) -> int:
    data_dir = data_dir_for_demo(settings.data_dir)
    free = settings.model_copy(update={"port": 0, "emulator_port": 0, "data_dir": data_dir})
    try:
        with Stack(free) as stack:
            return 0 if _show(stack.address, stack.api_key) else 1
    finally:
        shutil.rmtree(data_dir, ignore_errors=True)


def _try_to_show(stack: Stack) -> None:
    try:
        _show(stack.address, stack.api_key)
    except (SampleError, requests.RequestException) as error:
        print(f"the sample was not transcribed: {error}", file=sys.stderr, flush=True)


def _show(address: str, api_key: str) -> bool:
    """Transcribe the bundled sample and print it; whether every word is right."""
    sample = bundled()
    began = time.monotonic()
    text = transcribe(address, api_key, sample)
    print(f"said:   {sample.text}")
    print(f"heard:  {text}  ({time.monotonic() - began:.1f} s)", flush=True)
    return same_words(sample.text, text)


if __name__ == "__main__":
    sys.exit(main())
