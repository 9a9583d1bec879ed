//! Logging in, and who may.

use axum::Json;
use axum::extract::{Extension, Path, Query};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::problem::Problem;
use time::OffsetDateTime;
use utoipa::openapi::schema::{
    AdditionalProperties, AnyOfBuilder, ArrayBuilder, ObjectBuilder, Type,
};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::answer::{Reading, Writing};
use super::body::Body;
use super::error::unauthorized;
use crate::access::password::Password;
use crate::access::user::{Permission, Permissions, User};
use crate::access::{Access, AccessError, Caller, NewUser};

/// The most users on a page, and how many there are if nobody says: each is an object to be read.
const PAGE: usize = 100;
/// The longest place to go on from, in bytes: ours are digests.
const MAX_OFFSET: usize = 128;
/// What needs no escape in a segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// `AuthenticationRequest`, in the casing of this contract or of an earlier one.
#[derive(Deserialize, ToSchema)]
#[schema(as = AuthenticationRequest)]
pub(super) struct SentLogin {
    #[serde(alias = "User")]
    user: SentUser,
    #[serde(alias = "Secret")]
    secret: SentSecret,
}

/// `User`, as it is sent.
#[derive(Deserialize, ToSchema)]
#[schema(as = User)]
struct SentUser {
    name: String,
    /// Whether it is an admin. Not needed to log in.
    #[serde(default, alias = "isAdmin")]
    is_admin: Option<bool>,
}

/// `UserAuthenticationInfo`.
#[derive(Deserialize, ToSchema)]
#[schema(as = UserAuthenticationInfo)]
struct SentSecret {
    password: String,
}

/// Somebody to be registered.
#[derive(Deserialize, ToSchema)]
#[schema(as = NewUser)]
pub(super) struct SentNewUser {
    #[serde(alias = "User")]
    user: SentUser,
    #[serde(alias = "Secret")]
    secret: SentSecret,
    #[serde(default)]
    permissions: Option<SentPermissions>,
}

/// What somebody is to be allowed: `["search"]`, or `{"can_search": true}`, where what is not named is not allowed; alone
/// or as the `permissions` of an object.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
pub(super) struct SentPermissions(Permissions);

/// A new password: `{"password": "…"}`, alone or as the `secret` of an object.
#[derive(Deserialize)]
#[serde(try_from = "Value")]
pub(super) struct SentPassword(String);

/// A user as others see it.
#[derive(Serialize, ToSchema)]
#[schema(as = UserProfile)]
struct Profile {
    name: String,
    is_admin: bool,
    permissions: Permissions,
    #[serde(
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(nullable = false)]
    created_at: Option<OffsetDateTime>,
    #[serde(skip_serializing_if = "String::is_empty")]
    created_by: String,
}

/// Which users are asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// Where to go on: what the header `offset` of an earlier answer had.
    #[param(pattern = "^[!-~]{0,128}$")]
    offset: Option<String>,
    /// The most users to answer.
    #[param(minimum = 1, maximum = 100, default = 100)]
    limit: Option<usize>,
}

/// Logs in.
#[utoipa::path(
    put,
    path = "/authenticate",
    operation_id = "CreateAuthToken",
    tag = "users",
    request_body = SentLogin,
    responses(
        (status = 200, description = "A token, to be sent as it is in the header `X-Authorization`", body = String, content_type = "application/json", headers(
            ("Cache-Control" = String, description = "`no-store`"),
        )),
        (status = 401, description = "The name or the password is wrong"),
        (status = 429, description = "Too many failed logins of this user"),
    ),
)]
pub(super) async fn authenticate(
    Reading(access): Reading<Access>,
    Body(sent): Body<SentLogin>,
) -> Result<Response, Problem> {
    let token = access
        .authenticate(&sent.user.name, &sent.secret.password)
        .await;
    match token {
        Ok(token) => {
            let mut response = Json(token.as_str()).into_response();
            let headers = response.headers_mut();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            Ok(response)
        }
        // Here alone, and in a reset, the contract has 401.
        Err(AccessError::Unauthenticated) => Err(unauthorized("the name or the password is wrong")),
        Err(error) => Err(error.into()),
    }
}

/// Whose a token is.
#[utoipa::path(
    get,
    path = "/verify-token",
    operation_id = "TokenVerify",
    tag = "users",
    responses((status = 200, description = "The user", body = Profile)),
)]
pub(super) async fn verify_token(Extension(caller): Extension<Caller>) -> Response {
    let profile = Profile {
        is_admin: caller.is_admin(),
        name: caller.name.into(),
        permissions: caller.permissions,
        created_at: None,
        created_by: String::new(),
    };
    Json(profile).into_response()
}

/// Registers a user.
#[utoipa::path(
    post,
    path = "/users",
    operation_id = "UserCreate",
    tag = "users",
    request_body = SentNewUser,
    responses(
        (status = 201, description = "The user", body = Profile, headers(
            ("Location" = String, description = "Where the user is"),
        )),
        (status = 409, description = "There is a user of this name already"),
    ),
)]
pub(super) async fn register(
    Extension(caller): Extension<Caller>,
    Writing(access): Writing<Access>,
    Body(sent): Body<SentNewUser>,
) -> Result<Response, Problem> {
    caller.must(Permission::Admin)?;
    let given = sent.permissions.map(|SentPermissions(given)| given);
    let admin = (sent.user.is_admin == Some(true)).then_some(Permission::Admin);
    let new = NewUser {
        name: sent.user.name.parse()?,
        password: Password::chosen(sent.secret.password)?,
        permissions: given.unwrap_or_default().iter().chain(admin).collect(),
    };
    let user = access.register(&caller, new).await?;
    let location = format!(
        "/users/{}",
        utf8_percent_encode(user.name.as_str(), SEGMENT)
    );
    let mut response = (StatusCode::CREATED, Json(Profile::from(user))).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Users, by page.
#[utoipa::path(
    get,
    path = "/users",
    operation_id = "UsersList",
    tag = "users",
    params(Paging),
    responses(
        (status = 200, description = "A page of users", body = Vec<Profile>, headers(
            ("offset" = String, description = "Where the next page begins; absent after the last"),
        )),
    ),
)]
pub(super) async fn list(
    Query(paging): Query<Paging>,
    Extension(caller): Extension<Caller>,
    Reading(access): Reading<Access>,
) -> Result<Response, Problem> {
    let refusal = |detail| Problem::new(StatusCode::BAD_REQUEST, detail);
    let limit = paging.limit.unwrap_or(PAGE);
    if !(1..=PAGE).contains(&limit) {
        return Err(refusal(format!("the limit must be 1 to {PAGE}")));
    }
    let after = paging.offset.as_deref().filter(|offset| !offset.is_empty());
    let is_place = |place: &str| {
        place.len() <= MAX_OFFSET && place.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if after.is_some_and(|after| !is_place(after)) {
        let detail = "the offset must be one that an earlier answer gave";
        return Err(refusal(detail.to_owned()));
    }
    let (users, next) = access.users(&caller, after, limit).await?;
    let users: Vec<Profile> = users.into_iter().map(Profile::from).collect();
    let mut response = Json(users).into_response();
    if let Some(next) = next
        && let Ok(next) = HeaderValue::from_str(&next)
    {
        response.headers_mut().insert("offset", next);
    }
    Ok(response)
}

/// A user.
#[utoipa::path(
    get,
    path = "/users/{name}",
    operation_id = "UserRetrieve",
    tag = "users",
    params(("name" = String, Path, description = "The user's name", min_length = 1, max_length = 256)),
    responses(
        (status = 200, description = "The user", body = Profile),
        (status = 404, description = "There is no user of this name"),
    ),
)]
pub(super) async fn find(
    Path(name): Path<String>,
    Extension(caller): Extension<Caller>,
    Reading(access): Reading<Access>,
) -> Result<Response, Problem> {
    let user = access.user(&caller, &name.parse()?).await?;
    Ok(Json(Profile::from(user)).into_response())
}

/// Deletes a user.
#[utoipa::path(
    delete,
    path = "/users/{name}",
    operation_id = "UserDelete",
    tag = "users",
    params(("name" = String, Path, description = "The user's name", min_length = 1, max_length = 256)),
    responses(
        (status = 200, description = "The user is gone, and all tokens with it"),
        (status = 404, description = "There is no user of this name"),
    ),
)]
pub(super) async fn remove(
    Path(name): Path<String>,
    Extension(caller): Extension<Caller>,
    Writing(access): Writing<Access>,
) -> Result<StatusCode, Problem> {
    access.delete(&caller, &name.parse()?).await?;
    Ok(StatusCode::OK)
}

/// Says what a user may do.
#[utoipa::path(
    put,
    path = "/users/{name}/permissions",
    operation_id = "UserPermissionsSet",
    tag = "users",
    params(("name" = String, Path, description = "The user's name", min_length = 1, max_length = 256)),
    request_body = SentPermissions,
    responses(
        (status = 200, description = "The user", body = Profile),
        (status = 404, description = "There is no user of this name"),
    ),
)]
pub(super) async fn set_permissions(
    Path(name): Path<String>,
    Extension(caller): Extension<Caller>,
    Writing(access): Writing<Access>,
    Body(SentPermissions(permissions)): Body<SentPermissions>,
) -> Result<Response, Problem> {
    let user = access
        .set_permissions(&caller, &name.parse()?, &permissions)
        .await?;
    Ok(Json(Profile::from(user)).into_response())
}

/// Gives a user another password.
#[utoipa::path(
    put,
    path = "/users/{name}/password",
    operation_id = "UserPasswordSet",
    tag = "users",
    params(("name" = String, Path, description = "The user's name", min_length = 1, max_length = 256)),
    request_body = SentPassword,
    responses(
        (status = 200, description = "The password is another, and tokens are not valid any more"),
        (status = 404, description = "There is no user of this name"),
    ),
)]
pub(super) async fn set_password(
    Path(name): Path<String>,
    Extension(caller): Extension<Caller>,
    Writing(access): Writing<Access>,
    Body(SentPassword(password)): Body<SentPassword>,
) -> Result<StatusCode, Problem> {
    let password = Password::chosen(password)?;
    access
        .set_password(&caller, &name.parse()?, password)
        .await?;
    Ok(StatusCode::OK)
}

impl From<User> for Profile {
    fn from(user: User) -> Self {
        Self {
            name: user.name.into(),
            is_admin: user.permissions.include(Permission::Admin),
            permissions: user.permissions,
            created_at: user.created_at,
            created_by: user.created_by,
        }
    }
}

impl ToSchema for SentPermissions {}

impl PartialSchema for SentPermissions {
    fn schema() -> RefOr<Schema> {
        let names = ArrayBuilder::new().items(Permission::schema());
        let flag = ObjectBuilder::new().schema_type(Type::Boolean);
        let names_of_flags = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some([
                "can_upload",
                "can_search",
                "can_download",
                "is_admin",
            ]));
        let flags = ObjectBuilder::new()
            .property_names(Some(names_of_flags.build()))
            .additional_properties(Some(AdditionalProperties::RefOr(flag.build().into())));
        let either = Schema::AnyOf(AnyOfBuilder::new().item(names).item(flags).build());
        let wrapped = ObjectBuilder::new()
            .property("permissions", either.clone())
            .required("permissions");
        Schema::AnyOf(AnyOfBuilder::new().item(either).item(wrapped).build()).into()
    }
}

impl ToSchema for SentPassword {}

impl PartialSchema for SentPassword {
    fn schema() -> RefOr<Schema> {
        let wrapped = ObjectBuilder::new()
            .property("secret", SentSecret::schema())
            .required("secret");
        let either = AnyOfBuilder::new().item(SentSecret::schema()).item(wrapped);
        Schema::AnyOf(either.build()).into()
    }
}

impl TryFrom<Value> for SentPermissions {
    type Error = &'static str;

    fn try_from(mut sent: Value) -> Result<Self, Self::Error> {
        let given = sent.get_mut("permissions").map(Value::take).unwrap_or(sent);
        let given: Option<Vec<Option<Permission>>> = match given {
            Value::Array(names) => names
                .iter()
                .map(|name| permission(name.as_str()?).map(Some))
                .collect(),
            Value::Object(flags) => flags
                .iter()
                .map(|(name, flag)| Some(flag.as_bool()?.then_some(permission(name)?)))
                .collect(),
            _ => None,
        };
        let given = given.ok_or(
            "permissions are a list of upload, search, download and admin, or an object of can_upload, can_search, \
             can_download and is_admin, each true or false",
        )?;
        Ok(Self(given.into_iter().flatten().collect()))
    }
}

/// A permission in the ways in which clients write it.
fn permission(name: &str) -> Option<Permission> {
    let bare = name.strip_prefix("can_").or(name.strip_prefix("is_"));
    bare.unwrap_or(name).parse().ok()
}

impl TryFrom<Value> for SentPassword {
    type Error = &'static str;

    fn try_from(sent: Value) -> Result<Self, Self::Error> {
        let secret = sent.get("secret").or(sent.get("Secret")).unwrap_or(&sent);
        let password = secret.get("password").and_then(Value::as_str);
        let password = password.ok_or("a new password is asked for: {\"password\": \"…\"}")?;
        Ok(Self(password.to_owned()))
    }
}
