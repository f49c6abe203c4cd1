"""Alarms and dashboard: whole, documented, and of metrics that somebody emits."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.templates import MONITORING, ROOT, TEMPLATE, TEMPLATES, Node, load, of_type, rendered
from whisperdrop.observability.catalogue import BY_SERVICE

AWS_METRICS = {
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/
    # sqs-available-cloudwatch-metrics.html
    "AWS/SQS": (
        {"QueueName"},
        {
            "ApproximateAgeOfOldestMessage",
            "ApproximateNumberOfMessagesVisible",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
            "NumberOfMessagesSent",
            "NumberOfMessagesReceived",
            "NumberOfMessagesDeleted",
        },
    ),
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    "AWS/Lambda": (
        {"FunctionName"},
        {"Invocations", "Errors", "Throttles", "Duration", "ConcurrentExecutions"},
    ),
    # https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
    "AWS/ApiGateway": ({"ApiId"}, {"4xx", "5xx", "Count", "Latency", "IntegrationLatency"}),
}
"""What AWS itself publishes: dimensions and names, by namespace."""

LABELS = {
    "api": {"status": ["200", "404", "500"]},
    "worker": {"status": ["succeeded", "failed", "cancelled"]},
    "notifier": {"result": ["delivered", "refused"]},
    "dispatcher": {"state": ["wanted", "starting", "running"]},
}
"""Values of labels that name a CloudWatch metric, by service."""


def _emitted(service: str) -> set[str]:
    """Names in the embedded metric format, as the code makes them."""
    names = {"ColdStart"} if service in {"api", "worker"} else set()  # Powertools' own
    for metric in BY_SERVICE[service]:
        if metric.cloudwatch is not None:
            values = [LABELS[service].get(label, ["any"]) for label in metric.labels]
            for combination in itertools.product(*values):
                labels = dict(zip(metric.labels, combination, strict=True))
                names.add(metric.cloudwatch.named(labels))
    return names


def _filtered() -> set[tuple[str, str]]:
    """(namespace, name) of metrics that are counted from logs."""
    return {
        (rendered(one["MetricNamespace"]), one["MetricName"])
        for one_filter in of_type(load(MONITORING), "AWS::Logs::MetricFilter").values()
        for one in one_filter["MetricTransformations"]
    }


def _exists(namespace: str, name: str, dimensions: dict[str, str]) -> bool:
    if namespace in AWS_METRICS:
        keys, names = AWS_METRICS[namespace]
        return name in names and dimensions.keys() == keys
    if namespace == "${MetricsNamespace}":
        extra = {"function_name"} if name == "ColdStart" else set()
        return dimensions.keys() == {"service"} | extra and name in _emitted(dimensions["service"])
    return (namespace, name) in _filtered() and not dimensions


def _alarms() -> dict[str, Node]:
    return of_type(load(MONITORING), "AWS::CloudWatch::Alarm")


def _watched(alarm: Node) -> Iterator[tuple[str, str, dict[str, str]]]:
    found = [one["MetricStat"]["Metric"] for one in _flat(alarm) if "MetricStat" in one]
    for metric in found or [alarm]:
        dimensions = {d["Name"]: rendered(d["Value"]) for d in metric.get("Dimensions", [])}
        yield rendered(metric["Namespace"]), metric["MetricName"], dimensions


def _flat(alarm: Node) -> list[Node]:
    """The metrics of an alarm, those of one arm of a condition too."""
    return [one["Fn::If"][1] if "Fn::If" in one else one for one in alarm.get("Metrics", [])]


def test_the_alarms_of_a_stage_look_where_its_code_counts() -> None:
    template = load(TEMPLATE)
    counted = template["Globals"]["Function"]["Environment"]["Variables"]
    watched = template["Resources"]["Monitoring"]["Properties"]["Parameters"]
    [task] = of_type(load(ROOT / "infra" / "fleet.yaml"), "AWS::ECS::TaskDefinition").values()
    [container] = task["ContainerDefinitions"]
    environment = {one["Name"]: one["Value"] for one in container["Environment"]}
    name = "POWERTOOLS_METRICS_NAMESPACE"
    assert counted[name] == environment[name] == watched["MetricsNamespace"]
    assert "${Stage}" in rendered(counted[name])


def test_what_the_code_emits_is_known_by_name() -> None:
    assert {"JobsSucceeded", "JobsFailed", "AudioSeconds", "ColdStart"} <= _emitted("worker")
    assert {"Pending", "Damaged", "WorkersRunning", "BacklogAudioSeconds"} <= _emitted("dispatcher")
    assert not _exists("${MetricsNamespace}", "JobsLost", {"service": "worker"})
    assert not _exists("${MetricsNamespace}", "JobsFailed", {"service": "api"})
    assert not _exists("AWS/SQS", "ApproximateAgeOfOldestMessage", {})


@pytest.mark.parametrize("name", _alarms())
def test_an_alarm_watches_what_exists_and_says_whom_it_tells(name: str) -> None:
    alarm = _alarms()[name]
    watched = list(_watched(alarm))
    assert watched
    for metric in watched:
        assert _exists(*metric), metric
    assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmTopic"}]
    assert len(alarm["AlarmDescription"]) > 40
    assert alarm["TreatMissingData"] in {"notBreaching", "breaching", "ignore"}


def test_every_alarm_has_a_chapter_and_every_chapter_an_alarm() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text()
    chapters = set(re.findall(r"^### `([a-z0-9-]+)`$", page, re.MULTILINE))
    names = {
        rendered(alarm["AlarmName"]).removeprefix("whisperdrop-${Stage}-")
        for alarm in _alarms().values()
    }
    assert chapters == names


def test_the_thresholds_on_the_page_are_those_of_the_template() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text()
    parameters = load(MONITORING)["Parameters"]
    said = dict(re.findall(r"`([A-Z][A-Za-z]+)` \((\d+)", page))
    thresholds = {
        name: str(parameter["Default"])
        for name, parameter in parameters.items()
        if parameter["Type"] == "Number" and "MinValue" in parameter
    }
    assert said.items() >= thresholds.items()


@pytest.mark.parametrize("kind", ["interactive", "bulk", "notify"])
def test_every_queue_and_its_dead_letters_are_watched(kind: str) -> None:
    watched = {metric for alarm in _alarms().values() for metric in map(str, _watched(alarm))}
    queue = {"QueueName": f"${{QueuePrefix}}-{kind}"}
    letters = {"QueueName": f"${{QueuePrefix}}-{kind}-dlq"}
    assert str(("AWS/SQS", "ApproximateAgeOfOldestMessage", queue)) in watched
    assert str(("AWS/SQS", "ApproximateNumberOfMessagesVisible", letters)) in watched


def test_every_function_has_an_alarm_for_its_errors_and_its_throttles() -> None:
    watched = [metric for alarm in _alarms().values() for metric in _watched(alarm)]
    for function in of_type(load(TEMPLATE), "AWS::Serverless::Function"):
        for name in ("Errors", "Throttles"):
            assert ("AWS/Lambda", name, {"FunctionName": f"${{{function}}}"}) in watched, function


def test_dead_letters_stay_an_alarm_while_their_queue_sleeps_and_silence_of_the_clock_is_one() -> (
    None
):
    treated = {name: alarm["TreatMissingData"] for name, alarm in _alarms().items()}
    assert {treated[f"{kind}DeadLetters"] for kind in ("Interactive", "Bulk", "Notify")} == {
        "ignore"
    }
    assert {name for name, how in treated.items() if how == "breaching"} == {
        "SweepSilent",
        "DispatcherSilent",
    }


def _dashboard() -> dict[str, Any]:
    body = load(MONITORING)["Resources"]["Dashboard"]["Properties"]["DashboardBody"]
    text = rendered(body).replace("${FleetMaxWorkers}", "4")
    loaded = json.loads(text)
    assert isinstance(loaded, dict)
    return loaded


def _lines(widget: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """The metrics of a widget in full: "." repeats a field of the line above, "..." its start."""
    above: list[str] = []
    for line in widget["properties"]["metrics"]:
        fields = [field for field in line if isinstance(field, str)]
        if not fields:
            assert "expression" in line[0]
            continue
        if fields[0] == "...":
            fields = [*above[: len(above) - len(fields) + 1], *fields[1:]]
        fields = [above[at] if field == "." else field for at, field in enumerate(fields)]
        above = fields
        namespace, name, *rest = fields
        yield namespace, name, dict(zip(rest[::2], rest[1::2], strict=True))


def test_every_line_of_the_dashboard_is_of_a_metric_that_exists() -> None:
    lines = [line for widget in _dashboard()["widgets"] for line in _lines(widget)]
    assert len(lines) > 30
    assert [line for line in lines if not _exists(*line)] == []


def test_the_dashboards_widgets_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for widget in _dashboard()["widgets"]:
        across = range(widget["x"], widget["x"] + widget["width"])
        down = range(widget["y"], widget["y"] + widget["height"])
        cells = set(itertools.product(across, down))
        assert not cells & taken, widget["properties"]["title"]
        assert max(across) < 24
        taken |= cells
        assert widget["properties"]["region"] == "${AWS::Region}"


def test_expressions_name_metrics_of_their_own_alarm() -> None:
    for name, alarm in _alarms().items():
        metrics = _flat(alarm)
        ids = {one["Id"] for one in metrics}
        returned = [one for one in metrics if one.get("ReturnData", True)]
        assert len(returned) == (1 if metrics else 0), name
        for one in returned:
            words = set(re.findall(r"\b[a-z]\w*\b", rendered(one["Expression"])))
            assert words <= ids, name


@pytest.mark.parametrize(
    ("alarm", "values", "says"),
    [
        ("JobsFailing", {"failed": 1, "succeeded": 0}, 0),  # one bad file wakes nobody
        ("JobsFailing", {"failed": 2, "succeeded": 8}, 20),
        ("JobsFailing", {"failed": 5, "succeeded": None}, 100),
        ("WebhooksFailing", {"failed": 5, "delivered": 5}, 50),
        ("ApiErrors", {"errors": 5, "requests": 19}, 0),
        ("ApiErrors", {"errors": 1, "requests": 20}, 5),
        ("FleetAtLimit", {"running": 4, "backlog": 36001}, 1),
        ("FleetAtLimit", {"running": 3, "backlog": 99999}, 0),
        ("FleetAtLimit", {"running": 4, "backlog": None}, 0),
        ("FleetShort", {"wanted": 2, "running": 1}, 1),
        ("FleetShort", {"wanted": 2, "running": 2}, 0),
        ("FleetIdle", {"running": 1, "backlog": 0, "bulk": None, "interactive": None}, 1),
        ("FleetIdle", {"running": 1, "backlog": 0, "bulk": 1, "interactive": None}, 0),
        ("FleetIdle", {"running": None, "backlog": 0, "bulk": None, "interactive": None}, 0),
    ],
)
def test_expressions_say_what_their_alarm_is_for(
    alarm: str, values: dict[str, float | None], says: float
) -> None:
    [expression] = [one["Expression"] for one in _flat(_alarms()[alarm]) if "Expression" in one]
    text = rendered(expression).replace("${FleetMaxWorkers}", "4")
    text = text.replace("${BacklogAudioSeconds}", "36000").replace(" AND ", " and ")
    names: dict[str, Any] = {
        "IF": lambda condition, first, second: first if condition else second,
        "FILL": lambda value, instead: instead if value is None else value,
    }
    # Both arms are worked out; a division by nothing is a point that CloudWatch leaves out.
    try:
        assert eval(text, {"__builtins__": {}}, names | values) == says  # noqa: S307 - our own
    except ZeroDivisionError:
        assert says == 0


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_log_is_kept_for_as_long_as_it_is_said(path: Any) -> None:
    for group in of_type(load(path), "AWS::Logs::LogGroup").values():
        assert group["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_the_budget_warns_before_and_when_it_is_spent() -> None:
    [budget] = of_type(load(ROOT / "infra" / "budget.yaml"), "AWS::Budgets::Budget").values()
    warned = {
        (one["Notification"]["NotificationType"], one["Notification"]["Threshold"])
        for one in budget["NotificationsWithSubscribers"]
    }
    assert warned == {("FORECASTED", 100), ("ACTUAL", 80), ("ACTUAL", 100)}
    [tag] = budget["Budget"]["CostFilters"]["TagKeyValue"]
    assert rendered(tag) == "user:${CostTag}$${Stage}"
