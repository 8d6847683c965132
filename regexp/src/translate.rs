//! From Go's dialect to Rust's: one pass over the pattern, written out again so that both read it alike.
//!
//! Go's grammar is in <https://github.com/google/re2/wiki/Syntax> and, where that is silent, in the behaviour of Go's
//! `regexp/syntax` with its `Perl` flags. Nothing of the original is copied through: every literal, class, group and
//! repetition is understood and written in a form that has one meaning in Rust. Flags such as `(?i)` are tracked here
//! and appear in the output only around the single atoms they concern, so every atom stands for itself and a
//! repetition can be attached to it.

mod class;
mod escape;
mod repeat;

use std::fmt::Write;

use self::repeat::Repeat;

/// Deepest nesting of groups. Go allows 1000, but Rust's compiler recurses, and this is beyond anything people write.
pub(crate) const NESTING_MAX: u32 = 250;
/// Largest number of copies that a repetition and those around it may ask for together, as in Go.
const REPEAT_MAX: u32 = 1000;

/// What `.` matches where no flag says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dot {
    NotNewline,
    Everything,
}

#[derive(Debug)]
pub(crate) struct Translated {
    /// The pattern in Rust's dialect; its groups have numbers only.
    pub(crate) rust: String,
    /// By group number; 0 is the whole match.
    pub(crate) group_names: Vec<Option<String>>,
}

#[derive(Clone, Copy, Debug)]
struct Flags {
    /// `i`
    fold_case: bool,
    /// `m`
    multi_line: bool,
    /// `s`
    dot_all: bool,
    /// `U`
    swap_greed: bool,
}

/// The thing a repetition would apply to.
#[derive(Clone, Copy, Debug)]
struct Atom {
    /// Where it begins in the output.
    start: usize,
    /// The largest product of nested repetitions inside it.
    copies: u32,
    repeated: bool,
}

#[derive(Debug)]
struct Group {
    /// Where it begins in the output.
    start: usize,
    outer_flags: Flags,
    /// The largest product of nested repetitions seen in it so far.
    copies: u32,
}

struct Translator<'p> {
    pattern: &'p str,
    rest: &'p str,
    out: String,
    flags: Flags,
    open: Vec<Group>,
    atom: Option<Atom>,
    /// The operator just read where the last thing read was one: `a**` is refused.
    last_operator: Option<&'p str>,
    /// The largest product of nested repetitions at the level being read.
    copies: u32,
    group_names: Vec<Option<String>>,
}

/// Translates a pattern; the error is the reason in Go's words.
pub(crate) fn translate(pattern: &str, dot: Dot) -> Result<Translated, String> {
    let flags = Flags {
        fold_case: false,
        multi_line: false,
        dot_all: dot == Dot::Everything,
        swap_greed: false,
    };
    let mut translator = Translator {
        pattern,
        rest: pattern,
        out: String::with_capacity(pattern.len() + 16),
        flags,
        open: Vec::new(),
        atom: None,
        last_operator: None,
        copies: 1,
        group_names: vec![None],
    };
    while !translator.rest.is_empty() {
        translator.step()?;
    }
    if !translator.open.is_empty() {
        return Err(format!("missing closing ): `{pattern}`"));
    }
    Ok(Translated { rust: translator.out, group_names: translator.group_names })
}

impl<'p> Translator<'p> {
    fn step(&mut self) -> Result<(), String> {
        let c = self.rest.chars().next().expect("the caller saw that something is left");
        let last_operator = self.last_operator.take();
        match c {
            '(' => return self.open_group(),
            ')' => return self.close_group(),
            '|' => {
                self.advance(1);
                self.out.push('|');
                self.atom = None;
            }
            '[' => {
                let (class, length) = class::translate(self.rest)?;
                self.advance(length);
                self.push_folding(&class);
            }
            '\\' => return self.escape(),
            '.' => {
                self.advance(1);
                let dot = if self.flags.dot_all { "(?s:.)" } else { r"[^\n]" };
                self.push_atom(dot);
            }
            '^' => {
                self.advance(1);
                let start = if self.flags.multi_line { "(?m:^)" } else { r"\A" };
                self.push_atom(start);
            }
            '$' => {
                self.advance(1);
                let end = if self.flags.multi_line { "(?m:$)" } else { r"\z" };
                self.push_atom(end);
            }
            '*' | '+' | '?' => return self.repeat(Repeat::of_operator(c), 1, last_operator),
            '{' => match Repeat::read(self.rest) {
                Some((repeat, length)) => return self.repeat(repeat, length, last_operator),
                None => self.literal(c),
            },
            _ => self.literal(c),
        }
        Ok(())
    }

    fn advance(&mut self, bytes: usize) {
        self.rest = &self.rest[bytes..];
    }

    /// Takes a character that stands for itself.
    fn literal(&mut self, c: char) {
        self.advance(c.len_utf8());
        self.push_literal(c);
    }

    fn push_literal(&mut self, c: char) {
        let mut text = String::with_capacity(10);
        write_char(&mut text, c);
        if c.is_alphabetic() || !c.is_ascii() {
            self.push_folding(&text);
        } else {
            self.push_atom(&text);
        }
    }

    fn push_folding(&mut self, atom: &str) {
        if self.flags.fold_case {
            self.push_atom(&format!("(?i:{atom})"));
        } else {
            self.push_atom(atom);
        }
    }

    fn push_atom(&mut self, text: &str) {
        self.atom = Some(Atom { start: self.out.len(), copies: 1, repeated: false });
        self.out.push_str(text);
    }

    fn escape(&mut self) -> Result<(), String> {
        use escape::Escape;
        let (escape, length) = escape::read(self.rest)?;
        self.advance(length);
        match escape {
            Escape::Char(c) => self.push_literal(c),
            Escape::Quoted(text) => text.chars().for_each(|c| self.push_literal(c)),
            Escape::Assertion(rust) => self.push_atom(rust),
            Escape::Class(set) => self.push_folding(&format!("[{set}]")),
        }
        Ok(())
    }

    fn repeat(
        &mut self,
        repeat: Repeat,
        length: usize,
        last_operator: Option<&'p str>,
    ) -> Result<(), String> {
        let before = self.rest;
        self.advance(length);
        let mut lazy = self.flags.swap_greed;
        if self.rest.starts_with('?') {
            self.advance(1);
            lazy = !lazy;
        }
        let operator = &before[..before.len() - self.rest.len()];
        if let Some(last) = last_operator {
            return Err(format!("invalid nested repetition operator: `{last}{operator}`"));
        }
        if !repeat.is_valid(REPEAT_MAX) {
            return Err(format!("invalid repeat count: `{operator}`"));
        }
        let Some(atom) = &mut self.atom else {
            return Err(format!("missing argument to repetition operator: `{operator}`"));
        };
        let copies = atom.copies.saturating_mul(repeat.copies());
        if copies > REPEAT_MAX {
            return Err(format!("invalid repeat count: `{operator}`"));
        }
        if atom.repeated {
            // `a*(?i)?`: the second operator applies to the first one's result.
            self.out.insert_str(atom.start, "(?:");
            self.out.push(')');
        }
        atom.copies = if repeat.is_never() { 1 } else { copies };
        atom.repeated = true;
        self.copies = self.copies.max(atom.copies);
        repeat.write(&mut self.out);
        if lazy {
            self.out.push('?');
        }
        self.last_operator = Some(operator);
        Ok(())
    }

    fn open_group(&mut self) -> Result<(), String> {
        if self.open.len() >= NESTING_MAX as usize {
            return Err(format!("expression nests too deeply: more than {NESTING_MAX} groups"));
        }
        let outer_flags = self.flags;
        let opening = match self.rest.strip_prefix("(?") {
            None => {
                self.advance(1);
                self.group_names.push(None);
                "("
            }
            Some(after) if after.starts_with("P<") || after.starts_with('<') => {
                self.name_group()?;
                "("
            }
            Some(_) => {
                if !self.read_flags()? {
                    // `(?i)` holds until the enclosing group ends, and what stands before it can still be repeated.
                    return Ok(());
                }
                "(?:"
            }
        };
        self.open.push(Group { start: self.out.len(), outer_flags, copies: self.copies });
        self.out.push_str(opening);
        self.copies = 1;
        self.atom = None;
        Ok(())
    }

    fn close_group(&mut self) -> Result<(), String> {
        let Some(group) = self.open.pop() else {
            return Err(format!("unexpected ): `{}`", self.pattern));
        };
        self.advance(1);
        self.out.push(')');
        self.flags = group.outer_flags;
        self.atom = Some(Atom { start: group.start, copies: self.copies, repeated: false });
        self.copies = self.copies.max(group.copies);
        Ok(())
    }

    /// Reads `(?P<name>` or `(?<name>`.
    fn name_group(&mut self) -> Result<(), String> {
        let opening = if self.rest.starts_with("(?P<") { "(?P<" } else { "(?<" };
        let after = &self.rest[opening.len()..];
        let Some(end) = after.find('>') else {
            return Err(format!("invalid named capture: `{}`", self.rest));
        };
        let name = &after[..end];
        let whole = &self.rest[..opening.len() + end + 1];
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(format!("invalid named capture: `{whole}`"));
        }
        if self.group_names.iter().any(|known| known.as_deref() == Some(name)) {
            return Err(format!("duplicate capture group name: `{name}`"));
        }
        self.group_names.push(Some(name.to_owned()));
        self.advance(whole.len());
        Ok(())
    }

    /// Reads `(?flags)` or `(?flags:` and sets the flags; true when a group was opened.
    fn read_flags(&mut self) -> Result<bool, String> {
        let mut flags = self.flags;
        let mut value = true;
        let mut seen_one = false;
        for (at, c) in self.rest.char_indices().skip(2) {
            let wrong = || {
                let so_far = &self.rest[..at + c.len_utf8()];
                Err(format!("invalid or unsupported Perl syntax: `{so_far}`"))
            };
            let flag = match c {
                'i' => &mut flags.fold_case,
                'm' => &mut flags.multi_line,
                's' => &mut flags.dot_all,
                'U' => &mut flags.swap_greed,
                '-' if value => {
                    value = false;
                    seen_one = false;
                    continue;
                }
                ':' | ')' if value || seen_one => {
                    self.flags = flags;
                    self.advance(at + 1);
                    return Ok(c == ':');
                }
                _ => return wrong(),
            };
            *flag = value;
            seen_one = true;
        }
        Err("missing closing ): `".to_owned() + self.pattern + "`")
    }
}

/// Writes a character so that it stands for itself, in and outside of classes.
fn write_char(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() || !c.is_ascii() {
        out.push(c);
    } else {
        write!(out, r"\x{{{:X}}}", u32::from(c)).expect("writing to a String cannot fail");
    }
}
