//! What helm makes of the chart, and what it refuses.

use tollgate_testkit::Scratch;

use super::program::{LEAST, TLS, VERSIONS, chart, helm, read, template, template_as, the};

/// Everything that can be switched on or filled in.
pub(crate) const ALL: &str = r#"
image: {repository: registry.example/gate, digest: "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", pullSecrets: [{name: registry}]}
stores: {secret: stores, caSecret: stores-ca}
allowPlaintext: true
trustedProxies: [10.0.0.0/8, "fd00::/8"]
settings: |
  ratelimit_headers = "both"

  [outage]
  mode = "closed"
service: {type: LoadBalancer, port: 443, annotations: {a: b}}
migrate: {ownerSecret: owner, nodeRights: false}
bootstrap: {enabled: true}
autoscaling: {enabled: true, minReplicas: 2, maxReplicas: 5, cpuPercent: 60}
disruption: {maxUnavailable: 2}
networkPolicy:
  clients: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ingress}}}]
  metricsClients: [{podSelector: {matchLabels: {app: prometheus}}}]
  redis: {ports: [6379, 26379], peers: [{ipBlock: {cidr: 10.1.0.0/24}}]}
  postgres: {ports: [5433], peers: [{ipBlock: {cidr: 10.2.0.0/24}}]}
  extraEgress: [{ports: [{port: 4318, protocol: TCP}]}]
serviceMonitor: {enabled: true, interval: 5s, labels: {release: prometheus}}
prometheusRule: {enabled: true, labels: {release: prometheus}}
serviceAccount: {annotations: {a: b}}
podAnnotations: {a: b}
podLabels: {team: gate}
nodeSelector: {disk: fast}
tolerations: [{key: spot, operator: Exists}]
affinity: {nodeAffinity: {}}
priorityClassName: high
"#;

/// As little as can be.
const NOTHING: &str = "stores: {secret: stores}\nallowPlaintext: true\nreplicas: 1\nmigrate: {enabled: false}\n\
                       networkPolicy: {enabled: false}\ndisruption: {enabled: false}\n";

#[tokio::test]
async fn kubernetes_takes_what_it_makes_whatever_is_chosen() {
    for (values, kinds) in [
        (LEAST, "Deployment Job NetworkPolicy NetworkPolicy PodDisruptionBudget Service Service ServiceAccount"),
        (
            ALL,
            "ConfigMap Deployment HorizontalPodAutoscaler Job Job NetworkPolicy NetworkPolicy PodDisruptionBudget PrometheusRule Service Service \
             ServiceAccount ServiceMonitor",
        ),
        (TLS, "Deployment Job NetworkPolicy NetworkPolicy PodDisruptionBudget Service Service ServiceAccount ServiceMonitor"),
        (NOTHING, "Deployment Service Service ServiceAccount"),
    ] {
        let text = template(values).await.unwrap_or_else(|why| panic!("{values}: {why}"));
        let made = read(&text, &VERSIONS).await.unwrap_or_else(|why| panic!("{values}: {why}"));
        let mut found: Vec<&str> = made.iter().filter_map(|one| one["kind"].as_str()).collect();
        found.sort_unstable();
        assert_eq!(found.join(" "), kinds);
        assert!(made.iter().all(|one| one["metadata"]["namespace"] == "gate"), "{text}");
    }
}

#[tokio::test]
async fn names_may_look_like_numbers_and_settings_begin_with_spaces() {
    let settings = "    # of the gate\n  [outage]\nmode = \"closed\"\n";
    let secrets =
        r#"{stores: {secret: "1234", caSecret: "1e3"}, tls: {secret: "0777"}, migrate: {ownerSecret: "42"}, priorityClassName: "true"}"#;
    let values = secrets.replacen('{', &format!("{{settings: {}, ", serde_json::json!(settings)), 1);
    let text = template_as("42", "77", &values).await.unwrap_or_else(|why| panic!("{values}: {why}"));
    let made = read(&text, &VERSIONS).await.unwrap_or_else(|why| panic!("{text}: {why}"));
    for one in &made {
        let metadata = &one["metadata"];
        assert!(metadata["namespace"] == "77" && metadata["labels"]["app.kubernetes.io/instance"] == "42", "{one}");
    }
    assert_eq!(the(&made, "ConfigMap", "42-tollgate")["data"]["tollgate.toml"], settings);
}

/// That the rules would tell: they are not met by whatever looks like a manifest.
#[tokio::test]
async fn a_manifest_that_kubernetes_would_refuse_is_found() {
    let good = template(LEAST).await.expect("rendered");
    for (from, to, finding) in [
        ("replicas: 3", "replicas: three", "is not"),
        ("readOnlyRootFilesystem: true", "readOnlyRootFileSystem: true", "readOnlyRootFileSystem"),
        ("apiVersion: policy/v1\n", "apiVersion: policy/v0\n", "Couldn't find schema"),
        ("matchLabels:", "matchlabels:", "matchlabels"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from} is not there");
        let found = read(&bad, &VERSIONS[..1]).await.expect_err(to);
        assert!(found.contains(finding), "{to}: {found}");
    }
}

#[tokio::test]
async fn helm_finds_nothing_to_say_against_it() {
    let folder = Scratch::new("chart").unwrap();
    let file = folder.path().join("values.yaml");
    std::fs::write(&file, LEAST).unwrap();
    let (chart, file) = (chart(), file.to_string_lossy().into_owned());
    let output = helm(&["lint", "--strict", "--quiet", &*chart.to_string_lossy(), "--values", &file], folder.path()).await;
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn values_that_would_not_do_are_refused_with_what_to_do() {
    for (values, finding) in [
        ("", "stores.secret: name a Secret"),
        ("stores: {secret: a}\ntls: {secret: t}", "migrate.ownerSecret: name a Secret"),
        ("stores: {secret: a}\nmigrate: {ownerSecret: o}", "or set allowPlaintext=true"),
        ("replica: 3", "replica"),
        ("replicas: 0", "replicas"),
        ("replicas: many", "replicas"),
        ("stores: {secret: Not_A_Name}", "stores"),
        ("stores: {secret: a, password: hunter2}", "password"),
        ("log: {format: xml}", "log.format"),
        ("trustedProxies: [anybody]", "trustedProxies"),
        ("image: {digest: latest}", "image.digest"),
        ("service: {type: ExternalName}", "service.type"),
        ("service: {type: LoadBalancer}", "networkPolicy.clients: say who may ask"),
        ("networkPolicy: {redis: {ports: [], peers: []}}", "networkPolicy.redis.ports"),
        ("autoscaling: {enabled: true, minReplicas: 9, maxReplicas: 2}", "autoscaling.minReplicas"),
        ("autoscaling: {enabled: true}\nresources: {requests: {cpu: null}}", "resources.requests.cpu"),
        ("podLabels: {app.kubernetes.io/name: another}", "podLabels"),
    ] {
        let whole = if values.is_empty() || values.starts_with("stores: {secret: a}\n") { values.to_owned() } else { with_least(values) };
        let said = template(&whole).await.expect_err(values);
        assert!(said.contains(finding), "{values}: {said}");
    }
}

/// What has no default, unless it is given.
fn with_least(values: &str) -> String {
    let given = |line: &&str| !values.starts_with(line.split(':').next().unwrap_or_default());
    LEAST.lines().filter(given).chain([values]).collect::<Vec<_>>().join("\n")
}
