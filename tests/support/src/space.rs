//! One test's own corner of a shared OpenBao: mounts, policies and logins nobody else uses, and what the audit log says of them.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::{Case, OpenBao, Postgres, certificates, unique};

/// A corner of a server.
pub struct Space<'a> {
    /// The server.
    pub bao: &'a OpenBao,
    /// What every name of ours ends with.
    pub id: String,
    logins: RefCell<Vec<String>>,
    tokens: RefCell<Vec<String>>,
}

/// How our program logs in: the `auth` of a config file, and where the login happens.
pub struct Login {
    /// A YAML flow map.
    pub auth: String,
    /// `auth/MOUNT/login…`.
    pub path: String,
}

impl<'a> Space<'a> {
    /// A fresh corner.
    pub fn new(bao: &'a OpenBao) -> Self {
        Self { bao, id: unique().to_string(), logins: RefCell::default(), tokens: RefCell::default() }
    }

    /// A KV v2 mount with these secrets; its name.
    pub fn kv2(&self, secrets: &[(&str, Value)]) -> String {
        let mount = format!("kv-{}", self.id);
        self.bao.write(&format!("sys/mounts/{mount}"), json!({ "type": "kv", "options": { "version": "2" } }));
        self.bao.kv2_is_ready(&mount);
        for (path, data) in secrets {
            self.bao.write(&format!("{mount}/data/{path}"), json!({ "data": data }));
        }
        mount
    }

    /// A KV v1 mount with these secrets; its name.
    pub fn kv1(&self, secrets: &[(&str, Value)]) -> String {
        let mount = format!("old-{}", self.id);
        self.bao.write(&format!("sys/mounts/{mount}"), json!({ "type": "kv", "options": { "version": "1" } }));
        for (path, data) in secrets {
            self.bao.write(&format!("{mount}/{path}"), data.clone());
        }
        mount
    }

    /// A policy that allows reads and updates below these paths; its name.
    pub fn policy(&self, paths: &[&str]) -> String {
        let name = format!("policy-{}-{}", self.id, unique());
        let rules = paths.iter().map(|path| format!("path \"{path}\" {{ capabilities = [\"read\", \"update\"] }}\n"));
        self.bao.write(&format!("sys/policies/acl/{name}"), json!({ "policy": rules.collect::<String>() }));
        name
    }

    /// AppRole with a secret id in a file; the role's token may use `paths`.
    pub fn approle(&self, case: &Case, paths: &[&str]) -> Login {
        self.approle_with(case, paths, json!({}))
    }

    /// The same with more settings of the role.
    pub fn approle_with(&self, case: &Case, paths: &[&str], settings: Value) -> Login {
        let mount = format!("approle-{}", unique());
        self.bao.write(&format!("sys/auth/{mount}"), json!({ "type": "approle" }));
        let mut role = json!({ "token_policies": [self.policy(paths)], "token_ttl": "10m" });
        role.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        self.bao.write(&format!("auth/{mount}/role/web"), role);
        let role_id = self.bao.read(&format!("auth/{mount}/role/web/role-id"))["data"]["role_id"].clone();
        let secret_id = self.bao.write(&format!("auth/{mount}/role/web/secret-id"), json!({}));
        let file = case.write(&format!("{mount}.secret-id"), secret_id["data"]["secret_id"].as_str().unwrap());
        let auth = format!(
            "{{ method: approle, mount: {mount}, roleId: {}, secretIdFile: {} }}",
            role_id.as_str().unwrap(),
            file.display()
        );
        self.login(auth, format!("auth/{mount}/login"))
    }

    /// A token in a file, with a policy for `paths`; also its accessor.
    pub fn token(&self, case: &Case, paths: &[&str], settings: Value) -> (Login, String) {
        let mut body = json!({ "policies": [self.policy(paths)], "ttl": "10m", "no_parent": true });
        body.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let made = self.bao.write("auth/token/create", body);
        let path = case.write("token", made["auth"]["client_token"].as_str().unwrap());
        let login = self.login(format!("{{ method: token-file, path: {} }}", path.display()), String::new());
        let accessor = made["auth"]["accessor"].as_str().unwrap().to_owned();
        self.tokens.borrow_mut().push(accessor.clone());
        (login, accessor)
    }

    /// Kubernetes: the suite's TokenReview server behind it; tokens are `pod*.jwt` of [`certificates`].
    pub fn kubernetes(&self, paths: &[&str], token_file: &str) -> Login {
        let mount = format!("kubernetes-{}", unique());
        let ca = fs::read_to_string(certificates().join("ca.pem")).unwrap();
        let reviewer = fs::read_to_string(certificates().join("reviewer.jwt")).unwrap();
        self.bao.write(&format!("sys/auth/{mount}"), json!({ "type": "kubernetes" }));
        let config = json!({
            "kubernetes_host": OpenBao::token_review(), "kubernetes_ca_cert": ca,
            "token_reviewer_jwt": reviewer.trim(), "disable_local_ca_jwt": true,
        });
        self.bao.write(&format!("auth/{mount}/config"), config);
        let role = json!({
            "bound_service_account_names": ["web"], "bound_service_account_namespaces": ["default"],
            "audience": "vault", "token_policies": [self.policy(paths)],
        });
        self.bao.write(&format!("auth/{mount}/role/web"), role);
        let auth =
            format!("{{ method: kubernetes, mount: {mount}, role: web, tokenFile: {} }}", made(token_file).display());
        self.login(auth, format!("auth/{mount}/login"))
    }

    /// JWT, verified by the suite's key.
    pub fn jwt(&self, paths: &[&str], token_file: &str) -> Login {
        let mount = format!("jwt-{}", unique());
        let key = fs::read_to_string(certificates().join("jwt.pub")).unwrap();
        self.bao.write(&format!("sys/auth/{mount}"), json!({ "type": "jwt" }));
        self.bao.write(&format!("auth/{mount}/config"), json!({ "jwt_validation_pubkeys": [key] }));
        let role = json!({
            "role_type": "jwt", "bound_audiences": ["vault"], "bound_subject": "web", "user_claim": "sub",
            "token_policies": [self.policy(paths)],
        });
        self.bao.write(&format!("auth/{mount}/role/web"), role);
        let auth = format!("{{ method: jwt, mount: {mount}, role: web, tokenFile: {} }}", made(token_file).display());
        self.login(auth, format!("auth/{mount}/login"))
    }

    /// A client certificate of the suite's CA; needs the TLS address.
    pub fn cert(&self, paths: &[&str], client: &str) -> Login {
        let mount = format!("cert-{}", unique());
        let ca = fs::read_to_string(certificates().join("ca.pem")).unwrap();
        self.bao.write(&format!("sys/auth/{mount}"), json!({ "type": "cert" }));
        let role = json!({ "certificate": ca, "allowed_dns_sans": "web.test", "token_policies": [self.policy(paths)] });
        self.bao.write(&format!("auth/{mount}/certs/web"), role);
        let auth = format!(
            "{{ method: cert, mount: {mount}, role: web, certFile: {}, keyFile: {} }}",
            made(&format!("{client}.pem")).display(),
            made(&format!("{client}.key")).display()
        );
        self.login(auth, format!("auth/{mount}/login"))
    }

    /// A PostgreSQL connection with a dynamic role `web`, a short-lived one `short` and a static role `batch`; the mount.
    pub fn database(&self) -> String {
        let postgres = Postgres::shared();
        let mount = format!("database-{}", self.id);
        let user = format!("batch_{}", self.id);
        postgres.sql(&format!("CREATE ROLE {user} LOGIN PASSWORD 'first'"));
        self.bao.write(&format!("sys/mounts/{mount}"), json!({ "type": "database" }));
        let connection = json!({
            "plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "username": "postgres",
            "password": Postgres::PASSWORD, "connection_url": postgres.url(),
        });
        self.bao.write(&format!("{mount}/config/main"), connection);
        let create = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'";
        for (role, ttl) in [("web", "1h"), ("short", "20s")] {
            let settings = json!({
                "db_name": "main", "default_ttl": ttl, "max_ttl": "24h", "creation_statements": [create],
            });
            self.bao.write(&format!("{mount}/roles/{role}"), settings);
        }
        let settings = json!({ "db_name": "main", "username": user, "rotation_period": "24h" });
        self.bao.write(&format!("{mount}/static-roles/batch"), settings);
        mount
    }

    /// How many leases of a database role live.
    pub fn leases(&self, mount: &str, role: &str) -> usize {
        self.bao.list(&format!("sys/leases/lookup/{mount}/creds/{role}")).len()
    }

    /// A config's `vault` for a login at the plain address.
    pub fn vault(&self, login: &Login) -> String {
        self.vault_at(&self.bao.address(), login)
    }

    /// The same at another address.
    pub fn vault_at(&self, address: &str, login: &Login) -> String {
        format!("vault:\n  address: {address}\n  auth: {}\n", login.auth)
    }

    /// Everything our program asked: its logins here, and what it did with the tokens they gave. `read kv-1/data/app`.
    pub fn requests(&self) -> Vec<String> {
        self.said("request").into_iter().map(|line| format!("{} {}", line.operation, line.path)).collect()
    }

    /// The accessors of all tokens our logins gave, and of those made for files.
    pub fn accessors(&self) -> Vec<String> {
        let logins = self.logins.borrow();
        let is_login = |line: &crate::Audit| line.kind == "response" && logins.contains(&line.path);
        let issued = self.bao.audit().into_iter().filter(is_login).map(|line| line.accessor);
        issued.chain(self.tokens.borrow().iter().cloned()).filter(|accessor| !accessor.is_empty()).collect()
    }

    fn said(&self, kind: &str) -> Vec<crate::Audit> {
        let (accessors, logins) = (self.accessors(), self.logins.borrow());
        let ours = |line: &crate::Audit| logins.contains(&line.path) || accessors.contains(&line.accessor);
        self.bao.audit().into_iter().filter(|line| line.kind == kind && ours(line)).collect()
    }

    fn login(&self, auth: String, path: String) -> Login {
        if !path.is_empty() {
            self.logins.borrow_mut().push(path.clone());
        }
        Login { auth, path }
    }
}

fn made(name: &str) -> PathBuf {
    certificates().join(name)
}
