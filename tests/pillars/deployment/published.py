"""Manifests against what their authors publish: a CRD's own schema (folder `CRDS` in the environment), and Kubernetes' own
(`kubernetes-validate`).

Neither is in the lock: the schemas weigh 110 MB. `CRDS=/folder pytest tests/pillars/deployment/test_manifests.py` takes the files of
kserve's config/crd/full and of argo-rollouts' manifests/crds.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

FOLDER = os.environ.get("CRDS", "")
NATIVE = {"v1", "apps/v1"}


def problems(manifest: dict[str, Any]) -> list[str] | None:
    """What a published schema has against it; None where there is none at hand."""
    if manifest["apiVersion"] in NATIVE:
        return _native(manifest)
    return _custom(manifest, schemas(Path(FOLDER)) if FOLDER else {})


def schemas(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """(apiVersion, kind) to the CRD's schema, with unknown keys forbidden as the server prunes them."""
    found = {}
    for path in sorted(folder.glob("*.yaml")):
        for crd in yaml.load_all(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if crd and crd.get("kind") == "CustomResourceDefinition":
                for version in crd["spec"]["versions"]:
                    key = (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"])
                    found[key] = strict(version["schema"]["openAPIV3Schema"])
    return found


def strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(value) for name, value in schema.items() if name != "format"}
    if schema.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def _custom(manifest: dict[str, Any], known: dict[tuple[str, str], dict[str, Any]]) -> list[str] | None:
    from jsonschema import Draft7Validator

    schema = known.get((manifest["apiVersion"], manifest["kind"]))
    if schema is None:
        return None
    loose = {**schema, "properties": {**schema["properties"], "metadata": {"type": "object"}}}
    return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in Draft7Validator(loose).iter_errors(manifest)]


def _native(manifest: dict[str, Any]) -> list[str] | None:
    try:
        import kubernetes_validate
    except ImportError:
        return None
    try:
        kubernetes_validate.validate(manifest, "1.33", strict=True)
    except kubernetes_validate.ValidationError as err:
        return [str(err.message)]
    return []
