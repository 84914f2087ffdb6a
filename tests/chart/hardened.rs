//! Nobody in it has more rights than needed, and no secret is anywhere but in a file.

use serde_json::{Value, json};

use super::program::{LEAST, TLS, manifests, pods};
use super::rendered::ALL;
use crate::tidy::tree::none;

fn violations(manifests: &[Value]) -> Vec<String> {
    let pods = pods(manifests);
    let mut found: Vec<String> = pods.iter().flat_map(|(name, pod)| violations_of(name, &pod["spec"])).collect();
    found.extend(manifests.iter().filter(|one| one["kind"] == "Secret").map(|one| format!("a Secret is made: {one}")));
    found
}

fn violations_of(name: &str, pod: &Value) -> Vec<String> {
    let security = &pod["securityContext"];
    let container = &pod["containers"][0];
    let own = &container["securityContext"];
    let mounts = container["volumeMounts"].as_array().map_or(&[][..], Vec::as_slice);
    let secrets = pod["volumes"].as_array().into_iter().flatten().filter_map(|volume| volume.get("secret"));
    let environment = || container["env"].as_array().into_iter().flatten();
    let wrong = [
        (pod["containers"].as_array().map(Vec::len) != Some(1), "has other containers"),
        (security["runAsNonRoot"] != true || security["runAsUser"].as_u64().is_none_or(|uid| uid == 0), "may run as root"),
        (security["seccompProfile"]["type"] != "RuntimeDefault", "may make any system call"),
        (own["readOnlyRootFilesystem"] != true, "has a writable root"),
        (own["allowPrivilegeEscalation"] != false || own["privileged"] != false, "may gain privileges"),
        (own["capabilities"] != json!({"drop": ["ALL"]}), "keeps capabilities"),
        (pod["automountServiceAccountToken"] != false, "is given a token of Kubernetes"),
        (["hostNetwork", "hostPID", "hostIPC"].iter().any(|host| !pod[host].is_null()), "is on the host"),
        (container["resources"]["limits"]["memory"].is_null() || container["resources"]["requests"].is_null(), "has no limits"),
        (mounts.is_empty() || mounts.iter().any(|mount| mount["readOnly"] != true), "can write to what is mounted"),
        (secrets.clone().count() == 0 || secrets.clone().any(|secret| secret["defaultMode"] != 0o440), "has secrets that all can read"),
        (environment().any(|one| one.get("valueFrom").is_some()), "has a secret in its environment"),
        (container.get("envFrom").is_some(), "has a secret in its environment"),
    ];
    wrong.into_iter().filter(|(is_wrong, _)| *is_wrong).map(|(_, what)| format!("{name} {what}")).collect()
}

#[tokio::test]
async fn nobody_in_it_has_more_rights_than_he_needs() {
    for values in [LEAST, TLS, ALL] {
        let manifests = manifests(values).await;
        assert!(pods(&manifests).len() >= 2, "{manifests:?}");
        none(&violations(&manifests));
    }
}

#[tokio::test]
async fn seeded_faults_are_found() {
    let good = manifests(LEAST).await;
    let place = good.iter().position(|one| one["kind"] == "Deployment").expect("a Deployment");
    for (pointer, value, finding) in [
        ("/securityContext/runAsUser", json!(0), "may run as root"),
        ("/securityContext/seccompProfile/type", json!("Unconfined"), "may make any system call"),
        ("/containers/0/securityContext/readOnlyRootFilesystem", json!(false), "has a writable root"),
        ("/containers/0/securityContext/capabilities", json!({"drop": ["ALL"], "add": ["NET_ADMIN"]}), "keeps capabilities"),
        ("/automountServiceAccountToken", json!(true), "is given a token of Kubernetes"),
        ("/containers/0/resources/limits", json!({}), "has no limits"),
        ("/containers/0/env/0", json!({"name": "A", "valueFrom": {}}), "has a secret in its environment"),
        ("/volumes/0/secret/defaultMode", json!(0o444), "has secrets that all can read"),
    ] {
        let mut bad = good.clone();
        *bad[place]["spec"]["template"]["spec"].pointer_mut(pointer).expect(pointer) = value;
        assert_eq!(violations(&bad), [format!("Deployment shop-tollgate {finding}")]);
    }
    let secret = json!({"kind": "Secret"});
    assert_eq!(violations(&[good, vec![secret]].concat()).len(), 1);
}
