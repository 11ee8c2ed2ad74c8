//! What makes two nodes each other's authority: certificates, made with `supervisor pki`, and a `[peer]` section.

use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::node::said;

use crate::machine::NAMES;
use crate::stage::{Failure, Stage};

/// Of the link between the two, each at an address of its own.
const PORT: u16 = 7400;

/// Makes the certificates and configures both. Gives the commands that it ran.
pub(crate) fn configure(stage: &dyn Stage) -> Result<Vec<String>, Failure> {
    let pki = stage.dir().join("pki");
    let mut ran = vec![run(stage.supervisor(), &pki, &["init"])?];
    for name in NAMES {
        let words = ["add", name, "--host", &stage.address(name)];
        ran.push(run(stage.supervisor(), &pki, &words)?);
    }
    for name in NAMES {
        stage.machine(name).configure(&sections(stage, name, &pki));
    }
    Ok(ran)
}

fn run(supervisor: &Path, pki: &PathBuf, words: &[&str]) -> Result<String, Failure> {
    let mut command = Command::new(supervisor);
    command.arg("pki").args(words).arg("--dir").arg(pki);
    let output = command.output()?;
    let shown = format!("supervisor pki {} --dir pki", words.join(" "));
    if output.status.success() {
        return Ok(shown);
    }
    Err(Failure(format!(
        "`{shown}`: {}: {}",
        output.status,
        said(&output)
    )))
}

fn sections(stage: &dyn Stage, name: &str, pki: &Path) -> String {
    let at = |name: &str| format!("{}:{PORT}", stage.address(name));
    let nodes = NAMES.map(|name| format!("{{ name = {name:?}, address = {:?} }}", at(name)));
    format!(
        "[cluster]\nrpc = {:?}\n[peer]\nlisten = {:?}\nca = {:?}\ncert = {:?}\nkey = {:?}\nnodes = [{}]\n",
        stage.cluster_rpc(),
        at(name),
        pki.join("ca.pem"),
        pki.join(format!("{name}.pem")),
        pki.join(format!("{name}-key.pem")),
        nodes.join(", ")
    )
}
