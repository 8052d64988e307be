//! The annotations of other injectors that an operator lets count too, and how they enter a pod's configuration.

/// Another injector whose annotations are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// Vault's Agent Injector.
    Vault,
    /// OpenBao's Agent Injector, which reads Vault's annotations too.
    OpenBao,
    /// bank-vaults' secrets-webhook.
    BankVaults,
}

/// In front of the annotations of Vault's Agent Injector.
pub const VAULT_PREFIX: &str = "vault.hashicorp.com/";
/// In front of the annotations of OpenBao's Agent Injector.
pub const OPENBAO_PREFIX: &str = "openbao.org/";
/// In front of the annotations of bank-vaults' first webhook.
pub const BANK_VAULTS_PREFIX: &str = "vault.security.banzaicloud.io/";
/// In front of the annotations of its successor.
pub const SECRETS_WEBHOOK_PREFIX: &str = "secrets-webhook.security.bank-vaults.io/";

/// The prefixes of all dialects.
pub const DIALECT_PREFIXES: [&str; 4] = [VAULT_PREFIX, OPENBAO_PREFIX, BANK_VAULTS_PREFIX, SECRETS_WEBHOOK_PREFIX];

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 3] = [Self::Vault, Self::OpenBao, Self::BankVaults];

    /// As it is written in the injector's config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::OpenBao => "openbao",
            Self::BankVaults => "bank-vaults",
        }
    }

    /// The dialect of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// What its annotations begin with.
    pub fn prefixes(self) -> &'static [&'static str] {
        match self {
            Self::Vault => &[VAULT_PREFIX],
            Self::OpenBao => &[OPENBAO_PREFIX, VAULT_PREFIX],
            Self::BankVaults => &[BANK_VAULTS_PREFIX, SECRETS_WEBHOOK_PREFIX],
        }
    }
}

/// What an annotation of a dialect says about a key of the config. It is checked like an annotation of ours, and a key that
/// no annotation of ours may set is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key of the config, by its parts; behind `[]` each value is an item of a list.
    pub path: Vec<String>,
    /// Its value; several for a list.
    pub values: Vec<String>,
    /// The whole key of the annotation.
    pub annotation: String,
}
