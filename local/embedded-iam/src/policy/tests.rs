//! Policies one by one.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const OBJECT: &str = "arn:aws:s3:::b/notes/a";

fn identity(statement: &Value) -> Policy {
    let document = json!({ "Version": "2012-10-17", "Statement": statement });
    Policy::parse(&document.to_string(), Kind::Identity).unwrap()
}

fn opinion(statement: &Value, action: &str, resource: &str, context: &Context) -> Opinion {
    let caller = Caller::Administrator("000000000000".parse().unwrap());
    identity(statement).opinion(&Asked {
        caller: &caller,
        action,
        resource,
        context,
    })
}

fn allows(statement: &Value, action: &str, resource: &str) -> bool {
    let said = opinion(statement, action, resource, &Context::default());
    matches!(said, Opinion::Allows(_))
}

#[test]
fn lists_and_their_negations_are_understood() {
    let object = |action: &str, resource: &str| json!({ "Effect": "Allow", "Action": action, "Resource": resource });
    assert!(allows(
        &object("s3:Get*", "arn:aws:s3:::b/*"),
        "s3:GetObject",
        OBJECT
    ));
    assert!(allows(&object("S3:getobject", "*"), "s3:GetObject", OBJECT));
    assert!(!allows(
        &object("s3:GetObject", "arn:aws:s3:::b"),
        "s3:GetObject",
        OBJECT
    ));
    assert!(!allows(
        &object("s3:GetObject", "arn:aws:s3:::B/*"),
        "s3:GetObject",
        OBJECT
    ));
    assert!(allows(
        &object("s3:GetObject", "arn:aws:s3:::b/note?/a"),
        "s3:GetObject",
        OBJECT
    ));
    let others = json!({ "Effect": "Allow", "NotAction": ["s3:Put*", "s3:Delete*"], "NotResource": ["arn:aws:s3:::b/secret/*"] });
    assert!(allows(&others, "s3:GetObject", OBJECT));
    assert!(!allows(&others, "s3:DeleteObject", OBJECT));
    assert!(!allows(&others, "s3:GetObject", "arn:aws:s3:::b/secret/a"));
}

#[test]
fn a_condition_holds_as_its_operator_says() {
    let holds = |operator: &str, wanted: &Value, found: &[&str]| {
        let mut context = Context::default();
        for value in found {
            context.add("s3:prefix", *value);
        }
        let statement = json!({ "Effect": "Allow", "Action": "*", "Resource": "*", "Condition": { operator: { "S3:Prefix": wanted } } });
        matches!(
            opinion(&statement, "s3:ListBucket", OBJECT, &context),
            Opinion::Allows(_)
        )
    };
    for (operator, wanted, found, expected) in [
        ("StringEquals", json!("a"), &["a"][..], true),
        ("StringEquals", json!(["b", "a"]), &["a"], true),
        ("StringEquals", json!("A"), &["a"], false),
        ("StringEquals", json!("a*"), &["ab"], false),
        ("StringEquals", json!("a"), &[], false),
        ("StringEqualsIgnoreCase", json!("A"), &["a"], true),
        ("StringNotEquals", json!(["a", "b"]), &["a"], false),
        ("StringNotEquals", json!("b"), &["a"], true),
        ("StringNotEquals", json!("b"), &[], true),
        ("StringLike", json!("a*"), &["a/b"], true),
        ("StringLike", json!("a?"), &["a"], false),
        ("StringNotLike", json!("a*"), &["a/b"], false),
        ("Bool", json!(true), &["true"], true),
        ("Bool", json!("false"), &["true"], false),
        ("Null", json!(true), &[], true),
        ("Null", json!("false"), &[], false),
        ("Null", json!("false"), &["a"], true),
        // One operator for one value: of several it is not known what is meant.
        ("StringEquals", json!("a"), &["a", "b"], false),
    ] {
        assert_eq!(
            holds(operator, &wanted, found),
            expected,
            "{operator} {wanted} {found:?}"
        );
    }
}

#[test]
fn what_is_not_understood_denies() {
    let known = Context::default().with("aws:SourceIp", "10.0.0.1");
    for condition in [
        json!({ "IpAddress": { "aws:SourceIp": "10.0.0.0/8" } }),
        json!({ "StringEqualsIfExists": { "aws:SourceIp": "10.0.0.1" } }),
        json!({ "ForAnyValue:StringEquals": { "aws:SourceIp": "10.0.0.1" } }),
        json!({ "DateLessThan": { "aws:CurrentTime": "2030-01-01T00:00:00Z" } }),
        json!({ "StringEquals": { "aws:SourceIp": "${aws:username}" } }),
    ] {
        let with = |effect: &str| json!({ "Effect": effect, "Action": "*", "Resource": "*", "Condition": condition });
        assert_eq!(
            opinion(&with("Allow"), "s3:GetObject", OBJECT, &known),
            Opinion::Silent,
            "{condition}"
        );
        assert_eq!(
            opinion(&with("Deny"), "s3:GetObject", OBJECT, &known),
            Opinion::Denies,
            "{condition}"
        );
        // It is only asked for where the rest of the statement holds.
        let mut other = with("Deny");
        other["Action"] = json!("s3:PutObject");
        assert_eq!(
            opinion(&other, "s3:GetObject", OBJECT, &known),
            Opinion::Silent,
            "{condition}"
        );
    }
    let variable =
        json!({ "Effect": "Allow", "Action": "*", "Resource": "arn:aws:s3:::b/*${aws:username}*" });
    assert!(!allows(
        &variable,
        "s3:GetObject",
        "arn:aws:s3:::b/${aws:username}"
    ));
}

#[test]
fn a_policy_that_iam_would_refuse_is_refused() {
    let identity = |document: Value| Policy::parse(&document.to_string(), Kind::Identity);
    let statement = |change: &dyn Fn(&mut Value)| {
        let mut statement = json!({ "Effect": "Allow", "Action": "s3:GetObject", "Resource": "*" });
        change(&mut statement);
        identity(json!({ "Version": "2012-10-17", "Statement": [statement] }))
    };
    assert!(statement(&|_| {}).is_ok());
    assert!(Policy::parse("{", Kind::Identity).is_err());
    assert!(identity(json!([])).is_err());
    assert!(identity(json!({ "Version": "2012-10-17" })).is_err());
    assert!(identity(json!({ "Version": "2012-10-17", "Statement": [] })).is_err());
    assert!(identity(json!({ "Version": "2020-01-01", "Statement": { "Effect": "Allow", "Action": "*", "Resource": "*" } })).is_err());
    let wrong: [&dyn Fn(&mut Value); 10] = [
        &|statement| statement["Effect"] = json!("allow"),
        &|statement| statement["Action"] = json!("GetObject"),
        &|statement| statement["Action"] = json!([]),
        &|statement| statement["NotAction"] = json!("s3:PutObject"),
        &|statement| statement["Resource"] = json!("b/*"),
        &|statement| statement["Resource"] = Value::Null,
        &|statement| statement["Principal"] = json!("*"),
        &|statement| statement["NotPrincipal"] = json!("*"),
        &|statement| statement["Condition"] = json!({ "StringEqual": { "s3:prefix": "a" } }),
        &|statement| statement["Effekt"] = json!("Allow"),
    ];
    for (number, change) in wrong.iter().enumerate() {
        assert!(statement(change).is_err(), "{number}");
    }
}

#[test]
fn principals_are_accounts_and_literal_arns() {
    let parse = |principal: Value, kind| {
        let mut statement =
            json!({ "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal });
        if kind == Kind::Resource {
            statement["Resource"] = json!("*");
        }
        Policy::parse(&json!({ "Statement": statement }).to_string(), kind)
    };
    for right in [
        json!("*"),
        json!({ "AWS": ["000000000000", "arn:aws-cn:iam::000000000000:root"] }),
        json!({ "AWS": "arn:aws:iam::000000000000:role/team/reader" }),
        json!({ "AWS": "arn:aws:sts::000000000000:assumed-role/reader/me" }),
        json!({ "Service": "lambda.amazonaws.com" }),
    ] {
        assert!(parse(right.clone(), Kind::Trust).is_ok(), "{right}");
        assert!(parse(right.clone(), Kind::Resource).is_ok(), "{right}");
    }
    for wrong in [
        json!("000000000000"),
        json!({ "AWS": "arn:aws:iam::000000000000:role/*" }),
        json!({ "AWS": "arn:aws:s3:::b" }),
        json!({ "AWS": "12345" }),
        json!({ "AWS": [] }),
        json!({ "Amazon": "*" }),
        Value::Null,
    ] {
        assert!(parse(wrong.clone(), Kind::Trust).is_err(), "{wrong}");
    }
    // A role is trusted, it is not a resource of its own trust.
    let with_resource = json!({ "Statement": { "Effect": "Allow", "Action": "sts:AssumeRole", "Principal": "*", "Resource": "*" } });
    assert!(Policy::parse(&with_resource.to_string(), Kind::Trust).is_err());
}

proptest! {
    #[test]
    fn any_text_is_a_policy_or_refused(text in "\\PC{0,200}") {
        drop(Policy::parse(&text, Kind::Resource));
    }

    #[test]
    fn a_deny_wins_in_any_order(statements in proptest::collection::vec((any::<bool>(), 0..3_usize), 1..6)) {
        let resources = ["arn:aws:s3:::b/*", "arn:aws:s3:::c/*", "*"];
        let written: Vec<Value> = statements
            .iter()
            .map(|(allow, place)| {
                let effect = if *allow { "Allow" } else { "Deny" };
                json!({ "Effect": effect, "Action": "s3:GetObject", "Resource": resources[*place] })
            })
            .collect();
        let counts = |wanted: bool| statements.iter().any(|(allow, place)| *allow == wanted && *place != 1);
        let expected = if counts(false) {
            Opinion::Denies
        } else if counts(true) {
            Opinion::Allows(Named::Identity)
        } else {
            Opinion::Silent
        };
        prop_assert_eq!(opinion(&json!(written), "s3:GetObject", OBJECT, &Context::default()), expected);
    }
}
