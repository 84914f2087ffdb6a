"""Reads manifests from standard input and writes them as JSON. Each must be what the named versions of Kubernetes take,
without a field that they do not know; else it says what is wrong and exits with 1."""

import functools
import json
import sys

import yaml
from kubernetes_validate import utils

# Kinds that others bring: their rules are not Kubernetes'.
FOREIGN = "monitoring.coreos.com/"

utils.schema_contents = functools.lru_cache(maxsize=None)(utils.schema_contents)
manifests = [manifest for manifest in yaml.safe_load_all(sys.stdin) if manifest]
wrong = []
for version in sys.argv[1:]:
    for manifest in manifests:
        name = f"{manifest.get('kind')} {manifest.get('metadata', {}).get('name')}, Kubernetes {version}"
        if manifest["apiVersion"].startswith(FOREIGN):
            continue
        try:
            utils.validate(manifest, version, strict=True)
        except utils.ValidationError as error:
            wrong.append(f"{name}: {'.'.join(str(part) for part in error.path)}: {error.message[:300]}")
        except utils.SchemaNotFoundError as error:
            wrong.append(f"{name}: {error.message}")
json.dump(manifests, sys.stdout)
if wrong:
    sys.exit("\n".join(wrong))
