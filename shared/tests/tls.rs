//! Who may answer in the name of the database, and what others may hear.

mod support;

use shared::database::ConnectError;
use support::{HOST, PASSWORD, Remote, is_encrypted, open, text};
use testkit::Authority;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_server_is_trusted_for_its_name_and_the_signature_of_the_file() {
    let remote = Remote::start_with_tls().await;
    let trust = remote.trust();
    for mode in [
        "",
        "&sslmode=prefer",
        "&sslmode=require",
        "&sslmode=verify-ca",
        "&sslmode=verify-full",
        // Only with a password bound to this very certificate.
        "&sslmode=verify-full&channel_binding=require",
        "&sslmode=verify-ca&channel_binding=require",
    ] {
        let connection = open(&remote.url(&format!("{mode}{trust}"))).await.unwrap();
        assert!(is_encrypted(&connection).await, "{mode}");
    }
}

#[tokio::test]
async fn a_server_signed_by_anyone_else_is_refused_in_every_mode() {
    let remote = Remote::start_with_tls().await;
    let stranger = remote.trust_in(&Authority::new().certificate());
    for mode in [
        "",
        "&sslmode=prefer",
        "&sslmode=require",
        "&sslmode=verify-ca",
    ] {
        for roots in [stranger.as_str(), "", "&sslrootcert=system"] {
            let error = open(&remote.url(&format!("{mode}{roots}")))
                .await
                .unwrap_err();
            assert!(
                matches!(error, ConnectError::Untrusted { .. }),
                "{mode}{roots}: {error:?}"
            );
        }
    }
    let error = open(&remote.url("")).await.unwrap_err();
    insta::assert_snapshot!(text(&error, remote.postgres.address().port()), @"the certificate of db.example.com:PORT is not trusted: name the certificates it is signed by with sslrootcert=/file.pem: error performing TLS handshake: invalid peer certificate: UnknownIssuer");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_accepted_only_by_verify_ca() {
    let mut remote = Remote::start_with_tls().await;
    let issued = remote.authority.issue(&["other.example.com"]);
    remote.postgres.use_tls(&issued).await;
    let trust = remote.trust();
    for mode in [
        "",
        "&sslmode=prefer",
        "&sslmode=require",
        "&sslmode=verify-full",
    ] {
        let error = open(&remote.url(&format!("{mode}{trust}")))
            .await
            .unwrap_err();
        assert!(
            matches!(error, ConnectError::WrongName { .. }),
            "{mode}: {error:?}"
        );
        if mode.is_empty() {
            insta::assert_snapshot!(text(&error, remote.postgres.address().port()), @r#"the certificate of db.example.com:PORT is for another name: use the name in it as the host (and hostaddr for the address), or sslmode=verify-ca with sslrootcert: error performing TLS handshake: invalid peer certificate: certificate not valid for name "db.example.com"; certificate is only valid for DnsName("other.example.com")"#);
        }
    }
    let connection = open(&remote.url(&format!("&sslmode=verify-ca{trust}")))
        .await
        .unwrap();
    assert!(is_encrypted(&connection).await);
}

#[tokio::test]
async fn an_expired_certificate_is_refused_even_by_verify_ca() {
    let mut remote = Remote::start_with_tls().await;
    let issued = remote.authority.issue_until(&[HOST], 2020);
    remote.postgres.use_tls(&issued).await;
    let trust = remote.trust();
    for mode in ["verify-full", "verify-ca"] {
        let error = open(&remote.url(&format!("&sslmode={mode}{trust}")))
            .await
            .unwrap_err();
        assert!(
            matches!(error, ConnectError::Untrusted { .. }),
            "{mode}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_file_without_certificates_is_named() {
    let remote = Remote::start_with_tls().await;
    for roots in [
        "&sslrootcert=/nowhere/roots.pem".to_owned(),
        remote.trust_in(""),
        remote.trust_in("-----BEGIN CERTIFICATE-----\nAAA"),
    ] {
        let error = open(&remote.url(&roots)).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::RootCertificates { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("roots.pem"), "{error}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_required() {
    let remote = Remote::start("host all app 127.0.0.1/32 scram-sha-256").await;
    for mode in ["", "&sslmode=require", "&sslmode=verify-full"] {
        let error = open(&remote.url(mode)).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::NoTls { .. }),
            "{mode}: {error:?}"
        );
    }
    for mode in ["&sslmode=prefer", "&sslmode=allow", "&sslmode=disable"] {
        let connection = open(&remote.url(mode)).await.unwrap();
        assert!(!is_encrypted(&connection).await, "{mode}");
    }
}

#[tokio::test]
async fn a_unix_socket_needs_no_tls() {
    let mut remote = Remote::start("").await;
    let port = remote.postgres.address().port();
    let folder = remote.postgres.cluster().folder().display().to_string();
    let url = format!("postgresql://app@/test?host={folder}&port={port}&sslmode=verify-full");
    open(&url).await.unwrap();
}

#[tokio::test]
async fn a_password_in_clear_text_is_given_only_where_nobody_hears_it() {
    let mut remote = Remote::start("host all app 127.0.0.1/32 password").await;
    for mode in ["&sslmode=disable", "&sslmode=prefer"] {
        let error = open(&remote.url(mode)).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Cleartext { .. }),
            "{mode}: {error:?}"
        );
    }
    // To this machine itself.
    let port = remote.postgres.address().port();
    open(&format!(
        "postgresql://app:{PASSWORD}@127.0.0.1:{port}/test"
    ))
    .await
    .unwrap();
    // Within TLS.
    let issued = remote.authority.issue(&[HOST]);
    remote.postgres.use_tls(&issued).await;
    let connection = open(&remote.url(&remote.trust())).await.unwrap();
    assert!(is_encrypted(&connection).await);
}

#[tokio::test]
async fn not_a_byte_of_the_password_leaves_for_a_server_that_demands_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut startup = vec![0; 1024];
        let length = client.read(&mut startup).await.unwrap();
        // Byte by byte: the demand is recognised however it arrives.
        for byte in b"R\0\0\0\x08\0\0\0\x03" {
            client.write_all(&[*byte]).await.unwrap();
            client.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
        startup.truncate(length);
        client.read_to_end(&mut startup).await.unwrap();
        startup
    });
    let url = format!(
        "postgresql://app:{PASSWORD}@{HOST}:{port}/test?hostaddr=127.0.0.1&sslmode=disable"
    );
    let error = open(&url).await.unwrap_err();
    assert!(matches!(error, ConnectError::Cleartext { .. }), "{error:?}");
    let heard = server.await.unwrap();
    assert!(heard.windows(3).any(|window| window == b"app"), "{heard:?}");
    let password = PASSWORD.as_bytes();
    assert!(
        !heard
            .windows(password.len())
            .any(|window| window == password)
    );
}
