//! Names of the hardware tables that are like a given one: for people to look at, never taken for it.

use super::hardware::{CpuMatch, GpuMatch, cpu_words, every_cpu, every_gpu, gpu_words};

/// What a word counts that has digits in it: it tells one model from another.
const NUMBER_WEIGHT: f64 = 3.0;
/// The part of that which a word counts that differs in one letter.
const ONE_OFF: f64 = 0.5;
/// The best score of a name that is not the very one.
const BEST: f64 = 0.89;

/// The `count` processors whose names are most like `name`, best first, each with a score below 0.9.
pub fn nearest_cpus(name: &str, count: usize) -> Vec<CpuMatch> {
    let asked = cpu_words(name);
    let scored = every_cpu().map(|cpu| CpuMatch { score: likeness(&asked, &cpu_words(cpu.name)), ..cpu });
    best(scored, count, |cpu| (cpu.score, cpu.name))
}

/// The `count` GPUs whose names are most like `name`, best first, each with a score below 0.9.
pub fn nearest_gpus(name: &str, count: usize) -> Vec<GpuMatch> {
    let asked = gpu_words(name);
    let scored = every_gpu().map(|gpu| GpuMatch { score: likeness(&asked, &gpu_words(gpu.name)), ..gpu });
    best(scored, count, |gpu| (gpu.score, gpu.name))
}

fn best<T>(all: impl Iterator<Item = T>, count: usize, rank: impl Fn(&T) -> (f64, &'static str)) -> Vec<T> {
    let mut found: Vec<T> = all.filter(|item| rank(item).0 > 0.0).collect();
    found.sort_by(|left, right| {
        let ((left_score, left_name), (right_score, right_name)) = (rank(left), rank(right));
        right_score.total_cmp(&left_score).then(left_name.cmp(right_name))
    });
    found.truncate(count);
    found
}

/// The weight of words in common ÷ the mean weight of both names, at most [`BEST`].
fn likeness(asked: &[String], known: &[String]) -> f64 {
    let weight =
        |word: &String| if word.bytes().any(|byte| byte.is_ascii_digit()) { NUMBER_WEIGHT } else { 1.0 };
    let total: f64 = asked.iter().chain(known).map(weight).sum();
    if total == 0.0 {
        return 0.0;
    }
    let common: f64 = asked
        .iter()
        .map(|word| {
            if known.contains(word) {
                weight(word)
            } else if known.iter().any(|other| weight(other) > 1.0 && is_one_off(word, other)) {
                weight(word) * ONE_OFF
            } else {
                0.0
            }
        })
        .sum();
    (2.0 * common / total * BEST).min(BEST)
}

/// True for two words of one length that differ in one place, and where one has one letter more at its end.
fn is_one_off(left: &str, right: &str) -> bool {
    if left.len() == right.len() {
        return left.bytes().zip(right.bytes()).filter(|(left, right)| left != right).count() == 1;
    }
    let (short, long) = if left.len() < right.len() { (left, right) } else { (right, left) };
    long.len() == short.len() + 1 && long.starts_with(short)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_are_of_the_same_family() {
        let names: Vec<&str> =
            nearest_cpus("Intel(R) Xeon(R) Gold 6248X CPU @ 2.50GHz", 3).iter().map(|cpu| cpu.name).collect();
        assert!(names.contains(&"Intel Xeon Gold 6248"), "{names:?}");
        assert!(nearest_gpus("NVIDIA A100", 1)[0].name.starts_with("NVIDIA A100"));
        assert!(nearest_cpus("", 3).is_empty() && nearest_gpus("§", 3).is_empty());
        for cpu in nearest_cpus("Intel Xeon Gold 6248", 5) {
            assert!(cpu.score <= BEST, "{cpu:?}");
        }
    }
}
