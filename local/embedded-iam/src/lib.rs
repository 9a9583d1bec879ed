//! IAM and STS for one machine: a few accounts with an administrator each, roles whose trust and permissions count, and
//! sessions that end.
//!
//! It is small on purpose, and strict where it is: what it does not know denies. A service such as the embedded S3
//! asks it whose key a request was signed with and what that caller may do.
//!
//! # Layout, in reading order
//!
//! - `iam`: [`Iam`], what services hold. `account`, `caller`: who there is. [`signature`]: who signed.
//! - `policy`: what policies say. `authority`: [`Authority`], what follows from all of them together.
//! - `query`: forms in, XML out. `sts`: sessions of roles. `role_actions`: roles, as the AWS CLI makes them.
//! - `role`, `roles`: one file of JSON a role, which people may write as well. `session`, `sessions`: the same.
//!
//! # What is not here
//!
//! Managed policies, users and groups besides the administrators, permission boundaries, organizations, policy
//! variables, conditions on several values, on numbers, dates and addresses. Where a policy has one of them, it
//! denies, and the log says so.

mod account;
mod arn;
mod authority;
mod caller;
mod clock;
mod file;
mod iam;
mod policy;
mod query;
mod random;
mod role;
mod role_actions;
mod roles;
mod session;
mod sessions;
pub mod signature;
mod sts;
mod wildcard;

pub use account::{Account, AccountId, Credentials, NotAnAccount};
pub use arn::partition_of;
pub use authority::{Authority, Guard, Question, Reason, Refused};
pub use caller::Caller;
pub use iam::{Iam, KeyError};
pub use policy::{Context, Kind, Malformed, Policy};
pub use query::{Form, Refusal, is_query, pairs};
pub use role::{NewRole, NewRoleError};
pub use session::Session;
