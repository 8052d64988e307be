//! Dialects: the annotations of other injectors that an operator can enable, and how they are represented.

/// Another injector whose annotations are supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dialect {
    /// Vault's Agent Injector.
    Vault,
    /// OpenBao's Agent Injector, which reads Vault's annotations too.
    OpenBao,
    /// bank-vaults' secrets-webhook.
    BankVaults,
}

/// The prefix of annotations of Vault's Agent Injector.
pub const VAULT_PREFIX: &str = "vault.hashicorp.com/";
/// The prefix of annotations of OpenBao's Agent Injector.
pub const OPENBAO_PREFIX: &str = "openbao.org/";
/// The prefix of annotations of bank-vaults' first webhook.
pub const BANK_VAULTS_PREFIX: &str = "vault.security.banzaicloud.io/";
/// The prefix of annotations of its successor.
pub const SECRETS_WEBHOOK_PREFIX: &str = "secrets-webhook.security.bank-vaults.io/";

/// The prefixes of all dialects.
pub const DIALECT_PREFIXES: [&str; 4] = [VAULT_PREFIX, OPENBAO_PREFIX, BANK_VAULTS_PREFIX, SECRETS_WEBHOOK_PREFIX];

impl Dialect {
    /// Every dialect.
    pub const ALL: [Self; 3] = [Self::Vault, Self::OpenBao, Self::BankVaults];

    /// The dialect's name in the injector's config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::OpenBao => "openbao",
            Self::BankVaults => "bank-vaults",
        }
    }

    /// The dialect with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// The prefixes of its annotations.
    pub fn prefixes(self) -> &'static [&'static str] {
        match self {
            Self::Vault => &[VAULT_PREFIX],
            Self::OpenBao => &[OPENBAO_PREFIX, VAULT_PREFIX],
            Self::BankVaults => &[BANK_VAULTS_PREFIX, SECRETS_WEBHOOK_PREFIX],
        }
    }
}

/// A key of the config that a dialect's annotation sets. It is validated like an annotation of this project, and
/// refused for keys that no annotation may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key's parts; after a part `[]`, each value is an item of a list.
    pub path: Vec<String>,
    /// The value; several for a list.
    pub values: Vec<String>,
    /// The annotation's full key.
    pub annotation: String,
}
