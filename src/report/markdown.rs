//! `report.md`: the report for a chat or a wiki, in tables that can be read before they are rendered, too.

use std::fmt::Write as _;

use super::Provenance;
use super::digest::{Amount, Digest, Leader};
use crate::figures::{cell, energy, figures, mass, percent};
use crate::plain_text::{cut, visible, width};

/// Columns of a name at most.
const NAME: usize = 40;
/// Lines of notes, and of what was left out.
const LINES: usize = 10;

/// A name as code, which no flavour of Markdown looks into: no link, no mention, no HTML. A pipe parts cells even there.
fn name(text: &str) -> String {
    let shown = cut(text, NAME);
    let shown = shown.trim();
    if shown.is_empty() {
        return "–".to_owned();
    }
    let mut code = "`".to_owned();
    for letter in shown.chars() {
        match letter {
            // A longer fence would do on a page, but not in a chat.
            '`' => code.push('\''),
            '|' if code.ends_with('\\') => code.push_str(" \\|"),
            '|' => code.push_str("\\|"),
            letter => code.push(letter),
        }
    }
    // A backslash at the end would take the fence for its own in some chats.
    if code.ends_with('\\') {
        code.push(' ');
    }
    code.push('`');
    code
}

/// A sentence in which Markdown and HTML mean nothing. Code in back-ticks stays code.
fn words(text: &str) -> String {
    let text = visible(text);
    let pieces: Vec<&str> = text.split('`').collect();
    let mut out = String::new();
    // An odd number of pieces has all its back-ticks in pairs, and text between them.
    let has_code =
        pieces.len() % 2 == 1 && pieces.iter().skip(1).step_by(2).all(|piece| !piece.trim().is_empty());
    if !has_code {
        text.chars().for_each(|letter| escaped(&mut out, letter));
        return out;
    }
    for (at, piece) in pieces.iter().enumerate() {
        if at % 2 == 1 {
            out.push_str(&code(piece));
        } else {
            piece.chars().for_each(|letter| escaped(&mut out, letter));
        }
    }
    out
}

fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

fn escaped(out: &mut String, letter: char) {
    match letter {
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '&' => out.push_str("&amp;"),
        // A word of zero width keeps `@name` from calling somebody.
        '@' => out.push_str("@\u{2060}"),
        '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '$' => {
            out.push('\\');
            out.push(letter);
        }
        letter => out.push(letter),
    }
}

/// A table whose columns line up as text; numbers stand to the right.
fn table(out: &mut String, header: &[&str], rows: &[Vec<String>], numbers_from: usize) {
    let widths: Vec<usize> = header
        .iter()
        .enumerate()
        .map(|(at, head)| {
            let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| width(cell));
            cells.chain([width(head), 3]).max().unwrap_or(3)
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = String>| {
        let mut line = "|".to_owned();
        for (at, (cell, columns)) in cells.zip(&widths).enumerate() {
            let blanks = " ".repeat(columns.saturating_sub(width(&cell)));
            let (before, after) =
                if at >= numbers_from { (blanks.as_str(), "") } else { ("", blanks.as_str()) };
            // Writing to a string cannot fail.
            let _ = write!(line, " {before}{cell}{after} |");
        }
        line.push('\n');
        line
    };
    out.push_str(&line(&mut header.iter().map(|head| (*head).to_owned())));
    out.push_str(&line(&mut widths.iter().enumerate().map(|(at, columns)| {
        let dashes = "-".repeat(columns.saturating_sub(1));
        if at >= numbers_from { format!("{dashes}:") } else { format!("{dashes}-") }
    })));
    for row in rows {
        out.push_str(&line(&mut row.iter().cloned()));
    }
    out.push('\n');
}

fn within(amount: Amount, text: fn(f64) -> String) -> String {
    let bounds = amount.bounds.map(|(low, high)| format!(" (within {} to {})", text(low), text(high)));
    format!("{}{}", text(amount.value), bounds.unwrap_or_default())
}

fn shares(shares: &[(String, f64)]) -> String {
    let listed: Vec<String> =
        shares.iter().map(|(name, share)| format!("{} {}", words(name), percent(*share))).collect();
    if listed.is_empty() { "none".to_owned() } else { listed.join(", ") }
}

fn leaders(out: &mut String, heading: &str, what: &str, leaders: &[Leader], total_kwh: f64) {
    if leaders.is_empty() {
        return;
    }
    let _ = writeln!(out, "## {heading}\n");
    let rows: Vec<Vec<String>> = leaders
        .iter()
        .map(|leader| {
            let mut row = vec![name(&leader.name)];
            match leader.runs {
                Some(runs) => row.push(cell(runs)),
                None => row.extend([name(&leader.user), name(&leader.job)]),
            }
            let share = if total_kwh > 0.0 { leader.energy_kwh / total_kwh } else { 0.0 };
            row.extend([energy(leader.energy_kwh), percent(share)]);
            row.push(leader.emissions_gco2e.map_or("not priced".to_owned(), mass));
            row
        })
        .collect();
    let of_runs = leaders.iter().any(|leader| leader.runs.is_none());
    if of_runs {
        table(out, &[what, "user", "name", "energy", "of all", "emissions"], &rows, 3);
    } else {
        table(out, &[what, "runs", "energy", "of all", "emissions"], &rows, 1);
    }
}

fn list(out: &mut String, heading: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "## {heading}\n");
    for line in lines.iter().take(LINES) {
        let _ = writeln!(out, "- {}", words(&cut(line, 400)));
    }
    if lines.len() > LINES {
        let _ = writeln!(out, "- … and {} more in summary.json", lines.len() - LINES);
    }
    out.push('\n');
}

/// The whole of `report.md`.
pub(super) fn markdown(digest: &Digest, provenance: &Provenance) -> String {
    let mut out = "# Energy and emissions\n\n".to_owned();
    if !digest.closes() {
        out.push_str("**The books do not balance: do not use these figures.**\n\n");
    }
    if digest.simulated {
        out.push_str("**SIMULATED: nothing in this report was measured.**\n\n");
    }
    let window =
        digest.window.as_ref().map_or("no time".to_owned(), |(start, end)| format!("{start} to {end}"));
    let _ = writeln!(out, "{window}, {}\n", words(&digest.title));

    let mut totals = vec![vec!["energy".to_owned(), within(digest.energy_kwh, energy)]];
    let mut total = |name: &str, text: Option<String>| {
        totals.extend(text.map(|text| vec![name.to_owned(), text]));
    };
    if digest.facility_energy_kwh.value != digest.energy_kwh.value {
        total("energy at the building's meter", Some(within(digest.facility_energy_kwh, energy)));
    }
    let emissions = digest.emissions_gco2e.map_or("not priced".to_owned(), |amount| within(amount, mass));
    total("emissions", Some(emissions));
    let likened =
        |(km, months): (f64, f64)| format!("{} km by car, {} tree-months", figures(km), figures(months));
    total("as much as", digest.likened.map(likened));
    total("market-based", digest.market_gco2e.map(mass));
    total("upstream", digest.upstream_gco2e.map(mass));
    total("embodied, amortised", digest.embodied_gco2e.map(mass));
    total("cost", digest.cost.as_ref().map(|(cost, currency)| format!("{} {currency}", figures(*cost))));
    if let Some(change) = &digest.change {
        total("energy, change", change.words(digest.energy_kwh.value, change.energy_before_kwh));
        let emissions = digest.emissions_gco2e.zip(change.emissions_before_gco2e);
        total("emissions, change", emissions.and_then(|(now, before)| change.words(now.value, before)));
    }
    total("nodes, runs", Some(format!("{}, {}", digest.nodes, digest.runs)));
    let seen = |share| {
        format!("{} seen, {} interpolated", percent(share), percent(digest.interpolated.unwrap_or(0.0)))
    };
    total("coverage", digest.covered.map(seen));
    let balance: Vec<String> = digest
        .balances
        .iter()
        .map(|line| format!("{} {}", line.name, if line.closes { "closes" } else { "DOES NOT CLOSE" }))
        .collect();
    total("balance", Some(balance.join(", ")));
    total("methods", Some(shares(&digest.methods)));
    if digest.emissions_gco2e.is_some() {
        total("factors", Some(format!("{}, from {}", shares(&digest.tiers), shares(&digest.sources))));
    }
    table(&mut out, &["total", ""], &totals, 2);

    out.push_str("## Where the energy went\n\n");
    let parts = digest.by_beneficiary.iter().chain(&digest.by_component);
    let parts: Vec<Vec<String>> = parts
        .map(|part| vec![part.name.clone(), energy(part.energy_kwh.value), percent(part.share)])
        .collect();
    table(&mut out, &["for, and in", "energy", "of all"], &parts, 1);

    let total_kwh = digest.energy_kwh.value;
    leaders(&mut out, "Users with most energy", "user", &digest.top_users, total_kwh);
    leaders(&mut out, "Accounts with most energy", "account", &digest.top_accounts, total_kwh);
    leaders(&mut out, "Runs with most energy", "run", &digest.top_runs, total_kwh);
    list(&mut out, "Left out", &provenance.left_out);
    list(&mut out, "Notes", &provenance.notes);
    list(&mut out, "Sources", &provenance.attributions);
    let _ = writeln!(
        out,
        "Made by wattledger {}. report.html has charts and all tables, summary.json the settings and the SHA-256 of the inputs.",
        env!("CARGO_PKG_VERSION")
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_code_that_nothing_gets_out_of() {
        for (text, shown) in [
            ("train", "`train`"),
            ("", "–"),
            (" \t", "–"),
            ("a|b", "`a\\|b`"),
            ("a\\|b", "`a\\ \\|b`"),
            ("end\\", "`end\\ `"),
            ("`rm -rf`", "`'rm -rf'`"),
            ("<img src=x onerror=alert(1)>", "`<img src=x onerror=alert(1)>`"),
            ("[x](javascript:alert(1)) @all #1", "`[x](javascript:alert(1)) @all #1`"),
            ("two\nlines\r\n| x |", "`two lines  \\| x \\|`"),
            ("\u{202e}gnp.exe", "`gnp.exe`"),
        ] {
            assert_eq!(name(text), shown);
        }
        assert_eq!(width(&name(&"x".repeat(10_000))), NAME + 2);
    }

    #[test]
    fn sentences_keep_their_code_and_lose_their_markup() {
        assert_eq!(words("read in the zone `UTC`"), "read in the zone `UTC`");
        assert_eq!(words("`a|b` is *not* <b>known</b>"), "`a\\|b` is \\*not\\* &lt;b&gt;known&lt;/b&gt;");
        assert_eq!(words("one ` alone [x](y) ![z](w)"), "one \\` alone \\[x\\](y) \\!\\[z\\](w)");
        assert_eq!(words("@all & #1\nmore"), "@\u{2060}all &amp; \\#1 more");
    }

    #[test]
    fn tables_line_up_also_with_wide_letters() {
        let mut out = String::new();
        table(
            &mut out,
            &["user", "energy"],
            &[vec!["`模型`".to_owned(), "1.500 kWh".to_owned()], vec!["`b`".to_owned(), "2 Wh".to_owned()]],
            1,
        );
        let expected = "\
| user   |    energy |
| ------ | --------: |
| `模型` | 1.500 kWh |
| `b`    |      2 Wh |

";
        assert_eq!(out, expected);
    }
}
