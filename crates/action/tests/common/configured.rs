//! Actions as a configuration describes them: the built-in one, or that of the package fail2ban.

#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]

use stockade_action::Action;
use stockade_config::{ActionKind, Overrides, Value};
use stockade_core::JailName;
use testkit::TempDir;

/// The properties of the actions in this line `action =` of a jail `j`, as the client would send them.
pub(crate) fn properties(line: &str, is_stock: bool) -> Vec<(String, Vec<(String, String)>)> {
    let directory = TempDir::new("configured");
    if is_stock {
        std::os::unix::fs::symlink("/etc/fail2ban/action.d", directory.join("action.d")).unwrap();
    }
    let log = directory.write("log", "");
    directory.write("filter.d/f.conf", "[Definition]\nfailregex = ^x <HOST>$\n");
    let jail = format!(
        "[j]\nenabled = true\nfilter = f\nport = ssh\nlogpath = {}\naction = {line}\n",
        log.display()
    );
    directory.write("jail.local", jail);
    in_directory(&directory)
}

/// Those of the jail `j` in this folder.
fn in_directory(directory: &TempDir) -> Vec<(String, Vec<(String, String)>)> {
    let config = stockade_config::load(directory.path(), &Overrides::default());
    let jail = config.jails.iter().find(|jail| jail.name == "j").unwrap();
    assert_eq!(jail.problem, None);
    jail.actions
        .iter()
        .map(|action| {
            let ActionKind::Properties(properties) = &action.kind else {
                panic!("no Python here")
            };
            let properties = properties
                .iter()
                .map(|property| (property.name.clone(), text(&property.value)))
                .collect();
            (action.name.clone(), properties)
        })
        .collect()
}

/// The actions themselves; none of them may have a warning.
pub(crate) fn actions(line: &str, is_stock: bool) -> Vec<Action> {
    built(properties(line, is_stock))
}

/// The actions of the jail `j` in this folder.
pub(crate) fn of_directory(directory: &TempDir) -> Vec<Action> {
    built(in_directory(directory))
}

fn built(properties: Vec<(String, Vec<(String, String)>)>) -> Vec<Action> {
    properties
        .into_iter()
        .map(|(name, properties)| {
            let built = Action::new(&JailName::new("j").unwrap(), &name, &properties).unwrap();
            assert!(built.warnings().is_empty(), "{name}: {:?}", built.warnings());
            built
        })
        .collect()
}

fn text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        other => panic!("{other:?} in an action"),
    }
}
