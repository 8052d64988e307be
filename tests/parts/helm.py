"""Renders the chart as Helm does, with or without a cluster to look things up in.

stdin: {"values": …, "namespace": …, "cluster": null | {"objects": {"/path": object}}}
stdout: {"objects": […], "notes": …}; a refusal is on stderr, with exit code 1.
"""

import http.server
import json
import pathlib
import sys
import threading

import yaml
from helm_python.chart import Chart
from helm_python.config import Config
from helm_python.errors import HelmError

CHART = pathlib.Path(__file__).parents[2] / "deploy/helm/secret-exec"
RESOURCES = {
    "/api/v1": [("secrets", "Secret"), ("namespaces", "Namespace"), ("pods", "Pod")],
}


class Cluster(http.server.BaseHTTPRequestHandler):
    """As much of an API server as `lookup` needs."""

    wanted = {}

    def do_GET(self):
        path = self.path.split("?")[0]

        pages = {
            "/version": {"major": "1", "minor": "31", "gitVersion": "v1.31.0"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
        }
        for group, resources in RESOURCES.items():
            pages[group] = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group.split("/", 2)[-1],
                "resources": [{"name": name, "kind": kind, "namespaced": kind != "Namespace", "verbs": ["get"]}
                    for name, kind in resources]}
        pages.update(self.wanted["objects"])
        missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
        body = json.dumps(pages.get(path, missing)).encode()
        self.send_response(200 if path in pages else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def render(wanted):
    chart = Chart.load(CHART)
    place = {"name": "secret-exec", "namespace": wanted["namespace"]}
    if not wanted["cluster"]:
        return chart.render(wanted["values"], **place)
    Cluster.wanted = wanted["cluster"]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cluster)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = "http://127.0.0.1:%d" % server.server_port
    kubeconfig = json.dumps({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": address}}], "users": [{"name": "c", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}]})
    config = Config(kubeconfig_content=kubeconfig, namespace=wanted["namespace"])
    return config.render(chart, wanted["values"], is_upgrade=True, **place)


try:
    rendered = render(json.load(sys.stdin))
except HelmError as error:
    sys.exit(str(error))
texts = [text for path, text in rendered.items() if path.endswith(".yaml")]
documents = [document for text in texts for document in yaml.safe_load_all(text) if document]
notes = [text for path, text in rendered.items() if path.endswith("NOTES.txt")]
print(json.dumps({"objects": documents, "notes": "".join(notes)}))
