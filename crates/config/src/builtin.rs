//! The configuration that is compiled into the program: the files under `config/` in the repository.
//!
//! To add one, write it there and add its line here.

/// Each file with its path under the configuration directory.
const FILES: &[(&str, &str)] = &[
    (
        "action.d/iptables-allports.conf",
        include_str!("../../../config/action.d/iptables-allports.conf"),
    ),
    (
        "action.d/iptables-multiport.conf",
        include_str!("../../../config/action.d/iptables-multiport.conf"),
    ),
    (
        "action.d/iptables.conf",
        include_str!("../../../config/action.d/iptables.conf"),
    ),
    (
        "action.d/nftables-allports.conf",
        include_str!("../../../config/action.d/nftables-allports.conf"),
    ),
    (
        "action.d/nftables-multiport.conf",
        include_str!("../../../config/action.d/nftables-multiport.conf"),
    ),
    (
        "action.d/nftables-native.conf",
        include_str!("../../../config/action.d/nftables-native.conf"),
    ),
    (
        "action.d/nftables.conf",
        include_str!("../../../config/action.d/nftables.conf"),
    ),
    (
        "action.d/sendmail-common.conf",
        include_str!("../../../config/action.d/sendmail-common.conf"),
    ),
    (
        "action.d/sendmail-whois-lines.conf",
        include_str!("../../../config/action.d/sendmail-whois-lines.conf"),
    ),
    (
        "action.d/sendmail-whois.conf",
        include_str!("../../../config/action.d/sendmail-whois.conf"),
    ),
    (
        "action.d/sendmail.conf",
        include_str!("../../../config/action.d/sendmail.conf"),
    ),
    ("fail2ban.conf", include_str!("../../../config/fail2ban.conf")),
    (
        "filter.d/asterisk.conf",
        include_str!("../../../config/filter.d/asterisk.conf"),
    ),
    ("filter.d/sshd.conf", include_str!("../../../config/filter.d/sshd.conf")),
    ("jail.conf", include_str!("../../../config/jail.conf")),
];

/// The built-in file of this name.
pub(crate) fn file(name: &str) -> Option<(&'static str, &'static str)> {
    FILES.iter().find(|(known, _)| *known == name).copied()
}

/// The text of the built-in file of this name.
pub fn text(name: &str) -> Option<&'static str> {
    file(name).map(|(_, text)| text)
}

/// The names of all built-in files, as paths under the configuration directory.
pub fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name)
}
