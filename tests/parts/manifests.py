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


for file in sys.argv[2:]:
    documents = list(yaml.safe_load_all(open(file)))
    if not any(isinstance(document, dict) and "apiVersion" in document for document in documents):
        check_config(open(file).read(), file)
        continue
    for document in documents:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
        manifests += 1
        for name, text in (document.get("data") or {}).items() if document["kind"] == "ConfigMap" else ():
            if name == "secret-exec.yaml":
                check_config(text, f"{file}: {name}")
print(f"{manifests} manifests, {configs} configs")
