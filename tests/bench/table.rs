//! The printed result: one line a budget, with what was measured, what it is compared with, and whether it is within.

use std::time::Duration;

/// Counts what is within and what is not.
#[derive(Debug)]
pub(crate) struct Table {
    within: usize,
    over: usize,
}

impl Table {
    pub(crate) fn begin() -> Self {
        println!(
            "  {:<38} {:>10} {:>10} {:>9} {:>9}",
            "what", "measured", "against", "result", "budget"
        );
        Self { within: 0, over: 0 }
    }

    /// A time against another one of the same run; the budget is the highest ratio of the two.
    pub(crate) fn ratio(&mut self, what: &str, measured: Duration, against: Duration, budget: f64) {
        let ratio = measured.as_secs_f64() / against.as_secs_f64().max(f64::MIN_POSITIVE);
        let shown = [
            show(measured),
            show(against),
            format!("{ratio:.2} x"),
            format!("{budget} x"),
        ];
        self.line(what, shown, ratio <= budget);
    }

    /// A value against a fixed budget, both in `unit`; `base` is what it was measured against, if anything.
    pub(crate) fn value(
        &mut self,
        what: &str,
        measured: f64,
        base: Option<f64>,
        result: f64,
        budget: f64,
        unit: &str,
    ) {
        let show =
            |value: f64| format!("{value:.*} {unit}", if value.abs() < 10.0 { 2 } else { 1 });
        let shown = [
            show(measured),
            base.map(show).unwrap_or_default(),
            show(result),
            format!("{budget} {unit}"),
        ];
        self.line(what, shown, result <= budget);
    }

    /// A figure without a budget, which explains another one.
    pub(crate) fn aside(&self, text: &str) {
        println!("      {text}");
    }

    pub(crate) fn end(&self) {
        println!("\n  {} within budget, {} over", self.within, self.over);
    }

    fn line(&mut self, what: &str, [measured, against, result, budget]: [String; 4], within: bool) {
        *(if within {
            &mut self.within
        } else {
            &mut self.over
        }) += 1;
        let word = if within { "within" } else { "OVER" };
        println!(
            "  {what:<38} {measured:>10} {against:>10} {result:>9} {:>9}  {word}",
            format!("≤ {budget}")
        );
    }
}

/// A time with three digits or so.
pub(crate) fn show(time: Duration) -> String {
    let us = time.as_secs_f64() * 1e6;
    if us < 1_000.0 {
        format!("{us:.1} µs")
    } else {
        format!("{:.2} ms", us / 1e3)
    }
}
