//! Who may speak to a server with TLS and users, and which server a client may trust.

use crate::{SOON, quick};
use etcd_client::{Certificate, Client, ConnectOptions, Identity, TlsOptions};
use std::fs;
use std::path::PathBuf;
use testkit::certificates::{Authority, Files, Flaw};
use testkit::etcd::{Etcd, Options, Tls};

#[test]
fn only_a_client_with_certificate_and_password_comes_in() {
    let (authority, other) = (
        Authority::new("ours").expect("ours"),
        Authority::new("ours").expect("other"),
    );
    let client = |of: &Authority, flaw| Some(of.client("client", flaw).expect("a certificate"));
    let user = Some(("node".to_owned(), "secret".to_owned()));
    let tls = Some(Tls::mutual(&authority));
    let mut etcd = Etcd::start(&Options {
        tls,
        user: user.clone(),
        ..quick(1)
    })
    .expect("an etcd");
    let good = Access {
        trusts: authority.file(),
        certificate: client(&authority, Flaw::None),
        user,
    };
    good.put(&etcd).expect("a good client");
    let wrong = Some(("node".to_owned(), "guessed".to_owned()));
    let bad = [
        Access {
            certificate: client(&other, Flaw::None),
            ..good.clone()
        },
        Access {
            certificate: client(&authority, Flaw::Expired),
            ..good.clone()
        },
        Access {
            certificate: None,
            ..good.clone()
        },
        Access {
            trusts: other.file(),
            ..good.clone()
        },
        Access {
            user: wrong,
            ..good.clone()
        },
        Access {
            user: None,
            ..good.clone()
        },
    ];
    for access in bad {
        access.put(&etcd).expect_err(&format!("{access:?}"));
    }
    etcd.member(0).restart().expect("a restart");
    etcd.wait_for_leader().expect("a leader");
    etcd.put("key", b"value")
        .expect("a token that is asked for anew");
    good.put(&etcd).expect("a good client");
}

#[test]
fn a_server_with_a_flawed_certificate_is_not_trusted() {
    let authority = Authority::new("ours").expect("an authority");
    let access = Access {
        trusts: authority.file(),
        certificate: None,
        user: None,
    };
    let flaws = [
        Flaw::None,
        Flaw::Expired,
        Flaw::NotYetValid,
        Flaw::OtherHost,
    ];
    let trusted = flaws.map(|flaw| {
        let authority = authority.clone();
        let tls = Some(Tls {
            authority,
            flaw,
            clients: None,
        });
        let etcd = Etcd::start(&Options { tls, ..quick(1) }).expect("an etcd");
        access.put(&etcd).is_ok()
    });
    assert_eq!(trusted, [true, false, false, false]);
}

/// What a client has to show, and whom it trusts.
#[derive(Clone, Debug)]
struct Access {
    trusts: PathBuf,
    certificate: Option<Files>,
    user: Option<(String, String)>,
}

impl Access {
    fn put(&self, etcd: &Etcd) -> Result<(), etcd_client::Error> {
        let read = |path| fs::read(path).expect("a file");
        let mut tls = TlsOptions::new().ca_certificate(Certificate::from_pem(read(&self.trusts)));
        if let Some(files) = &self.certificate {
            tls = tls.identity(Identity::from_pem(
                read(&files.certificate),
                read(&files.key),
            ));
        }
        let mut options = ConnectOptions::new()
            .with_tls(tls)
            .with_connect_timeout(SOON)
            .with_timeout(SOON);
        if let Some((name, password)) = &self.user {
            options = options.with_user(name, password);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async {
            let mut client = Client::connect(etcd.endpoints(), Some(options)).await?;
            client.put("key", "value", None).await.map(drop)
        })
    }
}
