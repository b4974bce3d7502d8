//! Containers of Docker and Podman: what runs in them, where their logs are, and the jails for these.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;
use stockade_config::Overrides;

use super::Finding;
use super::machine::Machine;

const DOCKER: &str = "var/lib/docker/containers";
const PODMAN: &str = "var/lib/containers/storage/overlay-containers";
/// More are not looked at.
const MOST: usize = 200;

/// Services whose containers write to their output what the filters read, by the end of the image's name.
const IMAGES: &[(&str, &str, &[&str])] = &[
    (
        "nginx",
        "nginx",
        &[
            "nginx-http-auth",
            "nginx-limit-req",
            "nginx-botsearch",
            "nginx-bad-request",
        ],
    ),
    (
        "httpd",
        "Apache",
        &["apache-auth", "apache-botsearch", "apache-overflows", "apache-noscript"],
    ),
    ("caddy", "Caddy", &["caddy"]),
    ("traefik", "Traefik", &["traefik-auth"]),
    ("vaultwarden/server", "Vaultwarden", &["vaultwarden"]),
    ("gitea", "Gitea", &["gitea"]),
    ("forgejo", "Forgejo", &["gitea"]),
    ("grafana", "Grafana", &["grafana"]),
    ("grafana-oss", "Grafana", &["grafana"]),
    ("mysql", "MySQL", &["mysqld-auth"]),
    ("mariadb", "MariaDB", &["mysqld-auth"]),
    ("mongo", "MongoDB", &["mongodb-auth"]),
    ("redis", "Redis", &["redis"]),
];

/// Where a container's output goes.
#[derive(Debug, PartialEq, Eq)]
enum Output {
    /// A file that can be read.
    File(String),
    /// Elsewhere: the name of its driver.
    Elsewhere(String),
}

/// A container.
#[derive(Debug)]
pub(super) struct Container {
    engine: &'static str,
    pub(super) name: String,
    image: String,
    output: Output,
    /// Whether it has the machine's own network.
    is_on_host: bool,
    /// The networks it is in.
    networks: Vec<IpNet>,
}

/// The containers of a machine, sorted by name.
pub(super) fn of(machine: &Machine) -> Vec<Container> {
    let mut containers: Vec<Container> = machine
        .names(DOCKER)
        .iter()
        .take(MOST)
        .filter_map(|id| docker(machine, id))
        .collect();
    let list: Value = json(machine, &format!("{PODMAN}/containers.json"));
    let list = list.as_array().map_or(&[][..], Vec::as_slice);
    containers.extend(list.iter().take(MOST).filter_map(|entry| podman(machine, entry)));
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    containers
}

fn json(machine: &Machine, path: &str) -> Value {
    serde_json::from_str(&machine.text(path)).unwrap_or_default()
}

fn text<'a>(value: &'a Value, path: &str) -> Option<&'a str> {
    value.pointer(path)?.as_str().filter(|text| !text.is_empty())
}

fn docker(machine: &Machine, id: &str) -> Option<Container> {
    let folder = format!("{DOCKER}/{id}");
    let config = json(machine, &format!("{folder}/config.v2.json"));
    let host = json(machine, &format!("{folder}/hostconfig.json"));
    let driver = text(&host, "/LogConfig/Type").unwrap_or("json-file");
    let log = format!("/{folder}/{id}-json.log");
    let output = if driver == "json-file" {
        Output::File(log)
    } else {
        Output::Elsewhere(driver.to_owned())
    };
    let networks = config.pointer("/NetworkSettings/Networks").and_then(Value::as_object);
    let networks = networks.into_iter().flat_map(|networks| networks.values());
    let networks = networks.flat_map(|network| {
        let of = |address: &str, length: &str| {
            let length = network.get(length)?.as_u64().filter(|length| *length > 0)?;
            format!("{}/{length}", text(network, address)?).parse::<IpNet>().ok()
        };
        [of("/Gateway", "IPPrefixLen"), of("/IPv6Gateway", "GlobalIPv6PrefixLen")]
    });
    Some(Container {
        engine: "Docker",
        name: name(text(&config, "/Name")?)?,
        image: text(&config, "/Config/Image")?.to_owned(),
        output,
        is_on_host: text(&host, "/HostConfig/NetworkMode").or_else(|| text(&host, "/NetworkMode")) == Some("host"),
        networks: networks.flatten().map(|network| network.trunc()).collect(),
    })
}

fn podman(machine: &Machine, entry: &Value) -> Option<Container> {
    let id = text(entry, "/id").filter(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    let more: Value = serde_json::from_str(text(entry, "/metadata").unwrap_or_default()).unwrap_or_default();
    let log = format!("/{PODMAN}/{id}/userdata/ctr.log");
    let output = if machine.has(&log) {
        Output::File(log)
    } else {
        Output::Elsewhere("journald".to_owned())
    };
    Some(Container {
        engine: "Podman",
        name: name(text(entry, "/names/0")?)?,
        image: text(&more, "/image-name")?.to_owned(),
        output,
        is_on_host: false,
        networks: Vec::new(),
    })
}

/// The name, if it is one that an engine gives.
fn name(name: &str) -> Option<String> {
    let name = name.trim_start_matches('/');
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    is_name.then(|| name.to_owned())
}

/// `docker.io/library/nginx:1.27@sha256:…` ends in `nginx`.
fn is_image(image: &str, known: &str) -> bool {
    let image = image.split('@').next().unwrap_or_default();
    let (path, last) = image.rsplit_once('/').unwrap_or(("", image));
    let last = last.split(':').next().unwrap_or_default();
    match known.rsplit_once('/') {
        Some((folder, name)) => last == name && path.rsplit('/').next() == Some(folder),
        None => last == known,
    }
}

/// Networks whose addresses are containers', not somebody's outside: a gateway of the machine is in none of them.
pub(super) fn networks(containers: &[Container], friends: &BTreeMap<IpAddr, &'static str>) -> BTreeMap<IpNet, String> {
    let is_outside = |network: &&IpNet| {
        let mut gateways = friends.iter().filter(|(_, what)| **what == "gateway");
        gateways.any(|(gateway, _)| network.contains(gateway))
    };
    let all = containers.iter().flat_map(|container| &container.networks);
    all.filter(|network| !is_outside(network))
        .map(|network| (*network, "containers".to_owned()))
        .collect()
}

/// The jails for containers whose logs can be read, and why there are none for the others.
pub(super) fn look(machine: &Machine, folder: &std::path::Path, containers: &[Container]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for container in containers {
        let known = IMAGES.iter().find(|(image, ..)| is_image(&container.image, image));
        let Some((_, service, jails)) = known else { continue };
        for jail in *jails {
            let Some(config) = stockade_config::show(folder, &Overrides::default(), jail) else {
                continue;
            };
            let seen = format!(
                "{} container {} of {}",
                container.engine, container.name, container.image
            );
            let (enable, why) = match &container.output {
                Output::File(log) if machine.has(log) => (
                    true,
                    format!(
                        "{seen}; its log is {log}, which has another name when the container is made anew: run setup again then"
                    ),
                ),
                Output::File(log) => (false, format!("{seen}; its log {log} is not there: it has not run yet")),
                Output::Elsewhere(driver) => (
                    false,
                    format!(
                        "{seen}; its log driver is {driver}, which is not read; mend: the driver {}",
                        if container.engine == "Docker" {
                            "json-file"
                        } else {
                            "k8s-file"
                        }
                    ),
                ),
            };
            let option = |name: &str| config.own.option(name);
            let mut options = Vec::new();
            let mut set = |name: &str, value: String| options.push((name.to_owned(), value));
            if let (true, Output::File(log)) = (enable, &container.output) {
                let filter = option("filter").map_or((*jail).to_owned(), |filter| filter.value.clone());
                set("filter", filter);
                set("logpath", log.clone());
                set("logencoding", "container".to_owned());
                // Not what the machine's own service writes to the journal.
                set("systemd_if_nologs", "false".to_owned());
                if let Some(maxretry) = option("maxretry").filter(|option| *option.place.section == **jail) {
                    set("maxretry", maxretry.value.clone());
                }
                if !container.is_on_host {
                    // What is for containers is forwarded, and comes to their own ports.
                    set(
                        "banaction",
                        "nftables-native[type=allports, chain_hook=\"input,forward\"]".to_owned(),
                    );
                }
            }
            findings.push(Finding {
                service,
                jail: format!("{jail}-{}", container.name),
                enable,
                off: false,
                options,
                why,
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_known_by_the_end_of_their_names() {
        for (image, known, is_it) in [
            ("nginx", "nginx", true),
            ("nginx:1.27-alpine", "nginx", true),
            ("docker.io/library/nginx@sha256:00", "nginx", true),
            ("registry.example.org:5000/nginx:1", "nginx", true),
            ("nginx-exporter", "nginx", false),
            ("vaultwarden/server:latest", "vaultwarden/server", true),
            ("other/server", "vaultwarden/server", false),
        ] {
            assert_eq!(is_image(image, known), is_it, "{image}");
        }
    }
}
