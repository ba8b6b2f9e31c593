"""Manifests say what the policy says, are accepted by the schemas that are published, and hold no value that nobody looked at."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from pillars.config import Project
from pillars.deployment import traffic
from pillars.deployment.manifests import Cluster, named, render
from pillars.deployment.server.settings import Seal, Settings
from pillars.deployment.verdicts import server
from pillars.errors import ConfigInvalid, NobodyAnswers, OptionInvalid, StoreUnavailable
from pillars.stores import Stores
from pillars.vocabulary import Judgement, Release, Rollout, Stage, Trial
from tests.pillars.deployment import published
from tests.releases import small_project

OLD, NEW = (Release("small", n, str(n) * 64, f"releases/small/v{n}-{n}", "d" * 64) for n in (1, 2))
SHA = "registry.example.org:5000/team/serving@sha256:" + "a" * 64
CLUSTER = Cluster(SHA, "pillars-var", "models", "serve-tokens", 3, "team/flows:1.2.3")


def project(**said: Any) -> Project:
    plain = small_project()
    policy = {"steps": [{"share": 0.05, "bake_min": 10}, {"share": 0.5, "bake_min": 0.5}], "timeout_min": 90, **said}
    return plain.model_copy(update={"rollout": type(plain.rollout).model_validate(policy)})


def policy(mode: Any = "canary", weight_bp: int = 500) -> Rollout:
    trial = Trial(NEW, mode, "small-8", (Stage(8, weight_bp, "2026-01-01T00:00:00+00:00"),), 120.0)
    return Rollout("small", 8, OLD, (), mode, "on trial", trial)


def kinds(made: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for one in made:
        found.setdefault(one["kind"], []).append(one)
    return found


CASES = {
    "kserve, nothing on trial": (project(), replace(policy(), trial=None), "kserve"),
    "kserve, canary": (project(strategy="canary"), policy(), "kserve"),
    "kserve, blue-green": (project(strategy="blue-green"), policy("blue-green", 10_000), "kserve"),
    "kserve, shadow": (project(strategy="shadow"), policy("shadow", 10_000), "kserve"),
    "kserve, ab": (project(strategy="ab"), policy("ab", 5_000), "kserve"),
    "argo, direct": (project(), replace(policy(), trial=None), "argo"),
    "argo, canary": (project(strategy="canary"), policy(), "argo"),
    "argo, blue-green": (project(strategy="blue-green"), policy("blue-green", 10_000), "argo"),
}
each_case = pytest.mark.parametrize("case", CASES)


@each_case
def test_the_schemas_accept_it(case: str) -> None:
    """Kubernetes' own, and those of the custom kinds as we read them; the published ones, too, where they are at hand."""
    made = render(
        *CASES[case][:2], CLUSTER if "argo" not in case else replace(CLUSTER, gateway="public", host="models.example.org"), CASES[case][2]
    )
    found = {f"{one['kind']} {one['metadata']['name']}": published.problems(one) for one in made}
    assert {name: problems for name, problems in found.items() if problems} == {}


@pytest.mark.parametrize(
    ("kind", "way", "value"),
    [
        pytest.param("InferenceService", "spec.canary.0.trafficPercent", "5", id="text for a share"),
        pytest.param("InferenceService", "spec.canary.0.trafficPercnt", 5, id="an unknown key"),
        pytest.param("InferenceService", "spec.predictor.containers.0.imge", "a", id="an unknown key of a container"),
        pytest.param("InferenceService", "spec.predictor.containers.0.ports.0.containerPort", "http", id="text for a port"),
        pytest.param("Rollout", "spec.strategy.canary.steps.0.setWeight", 0.5, id="half a percent"),
        pytest.param("Rollout", "spec.template.spec.volumes.0.name", None, id="a volume without a name"),
        pytest.param("AnalysisTemplate", "spec.metrics.0.provider.web.timeout", 5, id="another name"),
        pytest.param("HTTPRoute", "spec.rules.0.backendRefs.0.weight", -1, id="less than nothing"),
        pytest.param("Service", "spec.ports.0.port", "8080", id="of Kubernetes itself: text for a port"),
        pytest.param("Deployment", "spec.replica", 1, id="of Kubernetes itself: an unknown key"),
        pytest.param("ConfigMap", "data", ["a"], id="of Kubernetes itself: a list"),
    ],
)
def test_the_check_sees_what_is_wrong(kind: str, way: str, value: Any) -> None:
    target, cluster = (
        ("kserve", CLUSTER) if kind == "InferenceService" else ("argo", replace(CLUSTER, gateway="public", host="a.example.org"))
    )
    made = kinds(render(project(strategy="canary"), policy(), cluster, target))[kind][0]  # type: ignore[arg-type]
    assert published.problems(made) == []
    place: Any = made
    *path, last = way.split(".")
    for part in path:
        place = place[int(part) if part.isdigit() else part]
    place[last] = value
    assert published.problems(made)


@each_case
def test_it_is_yaml_that_reads_back_alike_and_no_name_comes_twice(case: str) -> None:
    made = render(*CASES[case][:2], CLUSTER, CASES[case][2])
    assert list(yaml.safe_load_all(yaml.safe_dump_all(made))) == made
    names = [(one["kind"], one["metadata"]["name"]) for one in made]
    assert len(set(names)) == len(names)
    assert {one["metadata"]["namespace"] for one in made} == {"models"}


@each_case
def test_every_config_map_that_is_mounted_is_there_and_every_pod_is_confined(case: str) -> None:
    made = render(*CASES[case][:2], CLUSTER, CASES[case][2])
    there = {one["metadata"]["name"] for one in made if one["kind"] == "ConfigMap"}
    pods = list(_pods(made))
    assert {v["configMap"]["name"] for pod in pods for v in pod["volumes"] if "configMap" in v} == there
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert "latest" not in container["image"]
            assert {m["name"] for m in container["volumeMounts"]} <= {v["name"] for v in pod["volumes"]}


def _pods(made: Any) -> Any:
    if isinstance(made, dict):
        if "containers" in made:
            yield made
        for value in made.values():
            yield from _pods(value)
    elif isinstance(made, list):
        for value in made:
            yield from _pods(value)


def test_kserve_gives_the_challenger_the_share_that_is_in_force() -> None:
    made = kinds(render(project(strategy="canary"), policy(weight_bp=2_500), CLUSTER, "kserve"))
    spec = made["InferenceService"][0]["spec"]
    assert [(one["trafficPercent"], one["predictor"]["name"]) for one in spec["canary"]] == [(25, "small-v2")]
    assert spec["predictor"]["name"] == "small-v1"
    assert "canary" not in kinds(render(project(), replace(policy(), trial=None), CLUSTER, "kserve"))["InferenceService"][0]["spec"]


def test_each_arms_pods_see_the_traffic_as_theirs(tmp_path: Path) -> None:
    """The request log then says which arm answered, whoever chose the pod."""
    maps = kinds(render(project(strategy="canary"), policy(), CLUSTER, "kserve"))["ConfigMap"]
    arms = {one["metadata"]["name"][: len("small-v1")]: json.loads(one["data"]["policy.json"]) for one in maps}
    assert "challenger" not in arms["small-v1"]
    assert (arms["small-v2"]["challenger"]["version"], arms["small-v2"]["challenger"]["weight_bp"]) == (2, 10_000)
    assert {one["generation"] for one in arms.values()} == {8}
    stores = Stores(root=tmp_path, var=tmp_path / "var")
    for content in arms.values():
        (stores.folder("releases", "small") / "policy.json").write_text(json.dumps(content))
        assert traffic.read(stores, "small") is not None


@pytest.mark.parametrize("target", ["kserve", "argo"])
def test_a_pod_is_told_what_the_log_must_not_hold_and_what_seals_it(target: Any) -> None:
    plain = project(strategy="canary")
    columns = {**plain.columns, "carrier": plain.columns["carrier"].model_copy(update={"class_": "sensitive"})}
    made = render(plain.model_copy(update={"columns": columns}), policy(), replace(CLUSTER, seal=Seal("c0ffee11", "ab" * 32)), target)
    told = [msgspec.json.decode(one["data"]["serve.json"], type=Settings) for one in kinds(made)["ConfigMap"]]
    assert told
    for settings in told:
        assert {name for name, column in settings.columns.items() if not column.kept} == {"carrier"}
        assert (settings.key, settings.entity, settings.seal) == (("at",), ("at",), Seal("c0ffee11", "ab" * 32))
    assert "seal" not in json.loads(kinds(render(plain, policy(), CLUSTER, target))["ConfigMap"][0]["data"]["serve.json"])


def test_a_shadow_sits_beside_the_champion_in_its_pods() -> None:
    made = kinds(render(project(strategy="shadow"), policy("shadow", 10_000), CLUSTER, "kserve"))
    assert "canary" not in made["InferenceService"][0]["spec"]
    assert json.loads(made["ConfigMap"][0]["data"]["policy.json"])["shadow"]["version"] == 2


def test_argo_waits_for_a_healthy_verdict_after_every_share_and_ends_on_harm_at_any_time() -> None:
    made = kinds(render(project(strategy="canary"), policy(), replace(CLUSTER, gateway="public", host="models.example.org"), "argo"))
    canary = made["Rollout"][0]["spec"]["strategy"]["canary"]
    verdict = {"analysis": {"templates": [{"templateName": "small-healthy"}]}}
    assert canary["steps"] == [
        {"setWeight": 5},
        {"pause": {"duration": "600s"}},
        verdict,
        {"setWeight": 50},
        {"pause": {"duration": "30s"}},
        verdict,
    ]
    assert canary["analysis"]["templates"] == [{"templateName": "small-harmless"}]
    metrics = {one["metadata"]["name"]: one["spec"]["metrics"][0] for one in made["AnalysisTemplate"]}
    assert metrics["small-healthy"]["successCondition"] == 'result == "healthy"', "inconclusive is no success"
    assert {m["failureCondition"] for m in metrics.values()} == {'result == "harmful"'}
    assert {m["failureLimit"] for m in metrics.values()} == {0}
    assert metrics["small-healthy"]["inconclusiveLimit"] == 90
    assert metrics["small-healthy"]["provider"]["web"]["url"] == "http://small-judge.models.svc:8090/verdict"
    assert [(b["name"], b["weight"]) for b in made["HTTPRoute"][0]["spec"]["rules"][0]["backendRefs"]] == [
        ("small-stable", 100),
        ("small-canary", 0),
    ]


def test_argos_blue_green_keeps_blue_as_long_as_there_may_be_no_verdict() -> None:
    made = kinds(render(project(strategy="blue-green"), policy("blue-green", 10_000), CLUSTER, "argo"))
    green = made["Rollout"][0]["spec"]["strategy"]["blueGreen"]
    assert green["scaleDownDelaySeconds"] == 90 * 60
    assert green["postPromotionAnalysis"] == {"templates": [{"templateName": "small-healthy"}]}


def test_a_changed_policy_is_another_pod() -> None:
    both = [
        kinds(render(project(), replace(policy(), trial=None, generation=g), CLUSTER, "kserve"))["ConfigMap"][0]["metadata"]["name"]
        for g in (8, 9)
    ]
    assert len(set(both)) == 2


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param({"image": "serving"}, "--image: 'serving' is none", id="no tag"),
        pytest.param({"image": "a:1\nkind: Secret"}, "--image: ", id="another document"),
        pytest.param({"image": "$(rm -rf /):1"}, "--image: ", id="a command"),
        pytest.param({"image": "A/b:1"}, "--image: ", id="capitals"),
        pytest.param({"image": "a:1@sha256:12"}, "--image: ", id="half a digest"),
        pytest.param({"image": "x" * 400 + ":1"}, "--image: ", id="endless"),
        pytest.param({"namespace": "kube_system"}, "--namespace: 'kube_system' is none", id="underscore"),
        pytest.param({"namespace": "a" * 64}, "--namespace: ", id="64 characters"),
        pytest.param({"namespace": "models\n"}, "--namespace: ", id="a line end"),
        pytest.param({"namespace": "{{inputs}}"}, "--namespace: ", id="a template"),
        pytest.param({"claim": "../../etc"}, "--claim: ", id="a path"),
        pytest.param({"claim": ""}, "--claim: '' is none", id="nothing"),
        pytest.param({"tokens": "a b"}, "--tokens: ", id="a blank"),
        pytest.param({"replicas": 0}, "--replicas: 0 is not 1 to 1000", id="nobody"),
        pytest.param({"flows": ""}, "--flows: '' is none", id="no judge"),
        pytest.param({"flows": "flows:1 --privileged"}, "--flows: ", id="an option"),
        pytest.param({"replicas": 10**9}, "--replicas: 1000000000 is not 1 to 1000", id="everybody"),
        pytest.param({"tokens": "../tokens"}, "--tokens: ", id="a secret elsewhere"),
        pytest.param({"image": "a:1\x00"}, "--image: ", id="a null byte"),
        pytest.param({"image": "\u0430:1"}, "--image: ", id="a letter that looks like another"),
        pytest.param({"gateway": "public\n---", "host": "a.example.org"}, "--gateway: ", id="a document of its own"),
        pytest.param({"gateway": "public"}, "--gateway, --hostname: say both, or none", id="half a gateway"),
        pytest.param({"gateway": "public", "host": "*.example.org"}, "--hostname: ", id="every host"),
    ],
)
def test_a_hostile_or_wrong_value_is_refused(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(OptionInvalid) as refused:
        render(project(strategy="canary"), policy(), replace(CLUSTER, **change), "argo")
    assert any(said.startswith(problem) for said in refused.value.problems), refused.value.problems


@pytest.mark.parametrize(
    ("of", "now", "target", "problem"),
    [
        pytest.param(
            project(strategy="canary"), policy(weight_bp=50), "kserve", "a share of 0.005 is no whole percent", id="half a percent"
        ),
        pytest.param(project(strategy="canary", steps=[{"share": 0.015}]), policy(), "argo", "a share of 0.015", id="a step"),
        pytest.param(project(strategy="shadow"), policy("shadow", 10_000), "argo", "shadow is split by the server itself", id="a shadow"),
    ],
)
def test_what_kubernetes_cannot_do_is_refused(of: Project, now: Rollout, target: Any, problem: str) -> None:
    with pytest.raises(ConfigInvalid, match=problem):
        render(of, now, CLUSTER, target)


def test_before_anybody_answers_there_is_nothing_to_say() -> None:
    with pytest.raises(NobodyAnswers, match="nobody answers for small yet: pillars deploy small comes first"):
        render(project(), None, CLUSTER, "kserve")


@pytest.mark.parametrize(("name", "said"), [("a_b", "a-b"), ("a-", "a"), ("flights", "flights")])
def test_names_are_as_kubernetes_writes_them(name: str, said: str) -> None:
    assert named(name) == said


# ---- the verdict over HTTP


def answer(url: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(url, timeout=10) as said:
            return said.status, json.load(said)
    except urllib.error.HTTPError as err:
        return err.code, json.load(err)


def test_the_verdict_is_answered_and_a_judge_that_cannot_see_says_so() -> None:
    told: list[Any] = [Judgement("healthy", "fine", {"error": -1.0}, 20, 30), StoreUnavailable("log", "gone", "mend it")]

    def ask() -> Judgement:
        if isinstance(told[0], Exception):
            raise told[0]
        return told[0]

    with server("127.0.0.1", 0, ask) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        try:
            here = f"http://127.0.0.1:{serving.server_port}"
            assert answer(f"{here}/live") == (200, {"live": True})
            status, said = answer(f"{here}/verdict")
            assert (status, said["health"], said["challenger"]) == (200, "healthy", 20)
            told.pop(0)
            status, said = answer(f"{here}/verdict")
            assert (status, said["health"]) == (503, "inconclusive")
            assert answer(f"{here}/../etc/passwd")[0] == 404
            with pytest.raises(StoreUnavailable, match="nobody can listen there"):
                server("127.0.0.1", serving.server_port, ask)
        finally:
            serving.shutdown()
            thread.join()


# ---- the images


@pytest.mark.parametrize("file", ["serving.Dockerfile", "flows.Dockerfile"])
def test_an_image_copies_what_is_there_and_runs_as_nobody_in_particular(file: str) -> None:
    root = Path(__file__).resolve().parents[3]
    lines = [line for line in (root / "deployments" / file).read_text().replace("\\\n", " ").splitlines() if line and line[0] != "#"]
    copied = [part for line in lines if line.startswith("COPY ") and "--from" not in line for part in line.split()[1:-1]]
    assert copied
    assert [part for part in copied if not (root / part).exists()] == []
    assert "USER 10001" in lines
    assert not [line for line in lines if line.startswith("FROM") and (":latest" in line or ":" not in line)]
