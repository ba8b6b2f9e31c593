"""The rollout policy as Kubernetes manifests: KServe's InferenceService with its canary, or an Argo Rollout that asks our judge.

Kubernetes only chooses pods. Each pod has the traffic policy of its arm mounted, so that the request log says which arm answered; the
releases themselves lie on a volume that all pods read.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from pillars.config import Project
from pillars.config_rollout import BASIS
from pillars.deployment.server.settings import Seal
from pillars.deployment.traffic import to_json
from pillars.errors import ConfigInvalid, NobodyAnswers, OptionInvalid
from pillars.vocabulary import Release, Rollout, Stage, Trial

Manifest = dict[str, Any]
Target = Literal["kserve", "argo"]
LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
SHAPES = {
    "namespace": LABEL,
    "claim": rf"{LABEL}(\.{LABEL})*",
    "gateway": LABEL,
    "host": rf"{LABEL}(\.{LABEL})+",
    "tokens": rf"{LABEL}(\.{LABEL})*",
    # registry[:port]/path[:tag][@digest], see the OCI distribution specification; a tag or digest must be said
    "image": r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?(:[0-9]{1,5})?/)?[a-z0-9]+([._/-][a-z0-9]+)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
    r"(@sha256:[0-9a-f]{64})?|@sha256:[0-9a-f]{64})",
}
OPTIONS = {"host": "hostname"}  # of `pillars manifests`, where it is not the field's own name
VAR, SETTINGS, PORT, JUDGE_PORT = "/var/lib/pillars", "/etc/pillars/serve.json", 8080, 8090
USER = 10_001  # of both images


@dataclass(frozen=True)
class Cluster:
    """What a cluster is told, beside the policy. `claim`: of the volume with `var`, which pods share; `tokens`: secret with the key
    `tokens`; `image` serves, `flows` judges (Argo alone needs it); `gateway` and `host`: where the Argo Rollout splits traffic; `seal`:
    what the request log is sealed with, which opens nothing and is no secret."""

    image: str
    claim: str
    namespace: str = "default"
    tokens: str = ""
    replicas: int = 2
    flows: str = ""
    gateway: str = ""
    host: str = ""
    seal: Seal | None = None


def render(project: Project, now: Rollout | None, cluster: Cluster, target: Target) -> list[Manifest]:
    """The manifests, in the order to apply them.

    Raises:
        OptionInvalid: a value is no name, image or host.
        NobodyAnswers: as it says.
        ConfigInvalid: a share is no whole percent, or the strategy is nothing for this target.
    """
    if problems := _odd(cluster, target):
        raise OptionInvalid(problems)
    if now is None:
        raise NobodyAnswers(project.project)
    if problems := _unfit(project, now, target):
        raise ConfigInvalid(f"{project.project}.yaml", problems)
    return _kserve(project, now, cluster) if target == "kserve" else _argo(project, now, cluster)


def named(project: str) -> str:
    """A project's name as Kubernetes writes names."""
    return project.replace("_", "-").rstrip("-")


def _odd(cluster: Cluster, target: Target) -> list[str]:
    """Values that are not what they should be, by the option that gave them. Never quoted whole: they may hold anything."""
    given = {name: getattr(cluster, name) for name in ("namespace", "claim", "image")}
    given |= {name: value for name in ("tokens", "gateway", "host") if (value := getattr(cluster, name))}
    checks = [(name, SHAPES[name], value) for name, value in given.items()]
    checks += [("flows", SHAPES["image"], cluster.flows)] if cluster.flows or target == "argo" else []
    problems = [
        f"--{OPTIONS.get(name, name)}: {value[:60]!r} is none"
        for name, shape, value in checks
        if len(value) > 253 or not re.fullmatch(shape, value)
    ]
    if not 1 <= cluster.replicas <= 1000:
        problems.append(f"--replicas: {cluster.replicas} is not 1 to 1000")
    if target == "argo" and bool(cluster.gateway) != bool(cluster.host):
        problems.append("--gateway, --hostname: say both, or none")
    return problems


def _unfit(project: Project, now: Rollout, target: Target) -> list[str]:
    """Why the policy cannot be said to Kubernetes."""
    shares = [stage.weight_bp for stage in now.trial.stages[-1:]] if now.trial else []
    if target == "argo" and project.rollout.strategy == "canary":
        shares += [round(step.share * BASIS) for step in project.rollout.bakes]
    problems = [f"rollout: a share of {s / BASIS:g} is no whole percent, which Kubernetes counts in" for s in shares if s % (BASIS // 100)]
    if target == "argo" and project.rollout.strategy in ("shadow", "ab"):
        problems.append(f"rollout.strategy: {project.rollout.strategy} is split by the server itself; use kserve, or canary and blue-green")
    return problems


# ---- KServe


def _kserve(project: Project, now: Rollout, cluster: Cluster) -> list[Manifest]:
    name, made = named(project.project), []
    split = now.trial if now.trial and now.trial.mode != "shadow" else None
    stable = replace(now, trial=None) if split else now  # a shadow sits beside the champion, in its pods
    made.append(_settings(project, stable, now.champion, cluster))
    spec: Manifest = {"predictor": _predictor(project, stable, now.champion, cluster)}
    if split:
        alone = _whole(now, split)
        made.append(_settings(project, alone, split.challenger, cluster))
        percent = split.stages[-1].weight_bp // (BASIS // 100)
        spec["canary"] = [{"trafficPercent": percent, "predictor": _predictor(project, alone, split.challenger, cluster)}]
    annotations = {"serving.kserve.io/deploymentMode": "Standard"}
    return [*made, _thing("serving.kserve.io/v1beta1", "InferenceService", name, cluster, spec, annotations)]


def _predictor(project: Project, policy: Rollout, release: Release, cluster: Cluster) -> Manifest:
    least = {"minReplicas": cluster.replicas, "maxReplicas": cluster.replicas}
    return {"name": _arm(project, release), **least, **_pod(project, policy, release, cluster, "kserve-container")}


# ---- Argo Rollouts


def _argo(project: Project, now: Rollout, cluster: Cluster) -> list[Manifest]:
    name = named(project.project)
    wanted = now.trial.challenger if now.trial else now.champion
    policy = _whole(now, now.trial) if now.trial else now
    pod = _pod(project, policy, wanted, cluster, "server")
    labels = {"app.kubernetes.io/name": name}
    spec = {
        "replicas": cluster.replicas,
        "revisionHistoryLimit": project.rollout.keep,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod},
        "strategy": _green(project, name) if project.rollout.strategy == "blue-green" else _canary(project, name, cluster),
    }
    services = [_service(f"{name}-{arm}", labels, PORT, cluster) for arm in ("stable", "canary")]
    route = [_route(name, cluster)] if cluster.gateway else []
    judged = [*_judge(project, cluster), *_analyses(project, name, cluster)]
    rollout = _thing("argoproj.io/v1alpha1", "Rollout", name, cluster, spec)
    return [_settings(project, policy, wanted, cluster), *services, *route, *judged, rollout]


def _canary(project: Project, name: str, cluster: Cluster) -> Manifest:
    """A step is a share, its time, and a verdict that must be healthy; harm ends it at any moment."""
    steps: list[Manifest] = []
    for step in project.rollout.bakes if project.rollout.strategy == "canary" else ():
        steps += [
            {"setWeight": round(step.share * 100)},
            {"pause": {"duration": f"{max(round(step.bake_min * 60), 1)}s"}},
            {"analysis": {"templates": [{"templateName": f"{name}-healthy"}]}},
        ]
    canary: Manifest = {"stableService": f"{name}-stable", "canaryService": f"{name}-canary", "steps": steps}
    if steps:
        canary["analysis"] = {"templates": [{"templateName": f"{name}-harmless"}], "startingStep": 1}
    if cluster.gateway:
        route = {"httpRoute": name, "namespace": cluster.namespace}
        canary["trafficRouting"] = {"plugins": {"argoproj-labs/gatewayAPI": route}}
    return {"canary": canary}


def _green(project: Project, name: str) -> Manifest:
    after = {"templates": [{"templateName": f"{name}-healthy"}]}
    warm = max(round(project.rollout.timeout_min * 60), 1)  # blue stays as long as there may be no verdict
    return {
        "blueGreen": {
            "activeService": f"{name}-stable",
            "previewService": f"{name}-canary",
            "postPromotionAnalysis": after,
            "scaleDownDelaySeconds": warm,
        }
    }


def _analyses(project: Project, name: str, cluster: Cluster) -> list[Manifest]:
    """Harmless: fails on harm, at any look. Healthy: goes on until it is; a verdict that stays open for too long is no success."""
    url = f"http://{name}-judge.{cluster.namespace}.svc:{JUDGE_PORT}/verdict"
    web = {"url": url, "jsonPath": "{$.health}", "timeoutSeconds": 20}
    looks = max(round(project.rollout.timeout_min), 1)
    common = {"interval": "60s", "failureLimit": 0, "consecutiveErrorLimit": 4, "failureCondition": 'result == "harmful"'}
    harmless = {**common, "name": "harmless", "successCondition": 'result != "harmful"', "provider": {"web": web}}
    healthy = {
        **common,
        "name": "healthy",
        "successCondition": 'result == "healthy"',
        "consecutiveSuccessLimit": 1,
        "inconclusiveLimit": looks,
        "provider": {"web": web},
    }
    return [
        _thing("argoproj.io/v1alpha1", "AnalysisTemplate", f"{name}-{metric['name']}", cluster, {"metrics": [metric]})
        for metric in (harmless, healthy)
    ]


def _judge(project: Project, cluster: Cluster) -> list[Manifest]:
    """The judge: reads policy and request log from the volume, answers `/verdict`."""
    name = f"{named(project.project)}-judge"
    labels = {"app.kubernetes.io/name": name}
    container = {
        "name": "judge",
        "image": cluster.flows,
        "args": ["verdict", project.project, "--serve", str(JUDGE_PORT), "--host", "0.0.0.0"],
        "env": [{"name": "PILLARS_VAR", "value": VAR}],
        "ports": [{"containerPort": JUDGE_PORT, "name": "http"}],
        "readinessProbe": {"httpGet": {"path": "/live", "port": "http"}, "periodSeconds": 5},
        "resources": {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}},
        "securityContext": _confined(),
        "volumeMounts": [{"name": "var", "mountPath": VAR}],
    }
    pod = {**_identity(), "containers": [container], "volumes": [_shared(cluster, read_only=False)]}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    return [_thing("apps/v1", "Deployment", name, cluster, spec), _service(name, labels, JUDGE_PORT, cluster)]


def _route(name: str, cluster: Cluster) -> Manifest:
    backends = [{"name": f"{name}-{arm}", "port": PORT, "weight": weight} for arm, weight in (("stable", 100), ("canary", 0))]
    spec = {"parentRefs": [{"name": cluster.gateway}], "hostnames": [cluster.host], "rules": [{"backendRefs": backends}]}
    return _thing("gateway.networking.k8s.io/v1", "HTTPRoute", name, cluster, spec)


def _service(name: str, selector: Mapping[str, str], port: int, cluster: Cluster) -> Manifest:
    ports = [{"name": "http", "port": port, "targetPort": "http"}]
    return _thing("v1", "Service", name, cluster, {"selector": dict(selector), "ports": ports})


# ---- both


def _pod(project: Project, policy: Rollout, release: Release, cluster: Cluster, container: str) -> Manifest:
    """The server: probes of the Open Inference Protocol, no rights, a read-only disk, time to drain (docs/rollouts.md)."""
    var, told = f"{VAR}/releases/{project.project}/policy.json", _settings(project, policy, release, cluster)["metadata"]["name"]
    env: list[Manifest] = [{"name": "OMP_NUM_THREADS", "value": "1"}]
    if cluster.tokens:
        env.append({"name": "PILLARS_SERVE_TOKENS", "valueFrom": {"secretKeyRef": {"name": cluster.tokens, "key": "tokens"}}})
    server = {
        "name": container,
        "image": cluster.image,
        "args": [SETTINGS],
        "env": env,
        "ports": [{"containerPort": PORT, "name": "http", "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/v2/health/ready", "port": "http"}, "periodSeconds": 5},
        "livenessProbe": {"httpGet": {"path": "/v2/health/live", "port": "http"}, "periodSeconds": 10, "failureThreshold": 6},
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", "5"]}}},  # the service forgets the pod first
        "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": _confined(),
        "volumeMounts": [
            {"name": "var", "mountPath": f"{VAR}/releases/{project.project}", "subPath": f"releases/{project.project}", "readOnly": True},
            {"name": "var", "mountPath": f"{VAR}/served/{project.project}", "subPath": f"served/{project.project}"},
            {"name": "told", "mountPath": var, "subPath": "policy.json", "readOnly": True},
            {"name": "told", "mountPath": SETTINGS, "subPath": "serve.json", "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }
    volumes = [_shared(cluster, read_only=False), {"name": "told", "configMap": {"name": told}}, {"name": "tmp", "emptyDir": {}}]
    return {**_identity(), "terminationGracePeriodSeconds": 30, "containers": [server], "volumes": volumes}


def _settings(project: Project, policy: Rollout, release: Release, cluster: Cluster) -> Manifest:
    """What a server is told, and the traffic as its arm sees it. Named by its content: another one is another pod."""
    said: Manifest = {
        "project": project.project,
        "var": VAR,
        "host": "0.0.0.0",
        "port": PORT,
        "columns": {one["name"]: {"type": one["type"], "required": not one["nullable"], "kept": one["kept"]} for one in project.asked},
        "key": list(project.key),
        "entity": list(project.entity),
        "falls_back": False,  # a pod that cannot answer by its release is not ready, and an update ends there
    }
    if cluster.seal:
        said["seal"] = {"id": cluster.seal.id, "public": cluster.seal.public}
    content = {"serve.json": json.dumps(said, indent=1) + "\n", "policy.json": to_json(policy).decode()}
    sha = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    made = _thing("v1", "ConfigMap", f"{_arm(project, release)}-{sha[:10]}", cluster, None)
    return {**made, "data": content}


def _whole(now: Rollout, trial: Trial) -> Rollout:
    """The policy of a challenger's pods: whoever comes is its own."""
    last: Stage = trial.stages[-1]
    return replace(now, trial=replace(trial, stages=(*trial.stages[:-1], replace(last, weight_bp=BASIS))))


def _arm(project: Project, release: Release) -> str:
    return f"{named(project.project)}-v{release.version}"


def _shared(cluster: Cluster, read_only: bool) -> Manifest:
    return {"name": "var", "persistentVolumeClaim": {"claimName": cluster.claim, "readOnly": read_only}}


def _identity() -> Manifest:
    security = {"runAsNonRoot": True, "runAsUser": USER, "fsGroup": USER, "seccompProfile": {"type": "RuntimeDefault"}}
    return {"automountServiceAccountToken": False, "securityContext": security}


def _confined() -> Manifest:
    return {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}


def _thing(version: str, kind: str, name: str, cluster: Cluster, spec: Manifest | None, notes: Mapping[str, str] | None = None) -> Manifest:
    labels = {"app.kubernetes.io/part-of": "five-pillars", "app.kubernetes.io/managed-by": "pillars"}
    metadata: Manifest = {"name": name, "namespace": cluster.namespace, "labels": labels}
    if notes:
        metadata["annotations"] = dict(notes)
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **({} if spec is None else {"spec": spec})}
