//! The configuration compiled into the program, behind the files on disk.

use stockade_config::{Config, JailConfig, Overrides, Severity, Value, load};

use crate::common::Directory;

fn read(directory: &Directory) -> Config {
    load(directory.path(), &Overrides::default())
}

fn jail<'a>(config: &'a Config, name: &str) -> &'a JailConfig {
    config
        .jails
        .iter()
        .find(|jail| jail.name == name)
        .unwrap_or_else(|| panic!("no jail {name}: {:#?}", config.diagnostics))
}

fn setting<'a>(jail: &'a JailConfig, option: &str) -> &'a Value {
    &jail
        .settings
        .iter()
        .find(|setting| setting.option == option)
        .unwrap()
        .value
}

fn errors(config: &Config) -> Vec<String> {
    let errors = config
        .diagnostics
        .iter()
        .filter(|finding| finding.severity == Severity::Error);
    errors.map(ToString::to_string).collect()
}

#[test]
fn protects_without_any_file() {
    let directory = Directory::new();
    let config = load(&directory.path().join("nothing"), &Overrides::default());
    assert_eq!(errors(&config), [""; 0]);
    for name in ["sshd", "asterisk"] {
        let jail = jail(&config, name);
        assert_eq!(jail.problem, None);
        assert!(jail.lines("addfailregex").count() > 0);
        let actions: Vec<_> = jail.actions.iter().map(|action| action.name.as_str()).collect();
        assert_eq!(actions, ["nftables-native"]);
        assert!(!jail.logs.is_empty());
    }
}

#[test]
fn a_single_jail_local_goes_on_top_of_the_built_in_jails() {
    let directory = Directory::new();
    directory.write(
        "jail.local",
        "[DEFAULT]\nbantime = 1h\nbanaction = iptables-multiport\n[sshd]\nport = 2222\n[mine]\nenabled = true\nfilter = sshd\n\
         logpath = @DIR@/jail.local\naction = %(action_mw)s\n",
    );
    let config = read(&directory);
    assert_eq!(errors(&config), [""; 0]);
    let sshd = jail(&config, "sshd");
    assert_eq!(setting(sshd, "bantime"), &Value::Text("1h".to_owned()));
    assert_eq!(sshd.actions.first().unwrap().name, "iptables-multiport");
    let mine = jail(&config, "mine");
    let actions: Vec<_> = mine.actions.iter().map(|action| action.name.as_str()).collect();
    assert_eq!(actions, ["iptables-multiport", "sendmail-whois"]);
}

#[test]
fn a_jail_conf_on_disk_hides_the_built_in_one() {
    let directory = Directory::new();
    directory.write(
        "jail.conf",
        "[only]\nenabled = true\nfilter = sshd\nlogpath = @DIR@/jail.conf\n",
    );
    let config = read(&directory);
    let names: Vec<_> = config.jails.iter().map(|jail| jail.name.as_str()).collect();
    assert_eq!(names, ["only"]);
    let only = jail(&config, "only");
    assert!(
        only.settings.iter().all(|setting| setting.option != "bantime"),
        "no built-in default leaks in"
    );
    // The filter that the disk lacks is served.
    assert!(only.filter_files.iter().all(|file| file.starts_with("built-in/")));
}

#[test]
fn a_filter_on_disk_hides_the_built_in_one_and_a_local_file_extends_it() {
    let directory = Directory::new();
    directory.write("filter.d/sshd.conf", "[Definition]\nfailregex = ^mine <HOST>\n");
    directory.write(
        "filter.d/asterisk.local",
        "[Definition]\nfailregex = %(known/failregex)s\n  ^more <HOST>\n",
    );
    let config = read(&directory);
    let rules: Vec<_> = jail(&config, "sshd")
        .lines("addfailregex")
        .map(|line| line.text.as_str())
        .collect();
    assert_eq!(rules, ["^mine <HOST>"]);
    let asterisk: Vec<_> = jail(&config, "asterisk").lines("addfailregex").collect();
    let last = asterisk.last().unwrap();
    assert!(asterisk.len() > 2);
    assert_eq!((last.text.as_str(), last.place.line), ("^more <HOST>", 3));
}

#[test]
fn an_unreadable_file_on_disk_is_told_and_does_not_let_the_built_in_one_through() {
    let directory = Directory::new();
    std::fs::create_dir_all(directory.path().join("jail.conf")).unwrap();
    let config = read(&directory);
    assert!(config.jails.is_empty());
    assert!(
        errors(&config)
            .iter()
            .any(|error| error.contains("jail.conf cannot be read: it is not a regular file"))
    );
}

#[test]
fn a_rule_knows_the_line_it_stands_in_even_through_a_reference() {
    let directory = Directory::new();
    directory.write(
        "filter.d/f.conf",
        "[Definition]\ncommon = ^a <HOST>\n   ^b <HOST>\nfailregex = %(common)s\n  ^c <mode> <HOST>\nmode = x\n",
    );
    directory.write(
        "jail.conf",
        "[j]\nenabled = true\nfilter = f\nlogpath = @DIR@/jail.conf\n",
    );
    let config = read(&directory);
    let lines: Vec<_> = jail(&config, "j")
        .lines("addfailregex")
        .map(|line| (line.text.as_str(), line.place.line))
        .collect();
    assert_eq!(lines, [("^a <HOST>", 2), ("^b <HOST>", 3), ("^c x <HOST>", 5)]);
}

#[test]
fn a_rule_knows_the_line_it_stands_in_even_through_a_tag() {
    let directory = Directory::new();
    directory.write(
        "filter.d/f.conf",
        "[Definition]\nfailregex = <rules-<mode>>\n  ^c <mode> <HOST>\nmode = x\nrules-x = ^a <HOST>\n  <more>\n[Init]\nmore = ^b <mode> <HOST>\n",
    );
    directory.write(
        "jail.conf",
        "[j]\nenabled = true\nfilter = f\nlogpath = @DIR@/jail.conf\n",
    );
    let config = read(&directory);
    let lines = jail(&config, "j").lines("addfailregex");
    let lines: Vec<_> = lines.map(|line| (line.text.as_str(), line.place.line)).collect();
    assert_eq!(lines, [("^a <HOST>", 5), ("^b x <HOST>", 8), ("^c x <HOST>", 3)]);
}

#[test]
fn every_file_of_the_repositorys_configuration_is_compiled_in() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    let mut there = Vec::new();
    for sub in ["", "filter.d/", "action.d/"] {
        for entry in std::fs::read_dir(folder.join(sub)).unwrap().map(Result::unwrap) {
            if entry.path().is_file() {
                there.push(format!("{sub}{}", entry.file_name().to_str().unwrap()));
            }
        }
    }
    let mut compiled: Vec<_> = stockade_config::builtin::names().map(str::to_owned).collect();
    there.sort();
    compiled.sort();
    assert_eq!(compiled, there);
}

#[test]
fn bad_values_name_file_line_reason_and_mend_and_cost_one_jail() {
    let directory = Directory::new();
    directory.write(
        "jail.local",
        "[sshd]\nmaxretry = three\n[asterisk]\nbantime = 1hr\n[nofilter]\nenabled = true\nfilter = nope\n[good]\nenabled = true\nfilter = sshd\n\
         logpath = @DIR@/jail.local\n",
    );
    let config = read(&directory);
    assert_eq!(jail(&config, "good").problem, None);
    for (name, what, line) in [
        ("sshd", "error: `maxretry` must be a whole number, not `three`", 2),
        (
            "asterisk",
            "error: `bantime = 1hr` is not a time: `hr` is no unit of time",
            4,
        ),
        ("nofilter", "error: the filter `nope` does not exist", 7),
    ] {
        assert!(jail(&config, name).problem.is_some(), "{name}");
        let path = directory.path().join("jail.local");
        let place = format!("at {}:{line}:1 in [{name}]", path.display());
        let found = errors(&config).into_iter().find(|error| error.starts_with(what));
        let found = found.unwrap_or_else(|| panic!("{what} in {:#?}", errors(&config)));
        for part in [place.as_str(), "\n  why: ", "\n  mend: "] {
            assert!(found.contains(part), "{part} in {found}");
        }
    }
}
