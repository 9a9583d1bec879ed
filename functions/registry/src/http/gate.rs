//! Who asks, and what they may do. The one place where the rest of the API meets access control.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use shared::problem::Problem;

use super::App;

/// The headers that a token may come in; the first one counts.
const HEADERS: [&str; 2] = ["x-authorization", "authorization"];

/// A user whose token is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// What the user is called.
    pub name: String,
    /// What the user may do.
    pub permissions: Permissions,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is given or not, whatever the others are"
)]
pub struct Permissions {
    /// Register, change and delete artifacts.
    pub upload: bool,
    /// Ask which artifacts there are.
    pub search: bool,
    /// Read an artifact.
    pub download: bool,
    /// All of that, and reset the registry.
    pub admin: bool,
}

/// Why a caller is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// There is no token, or it is not good.
    #[error("a valid token in the header X-Authorization is required")]
    Token,
    /// The user is known, and may not do this.
    #[error("this user lacks the permission {0}")]
    Permission(&'static str),
}

type Checking = Pin<Box<dyn Future<Output = Result<Caller, Denied>> + Send>>;

/// Tells from the token of a request who asks.
#[derive(Clone)]
pub struct Gate(Arc<dyn Fn(Option<String>) -> Checking + Send + Sync>);

impl Gate {
    /// A gate that lets in whom `check` knows. It is given the value of the header, as it came.
    pub fn new<F>(check: impl Fn(Option<String>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Caller, Denied>> + Send + 'static,
    {
        Self(Arc::new(move |token| Box::pin(check(token))))
    }

    /// A gate that lets nobody in.
    pub fn closed() -> Self {
        Self::new(|_token| std::future::ready(Err(Denied::Token)))
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Gate(..)")
    }
}

impl Caller {
    pub(super) fn may_upload(&self) -> Result<(), Denied> {
        self.may(self.permissions.upload, "upload")
    }

    pub(super) fn may_search(&self) -> Result<(), Denied> {
        self.may(self.permissions.search, "search")
    }

    pub(super) fn may_download(&self) -> Result<(), Denied> {
        self.may(self.permissions.download, "download")
    }

    pub(super) fn may_administer(&self) -> Result<(), Denied> {
        self.may(false, "admin")
    }

    fn may(&self, is_given: bool, permission: &'static str) -> Result<(), Denied> {
        if is_given || self.permissions.admin {
            Ok(())
        } else {
            Err(Denied::Permission(permission))
        }
    }
}

/// Lets a request pass with its caller, or refuses it.
pub(super) async fn check(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let caller = (app.gate.0)(token(request.headers())).await?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

fn token(headers: &HeaderMap) -> Option<String> {
    let value = HEADERS.iter().find_map(|name| headers.get(*name))?;
    value.to_str().ok().map(ToOwned::to_owned)
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        Self::new(StatusCode::FORBIDDEN, denied.to_string())
    }
}
