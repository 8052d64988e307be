"""Checks what users copy: Kubernetes manifests against the API's schemas, configs against the program's own.

manifests.py SCHEMA FILE...     every document of every file; a ConfigMap's secret-exec.yaml is a config too
"""

import json
import sys

import jsonschema
import kubernetes_validate
import yaml

schema = json.load(open(sys.argv[1]))
configs = manifests = 0


def check_config(text, place):
    global configs
    errors = [error.message for error in jsonschema.validators.validator_for(schema)(schema).iter_errors(yaml.safe_load(text))]
    assert not errors, f"{place}: {errors}"
    configs += 1


def check_rules(document, place):
    """A PrometheusRule, which is nobody's built-in kind: the fields its operator requires, and what a person needs."""
    spec = document["spec"]
    assert document["metadata"]["name"] and set(spec) == {"groups"}, place
    for group in spec["groups"]:
        assert set(group) == {"name", "rules"} and group["rules"], place
        for rule in group["rules"]:
            assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}, f"{place}: {rule}"
            assert rule["alert"] and rule["expr"] and rule["annotations"]["summary"], f"{place}: {rule}"
            assert rule["labels"]["severity"] in ("warning", "critical"), f"{place}: {rule}"


# Kinds that Kubernetes has no schema of.
FOREIGN = {"cert-manager.io", "kyverno.io", "kustomize.config.k8s.io", "monitoring.coreos.com"}

for file in sys.argv[2:]:
    if file.endswith("/injector.yaml"):
        continue  # the injector's own config, which tests/k8s reads
    documents = list(yaml.safe_load_all(open(file)))
    if not any(isinstance(document, dict) and "apiVersion" in document for document in documents):
        check_config(open(file).read(), file)
        continue
    for document in documents:
        manifests += 1
        if document["kind"] == "PrometheusRule":
            check_rules(document, file)
            continue
        if document["apiVersion"].split("/")[0] in FOREIGN:
            continue
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
        for name, text in (document.get("data") or {}).items() if document["kind"] == "ConfigMap" else ():
            if name == "secret-exec.yaml":
                check_config(text, f"{file}: {name}")
print(f"{manifests} manifests, {configs} configs")
