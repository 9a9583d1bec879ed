//! A double that takes what the real one takes. The real client against it is in `shared`.

use testkit::SecretsManager;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn only_a_signed_question_for_the_secret_is_answered() {
    let secrets = SecretsManager::start().await;
    secrets.put("orders", "geheim");
    let signature = "AWS4-HMAC-SHA256 Credential=id/20261121/us-east-1/secretsmanager/aws4_request";
    let body = r#"{"SecretId":"orders"}"#;
    let get = "secretsmanager.GetSecretValue";
    for (target, authorization, body, expected) in [
        (get, signature, body, r#""SecretString":"geheim""#),
        (get, "none", body, "MissingAuthenticationTokenException"),
        (get, signature, "{}", "ResourceNotFoundException"),
        (
            "secretsmanager.ListSecrets",
            signature,
            body,
            "UnknownOperationException",
        ),
    ] {
        let answer = ask(&secrets, target, authorization, body).await;
        assert!(answer.contains(expected), "{answer}");
    }
    secrets.refuse(400, "AccessDeniedException");
    let answer = ask(&secrets, get, signature, body).await;
    assert!(
        answer.starts_with("HTTP/1.1 400 ")
            && answer.contains(r#""__type":"AccessDeniedException""#),
        "{answer}"
    );
    assert_eq!(secrets.calls(), 5);
}

async fn ask(secrets: &SecretsManager, target: &str, authorization: &str, body: &str) -> String {
    let address = secrets.endpoint().trim_start_matches("http://");
    let request = format!(
        "POST / HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nx-amz-target: {target}\r\n\
         authorization: {authorization}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    exchange.await.unwrap_or_else(|error| error.to_string())
}
