//! Says which commit a release is built from, for `--version`.
#![allow(clippy::print_stdout, reason = "cargo reads it")]

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    // Every commit would have the tests compile all of it again.
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = if is_release { packed_commit().or_else(commit) } else { None };
    let version = commit.map_or(version.clone(), |commit| format!("{version} ({commit})"));
    println!("cargo::rustc-env=WATTLEDGER_VERSION={version}");
}

/// Of a package: cargo puts the commit beside its files.
fn packed_commit() -> Option<String> {
    let said = std::fs::read_to_string(".cargo_vcs_info.json").ok()?;
    let (_, after) = said.split_once("\"sha1\": \"")?;
    let (commit, after) = after.split_once('"')?;
    let modified = if after.contains("\"dirty\": true") { "-modified" } else { "" };
    Some(format!("{}{modified}", commit.get(..12)?))
}

/// Of a clone; nothing without git, and nothing of a repository that holds this one's files and is another's.
fn commit() -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    let head = git(&["rev-parse", "--short=12", "HEAD"])?;
    let reference = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in [Some("HEAD"), Some("packed-refs"), reference.as_deref()].into_iter().flatten() {
        // Cargo takes a file that is not there for one that changed.
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    for source in ["src", "data", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={source}");
    }
    let changed =
        git(&["status", "--porcelain", "--", "src", "data", "build.rs", "Cargo.toml", "Cargo.lock"])?;
    Some(if changed.is_empty() { head } else { format!("{head}-modified") })
}

fn git(arguments: &[&str]) -> Option<String> {
    let output =
        Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
