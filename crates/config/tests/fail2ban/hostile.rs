//! Files that no program should meet: none of them may stop, crash or fill us.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use stockade_config::{Config, Overrides, Severity, load};

use crate::common::Directory;

const JAIL: &str = "[good]\nenabled = true\nfilter =\naction =\nlogpath = @DIR@/jail.local\n";

fn read(directory: &Directory) -> Config {
    let start = Instant::now();
    let config = load(directory.path(), &Overrides::default());
    assert!(start.elapsed() < Duration::from_secs(20), "took {:?}", start.elapsed());
    config
}

fn said(config: &Config, text: &str) -> bool {
    config
        .diagnostics
        .iter()
        .any(|finding| finding.to_string().contains(text))
}

fn good(config: &Config) -> bool {
    config
        .jails
        .iter()
        .any(|jail| jail.name == "good" && jail.problem.is_none())
}

#[test]
fn a_byte_order_mark_is_passed_over_with_a_warning() {
    let directory = Directory::new();
    directory.write("jail.conf", format!("\u{feff}{JAIL}"));
    let config = read(&directory);
    assert!(good(&config) && said(&config, "byte order mark"));
}

#[test]
fn bytes_that_are_not_utf8_cost_their_line_or_nothing_in_a_comment() {
    let directory = Directory::new();
    directory.write(
        "jail.conf",
        b"# caf\xe9\n[good]\nenabled = true\nfilter =\nusedns = \xff\n  more\nmaxretry = 3\n",
    );
    let config = read(&directory);
    assert!(good(&config));
    let bad: Vec<_> = config
        .diagnostics
        .iter()
        .filter(|finding| finding.what.contains("UTF-8"))
        .collect();
    let places: Vec<_> = bad
        .iter()
        .map(|finding| (finding.severity, finding.place.as_ref().unwrap().line))
        .collect();
    assert_eq!(places, [(Severity::Warning, 1), (Severity::Error, 5)]);
    assert_eq!(bad.last().unwrap().place.as_ref().unwrap().column, 10);
}

#[test]
fn nul_carriage_returns_and_binary_files_are_survived() {
    let directory = Directory::new();
    directory.write("jail.conf", JAIL.replace('\n', "\r\n"));
    directory.write(
        "jail.d/nul.conf",
        "[nul]\nenabled = true\nfilter =\nfailregex = a\0b <HOST>\n",
    );
    let noise: Vec<u8> = (0..200_000_u32)
        .map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap())
        .collect();
    directory.write("jail.d/noise.conf", &noise);
    let config = read(&directory);
    assert!(good(&config));
    assert!(config.diagnostics.len() < 60, "{} findings", config.diagnostics.len());
    assert!(
        config
            .diagnostics
            .iter()
            .all(|finding| !finding.to_string().contains('\0'))
    );
}

#[test]
fn directories_links_and_large_files_in_the_place_of_files_are_told() {
    let directory = Directory::new();
    directory.write("jail.conf", JAIL);
    fs::create_dir_all(directory.path().join("jail.local")).unwrap();
    fs::create_dir_all(directory.path().join("jail.d/x.conf")).unwrap();
    std::os::unix::fs::symlink("loop.conf", directory.path().join("jail.d/loop.conf")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", directory.path().join("jail.d/zero.conf")).unwrap();
    directory.write("jail.d/large.conf", vec![b'#'; 5 << 20]);
    let config = read(&directory);
    assert!(good(&config));
    for text in [
        "jail.local cannot be read",
        "x.conf cannot be read",
        "loop.conf cannot be read",
        "zero.conf cannot be read",
        "larger than 4 MB",
    ] {
        assert!(said(&config, text), "{text}: {:#?}", config.diagnostics);
    }
}

#[test]
fn includes_in_circles_and_trees_end() {
    let directory = Directory::new();
    directory.write(
        "jail.conf",
        format!("[INCLUDES]\nbefore = jail.conf\n  a.conf\nafter = b.conf\n{JAIL}"),
    );
    directory.write(
        "a.conf",
        "[INCLUDES]\nbefore = b.conf\nafter = jail.conf\n  ./a.conf\n  x/../a.conf\n",
    );
    directory.write("b.conf", "[INCLUDES]\nbefore = a.conf\nafter = a.conf\n  b.conf\n");
    assert!(good(&read(&directory)));

    // Each file includes the next twice: 2^40 files, were they all read.
    let directory = Directory::new();
    directory.write("jail.conf", format!("[INCLUDES]\nbefore = n0.conf\n{JAIL}"));
    for number in 0..40 {
        let next = number + 1;
        directory.write(
            &format!("n{number}.conf"),
            format!("[INCLUDES]\nbefore = n{next}.conf\nafter = n{next}.conf\n"),
        );
    }
    directory.write("n40.conf", "[INCLUDES]\n");
    let config = read(&directory);
    assert!(said(&config, "more than 512 files"));
}

#[test]
fn values_that_multiply_are_refused() {
    let directory = Directory::new();
    let mut text = String::from("[DEFAULT]\nfilter =\n");
    for number in 0..9 {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "v{number} = {}", format!("%(v{0})s", number + 1).repeat(50));
        let _ = writeln!(text, "e{number} = {}", format!("%(e{0})s", number + 1).repeat(50));
    }
    text.push_str(
        "v9 = x\ne9 =\n[bad]\nenabled = true\nfailregex = %(v0)s\n[bad2]\nenabled = true\nfailregex = %(e0)s\n",
    );
    directory.write("jail.conf", text + JAIL);
    let config = read(&directory);
    assert!(good(&config));
    let problems = config.jails.iter().filter(|jail| {
        jail.problem
            .as_ref()
            .is_some_and(|reason| reason.contains("grows beyond"))
    });
    assert_eq!(problems.count(), 2);
}

#[test]
fn tags_that_multiply_or_go_in_circles_are_refused() {
    let directory = Directory::new();
    let mut filter = String::from("[Definition]\nfailregex = <HOST> <t0>\nt30 = x\n");
    for number in 0..30 {
        let _ = writeln!(filter, "t{number} = <t{0}><t{0}>", number + 1); // writing to a String cannot fail
    }
    directory.write("filter.d/many.conf", filter);
    directory.write(
        "filter.d/circle.conf",
        "[Definition]\nfailregex = <HOST> <t>\nt = <u>\nu = <<v>>\nv = t\n",
    );
    directory.write(
        "jail.conf",
        format!("[DEFAULT]\nlogpath = @DIR@/jail.conf\n[many]\nenabled = true\nfilter = many\n[circle]\nenabled = true\nfilter = circle\n{JAIL}"),
    );
    let config = read(&directory);
    assert!(good(&config));
    for name in ["many", "circle"] {
        let jail = config.jails.iter().find(|jail| jail.name == name).unwrap();
        assert!(jail.problem.as_ref().unwrap().contains("tags"), "{:?}", jail.problem);
    }
}

/// Numbers that look random and are the same each time.
fn next(state: &mut u64) -> usize {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap()
}

#[test]
fn files_damaged_at_random_are_survived() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    let pieces: [&[u8]; 16] = [
        b"[", b"]", b"%(", b")s", b"<", b">", b"\n", b" ", b"=", b"\"", b"'", b"known/", b"%", b"\xff", b"\0",
        b"DEFAULT",
    ];
    let mut state = 7;
    for _ in 0..150 {
        let directory = Directory::new();
        for name in [
            "jail.conf",
            "filter.d/sshd.conf",
            "filter.d/asterisk.conf",
            "action.d/iptables.conf",
            "action.d/sendmail-whois.conf",
        ] {
            let mut bytes = fs::read(root.join(name)).unwrap();
            for _ in 0..8 {
                let at = next(&mut state) % bytes.len();
                let piece = pieces[next(&mut state) % pieces.len()];
                let cut = next(&mut state) % 12;
                let end = (at + cut).min(bytes.len());
                bytes.splice(at..end, piece.iter().copied());
            }
            directory.write(name, bytes);
        }
        directory.write(
            "jail.local",
            format!("[DEFAULT]\nbanaction = iptables-multiport\naction = %(action_mw)s\n{JAIL}"),
        );
        let config = read(&directory);
        assert!(
            config
                .diagnostics
                .iter()
                .all(|finding| finding.to_string().len() < 10_000)
        );
    }
}

#[test]
fn brackets_quotation_marks_and_long_lines_end() {
    let directory = Directory::new();
    let mut text = String::new();
    for (number, bad) in [
        "[".repeat(100_000),
        "f[".repeat(50_000),
        "f[a=\"".repeat(20_000),
        "f[a=1]".repeat(20_000),
        "%(".repeat(50_000),
    ]
    .iter()
    .enumerate()
    {
        let _ = write!(
            text,
            "[j{number}]\nenabled = true\nfilter = {bad}\n[k{number}]\nenabled = true\nfilter =\naction = {bad}\n"
        ); // cannot fail
    }
    let _ = write!(
        text,
        "[globs]\nenabled = true\nfilter =\nlogpath = @DIR@/{}b\n",
        "a*".repeat(2_000)
    ); // cannot fail
    directory.write(&"a".repeat(200), "");
    directory.write("jail.conf", text + JAIL);
    let config = read(&directory);
    assert!(good(&config));
    assert_eq!(config.jails.iter().filter(|jail| jail.problem.is_some()).count(), 10);
    assert!(
        config
            .diagnostics
            .iter()
            .all(|finding| finding.to_string().len() < 10_000)
    );
}
