"""What `make checks` runs: known faults in templates, images, dependencies, and secrets in files.

ruff's S rules (bandit's) are part of `make lint`, cfn-lint of test_templates.py and of
`sam validate --lint` in test_sam_build.py.
"""

import base64
import json
import random
import re
import shutil
import subprocess
import threading
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import secret_scan
from tests.lanes import lane
from tests.templates import ROOT, TEMPLATE, TEMPLATES, load

TOOLS = ROOT / ".venv-checks" / "bin"
CHECKOV = ROOT / ".checkov.yaml"
LOCKS = [*sorted(ROOT.glob("requirements/*.txt")), ROOT / "layers/core/requirements.txt"]
NO_FIX_YET: dict[str, str] = {}
"""Advisories that do not concern us or that nobody has fixed, each with its reason."""


@pytest.fixture(scope="module", autouse=True)
def _tools() -> None:
    lane(
        "checks", (TOOLS / "checkov").is_file(), "there is no .venv-checks: `make checks` makes it"
    )


# --- templates and images -------------------------------------------------------------------------


class Scan:
    """What checkov says of all templates and Dockerfiles, with nothing skipped."""

    def __init__(self, tree: Path) -> None:
        names = ("-f", *map(str, [*TEMPLATES, *sorted(ROOT.glob("docker/*.Dockerfile"))]))
        # checkov leaves out what a condition leaves out by default: look at the other modes too.
        everything = TEMPLATE.read_text().replace("    Default: cpu\n", "    Default: both\n")
        assert everything != TEMPLATE.read_text()
        (tree / "both.yaml").write_text(everything)
        framework = ("--framework", "cloudformation", "dockerfile")
        done = subprocess.run(
            [
                str(TOOLS / "checkov"),
                "-o",
                "json",
                "--skip-download",
                *framework,
                *names,
                "both.yaml",
            ],
            cwd=tree,  # not where .checkov.yaml would be found
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.stdout, done.stderr
        self.failed: dict[str, set[str]] = defaultdict(set)
        self.seen: set[str] = set()
        for report in json.loads(done.stdout):
            assert report["summary"]["parsing_errors"] == 0
            for kind in ("passed_checks", "failed_checks"):
                for check in report["results"][kind]:
                    self.seen |= {Path(check["file_path"]).name, check["resource"].split(".")[-1]}
                    if kind == "failed_checks":
                        where = f"{check['check_name']}: {check['file_path']} {check['resource']}"
                        self.failed[check["check_id"]].add(where)


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    return Scan(tmp_path_factory.mktemp("checkov"))


def _skipped() -> Iterator[tuple[str, str]]:
    """Checks that are skipped, and the comment above each."""
    reason: list[str] = []
    for line in CHECKOV.read_text().partition("skip-check:\n")[2].splitlines():
        if line.strip().startswith("#"):
            reason.append(line.strip(" #"))
        else:
            yield line.strip(" -"), " ".join(reason)
            reason = []


def test_checkov_finds_nothing_but_what_is_reasoned(scan: Scan) -> None:
    skipped = {check for check, _ in _skipped()}
    assert {check: where for check, where in scan.failed.items() if check not in skipped} == {}


def test_every_skip_has_a_reason_and_is_needed(scan: Scan) -> None:
    skips = dict(_skipped())
    assert list(skips) == yaml.safe_load(CHECKOV.read_text())["skip-check"]
    assert all(len(reason) > 40 for reason in skips.values())
    assert skips.keys() <= scan.failed.keys(), "skipped, and nothing fails it"


def test_checkov_has_seen_every_file_and_every_function_and_role(scan: Scan) -> None:
    # It knows nothing of budgets.
    files = [path.name for path in TEMPLATES if path.name != "budget.yaml"]
    files += [path.name for path in ROOT.glob("docker/*.Dockerfile")]
    assert set(files) <= scan.seen
    kinds = {"AWS::Serverless::Function", "AWS::IAM::Role", "AWS::SQS::Queue", "AWS::S3::Bucket"}
    for path in TEMPLATES:
        for name, resource in load(path)["Resources"].items():
            if resource["Type"] in kinds:
                assert name in scan.seen, name


# --- dependencies ---------------------------------------------------------------------------------


def _audit(service: str, locks: list[Path], *options: str) -> list[dict[str, Any]] | None:
    """Every dependency of the locks with its advisories; None where the service does not answer.

    Nothing is resolved or installed: the locks are complete and have hashes.
    """
    asked = [part for lock in locks for part in ("-r", str(lock))]
    offline = ("--disable-pip", "--no-deps", "--require-hashes", "--progress-spinner", "off")
    ignored = [part for advisory in NO_FIX_YET for part in ("--ignore-vuln", advisory)]
    done = subprocess.run(
        [
            *(str(TOOLS / "pip-audit"), "-s", service, "--timeout", "10", "-f", "json"),
            *(*offline, *ignored, *options, *asked),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    try:
        audited: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except json.JSONDecodeError:
        return None  # a traceback: no connection
    # Where PyPI is a mirror of packages alone, it knows none of them.
    return audited if any("skip_reason" not in one for one in audited) else None


def _known_faults(audited: list[dict[str, Any]]) -> list[str]:
    return sorted(
        f"{one['name']} {one['version']}: {fault['id']}, fixed in {' '.join(fault['fix_versions'])}"
        for one in audited
        for fault in one.get("vulns", ())
    )


def test_no_dependency_has_a_known_fault() -> None:
    smallest = min(LOCKS, key=lambda lock: lock.stat().st_size)
    answers = [service for service in ("pypi", "osv") if _audit(service, [smallest]) is not None]
    lane("advisories", answers, "neither PyPI nor OSV answers what is known of a package")
    audited = _audit(answers[0], LOCKS)
    assert audited is not None
    assert _known_faults(audited) == []


class _Advisories(BaseHTTPRequestHandler):
    """OSV, as far as pip-audit asks it: https://google.github.io/osv.dev/post-v1-query/."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        package = {"name": "uv", "ecosystem": "PyPI"}
        fixed = {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}
        fault = {"id": "PYSEC-1", "affected": [{"package": package, "ranges": [fixed]}]}
        known = asked["package"]["name"] == "uv"
        body = json.dumps({"vulns": [fault]} if known else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Says nothing."""


def test_a_known_fault_is_reported_with_its_fix() -> None:
    lock = ROOT / "requirements" / "uv.txt"
    with ThreadingHTTPServer(("127.0.0.1", 0), _Advisories) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/v1/query"
        audited = _audit("osv", [lock], "--osv-url", address)
        server.shutdown()
    assert audited is not None
    [fault] = _known_faults(audited)
    assert re.fullmatch(r"uv [0-9.]+: PYSEC-1, fixed in 99.1", fault)


# --- secrets --------------------------------------------------------------------------------------


def test_no_secret_is_in_the_files_or_in_their_history(tmp_path: Path) -> None:
    secret_scan.collect(tmp_path)
    assert (tmp_path / "template.yaml").read_text().startswith(TEMPLATE.read_text())
    assert secret_scan.unknown(tmp_path) == [], (
        "remove it, and revoke it; if it is none, end the line with `# pragma: allowlist secret` or"
        " run `python -m tests.secret_scan --accept`"
    )


def test_a_secret_is_found(tmp_path: Path) -> None:
    # Made here, so that this file holds none.
    body = base64.b64encode(random.Random(7).randbytes(600)).decode()  # noqa: S311 - is no key
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    kind = "RSA PRIVATE KEY-----"
    key = "\n".join([f"-----BEGIN {kind}", *lines, f"-----END {kind}", ""])
    (tmp_path / "key.pem").write_text(key)
    (tmp_path / "aws.py").write_text(f'KEY = "{"AKIA" + "Q3EGRIZ7XJ2WMV5T"}"\n')
    (tmp_path / "settings.py").write_text('api_key = "' + "hunter-of-the-snark" + '"\n')
    found = {re.sub(r":\d+", "", one) for one in secret_scan.unknown(tmp_path)}
    assert {"aws.py AWS Access Key", "key.pem Private Key", "settings.py Secret Keyword"} <= found


def test_gitleaks_rules_can_be_read() -> None:
    rules = tomllib.loads((ROOT / ".gitleaks.toml").read_text())
    assert rules["extend"]["useDefault"] is True
    for allowed in rules["allowlists"]:
        assert allowed["description"]
        for pattern in (*allowed.get("paths", ()), *allowed.get("regexes", ())):
            re.compile(pattern)


def test_gitleaks_finds_nothing() -> None:
    program = shutil.which("gitleaks")
    lane("gitleaks", program, "there is no gitleaks on the PATH")
    assert program is not None
    result = subprocess.run(
        [program, "git", "--redact", "--no-banner", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout + result.stderr
