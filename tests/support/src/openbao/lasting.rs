//! A server that keeps everything on disk: it can be killed, started again, sealed, and given another certificate.

#![allow(dead_code, reason = "not every suite that shares this stops servers")]

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::OpenBao;
use crate::{certificates, free_port, replace, request, wait_for};

impl OpenBao {
    /// A new one that keeps everything on disk, so that it can be stopped and started again; also its unseal key. It shows
    /// the certificates in its own [folder](Self::folder), which can be replaced.
    pub fn lasting() -> (Self, String) {
        let (bao, config) = Self::planned();
        let (made, own) = (certificates().display().to_string(), bao.folder.display().to_string());
        for file in ["server.pem", "server.key"] {
            fs::copy(certificates().join(file), bao.folder.join(file)).unwrap();
        }
        let config = config.replace(&format!("{made}/server."), &format!("{own}/server."));
        let more = format!(
            "storage \"raft\" {{\n path = \"{own}/storage\"\n node_id = \"one\"\n}}\n\
             listener \"tcp\" {{\n address = \"127.0.0.1:{port}\"\n tls_disable = true\n}}\n\
             api_addr = \"http://127.0.0.1:{port}\"\ncluster_addr = \"https://127.0.0.1:{}\"\n",
            free_port(),
            port = bao.port
        );
        fs::create_dir(bao.folder.join("storage")).unwrap();
        fs::write(bao.folder.join("config.hcl"), config + &more).unwrap();
        bao.start_again();
        let initial = request(bao.port, "PUT", "/v1/sys/init", &[], br#"{"secret_shares":1,"secret_threshold":1}"#);
        let initial = initial.expect("OpenBao answers").json;
        let key = initial["keys"][0].as_str().unwrap_or_else(|| panic!("{initial}")).to_owned();
        bao.unseal(&key);
        let root = initial["root_token"].as_str().unwrap();
        let made = bao.ask("", root, "POST", "auth/token/create", &json!({ "id": "root", "policies": ["root"] }));
        assert_eq!(made.status, 200, "{made:?}");
        (bao, key)
    }

    /// Where its certificates and its storage are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Kills it.
    pub fn stop(&self) {
        *self.server.lock().unwrap() = None;
    }

    /// Starts a [lasting](Self::lasting) one, which is sealed then.
    pub fn start_again(&self) {
        self.run(&[]);
        wait_for("OpenBao", || self.health());
    }

    /// Unseals a [lasting](Self::lasting) one, and waits until it serves.
    pub fn unseal(&self, key: &str) {
        let body = json!({ "key": key }).to_string();
        let answer = request(self.port, "PUT", "/v1/sys/unseal", &[], body.as_bytes()).expect("OpenBao answers");
        assert_eq!(answer.status, 200, "{answer:?}");
        self.wait_for_health(200);
    }

    /// Puts a certificate where a [lasting](Self::lasting) one reads its own at the next start.
    pub fn use_certificate(&self, name: &str) {
        for ending in ["pem", "key"] {
            let (from, to) = (format!("{name}.{ending}"), self.folder.join(format!("server.{ending}")));
            replace(&to, |beside| _ = fs::copy(certificates().join(from), beside).unwrap());
        }
    }

    /// Makes a [lasting](Self::lasting) one show another certificate, while it runs.
    pub fn show_certificate(&self, name: &str) {
        self.use_certificate(name);
        let reloads = || self.log().matches("reload triggered").count();
        let before = reloads();
        self.server.lock().unwrap().as_ref().expect("started").signal(libc::SIGHUP);
        wait_for("the reload", || (reloads() > before).then_some(()));
    }
}
