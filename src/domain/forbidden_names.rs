//! Environment names that a backend may not choose: what makes a loader, shell, runtime or client load code or settings,
//! trust a certificate or use a proxy.
//!
//! Ordinary settings of an app pass (`DATABASE_URL`, `PGPASSWORD`, `USER`, `TZ`, `GOOGLE_APPLICATION_CREDENTIALS`). Names are
//! compared without case, because `http_proxy` and `npm_config_…` count in either.

/// Whether a name that came from a backend (`envFrom`, dotenv) could make the app's loader, shell or
/// interpreter run or trust something else. The config may still name such a variable itself, one by one.
pub fn is_forbidden_from_backend(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    PREFIXES.iter().any(|prefix| upper.starts_with(prefix))
        || ["_JAVA_OPTS", "_JAVA_OPTIONS"].iter().any(|suffix| upper.ends_with(suffix))
        || NAMES.contains(&upper.as_str())
        || ["VAULT_", "BAO_", "SECRET_EXEC_"].iter().any(|prefix| upper.starts_with(prefix))
}

#[rustfmt::skip] // one name a line would be pages long
const PREFIXES: &[&str] = &[
    "AWS_ENDPOINT_URL", "BASH_FUNC_", "BUNDLE_MIRROR", "CARGO_BUILD_", "CARGO_HTTP_", "CARGO_TARGET_", "COMPLUS_",
    "CORECLR_", "DOTNET_", "DYLD_", "GIT_", "GLIBC_", "GUILE_", "JULIA_", "LD_", "LIBMYSQL_", "LUA_CPATH", "LUA_INIT",
    "LUA_PATH", "MAGICK_", "MALLOC_", "MEMUSAGE_", "MSBUILD", "NPM_CONFIG_", "NUGET_NETCORE_PLUGIN",
    "NUGET_NETFX_PLUGIN", "NUGET_PLUGIN", "OPENSSL_", "PERL", "PIP_", "PYTHON", "RUBY", "R_ENVIRON", "R_LIBS",
    "R_PROFILE", "TF_CLI_", "UWSGI_", "XDG_",
];

#[rustfmt::skip] // one name a line would be pages long
const NAMES: &[&str] = &[
    "ALL_PROXY", "ANSIBLE_COLLECTIONS_PATH", "ANSIBLE_CONFIG", "ANSIBLE_LIBRARY", "ANSIBLE_ROLES_PATH", "ANT_ARGS",
    "ANT_OPTS", "ASPNETCORE_HOSTINGSTARTUPASSEMBLIES", "AWS_CA_BUNDLE", "AWS_CONFIG_FILE",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AZURE_CONFIG_DIR", "AZURE_EXTENSION_DIR", "BASHOPTS", "BASH_ENV", "BROWSER", "BUNDLE_APP_CONFIG",
    "BUNDLE_BIN_PATH", "BUNDLE_GEMFILE", "BUNDLE_PATH", "BUNDLE_USER_CONFIG", "BUNDLE_USER_HOME",
    "BUNDLE_USER_PLUGIN", "BUN_CONFIG_REGISTRY", "BUN_INSTALL", "BUN_OPTIONS", "CAML_LD_LIBRARY_PATH", "CARGO_HOME",
    "CATALINA_BASE", "CATALINA_HOME", "CATALINA_OPTS", "CDPATH", "CLASSPATH", "CLOUDSDK_CONFIG", "CLOUDSDK_PYTHON",
    "COMPOSER", "COMPOSER_HOME", "COMPOSER_VENDOR_DIR", "CONDARC", "COREPACK_HOME", "COREPACK_NPM_REGISTRY",
    "COR_ENABLE_PROFILING", "COR_PROFILER", "COR_PROFILER_PATH", "CURL_CA_BUNDLE", "CURL_HOME", "CURL_SSL_BACKEND",
    "CVS_RSH", "DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS", "DENO_CERT", "DENO_DIR", "DENO_TLS_CA_STORE",
    "DOCKER_CERT_PATH", "DOCKER_CONFIG", "DOCKER_HOST", "EDITOR", "ELECTRON_RUN_AS_NODE", "ELIXIR_ERL_OPTIONS",
    "EMACSLOADPATH", "ENV", "ERL_AFLAGS", "ERL_CRASH_DUMP", "ERL_FLAGS", "ERL_INETRC", "ERL_LIBS", "ERL_ROOTDIR",
    "ERL_ZFLAGS", "EXECIGNORE", "EXINIT", "FCEDIT", "FONTCONFIG_FILE", "FONTCONFIG_PATH", "FPATH", "FREETDS",
    "FREETDSCONF", "FTP_PROXY", "GCONV_PATH", "GDAL_DRIVER_PATH", "GEMRC", "GEM_HOME", "GEM_PATH", "GEM_SPEC_CACHE",
    "GETCONF_DIR", "GHCRTS", "GHC_ENVIRONMENT", "GHC_PACKAGE_PATH", "GIO_EXTRA_MODULES", "GIO_MODULE_DIR",
    "GLOBIGNORE", "GNUMAKEFLAGS", "GNUPGHOME", "GNUTLS_SYSTEM_PRIORITY_FILE", "GOAUTH", "GOBIN", "GOCOVERDIR",
    "GODEBUG", "GOENV", "GOFLAGS", "GOINSECURE", "GONOPROXY", "GONOSUMCHECK", "GONOSUMDB", "GOPATH", "GOPRIVATE",
    "GOPROXY", "GOROOT", "GOSUMDB", "GOTOOLCHAIN", "GOVCS", "GRADLE_HOME", "GRADLE_OPTS", "GRADLE_USER_HOME",
    "GREP_OPTIONS", "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "GRPC_PROXY", "GSETTINGS_SCHEMA_DIR", "GSS_MECH_CONFIG",
    "GST_PLUGIN_PATH", "GST_PLUGIN_SCANNER", "GST_REGISTRY", "GS_LIB", "GS_OPTIONS", "GTK_MODULES", "GTK_PATH",
    "GUNICORN_CMD_ARGS", "GVIMINIT", "HELM_CONFIG_HOME", "HELM_PLUGINS", "HEX_HOME", "HEX_MIRROR", "HGEDITOR",
    "HGMERGE", "HGRCPATH", "HISTFILE", "HOME", "HOSTALIASES", "HTTPLIB2_CA_CERTS", "HTTPS_CA_DIR", "HTTPS_CA_FILE",
    "HTTPS_PROXY", "HTTP_PROXY", "IFS", "INPUTRC", "IPYTHONDIR", "JAVA_ARGS", "JAVA_HOME", "JAVA_OPTIONS",
    "JAVA_OPTS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "JRE_HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_PATH",
    "JVM_OPTS", "KAFKA_OPTS", "KRB5CCNAME", "KRB5_CLIENT_KTNAME", "KRB5_CONFIG", "KRB5_KTNAME", "KRB5_TRACE",
    "KUBECONFIG", "KUBECTL_EXTERNAL_DIFF", "KUBE_EDITOR", "LDAPCONF", "LDAPRC", "LESS", "LESSCLOSE", "LESSHISTFILE",
    "LESSKEY", "LESSKEYIN", "LESSKEY_SYSTEM", "LESSOPEN", "LIBGL_DRIVERS_PATH", "LIBRARY_PATH", "LOCALDOMAIN",
    "LOCPATH", "M2_HOME", "MAKEFILES", "MAKEFLAGS", "MANPAGER", "MARIADB_PLUGIN_DIR", "MAVEN_ARGS", "MAVEN_CONFIG",
    "MAVEN_HOME", "MAVEN_OPTS", "MFLAGS", "MIX_ARCHIVES", "MIX_BUILD_PATH", "MIX_DEPS_PATH", "MIX_EXS", "MIX_HOME",
    "MIX_PATH", "MIX_REBAR3", "MONO_CFG_DIR", "MONO_CONFIG", "MONO_ENV_OPTIONS", "MONO_GAC_PREFIX", "MONO_PATH",
    "MPLCONFIGDIR", "MYSQL_HOME", "MYSQL_TEST_LOGIN_FILE", "NIS_PATH", "NIX_SSL_CERT_FILE", "NLSPATH",
    "NODE_COMPILE_CACHE", "NODE_CONFIG_DIR", "NODE_EXTRA_CA_CERTS", "NODE_ICU_DATA", "NODE_OPTIONS", "NODE_PATH",
    "NODE_REDIRECT_WARNINGS", "NODE_REPL_EXTERNAL_MODULE", "NODE_TLS_REJECT_UNAUTHORIZED", "NODE_USE_ENV_PROXY",
    "NODE_V8_COVERAGE", "NO_PROXY", "NUGET_PACKAGES", "NULLCMD", "OCAMLPATH", "OCAMLRUNPARAM", "ODBCINI",
    "ODBCINSTINI", "ODBCSYSINI", "ORACLE_HOME", "OUTPUT_CHARSET", "PAGER", "PATH", "PCPROFILE_OUTPUT", "PGLOCALEDIR",
    "PGSERVICEFILE", "PGSYSCONFDIR", "PHPRC", "PHP_INI_SCAN_DIR", "PNPM_HOME", "PROMPT_COMMAND", "PS0", "PS4",
    "PSQLRC", "PSQL_EDITOR", "PSQL_PAGER", "QT_PLUGIN_PATH", "QT_QPA_PLATFORM_PLUGIN_PATH", "READNULLCMD",
    "REQUESTS_CA_BUNDLE", "RESOLV_HOST_CONF", "RES_OPTIONS", "RSYNC_CONNECT_PROG", "RSYNC_PROXY", "RSYNC_RSH",
    "RUSTC", "RUSTC_WORKSPACE_WRAPPER", "RUSTC_WRAPPER", "RUSTDOCFLAGS", "RUSTFLAGS", "RUSTUP_DIST_SERVER",
    "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "R_DEFAULT_PACKAGES", "R_HOME", "SASL_CONF_PATH", "SASL_PATH", "SBT_OPTS",
    "SHELL", "SHELLOPTS", "SOCKS5_SERVER", "SOCKS_PROXY", "SOCKS_SERVER", "SSH_ASKPASS", "SSH_AUTH_SOCK",
    "SSLKEYLOGFILE", "SSL_CERT_DIR", "SSL_CERT_FILE", "SUDO_ASKPASS", "SUDO_EDITOR", "SVN_EDITOR", "SVN_SSH",
    "SYSTEMD_EDITOR", "SYSTEMD_PAGER", "SYSTEM_WGETRC", "TAR_OPTIONS", "TCLLIBPATH", "TCL_LIBRARY", "TEMP", "TEMPDIR",
    "TERMCAP", "TERMINFO", "TERMINFO_DIRS", "TERMPATH", "TF_DATA_DIR", "TF_PLUGIN_CACHE_DIR", "TK_LIBRARY", "TMP",
    "TMPDIR", "TNS_ADMIN", "TZDIR", "UV_CONFIG_FILE", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_INDEX",
    "UV_INDEX_URL", "UV_PYTHON", "VIMINIT", "VIMRUNTIME", "VIRTUAL_ENV", "VISUAL", "VK_ICD_FILENAMES", "WGETRC",
    "WSS_PROXY", "WS_PROXY", "XZ_DEFAULTS", "XZ_OPT", "YARN_NPM_REGISTRY_SERVER", "YARN_PLUGINS", "YARN_RC_FILENAME",
    "YARN_YARN_PATH", "ZDOTDIR", "_JAVA_OPTIONS",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loaders_shells_and_interpreters_are_not_a_backends_to_steer() {
        for name in [
            "LD_PRELOAD",
            "PATH",
            "BASH_ENV",
            "NODE_OPTIONS",
            "PYTHONPATH",
            "https_proxy",
            "SSL_CERT_FILE",
            "VAULT_TOKEN",
            "AWS_CONFIG_FILE",
            "AWS_SHARED_CREDENTIALS_FILE",
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_S3",
            "KUBECONFIG",
            "SSLKEYLOGFILE",
            "ERL_AFLAGS",
            "ERL_ZFLAGS",
            "MAVEN_OPTS",
            "CATALINA_OPTS",
            "GRADLE_OPTS",
            "CORECLR_ENABLE_PROFILING",
            "COMPlus_ReadyToRun",
            "DOTNET_gcServer",
            "npm_config_registry",
            "KRB5_CONFIG",
            "QT_PLUGIN_PATH",
            "GTK_MODULES",
            "GIO_MODULE_DIR",
            "R_PROFILE_USER",
            "JULIA_LOAD_PATH",
            "GOFLAGS",
            "RUSTFLAGS",
            "OPENSSL_ENGINES",
            "OPENSSL_CONF",
            "BROWSER",
            "PGSERVICEFILE",
            "PGSYSCONFDIR",
            "XDG_CONFIG_HOME",
            "ELIXIR_ERL_OPTIONS",
            "LESSOPEN",
            "PERL_LWP_SSL_CA_FILE",
            "LUA_INIT_5_4",
            "GIT_SSH_COMMAND",
            "PAGER",
            "MANPAGER",
            "BUNDLE_GEMFILE",
            "MYSQL_HOME",
            "ODBCINI",
            "ES_JAVA_OPTS",
            "ZDOTDIR",
            "CURL_HOME",
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
            "PIP_INDEX_URL",
            "GOENV",
            "CARGO_HOME",
            "SSH_ASKPASS",
            "RSYNC_RSH",
            "TAR_OPTIONS",
            "MAKEFLAGS",
        ] {
            assert!(is_forbidden_from_backend(name), "{name}");
        }
        for name in [
            "PASSWORD",
            "DB_PATH",
            "ENVIRONMENT",
            "LDAP_URL",
            "AWS_ACCESS_KEY_ID",
            "R_TOKEN",
            "NPM_TOKEN",
            "KRB5_PASSWORD",
            "DATABASE_URL",
            "PGPASSWORD",
            "PGHOST",
            "PGUSER",
            "PGSSLROOTCERT",
            "MYSQL_PASSWORD",
            "USER",
            "USERNAME",
            "TZ",
            "LANG",
            "NODE_ENV",
            "GEM_HOST_API_KEY",
            "CARGO_REGISTRY_TOKEN",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "TRUST_PROXY",
            "JAVA_VERSION",
            "SMTP_HOST",
            "OTEL_EXPORTER_OTLP_HEADERS",
            "REDIS_URL",
            "GOOGLE_API_KEY",
            "LESSON_ID",
        ] {
            assert!(!is_forbidden_from_backend(name), "{name}");
        }
    }
}
