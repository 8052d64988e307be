//! Inherited variables whose whole value is a reference.

use super::*;

fn inherited(name: &str, value: &str, flags: &[(&str, &str)]) -> Result<Vec<String>, Vec<String>> {
    let environment = [(name, value)];
    let given =
        Given { environment: &environment, flags, file: Some(VAULT), wraps: Some(Wraps::Command), ..Given::default() };
    given.resolve().map(|config| config.env.iter().map(|entry| entry.place.to_string()).collect())
}

fn is_resolved(name: &str, value: &str, flags: &[(&str, &str)]) -> bool {
    match inherited(name, value, flags).unwrap().as_slice() {
        [] => false,
        [place] => {
            assert_eq!(*place, format!("environment variable {name}"));
            true
        }
        more => panic!("{more:?}"),
    }
}

const ARN: &str = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:x-AbCdEf";

#[test]
fn a_whole_value_that_is_a_reference_is_resolved() {
    for value in [
        "vault:secret/data/db#password",
        "vault:secret/data/db?version=2#password",
        "vault:secret/data/db#a key of three words",
        "aws-sm:prod/x",
        "aws-sm:x?stage=AWSPREVIOUS#k",
    ] {
        assert!(is_resolved("DB", value, &[]), "{value}");
    }
}

#[test]
fn an_ordinary_value_stays() {
    for value in [
        "",
        "x",
        "vault:8200",
        "vault:secret/data/db",
        "vault:v1:abcd+/=",
        "vault:v1:abcd#x",
        "vault:v12:abcd#x",
        "vault:/secret#x",
        "vault: 8200",
        "\"vault: 8200\"",
        "use vault:a#b",
        "Vault: see #12",
        "VAULT:8200",
        "Vault:v1:abcd#x",
        "vault://secret/data/db",
        "https://vault/#x",
        "AWS-SM:",
        "ARN:aws:s3:::bucket",
        "${HOME}/vault:a#b",
        "${ vault }#",
        "> a#b",
        "> Vault: see #12",
        "${VAULT:-http://v:8200/ui/#/}",
        "${VAULT:?#}",
        "file:/etc/passwd#x",
        "db#username",
        "fix: vault: broken (#12)",
        "vault: fix the login (#12)",
        "vault: fix the login/logout (#12)",
        "vault:fix the login (#12)",
        "vault: fix the login #12",
        "vault:fix the login#12",
        "vault: fix #12",
        "vault: closes #3, #4",
        "\"vault: fix the login (#12)\"",
        "bao: fix the login (#12)",
        "bao: fix the login (#12)#3",
        ">>vault: fix the login (#12)",
        "vault: see ${.x} (#12) and #${.y}",
        "aws-sm: rotate the keys (#12)",
        "aws-sm: rotate the keys",
        "aws-sm:rotate all the keys",
        "vault:fix#12",
        "Vault:fix#12",
        "bao:fix#12",
        "(vault:fix#12)",
        "vault:closes #3, #4",
        "vault:see #12.",
        "vault:fix login#12",
        "Vault: the #general channel",
        "vault : corrige le login (#12)",
        "{\"vault:a/b#c\": 1}",
        "[\"vault:a/b#c\"]",
        "<vault:a/b#c> and more",
        "@vault:team see #general",
        "op://vault/item/field#x",
        "ref+vault://secret/db#/password",
        "vault+kv://secret/db#password",
        "vals+vault:secret/db#password",
        "<path:secret/data/db#password>",
        "secretsmanager:a/b#c",
        "aws-secretsmanager:/a/b",
        "awssm:a/b",
        "hashivault:a/b#c",
        "$(VAULT:a/b)",
        "{{ with secret \"secret/data/db\" }}{{ .Data.data.k }}{{ end }}",
        "{{ secret('name').k }}",
        "Vault: https://vault.example.com/ui/#/secrets",
        "Vault: vault.example.com/ui/#/secrets",
        "VAULT: #alerts",
        "Vault: team/#alerts",
        "Vault: notes/today #todo",
        "Vault: team/notes#",
        "vault : notes/today #todo",
        "\"Vault: notes/today #todo\"",
        "Bao: docs#x",
        "AWS-SM: enabled",
        "AWS-SM: yes",
        "AWS-SM: see docs/x#y",
        "Aws-Sm: https://console.aws.amazon.com/#home",
        "@aws-sm:team",
        "#aws-sm:team",
        "[aws-sm:x]",
        "use {{ secret(\"vault:a/b\").k }} in your jinja",
        "write {{ secret('aws-sm:a') }}",
        "{{ secret('vault:a/b').k }} is what you write",
        ARN,
    ] {
        assert!(!is_resolved("DB", value, &[]), "{value}");
    }
}

#[test]
fn the_kinds_can_be_chosen() {
    assert!(!is_resolved("DB", "vault:a#b", &[("--inherit", "none")]));
    assert!(!is_resolved("DB", "vault:a#b", &[("--inherit", "aws-sm")]));
    assert!(!is_resolved("DB", "aws-sm:a", &[("--inherit", "vault")]));
    assert!(is_resolved("DB", ARN, &[("--inherit", "vault,aws-sm,arn")]));
    assert!(!is_resolved("DB", "arn:aws:s3:::bucket", &[("--inherit", "arn")]));
}

#[test]
fn what_is_scrubbed_or_passed_on_is_not_resolved() {
    assert!(!is_resolved("VAULT_X", "vault:a#b", &[]));
    assert!(!is_resolved("BAO_X", "vault:a#b", &[]));
    assert!(!is_resolved("SECRET_EXEC_DIR", "vault:a#b", &[]));
    assert!(!is_resolved("DB", "vault:a#b", &[("--set", "passEnv=[\"D*\"]")]));
    assert!(!is_resolved("DB", "vault:a#", &[("--set", "passEnv=[DB]")]));
}

#[test]
fn a_form_of_bank_vaults_is_a_mistake_that_names_ours() {
    for (value, spelling) in [
        ("${vault:a/b#canary}", "{{ secret('vault:PATH#KEY') }}"),
        ("pg://x:${vault:a/b#canary}@db", "{{ secret('vault:PATH#KEY') }}"),
        ("${>>bao:a/b#canary#{}}", "{{ secret('vault:PATH#KEY') }}"),
        (">>vault:pki/canary#b#{\"c\":1}", "vault:PATH?PARAMETER=VALUE#KEY"),
        (" >>vault:pki/canary#b", "vault:PATH?PARAMETER=VALUE#KEY"),
        ("bao:secret/data/canary#b", "vault:PATH#KEY"),
        ("\"bao:secret/data/canary#b\"", "vault:PATH#KEY"),
        ("vault:secret/data/canary#b#3", "vault:PATH?version=N#KEY"),
        ("vault:login", "vault:auth/token/lookup-self#id"),
        ("vault:a/canary#${.user}:${.password}", "{{ secret('vault:PATH').KEY }}"),
        ("gcp:secretmanager:projects/canary", "no other backend"),
        ("azure:keyvault:canary", "no other backend"),
    ] {
        let mistakes = inherited("DB", value, &[]).expect_err(value);
        assert!(mistakes.len() == 1 && mistakes[0].starts_with("environment variable DB: "), "{mistakes:?}");
        assert!(mistakes[0].contains(spelling) && mistakes[0].contains("passEnv"), "{mistakes:?}");
        assert!(!mistakes[0].contains("canary"), "{mistakes:?}");
        assert!(!is_resolved("DB", value, &[("--set", "passEnv=[DB]")]));
        assert!(!is_resolved("DB", value, &[("--inherit", "none")]));
    }
}

#[test]
fn a_scheme_in_other_letters_or_as_a_url_is_a_mistake() {
    for (value, spelling) in [
        ("Vault:secret/data/canary#b", "vault:PATH#KEY"),
        ("VAULT:secret/data/canary#b", "vault:PATH#KEY"),
        ("\"VAULT:secret/data/canary#b\"\n", "vault:PATH#KEY"),
        ("BAO:secret/data/canary#b", "vault:PATH#KEY"),
        ("vault://secret/data/canary#b", "vault:PATH#KEY, without the slashes"),
        (" Bao://secret/data/canary#b", "vault:PATH#KEY, without the slashes"),
        ("AWS-SM:canary", "aws-sm:NAME#KEY"),
        ("aws-sm://canary#key", "aws-sm:NAME#KEY, without the slashes"),
        ("aws-sm://canary", "aws-sm:NAME#KEY, without the slashes"),
        ("\"AWS-SM://canary#key\"", "aws-sm:NAME#KEY, without the slashes"),
        ("Aws-Sm:canary#k", "aws-sm:NAME#KEY"),
        ("${ vault:a/canary#b }", "${vault:PATH#KEY}"),
        ("pg://x:${Vault:a/canary#b}@db", "${vault:PATH#KEY}"),
        (">> vault:a/canary#b", ">>vault:PATH#KEY#{"),
        (">vault:a/canary#b", ">>vault:PATH#KEY#{"),
        ("Vault: a/canary#b", "vault:PATH#KEY"),
        ("VAULT:canary #b", "vault:PATH#KEY"),
        ("vault :a/canary#b", "vault:PATH#KEY"),
        ("Vault: secret/data/canary#b", "vault:PATH#KEY"),
        ("\"Vault: a/canary#b\"", "vault:PATH#KEY"),
        ("vault : a/canary#b", "vault:PATH#KEY"),
        ("vault :secret/data/canary#b", "vault:PATH#KEY"),
        ("AWS-SM: a/canary#b", "aws-sm:NAME#KEY"),
        ("valut:a/canary#b", "vault:PATH#KEY"),
        ("openbao:a/canary#b", "vault:PATH#KEY"),
        ("awssm:canary#b", "aws-sm:NAME#KEY"),
        ("{{ vault:a/canary#b }}", "vault:PATH#KEY, without what stands around it"),
        ("{{vault:canary#b}}", "vault:PATH#KEY, without what stands around it"),
        ("$(vault:a/canary#b)", "vault:PATH#KEY, without what stands around it"),
        ("$vault:a/canary#b", "vault:PATH#KEY, without what stands around it"),
        ("%{vault:a/canary#b}", "vault:PATH#KEY, without what stands around it"),
        ("@vault:a/canary#b", "vault:PATH#KEY, without what stands around it"),
        ("<vault:a/canary#b>", "vault:PATH#KEY, without what stands around it"),
        ("\"<vault:a/canary#b>\"", "vault:PATH#KEY, without what stands around it"),
        ("[vault:a/canary#b]", "vault:PATH#KEY, without what stands around it"),
        ("[aws-sm:canary#b]", "aws-sm:NAME#KEY, without what stands around it"),
    ] {
        for flags in [&[][..], &[("--inherit", "vault,aws-sm,bank-vaults")]] {
            let mistakes = inherited("DB", value, flags).expect_err(value);
            let expected = format!(
                "environment variable DB: its value looks like a reference, but it is misspelled; write {spelling}"
            );
            assert!(mistakes.len() == 1 && mistakes[0].starts_with(&expected), "{mistakes:?}");
            assert!(mistakes[0].contains("passEnv") && !mistakes[0].contains("canary"), "{mistakes:?}");
        }
        assert!(!is_resolved("DB", value, &[("--set", "passEnv=[DB]")]));
        assert!(!is_resolved("DB", value, &[("--inherit", "none")]));
    }
    let upper = ARN.replacen("arn", "ARN", 1);
    assert!(inherited("DB", &upper, &[("--inherit", "arn")]).is_err() && !is_resolved("DB", &upper, &[]));
    // A path alone is one for bank-vaults only.
    assert!(inherited("DB", "vault:secret/data/db", &[("--inherit", "bank-vaults")]).is_err());
}

#[test]
fn with_bank_vaults_its_forms_are_resolved() {
    for value in [
        "vault:a/b#c",
        "vault:a/b#c#3",
        "bao:a/b#c",
        "${vault:a/b#c}",
        "x ${vault:a/b#c} y ${bao:d/e#f}",
        ">>vault:a/b#c#{\"d\":\"e\"}",
        "vault:a/b#${.c}",
        "vault:a/b#${.c | upper}",
        "vault:login",
    ] {
        assert!(is_resolved("DB", value, &[("--inherit", "bank-vaults")]), "{value}");
    }
    for value in ["vault:v1:abc#d", "plain", "${HOME}", "vault:8200"] {
        assert!(!is_resolved("DB", value, &[("--inherit", "bank-vaults")]), "{value}");
    }
    for value in [">>vault:a/b#c#{canary", " vault:canary#b", "gcp:secretmanager:canary"] {
        let mistakes = inherited("DB", value, &[("--inherit", "bank-vaults")]).expect_err(value);
        assert!(mistakes.len() == 1 && !mistakes[0].contains("canary"), "{mistakes:?}");
    }
}

#[test]
fn a_value_that_no_variable_can_have_is_not_read() {
    let flags = [("--inherit", "bank-vaults")];
    for piece in ["${vault:a/b#c}", "vault:a/b#${.c}", "${ vault:a"] {
        let value = piece.repeat((128 << 10) / piece.len() + 1);
        let size = value.len();
        let expected = format!(
            "environment variable DB: its value looks like a reference, but it has {size} bytes, and a variable holds less \
             than 131072; if it is none, name the variable under passEnv"
        );
        assert_eq!(inherited("DB", &value, &flags), Err(vec![expected]));
    }
    assert_eq!(inherited("TEXT", &"x".repeat(1 << 20), &flags), Ok(vec![]));
}

#[test]
fn an_explicit_entry_wins() {
    let environment = [("DB", "vault:a#b"), ("X", "aws-sm:x"), ("X", "aws-sm:y")];
    let given = Given {
        environment: &environment,
        file: Some("env: { DB: file:/x }"),
        wraps: Some(Wraps::Command),
        ..Given::default()
    };
    let config = given.config();
    let places: Vec<_> = config.env.iter().map(|entry| entry.place.to_string()).collect();
    assert_eq!(places, ["c.yaml:1", "environment variable X"]);
    assert!(config.backends.vault.is_none());
    let nothing = Given { wraps: Some(Wraps::Nothing), ..given };
    assert_eq!(nothing.config().env.len(), 1);
}

#[test]
fn a_reference_that_is_wrong_is_a_mistake_and_not_quoted() {
    for value in [
        "vault:canary/#k",
        "vault:canary#",
        "vault:#canary",
        "vault:v1/canary#k",
        "vault:a%canary#k",
        "vault:a?canary=1&canary=2#k",
        "vault:a?version=canary#k",
        "aws-sm:",
        "aws-sm:x?canary=1",
        "aws-sm:arn:canary",
        "aws-sm:x#",
    ] {
        let mistakes = inherited("DB", value, &[]).expect_err(value);
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(
            mistakes[0].starts_with("environment variable DB: its value looks like a reference, but "),
            "{mistakes:?}"
        );
        assert!(!mistakes[0].contains("canary"), "{mistakes:?}");
    }
    let arn = inherited("DB", "arn:aws:secretsmanager:canary", &[("--inherit", "arn")]).unwrap_err();
    assert!(!arn[0].contains("canary"), "{arn:?}");
}

#[test]
fn white_space_does_not_hide_a_reference() {
    for value in [
        "vault:canary#b\n",
        "vault:canary#b ",
        "vault:canary b#c",
        "vault: canary#c",
        "vault: secret/data/canary #c",
        "vault:secret/data/my canary#c",
        "vault:canary #c",
        "vault: canary #c",
        "vault:my canary #c",
        "vault:secret/data/canary #12",
        "aws-sm:canary b",
        "aws-sm: canary",
        "aws-sm:canary\n",
    ] {
        let mistakes = inherited("DB", value, &[]).expect_err(value);
        let spelling = if value.starts_with("vault") { "DB=vault:PATH#KEY" } else { "DB=aws-sm:NAME#KEY" };
        let expected = format!("; write {spelling} without");
        assert!(mistakes[0].contains("it has white space ") && mistakes[0].contains(&expected), "{mistakes:?}");
        assert!(mistakes.len() == 1 && !mistakes[0].contains("canary"), "{mistakes:?}");
    }
    for (value, place) in [
        ("vault:canary#b\n", "at its end; "),
        ("vault:canary #c", "before its \"#\"; "),
        ("vault:my canary#c", "in its path; "),
        ("vault:canary", ""),
    ] {
        if let Err(mistakes) = inherited("DB", value, &[]) {
            assert!(mistakes[0].contains(&format!("it has white space {place}")), "{mistakes:?}");
        }
    }
    let arn = inherited("DB", &format!("{ARN} "), &[("--inherit", "arn")]).unwrap_err();
    assert!(arn[0].contains("white space"), "{arn:?}");
}

#[test]
fn a_variable_alone_neither_writes_nor_takes_another_role() {
    let role = format!("{ARN}#k");
    assert!(is_resolved("DB", &role, &[("--inherit", "arn")]));
    for (value, expected) in [
        ("vault:pki/issue/web?common_name=canary#key", "is a write"),
        ("vault:sys/canary?#key", "is a write"),
        ("aws-sm:x?role=arn:aws:iam::123456789012:role/canary#k", "names a role"),
    ] {
        let mistakes = inherited("DB", value, &[]).expect_err(value);
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].starts_with("environment variable DB: "), "{mistakes:?}");
        assert!(mistakes[0].contains(expected) && mistakes[0].contains("under `env` in the config"), "{mistakes:?}");
        assert!(!mistakes[0].contains("canary"), "{mistakes:?}");
    }
}

#[test]
fn an_option_behind_an_inherited_reference_is_told_where_it_goes() {
    for (value, expected) in [
        ("vault:a/canary#k,format=dotenv", "format=dotenv stands behind it"),
        ("vault:a/canary#k, json", "format=json stands behind it"),
        ("aws-sm:canary,decode=base64", "decode=base64 stands behind it"),
    ] {
        let mistakes = inherited("DB", value, &[]).expect_err(value);
        assert!(mistakes.len() == 1 && mistakes[0].contains(expected), "{mistakes:?}");
        assert!(mistakes[0].contains("under `env` in the config, as DB: { from: REF,"), "{mistakes:?}");
        assert!(!mistakes[0].contains("canary"), "{mistakes:?}");
    }
}

#[test]
fn a_template_in_a_variable_is_told_where_it_goes() {
    for value in [
        "x={{ secret('vault:a/canary#b') }}",
        "{{ secret( \"aws-sm:canary\").b }}",
        "user={{ secret('vault:a/canary').k }}",
        " {{ secret('vault:a/canary').u }}:{{ secret('vault:a/canary').k }}\n",
        "{% set x = secret('vault:a/canary') %}\n{{ x.k }}",
        "{# the login #}{{ secret('vault:a/canary').k }}",
        "{{ secret('vault:a/canary').k",
    ] {
        let mistakes = inherited("DB", value, &[]).expect_err(value);
        let expected = "it is a template, which belongs under `env` in the config, as DB: { template: … }";
        assert!(mistakes.len() == 1 && mistakes[0].contains(expected), "{mistakes:?}");
        assert!(!mistakes[0].contains("canary") && !mistakes[0].contains("misspelled"), "{mistakes:?}");
    }
}

#[test]
fn an_option_behind_a_reference_of_bank_vaults_is_told_where_it_goes() {
    for (value, expected) in [
        (
            "vault:a/canary#k,format=raw",
            "format=raw stands behind it, which belongs under `env` in the config, as DB: {",
        ),
        ("bao:a/canary#k,decode=base64", "decode=base64 stands behind it"),
        ("vault:a/canary#k?version=1", "\"?version=\" stands in its key; write vault:PATH#KEY#VERSION"),
        ("vault:a/canary?version=1#k", "a version in its path"),
        ("x ${vault:a/canary#k?version=1}", "\"?version=\" stands in its key; write vault:PATH#KEY#VERSION"),
        ("x ${vault:a/canary?version=1#k}", "a version in its path"),
        ("x ${vault:a/canary#k,format=raw} y", "format=raw is no part of a reference; leave it out"),
        ("${bao:a/canary#k,base64}", "decode=base64 is no part of a reference; write secret('REF') | b64decode"),
    ] {
        let mistakes = inherited("DB", value, &[("--inherit", "bank-vaults")]).expect_err(value);
        assert!(mistakes.len() == 1 && mistakes[0].contains(expected), "{mistakes:?}");
        assert!(!mistakes[0].contains("canary"), "{mistakes:?}");
    }
}

#[test]
fn an_inherited_reference_needs_its_backend() {
    let given = Given { environment: &[("DB", "vault:a#b")], wraps: Some(Wraps::Command), ..Given::default() };
    let mistakes = given.mistakes();
    assert!(mistakes[0].contains("vault.address is missing, and environment variable DB needs it"), "{mistakes:?}");
}

#[test]
fn debug_of_the_layers_shows_no_inherited_value() {
    let environment = [("DB".to_owned(), "canary".to_owned())];
    let flags = [Flag::new("--env", "A=canary")];
    let layers = Layers {
        environment: &environment,
        annotations: None,
        file: Some(Text { name: "c.yaml", text: "canary" }),
        flags: &flags,
        wraps: Wraps::Command,
    };
    assert!(!format!("{layers:?}").contains("canary"));
}

#[test]
fn what_stands_around_a_reference_by_accident_does_not_hide_it() {
    for (value, expected) in [
        (" vault:canary#k", "it has a leading blank; write DB=vault:PATH#KEY without"),
        ("\tvault:canary#k", "it has a leading blank"),
        ("\n vault:canary#k\n", "it has a leading blank"),
        ("\u{a0}vault:canary#k", "it has a leading blank"),
        (
            "\"vault:canary#k\"",
            "it has quotes around it (docker's --env-file keeps them); write DB=vault:PATH#KEY without",
        ),
        ("'vault:canary#k'", "quotes around it"),
        (" \"vault:canary#k\" ", "quotes around it"),
        ("\"'vault:canary#k'\"", "quotes around it"),
        ("“vault:canary#k”", "quotes around it"),
        ("\"vault:canary#k", "quotes around it"),
        ("'aws-sm:canary'", "write DB=aws-sm:NAME#KEY without"),
        (" aws-sm:canary#k", "a leading blank"),
        ("\u{feff}vault:canary#k", "characters before it that cannot be seen"),
        ("vault:canary\u{fffd}#k", "it has bytes that are not UTF-8"),
        ("vault:canary#\u{fffd}", "it has bytes that are not UTF-8"),
        ("\u{fffd}aws-sm:canary", "it has bytes that are not UTF-8"),
    ] {
        let mistakes = inherited("DB", value, &[]).expect_err(value);
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(
            mistakes[0].starts_with("environment variable DB: its value looks like a reference, but "),
            "{mistakes:?}"
        );
        assert!(mistakes[0].contains(expected) && mistakes[0].contains("passEnv"), "{value:?}: {mistakes:?}");
        assert!(!mistakes[0].contains("canary"), "{mistakes:?}");
        assert!(!is_resolved("DB", value, &[("--set", "passEnv=[DB]")]), "{value:?}");
        assert!(!is_resolved("DB", value, &[("--inherit", "none")]), "{value:?}");
    }
    let arn = format!("\"{ARN}\"");
    assert!(!is_resolved("DB", &arn, &[]));
    assert!(inherited("DB", &arn, &[("--inherit", "arn")]).unwrap_err()[0].contains("quotes around it"));
    let name = inherited("D\u{fffd}", "vault:canary#k", &[]).unwrap_err();
    assert!(name[0].contains("the variable's name is not UTF-8"), "{name:?}");
}

#[test]
fn in_a_pod_the_hints_name_annotations() {
    let environment =
        [("DB".to_owned(), " vault:a/canary#k".to_owned()), ("LOGIN".to_owned(), "vault:login".to_owned())];
    let said = |annotations, flags: &[Flag]| {
        let file = Some(Text { name: "c.yaml", text: VAULT });
        let layers = Layers { environment: &environment, annotations, file, flags, wraps: Wraps::Command };
        let mistakes = resolve(&layers).unwrap_err();
        mistakes.into_iter().map(|mistake| mistake.text).collect::<Vec<_>>()
    };
    let admitted = said(Some(Annotations::Admitted(&[], &[])), &[]);
    assert!(admitted[0].ends_with("if it is none, say secret-exec.dev/config: \"passEnv: [DB]\""), "{admitted:?}");
    assert!(admitted[1].contains("or say secret-exec.dev/inherit: bank-vaults;"), "{admitted:?}");
    assert!(admitted.iter().all(|text| !text.contains("--inherit") && !text.contains("under passEnv")), "{admitted:?}");
    let injected = said(None, &[Flag::new(PINNED, "")]);
    assert!(
        injected[0]
            .ends_with("name the variable under passEnv (as an annotation, secret-exec.dev/config: \"passEnv: [DB]\")"),
        "{injected:?}"
    );
    assert!(
        injected[1].contains("--inherit bank-vaults (as an annotation, secret-exec.dev/inherit: bank-vaults)"),
        "{injected:?}"
    );
    let wrapper = said(None, &[]);
    assert!(wrapper.iter().all(|text| !text.contains("secret-exec.dev")), "{wrapper:?}");
}
