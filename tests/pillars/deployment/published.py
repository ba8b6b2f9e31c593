"""What manifests are held against.

Kubernetes' own kinds: its schemas of 1.33, of which `tests/data/` has what is needed. KServe's, Argo's and the Gateway API's kinds: the
keys that we write, their types and which of them must be there, as their CRDs had it in 2026-08, written down here; whatever else is said
is a mistake, until somebody has looked it up and added it. Where the CRDs themselves are at hand (`CRDS=/folder`: the files of kserve's
config/crd/full and of argo-rollouts' manifests/crds), they are asked as well.
"""

from __future__ import annotations

import gzip
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator

FOLDER = os.environ.get("CRDS", "")
DATA = Path(__file__).resolve().parents[2] / "data" / "kubernetes-1.33.json.gz"
NATIVE = {
    ("v1", "ConfigMap"): "io.k8s.api.core.v1.ConfigMap",
    ("v1", "Service"): "io.k8s.api.core.v1.Service",
    ("apps/v1", "Deployment"): "io.k8s.api.apps.v1.Deployment",
}
POD = {"$ref": "#/definitions/io.k8s.api.core.v1.PodSpec"}
META = {"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
TEXT, WHOLE, COUNT = {"type": "string"}, {"type": "integer"}, {"type": "integer", "minimum": 0}


def _of(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _many(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _named(*values: str) -> dict[str, Any]:
    return {"enum": list(values)}


def _thing(version: str, kind: str, spec: Any) -> dict[str, Any]:
    wanted = ("apiVersion", "kind", "metadata", "spec")
    return _of(wanted, apiVersion=_named(version), kind=_named(kind), metadata=META, spec=spec)


# a predictor has a pod's keys beside its own
PREDICTOR = {"own": {"name": TEXT, "minReplicas": COUNT, "maxReplicas": COUNT}, "pod": POD}
TEMPLATES = _of(("templates",), templates=_many(_of(templateName=TEXT)), startingStep=COUNT)
STEP = _of(
    setWeight={"type": "integer", "minimum": 0, "maximum": 100}, pause=_of(duration={"type": ["integer", "string"]}), analysis=TEMPLATES
)
ROUTING = _of(plugins={"type": "object"})
CANARY = _of(stableService=TEXT, canaryService=TEXT, steps=_many(STEP), analysis=TEMPLATES, trafficRouting=ROUTING)
GREEN = _of(("activeService",), activeService=TEXT, previewService=TEXT, postPromotionAnalysis=TEMPLATES, scaleDownDelaySeconds=COUNT)
PODS = _of(("spec",), metadata=META, spec=POD)
SELECTOR = _of(matchLabels={"type": "object", "additionalProperties": TEXT})
LIMITS = ("failureLimit", "consecutiveErrorLimit", "consecutiveSuccessLimit", "inconclusiveLimit")
METRIC = _of(
    ("name", "provider"),
    name=TEXT,
    interval=TEXT,
    successCondition=TEXT,
    failureCondition=TEXT,
    provider=_of(web=_of(("url",), url=TEXT, jsonPath=TEXT, timeoutSeconds=COUNT)),
    **{key: {"type": ["integer", "string"]} for key in LIMITS},
)
BACKEND = _of(("name",), name=TEXT, port={"type": "integer", "minimum": 1, "maximum": 65_535}, weight={**COUNT, "maximum": 1_000_000})
ROUTE = _of(parentRefs=_many(_of(("name",), name=TEXT)), hostnames=_many(TEXT), rules=_many(_of(backendRefs=_many(BACKEND))))
KINDS = {
    ("serving.kserve.io/v1beta1", "InferenceService"): _of(
        ("predictor",),
        predictor=PREDICTOR,
        canary=_many(_of(("predictor", "trafficPercent"), predictor=PREDICTOR, trafficPercent={**COUNT, "maximum": 100})),
    ),
    ("argoproj.io/v1alpha1", "Rollout"): _of(
        replicas=COUNT, revisionHistoryLimit=COUNT, selector=SELECTOR, template=PODS, strategy=_of(canary=CANARY, blueGreen=GREEN)
    ),
    ("argoproj.io/v1alpha1", "AnalysisTemplate"): _of(("metrics",), metrics=_many(METRIC)),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): ROUTE,
}


def problems(manifest: dict[str, Any]) -> list[str]:
    """What a schema has against it. Raises: KeyError, where there is none of its kind."""
    key = (manifest["apiVersion"], manifest["kind"])
    if key in NATIVE:
        return _said({"$ref": f"#/definitions/{NATIVE[key]}"}, manifest)
    own = _said(_thing(*key, _resolved(KINDS[key])), manifest)
    crds = schemas(Path(FOLDER)) if FOLDER else {}
    return [*own, *(_custom(manifest, crds[key]) if key in crds else [])]


@cache
def definitions() -> dict[str, Any]:
    """Kubernetes' own, by name; unknown keys are forbidden in each."""
    found: dict[str, Any] = json.loads(gzip.decompress(DATA.read_bytes()))["definitions"]
    return found


def _resolved(schema: Any) -> Any:
    """With each predictor spelt out: the keys of a pod's own schema, and KServe's beside them."""
    if isinstance(schema, list):
        return [_resolved(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema is PREDICTOR:
        pod = definitions()[str(POD["$ref"]).rpartition("/")[2]]
        return {**pod, "properties": {**pod["properties"], **PREDICTOR["own"]}, "additionalProperties": False}
    return {name: _resolved(value) for name, value in schema.items()}


def _said(schema: dict[str, Any], manifest: dict[str, Any]) -> list[str]:
    found = Draft7Validator({"allOf": [schema], "definitions": definitions()}).iter_errors(manifest)
    return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in found]


@cache
def schemas(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """(apiVersion, kind) to the CRD's schema, with unknown keys forbidden, which a cluster would drop."""
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


def _custom(manifest: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    loose = {**schema, "properties": {**schema["properties"], "metadata": {"type": "object"}}}
    return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in Draft7Validator(loose).iter_errors(manifest)]
