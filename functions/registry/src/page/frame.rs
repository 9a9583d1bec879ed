//! What is around every page.

use maud::{DOCTYPE, Markup, html};

use super::{asset, text};
use crate::artifact::Id;

/// The most characters of a title: browsers show fewer.
const MOST_OF_TITLE: usize = 80;

/// What is around a page.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frame {
    /// What leads from this page to the first one, such as `../`. Links are relative, for a gateway may have put the
    /// registry below the name of a stage.
    pub(crate) root: String,
    /// Who is logged in.
    pub(crate) user: Option<String>,
}

/// The part of the navigation that a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tab {
    /// Artifacts.
    Search,
    /// How the registry is.
    Status,
    /// Who it is.
    Login,
    /// None of them.
    Other,
}

impl Frame {
    /// Where a path of ours is, seen from this page.
    pub(crate) fn to(&self, path: &str) -> String {
        format!("{}{path}", self.root)
    }

    /// Where an artifact's page is.
    pub(crate) fn to_artifact(&self, id: &Id) -> String {
        self.to(&format!("view/{id}"))
    }

    /// The whole page. What is in `main` begins with the heading.
    pub(crate) fn page(&self, tab: Tab, title: &str, main: &Markup) -> Markup {
        let current = |one: Tab| (one == tab).then_some("page");
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (text::shortened(title, MOST_OF_TITLE)) " · Holdfast registry" }
                    link rel="stylesheet" href=(self.to(&asset::style().path));
                    link rel="icon" type="image/svg+xml" href=(self.to(&asset::icon().path));
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    header {
                        div.top {
                            p.brand { "Holdfast " span { "registry" } }
                            nav aria-label="Registry" {
                                ul {
                                    @if self.user.is_some() {
                                        li { a href=(self.root) aria-current=[current(Tab::Search)] { "Search" } }
                                    }
                                    li { a href=(self.to("status")) aria-current=[current(Tab::Status)] { "Status" } }
                                    @if self.user.is_none() {
                                        li { a href=(self.to("login")) aria-current=[current(Tab::Login)] { "Log in" } }
                                    }
                                }
                            }
                            @if let Some(user) = &self.user { (self.account(user)) }
                        }
                    }
                    main #main tabindex="-1" { (main) }
                }
            }
        }
    }

    fn account(&self, user: &str) -> Markup {
        html! {
            div.account {
                p { span.hidden { "Logged in as " } bdi { (user) } }
                form method="post" action=(self.to("logout")) {
                    button.quiet type="submit" { "Log out" }
                }
            }
        }
    }
}
