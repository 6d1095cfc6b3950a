"""A dashboard for Grafana, over the metrics that this package exports."""

from typing import Any, Final

from hms_async.telemetry.panels import ROWS, Panel

_WIDE, _HIGH, _LOW = 24, 8, 4
_DATASOURCE: Final = {"type": "prometheus", "uid": "$datasource"}


def dashboard(*, address: str) -> dict[str, Any]:
    """Return the dashboard as Grafana imports it.

    Args:
        address: Where the dashboard of this package is: panels link to the page of their queue.
    """
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS:
        panels.append(_row(title, top, len(panels) + 1))
        top += 1
        high = _LOW if row[0].kind == "stat" else _HIGH
        width = _WIDE // len(row)
        for number, panel in enumerate(row):
            place = {"x": number * width, "y": top, "w": width, "h": high}
            panels.append(_panel(panel, place, len(panels) + 1, address.rstrip("/")))
        top += high
    return {
        "uid": "hms-async",
        "title": "hms_async: queues and their promises",
        "tags": ["hms_async"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": _variables()},
        "annotations": {"list": []},
        "panels": panels,
    }


def _variables() -> list[dict[str, Any]]:
    return [
        {"name": "datasource", "label": "Source", "type": "datasource", "query": "prometheus"},
        {
            "name": "queue",
            "label": "Queue",
            "type": "query",
            "datasource": _DATASOURCE,
            "query": {"query": "label_values(hms_tasks, queue)", "refId": "queue"},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        },
    ]


def _row(title: str, top: int, number: int) -> dict[str, Any]:
    place = {"x": 0, "y": top, "w": _WIDE, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place}


def _panel(panel: Panel, place: dict[str, int], number: int, address: str) -> dict[str, Any]:
    link = f"{address}/ui/q/${{__field.labels.queue}}?from=${{__from}}&to=${{__to}}"
    steps = [{"value": value, "color": color} for value, color in panel.limits]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.meaning,
        "datasource": _DATASOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {
                "unit": panel.unit,
                "links": [{"title": "The queue's page", "url": link, "targetBlank": True}],
                "thresholds": {
                    "mode": "absolute",
                    "steps": steps or [{"value": None, "color": "green"}],
                },
            },
            "overrides": [],
        },
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}} if panel.kind == "stat" else {},
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _DATASOURCE,
                "expr": expr,
                "legendFormat": legend,
            }
            for index, (expr, legend) in enumerate(panel.exprs)
        ],
    }
