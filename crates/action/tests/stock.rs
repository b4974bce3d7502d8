//! Every action that Debian's Fail2Ban ships can be built.

use stockade_action::Action;
use stockade_config::{ActionKind, Overrides, Value};
use stockade_core::JailName;
use testkit::TempDir;

#[test]
fn every_stock_action_can_be_built() {
    let mut names: Vec<String> = testkit::package_files("fail2ban")
        .iter()
        .filter(|path| path.starts_with("/etc/fail2ban/action.d"))
        .filter_map(|path| path.file_name()?.to_str()?.strip_suffix(".conf").map(ToOwned::to_owned))
        // These are only included by others.
        .filter(|name| !name.ends_with("-common"))
        .collect();
    names.sort();
    if names.is_empty() {
        testkit::skip("needs the Debian package fail2ban");
        return;
    }
    let directory = TempDir::new("stock");
    std::os::unix::fs::symlink("/etc/fail2ban/action.d", directory.join("action.d")).unwrap();
    directory.write("filter.d/f.conf", "[Definition]\nfailregex = ^x <HOST>$\n");
    let log = directory.write("log", "");
    let mut jails = format!("[DEFAULT]\nenabled = true\nfilter = f\nlogpath = {}\n", log.display());
    for name in &names {
        jails.extend(["[", name, "]\naction = ", name, "[name=test]\n"]);
    }
    directory.write("jail.conf", jails);
    let config = stockade_config::load(directory.path(), &Overrides::default());
    assert_eq!(config.jails.len(), names.len());
    let mut warnings = String::new();
    for jail in &config.jails {
        let [action] = jail.actions.as_slice() else {
            panic!("{}: {:?}", jail.name, jail.problem)
        };
        let ActionKind::Properties(properties) = &action.kind else {
            panic!("{} is Python", jail.name)
        };
        let properties: Vec<(String, String)> = properties
            .iter()
            .map(|property| {
                let value = match &property.value {
                    Value::Text(text) => text.clone(),
                    Value::Int(number) => number.to_string(),
                    Value::Bool(truth) => truth.to_string(),
                    other => panic!("{}: {other:?}", jail.name),
                };
                (property.name.clone(), value)
            })
            .collect();
        let action = Action::new(&JailName::new("j").unwrap(), &action.name, &properties);
        let action = action.unwrap_or_else(|error| panic!("{}: {error}", jail.name));
        warnings.extend(
            action
                .warnings()
                .iter()
                .map(|warning| format!("{}: {warning}\n", jail.name)),
        );
    }
    assert_eq!(warnings, "", "what is shipped gives no cause for a warning");
}
