//! Names of services, checked where they enter: they become arguments of programs and parts of paths.

use super::SERVICES_MAX;
use crate::collector::OptionError;

const FLAG: &str = "collector.services.list";
/// systemd allows 255 with the suffix.
const NAME_BYTES_MAX: usize = 240;
/// What systemd has besides services; `systemd.unit(5)`.
const OTHER_KINDS: [&str; 10] =
    ["automount", "device", "mount", "path", "scope", "slice", "socket", "swap", "target", "timer"];

/// A name that no program takes for an option or a path, such as `ssh`, `ssh.service` or `backup.timer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(String);

/// The names of the list; one that is given twice counts once.
pub(super) fn parse(list: &[String]) -> Result<Vec<Name>, OptionError> {
    let wrong = |value: &str, problem| {
        Err(OptionError::Value { flag: FLAG, value: value.to_owned(), problem })
    };
    let mut names: Vec<Name> = Vec::new();
    for given in list {
        let text = given.trim();
        if let Err(problem) = check(text) {
            return wrong(text, problem);
        }
        if !names.iter().any(|name| name.0 == text) {
            names.push(Name(text.to_owned()));
        }
    }
    match names.len() {
        0 => wrong("", "names no service: give some, such as ssh,cron"),
        1..=SERVICES_MAX => Ok(names),
        n_names => wrong(&format!("{n_names} names"), "are more than 200"),
    }
}

fn check(text: &str) -> Result<(), &'static str> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":_.\\@-".contains(&byte);
    if text.is_empty() {
        return Err("has an empty name between its commas");
    }
    if text.starts_with(['-', '.']) {
        return Err("begins with a character that a service's name does not begin with");
    }
    if !text.bytes().all(is_allowed) {
        return Err(
            "is not a name of a service: letters, digits and :_.\\@- make one, without a path",
        );
    }
    if text.len() > NAME_BYTES_MAX {
        return Err("is longer than a name of a service can be");
    }
    if text.ends_with('@') || text.contains("@.") {
        return Err("is a template: name one of its instances, such as openvpn@office");
    }
    Ok(())
}

impl Name {
    pub(super) fn given(&self) -> &str {
        &self.0
    }

    /// As systemd has it.
    pub(super) fn unit(&self) -> String {
        match self.0.rsplit_once('.') {
            Some((_, "service")) => self.0.clone(),
            Some((_, kind)) if OTHER_KINDS.contains(&kind) => self.0.clone(),
            _ => format!("{}.service", self.0),
        }
    }

    /// As the `service` command has it; `None` for a unit that is no service.
    pub(super) fn of_service(&self) -> Option<&str> {
        match self.0.rsplit_once('.') {
            Some((service, "service")) => Some(service),
            Some((_, kind)) if OTHER_KINDS.contains(&kind) => None,
            _ => Some(&self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Result<Vec<String>, String> {
        let list: Vec<String> = list.iter().map(|&name| name.to_owned()).collect();
        let parsed = parse(&list).map_err(|err| err.to_string())?;
        Ok(parsed.into_iter().map(|name| name.0).collect())
    }

    #[test]
    fn good_names() {
        assert_eq!(
            names(&["ssh", " cron ", "ssh", "a@b.service", "x\\x2dy.timer"]).unwrap(),
            ["ssh", "cron", "a@b.service", "x\\x2dy.timer"]
        );
    }

    #[test]
    fn bad_names_are_refused_with_the_flag_and_the_reason() {
        for (list, reason) in [
            (&["-x"][..], "`-x` begins with a character"),
            (&["--status-all"], "begins with a character"),
            (&["."], "begins with a character"),
            (&["..", "x"], "begins with a character"),
            (&["a/b"], "`a/b` is not a name of a service"),
            (&["../../bin/sh"], "begins with a character"),
            (&["a b"], "is not a name"),
            (&["a;reboot"], "is not a name"),
            (&["$(reboot)"], "is not a name"),
            (&["a\nb"], "is not a name"),
            (&["ssh*"], "is not a name"),
            (&["ssh", ""], "has an empty name"),
            (&["Bäcker"], "is not a name"),
            (&["openvpn@"], "is a template"),
            (&["openvpn@.service"], "is a template"),
            (&[], "names no service"),
        ] {
            let err = names(list).unwrap_err();
            assert!(err.starts_with("--collector.services.list: `"), "{err}");
            assert!(err.contains(reason), "{err}");
        }
        assert!(names(&["x".repeat(241).as_str()]).unwrap_err().contains("is longer"));
        let many: Vec<String> = (0..=SERVICES_MAX).map(|n| format!("s{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(names(&many).unwrap_err().contains("`201 names` are more than 200"));
        assert_eq!(names(&many[1..]).unwrap().len(), SERVICES_MAX);
    }

    #[test]
    fn as_others_have_it() {
        for (given, unit, service) in [
            ("ssh", "ssh.service", Some("ssh")),
            ("ssh.service", "ssh.service", Some("ssh")),
            ("php8.2-fpm", "php8.2-fpm.service", Some("php8.2-fpm")),
            ("backup.timer", "backup.timer", None),
        ] {
            let name = Name(given.to_owned());
            assert_eq!((name.unit().as_str(), name.of_service()), (unit, service), "{given}");
        }
    }
}
