//! Which command installs PostgreSQL on this system.

use std::{fs, path::Path};

/// `install it with …` for the newest version, or for `major`.
pub(super) fn install(major: Option<u32>) -> String {
    let os_release = fs::read_to_string("/etc/os-release")
        .or_else(|_| fs::read_to_string("/usr/lib/os-release"))
        .unwrap_or_default();
    let command = if cfg!(target_os = "macos") {
        Some(match major {
            Some(major) => format!("brew install postgresql@{major}"),
            None => "brew install postgresql".to_owned(),
        })
    } else if Path::new("/etc/NIXOS").exists() {
        Some(match major {
            Some(major) => format!("nix-env -iA nixos.postgresql_{major}"),
            None => "nix-env -iA nixos.postgresql".to_owned(),
        })
    } else {
        let sudo = if rustix::process::geteuid().is_root() { "" } else { "sudo " };
        package_command(&os_release, major).map(|command| format!("{sudo}{command}"))
    };
    match (command, major) {
        (Some(command), _) => format!("install it with `{command}`"),
        (None, Some(major)) => format!("install PostgreSQL {major}"),
        (None, None) => "install PostgreSQL".to_owned(),
    }
}

/// Decides by `ID` and `ID_LIKE` of os-release(5).
fn package_command(os_release: &str, major: Option<u32>) -> Option<String> {
    let value = |key: &str| {
        os_release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map_or("", |value| value.trim_matches(['"', '\'']))
    };
    let families = format!("{} {}", value("ID"), value("ID_LIKE"));
    let version = major.map(|major| major.to_string()).unwrap_or_default();
    families.split_whitespace().find_map(|family| {
        Some(match family {
            "debian" | "ubuntu" if version.is_empty() => "apt-get install postgresql".to_owned(),
            "debian" | "ubuntu" => format!("apt-get install postgresql-{version}"),
            "fedora" | "rhel" | "centos" | "amzn" => {
                format!("dnf install postgresql{version}-server")
            }
            "alpine" if version.is_empty() => "apk add postgresql".to_owned(),
            "alpine" => format!("apk add postgresql{version}"),
            "arch" => "pacman -S postgresql".to_owned(),
            "opensuse" | "suse" | "sles" => format!("zypper install postgresql{version}-server"),
            "gentoo" => format!(
                "emerge dev-db/postgresql{}",
                if version.is_empty() { String::new() } else { format!(":{version}") }
            ),
            "void" => format!("xbps-install postgresql{version}"),
            "freebsd" => format!(
                "pkg install postgresql{}-server",
                if version.is_empty() { "17" } else { &version }
            ),
            _ => return None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_has_its_command() {
        let check = |os_release: &str, major: Option<u32>, expected: Option<&str>| {
            assert_eq!(package_command(os_release, major).as_deref(), expected, "{os_release}");
        };
        check("ID=debian\n", None, Some("apt-get install postgresql"));
        check("ID=debian\n", Some(15), Some("apt-get install postgresql-15"));
        check(
            "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n",
            None,
            Some("apt-get install postgresql"),
        );
        check(
            "NAME=\"Rocky\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n",
            None,
            Some("dnf install postgresql-server"),
        );
        check("ID=alpine\n", Some(16), Some("apk add postgresql16"));
        check("ID=manjaro\nID_LIKE=arch\n", None, Some("pacman -S postgresql"));
        check(
            "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n",
            None,
            Some("zypper install postgresql-server"),
        );
        check("ID=haiku\n", None, None);
        check("", None, None);
    }
}
