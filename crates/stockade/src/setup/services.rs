//! The services that setup looks for, and the jails each has.

/// A service.
pub(super) struct Service {
    pub(super) name: &'static str,
    /// Its jails in the built-in `jail.conf`.
    pub(super) jails: &'static [&'static str],
    /// Any of these programs or units tells that it is installed.
    pub(super) programs: &'static [&'static str],
    pub(super) units: &'static [&'static str],
}

macro_rules! services {
    ($($name:literal: $jails:expr, $programs:expr, $units:expr;)*) => {
        &[$(Service { name: $name, jails: &$jails, programs: &$programs, units: &$units }),*]
    };
}

/// All but Asterisk, whose jails depend on its `logger.conf`. Left out on purpose are jails that need a closer look: those that count queries by UDP,
/// which can come in anybody's name, and those that ban on a single line.
pub(super) const SERVICES: &[Service] = services! {
    "OpenSSH": ["sshd"], ["sshd"], ["ssh", "sshd"];
    "Dropbear": ["dropbear"], ["dropbear"], ["dropbear"];
    "FreeSWITCH": ["freeswitch"], ["freeswitch"], ["freeswitch"];
    "Kamailio": ["kamailio"], ["kamailio"], ["kamailio"];
    "OpenSIPS": ["opensips"], ["opensips"], ["opensips"];
    "Postfix": ["postfix", "postfix-sasl"], ["postfix"], ["postfix"];
    "Dovecot": ["dovecot", "sieve"], ["dovecot"], ["dovecot"];
    "Exim": ["exim"], ["exim", "exim4"], ["exim4", "exim"];
    "Sendmail": ["sendmail-auth", "sendmail-reject"], ["sendmail-mta"], ["sendmail"];
    "OpenSMTPD": ["opensmtpd"], [], ["opensmtpd", "smtpd"];
    "Cyrus IMAP": ["cyrus-imap"], ["cyrmaster"], ["cyrus-imapd"];
    "nginx": ["nginx-http-auth", "nginx-limit-req", "nginx-botsearch", "nginx-bad-request"], ["nginx"], ["nginx"];
    "Apache": ["apache-auth", "apache-botsearch", "apache-overflows", "apache-noscript"], ["apache2", "httpd"], ["apache2", "httpd"];
    "lighttpd": ["lighttpd-auth"], ["lighttpd"], ["lighttpd"];
    "Caddy": ["caddy"], ["caddy"], ["caddy"];
    "HAProxy": ["haproxy-http-auth"], ["haproxy"], ["haproxy"];
    "vsftpd": ["vsftpd"], ["vsftpd"], ["vsftpd"];
    "ProFTPD": ["proftpd"], ["proftpd"], ["proftpd"];
    "Pure-FTPd": ["pure-ftpd"], ["pure-ftpd"], ["pure-ftpd"];
    "MySQL or MariaDB": ["mysqld-auth"], ["mysqld", "mariadbd"], ["mysql", "mariadb"];
    "PostgreSQL": ["postgresql"], ["postgres"], ["postgresql"];
    "MongoDB": ["mongodb-auth"], ["mongod"], ["mongod"];
    "Samba": ["samba"], ["smbd"], ["smbd", "smb"];
    "OpenLDAP": ["slapd"], ["slapd"], ["slapd"];
    "Grafana": ["grafana"], ["grafana-server"], ["grafana-server"];
    "Gitea or Forgejo": ["gitea"], ["gitea", "forgejo"], ["gitea", "forgejo"];
    "Webmin": ["webmin-auth"], [], ["webmin"];
    "Cockpit": ["cockpit"], [], ["cockpit"];
    "xrdp": ["xrdp"], ["xrdp"], ["xrdp"];
};
