//! What follows from several policies together.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use super::*;
use crate::policy::Kind;
use crate::session::Session;

const OWN: &str = "000000000000";
const OTHER: &str = "111122223333";
const BUCKET: &str = "arn:aws:s3:::b";
const OBJECT: &str = "arn:aws:s3:::b/k";
const ROLE: &str = "arn:aws:iam::000000000000:role/team/reader";
const SESSION: &str = "arn:aws:sts::000000000000:assumed-role/reader/me";

/// A session of [`ROLE`], with these statements of the role and of the session.
fn session(role: &[Value], session: Option<&[Value]>) -> Authority {
    let caller = Session {
        access_key_id: "ASIA".to_owned(),
        secret_access_key: String::new(),
        token: String::new(),
        expires: i64::MAX,
        role: ROLE.parse().unwrap(),
        role_id: "AROA".to_owned(),
        name: "me".to_owned(),
        policy: None,
        understood: OnceLock::new(),
        source_identity: Some("ada".to_owned()),
        tags: BTreeMap::from([("team".to_owned(), "blue".to_owned())]),
    };
    let policies = role
        .iter()
        .map(|statement| policy(std::slice::from_ref(statement), Kind::Identity));
    Authority::new(
        Caller::Session(Arc::new(caller)),
        Identity::Role {
            policies: policies.collect(),
            session: session.map(|statements| policy(statements, Kind::Identity)),
        },
    )
}

fn policy(statements: &[Value], kind: Kind) -> Policy {
    let document = json!({ "Version": "2012-10-17", "Statement": statements });
    Policy::parse(&document.to_string(), kind).unwrap()
}

fn statement(effect: &str, action: &str, resource: &str) -> Value {
    json!({ "Effect": effect, "Action": action, "Resource": resource })
}

fn get(effect: &str) -> Value {
    statement(effect, "s3:GetObject", OBJECT)
}

/// A statement of a bucket's policy.
fn grant(effect: &str, principal: &str) -> Value {
    json!({
        "Effect": effect,
        "Principal": { "AWS": principal },
        "Action": "s3:GetObject",
        "Resource": OBJECT,
    })
}

fn ask(authority: &Authority, owner: &str, guard: Option<&Policy>) -> Result<(), Reason> {
    let question = Question {
        action: "s3:GetObject",
        resource: OBJECT,
        owner: &owner.parse().unwrap(),
        guard: guard.map_or(Guard::None, Guard::Resource),
        context: &Context::default(),
    };
    authority
        .decide(&question)
        .map_err(|refused| refused.reason)
}

#[test]
fn a_role_may_what_one_of_its_policies_allows_and_none_denies() {
    let may = |statements: &[Value]| ask(&session(statements, None), OWN, None);
    let elsewhere = statement("Allow", "s3:GetObject", "arn:aws:s3:::c/k");
    assert_eq!(may(&[]), Err(Reason::NotAllowed("identity-based")));
    assert_eq!(may(&[elsewhere.clone(), get("Allow")]), Ok(()));
    assert_eq!(may(&[elsewhere]), Err(Reason::NotAllowed("identity-based")));
    assert_eq!(
        may(&[get("Allow"), statement("Deny", "s3:*", "*")]),
        Err(Reason::Denied("an identity-based"))
    );
}

#[test]
fn a_session_may_only_what_its_own_policy_allows_too() {
    let may = |narrower: Value| ask(&session(&[get("Allow")], Some(&[narrower])), OWN, None);
    assert_eq!(may(get("Allow")), Ok(()));
    assert_eq!(
        may(statement("Allow", "s3:GetObject", "arn:aws:s3:::b/other")),
        Err(Reason::NotAllowed("session"))
    );
    assert_eq!(may(get("Deny")), Err(Reason::Denied("a session")));
    // And it gives nothing that the role has not.
    let wider = session(&[], Some(&[get("Allow")]));
    assert_eq!(
        ask(&wider, OWN, None),
        Err(Reason::NotAllowed("identity-based"))
    );
}

#[test]
fn another_accounts_bucket_needs_its_policy_and_the_roles() {
    let allowed = session(&[get("Allow")], None);
    let nothing = session(&[], None);
    assert_eq!(
        ask(&allowed, OTHER, None),
        Err(Reason::NotAllowed("resource-based"))
    );
    for principal in ["*", OWN, "arn:aws:iam::000000000000:root", ROLE, SESSION] {
        let bucket = policy(&[grant("Allow", principal)], Kind::Resource);
        assert_eq!(ask(&allowed, OTHER, Some(&bucket)), Ok(()), "{principal}");
        assert_eq!(
            ask(&nothing, OTHER, Some(&bucket)),
            Err(Reason::NotAllowed("identity-based")),
            "{principal}"
        );
    }
    for stranger in [
        OTHER,
        "arn:aws:iam::000000000000:role/reader",
        "arn:aws:sts::000000000000:assumed-role/reader/you",
    ] {
        let bucket = policy(&[grant("Allow", stranger)], Kind::Resource);
        assert_eq!(
            ask(&allowed, OTHER, Some(&bucket)),
            Err(Reason::NotAllowed("resource-based")),
            "{stranger}"
        );
    }
}

#[test]
fn within_the_account_either_policy_is_enough() {
    let nothing = session(&[], None);
    let narrow = session(&[], Some(&[statement("Allow", "s3:PutObject", "*")]));
    let by_root = policy(&[grant("Allow", OWN)], Kind::Resource);
    assert_eq!(
        ask(&nothing, OWN, Some(&by_root)),
        Err(Reason::NotAllowed("identity-based"))
    );
    let by_role = policy(&[grant("Allow", ROLE)], Kind::Resource);
    assert_eq!(ask(&nothing, OWN, Some(&by_role)), Ok(()));
    assert_eq!(
        ask(&narrow, OWN, Some(&by_role)),
        Err(Reason::NotAllowed("session"))
    );
    let by_session = policy(&[grant("Allow", SESSION)], Kind::Resource);
    assert_eq!(ask(&narrow, OWN, Some(&by_session)), Ok(()));
}

#[test]
fn a_deny_of_the_bucket_counts_for_its_own_administrator_too() {
    let administrator = Authority::new(
        Caller::Administrator(OWN.parse().unwrap()),
        Identity::Everything,
    );
    assert_eq!(ask(&administrator, OWN, None), Ok(()));
    let bucket = policy(&[grant("Deny", "*")], Kind::Resource);
    assert_eq!(
        ask(&administrator, OWN, Some(&bucket)),
        Err(Reason::Denied("a resource-based"))
    );
    assert_eq!(
        ask(&administrator, OTHER, None),
        Err(Reason::NotAllowed("resource-based"))
    );
}

#[test]
fn trust_is_needed_within_the_account_as_well() {
    let may = |identity: &[Value], principal: &str, owner: &str| {
        let trust = json!({
            "Effect": "Allow",
            "Principal": { "AWS": principal },
            "Action": "sts:AssumeRole",
        });
        let trust = policy(&[trust], Kind::Trust);
        let question = Question {
            action: "sts:AssumeRole",
            resource: &format!("arn:aws:iam::{owner}:role/target"),
            owner: &owner.parse().unwrap(),
            guard: Guard::Trust(&trust),
            context: &Context::default(),
        };
        session(identity, None).decide(&question).is_ok()
    };
    let allowed = [statement("Allow", "sts:AssumeRole", "*")];
    for (identity, principal, owner, expected) in [
        (&allowed[..], OTHER, OWN, false),
        (&allowed, OWN, OWN, true),
        (&[], OWN, OWN, false),
        (&[], ROLE, OWN, true),
        (&[], ROLE, OTHER, false),
        (&allowed, ROLE, OTHER, true),
        (&allowed, OWN, OTHER, true),
    ] {
        assert_eq!(
            may(identity, principal, owner),
            expected,
            "{} {principal} {owner}",
            identity.len()
        );
    }
}

#[test]
fn conditions_know_who_asks() {
    for (operator, key, value, expected) in [
        ("StringEquals", "aws:PrincipalAccount", OWN, true),
        ("StringEquals", "AWS:principalaccount", OTHER, false),
        (
            "ArnLike",
            "aws:PrincipalArn",
            "arn:aws:iam::*:role/team/*",
            true,
        ),
        ("ArnLike", "aws:PrincipalArn", "arn:aws:iam::*", false),
        ("StringLike", "aws:userid", "AROA:*", true),
        ("StringEquals", "aws:PrincipalTag/team", "blue", true),
        ("StringEquals", "aws:SourceIdentity", "ada", true),
        ("StringNotEquals", "aws:ResourceAccount", OTHER, true),
        ("Bool", "aws:SecureTransport", "true", true),
        ("Bool", "aws:MultiFactorAuthPresent", "true", false),
    ] {
        let mut statement = get("Allow");
        statement["Condition"] = json!({ operator: { key: value } });
        let decided = ask(&session(&[statement], None), OWN, None).is_ok();
        assert_eq!(decided, expected, "{operator} {key} {value}");
    }
}

#[test]
fn a_refusal_says_who_may_not_do_what_and_why() {
    let authority = session(&[], None);
    let question = Question {
        action: "s3:ListBucket",
        resource: BUCKET,
        owner: &OWN.parse().unwrap(),
        guard: Guard::None,
        context: &Context::default(),
    };
    assert_eq!(
        authority.decide(&question).unwrap_err().to_string(),
        format!(
            "User: {SESSION} is not authorized to perform: s3:ListBucket on resource: {BUCKET} because no identity-based policy allows it"
        )
    );
}
