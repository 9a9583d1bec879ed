//! The page where people log in.

use maud::{Markup, html};

use super::problem::sentence;
use super::{Frame, Tab};

/// What the form shows.
#[derive(Debug, Default)]
pub(crate) struct Login<'a> {
    /// Where to go afterwards, seen from the first page.
    pub(crate) to: &'a str,
    /// What was typed before.
    pub(crate) name: &'a str,
    /// What has happened.
    pub(crate) notice: Option<Notice>,
}

/// What is to be said before the form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// It was tried, and refused.
    Refused(String),
    /// The token has run out, or been used up.
    Ended,
    /// A link on another site led here, and then browsers do not tell who is logged in.
    FromElsewhere,
}

/// The page.
pub(crate) fn page(frame: &Frame, login: &Login<'_>) -> Markup {
    let is_refused = matches!(login.notice, Some(Notice::Refused(_)));
    let described = is_refused.then_some("refusal");
    let invalid = is_refused.then_some("true");
    let main = html! {
        h1 { "Log in" }
        @match &login.notice {
            Some(Notice::Refused(why)) => p.notice.bad #refusal role="alert" { (sentence(why)) },
            Some(Notice::Ended) => p.notice role="status" { "Your session has ended. Log in again to go on." },
            Some(Notice::FromElsewhere) => p.notice {
                "A link on another site brought you here. If you are logged in already, "
                a href=(frame.to(login.to)) { "go on to the page" } "."
            },
            None => {}
        }
        form.stacked method="post" action=(frame.to("login")) {
            input type="hidden" name="to" value=(login.to);
            p {
                label for="name" { "Name" }
                input #name name="name" type="text" value=(login.name) autocomplete="username" autocapitalize="none"
                    spellcheck="false" maxlength="256" required aria-invalid=[invalid] aria-describedby=[described];
            }
            p {
                label for="password" { "Password" }
                input #password name="password" type="password" autocomplete="current-password" maxlength="1024"
                    required aria-invalid=[invalid] aria-describedby=[described];
            }
            p { button type="submit" { "Log in" } }
        }
        p.quiet { "Accounts are made by an admin of this registry." }
    };
    frame.page(Tab::Login, "Log in", &main)
}
