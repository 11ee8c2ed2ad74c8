//! Renames by processes behind the gate other than the validator: what is gated, and what passes.

use crate::lab::{Lab, SOON_MS};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat, renameat2};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use testkit::stand_in::{Protocol, until};

/// A voting node, beside whose validator a shell waits behind the same gate for jobs.
struct Helped {
    lab: Lab,
}

impl Helped {
    fn new(configuration: &str) -> Self {
        let mut lab = Lab::new(Protocol::Tower);
        let link = format!("link = \"{}\"\n", lab.path("identity.json").display());
        lab.configure_identity(&link, configuration);
        let dir = lab.dir.path().display().to_string();
        let shell = format!(
            "cd {dir}\n(while [ -e config.toml ]; do if [ -e job ]; then sh ./job > answer.new 2>&1; rm job; mv answer.new answer; fi; sleep 0.02; done) &"
        );
        let words = lab.start_script(&shell);
        lab.run(&words);
        lab.promote_first();
        Self { lab }
    }

    fn begin(&self, job: &str) {
        let _ = std::fs::remove_file(self.lab.path("answer"));
        std::fs::write(self.lab.path("job.new"), job).expect("a job");
        std::fs::rename(self.lab.path("job.new"), self.lab.path("job")).expect("a job");
    }

    fn answer(&self) -> String {
        assert!(
            until(SOON_MS, || self.lab.path("answer").exists()),
            "no answer\n{}",
            self.lab.log()
        );
        std::fs::read_to_string(self.lab.path("answer")).expect("an answer")
    }

    fn does(&self, job: &str) -> String {
        self.begin(job);
        self.answer()
    }

    /// Has a test of this file, which is ignored elsewhere, run behind the gate.
    fn does_here(&self, name: &str) -> String {
        self.does(&here(name))
    }

    fn record(&self) -> String {
        self.lab
            .node
            .record()
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned()
    }
}

fn here(name: &str) -> String {
    let own = std::env::current_exe().expect("this program");
    format!(
        "exec {} --ignored --exact --nocapture --test-threads 1 behind_gate::{name}",
        own.display()
    )
}

#[test]
fn records_that_are_no_vote_of_ours_cannot_be_renamed_into_place() {
    let helped = Helped::new("");
    let record = helped.record();
    let refused = |make: &str| {
        let answer = helped.does(&format!(
            "cd tower\nrm -rf x\n{make}\nmv x {record} && echo moved"
        ));
        assert!(
            answer.contains("Input/output error") && !answer.contains("moved"),
            "{make}: {answer}"
        );
    };
    refused("echo garbage > x");
    refused(": > x");
    refused(&format!("head -c 100 {record} > x"));
    refused(&format!(
        "cp {record} x; printf x | dd of=x bs=1 seek=20 conv=notrunc 2>&1"
    ));
    refused(&format!("(cat {record}; head -c 20000000 /dev/zero) > x"));
    refused("mkfifo x");
    refused("ln -s /dev/zero x");
    refused("ln -s /nonexistent x");
    // In another directory, and under the name of the other kind of record.
    let elsewhere = helped.does(&format!(
        "mkdir -p other\necho garbage > other/x\nmv other/x other/{record}"
    ));
    assert!(elsewhere.contains("Input/output error"), "{elsewhere}");
    let history = record.replace("tower-1_9-", "vote_history-");
    let answer = helped.does(&format!("echo garbage > x\nmv x ledger/{history}"));
    assert!(answer.contains("Input/output error"), "{answer}");
    assert!(
        helped.lab.log().contains("was not let through"),
        "{}",
        helped.lab.log()
    );
    helped.lab.await_votes(5);
    helped.lab.end();
}

#[test]
fn other_names_pass_and_a_record_that_was_committed_may_be_put_back() {
    let helped = Helped::new("");
    let record = helped.record();
    let passes = |job: &str| {
        let answer = helped.does(job);
        assert!(answer.ends_with("moved\n"), "{job}: {answer}");
    };
    passes("echo garbage > x\nmv x tower/tower-1_9-AnotherIdentity.bin && echo moved");
    passes(&format!(
        "echo garbage > x\nmv x tower/{record}.new2 && echo moved"
    ));
    passes(&format!(
        "mkdir -p {record}.d && mv {record}.d some.d && echo moved"
    ));
    helped.lab.chain.halt(true);
    helped.lab.chain.settle();
    passes(&format!(
        "cd tower\ncp {record} x\nmv ./x ../tower/{record} && echo moved"
    ));
    helped.lab.chain.halt(false);
    helped.lab.await_votes(5);
    helped.lab.end();
}

#[test]
fn paths_by_descriptor_and_by_working_directory_are_resolved_as_the_kernel_does() {
    let helped = Helped::new("");
    helped.lab.chain.halt(true);
    helped.lab.chain.settle();
    let answer = helped.does_here("renames_in_every_way");
    assert!(
        answer.contains("every way was answered as it should be"),
        "{answer}"
    );
    helped.lab.chain.halt(false);
    helped.lab.await_votes(5);
    helped.lab.end();
}

/// The only record in a directory.
fn record_in(dir: &Path) -> String {
    let names = std::fs::read_dir(dir)
        .expect("the towers")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut records = names.filter(|name| name.starts_with("tower-1_9-") && name.ends_with(".bin"));
    records.next().expect("a record")
}

#[test]
#[ignore = "run by another test, behind the gate"]
fn renames_in_every_way() {
    let tower = PathBuf::from("tower");
    let name = record_in(&tower);
    let directory = File::open(&tower).expect("the tower directory");
    let absolute = std::fs::canonicalize(&tower).expect("its path");
    let exchanged = format!("../tower/{name}");
    type Way<'a> = (&'a str, Box<dyn Fn() -> bool + 'a>);
    let ways: [Way<'_>; 5] = [
        (
            "both by descriptor",
            Box::new(|| renameat(&directory, "x", &directory, name.as_str()).is_ok()),
        ),
        (
            "the target by descriptor",
            Box::new(|| renameat(AT_FDCWD, "tower/x", &directory, name.as_str()).is_ok()),
        ),
        (
            "the source by descriptor",
            Box::new(|| {
                let (to, none) = (tower.join(&name), RenameFlags::empty());
                renameat2(&directory, "x", AT_FDCWD, &to, none).is_ok()
            }),
        ),
        (
            "exchanged",
            Box::new(|| {
                let flags = RenameFlags::RENAME_EXCHANGE;
                renameat2(&directory, "./x", &directory, exchanged.as_str(), flags).is_ok()
            }),
        ),
        (
            "by absolute paths",
            Box::new(|| std::fs::rename(absolute.join("x"), absolute.join(&name)).is_ok()),
        ),
    ];
    for (what, rename) in ways {
        // A vote that the validator was about to store makes the copy an old one.
        let copied = (0..100).any(|_| {
            std::fs::copy(tower.join(&name), tower.join("x")).expect("a copy");
            rename()
        });
        assert!(copied, "{what}: the record itself is let through");
        std::fs::write(tower.join("x"), "garbage").expect("a file");
        assert!(!rename(), "{what}: garbage is not");
    }
    println!("every way was answered as it should be");
}

#[test]
fn thousands_of_other_renames_pass_while_a_vote_waits() {
    let helped = Helped::new("[gate]\nhold_max = \"60s\"\n");
    let lab = &helped.lab;
    // A pipe in place of the record that the next commit writes over: the commit hangs.
    lab.chain.halt(true);
    lab.chain.settle();
    let older = lab.path("state/record.older");
    std::fs::rename(&older, lab.path("older.aside")).expect("the older record");
    nix::unistd::mkfifo(&older, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    lab.chain.halt(false);
    let waits = || {
        lab.status()
            .is_some_and(|status| status["gate"]["waiting"] == 1)
    };
    assert!(until(SOON_MS, waits), "{}", lab.log());
    let answer = helped.does_here("renames_by_the_thousand");
    assert!(answer.contains("renamed 8000 times"), "{answer}");
    assert!(waits(), "the vote still waits");
    // The reader lets the open go on; what is not a file fails there, and the vote is tried again.
    let reader = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&older)
        .expect("the pipe");
    std::fs::rename(lab.path("older.aside"), &older).expect("the older record");
    lab.await_votes(5);
    drop(reader);
    helped.lab.end();
}

#[test]
#[ignore = "run by another test, behind the gate"]
fn renames_by_the_thousand() {
    let failed = AtomicBool::new(false);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let failed = &failed;
            scope.spawn(move || {
                let [one, two] =
                    ["one", "two"].map(|name| PathBuf::from(format!("{name}.{thread}")));
                std::fs::write(&one, "").expect("a file");
                for _ in 0..1_000 {
                    let both =
                        std::fs::rename(&one, &two).and_then(|()| std::fs::rename(&two, &one));
                    failed.fetch_or(both.is_err(), Ordering::Relaxed);
                }
            });
        }
    });
    assert!(!failed.into_inner(), "a rename that is no vote failed");
    println!("renamed 8000 times in {:?}", began.elapsed());
    assert!(
        began.elapsed() < Duration::from_secs(25),
        "they were held up"
    );
}
