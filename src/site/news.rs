//! Notices and their feed, the state of the lists, and the files for programs that visit a site.

use std::fmt::Write as _;

use askama::Template;
use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};

use super::{
    about::day_after,
    context::PageContext,
    lists::list_path,
    markup::{IntoTextArgument, Markup, escape},
};
use crate::{
    api::{
        ListDayResponse, ListStatusResponse, NoticeState, ProblemDetails, PublicNoticesResponse,
        PublicStatusResponse,
    },
    http::{App, public_lists, public_notices},
    model::Time,
    statistics::DAYS,
};

/// The seconds of a day.
const DAY_SECONDS: u64 = 86_400;

/// For how many days a program may rely on security.txt (RFC 9116 section 2.5.5).
const SECURITY_TXT_DAYS: u64 = 90;

#[derive(Template)]
#[template(path = "notices.html")]
pub(super) struct NoticesPage<'a> {
    pub page: &'a PageContext,
    pub notices: &'a PublicNoticesResponse,
}

impl NoticesPage<'_> {
    fn state(&self, state: &NoticeState) -> Markup {
        self.page.t(match state {
            NoticeState::Current => "notices-current",
            NoticeState::Planned => "notices-planned",
            NoticeState::Over | NoticeState::Cancelled => "notices-over",
        })
    }
}

/// `GET /notices`.
pub(super) async fn get_notices(page: PageContext, State(app): State<App>) -> Response {
    let notices = public_notices(&app);
    page.respond_indexed(&notices, || NoticesPage {
        page: &page,
        notices: &notices,
    })
}

/// `GET /notices.atom`: the notices as an Atom feed (RFC 4287).
pub(super) async fn get_atom(page: PageContext, State(app): State<App>) -> Response {
    let notices = public_notices(&app);
    let updated = notices.updated.unwrap_or(app.started.into());
    let kind = [
        (header::CONTENT_TYPE, "application/atom+xml; charset=utf-8"),
        (header::CACHE_CONTROL, "max-age=60"),
    ];
    (kind, atom(&page, &notices, &updated.to_string())).into_response()
}

fn atom(page: &PageContext, notices: &PublicNoticesResponse, updated: &str) -> String {
    let (settings, url) = (&page.settings, |path: &str| escape(&page.url(path)));
    let author = match settings.operator.as_str() {
        "" => &settings.name,
        operator => operator,
    };
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <feed xmlns=\"http://www.w3.org/2005/Atom\" xml:lang=\"en\">\n\
         <id>{0}</id>\n<title>{1}</title>\n<updated>{updated}</updated>\n\
         <author><name>{2}</name></author>\n\
         <link rel=\"self\" type=\"application/atom+xml\" href=\"{3}\"/>\n\
         <link rel=\"alternate\" type=\"text/html\" href=\"{0}\"/>\n",
        url("/notices"),
        escape(&settings.name),
        escape(author),
        url("/notices.atom"),
    );
    for notice in &notices.items {
        let id = url(&format!("/notices#notice-{}", notice.number));
        let _ = write!(
            out,
            "<entry>\n<id>{id}</id>\n<title>{}</title>\n<published>{}</published>\n\
             <updated>{}</updated>\n<link rel=\"alternate\" type=\"text/html\" href=\"{id}\"/>\n\
             <content type=\"text\">{}</content>\n</entry>\n",
            escape(&notice.title),
            notice.added,
            notice.updated,
            escape(&notice.text),
        );
    }
    out + "</feed>\n"
}

#[derive(Template)]
#[template(path = "status.html")]
pub(super) struct StatusPage<'a> {
    pub page: &'a PageContext,
    pub status: &'a PublicStatusResponse,
}

/// A bar of the chart of entries: its text, and its length.
struct Bar {
    caption: Markup,
    percent: u64,
}

/// The course of a list's entries: a bar for each day with a count, and the largest count.
struct Course {
    bars: Vec<DayBar>,
    most: u64,
    listed: u64,
    delisted: u64,
}

/// A bar in a picture of [`DAYS`] columns of 10 units, 40 units high.
struct DayBar {
    left: u64,
    top: u64,
    height: u64,
}

/// The height of the picture of a course.
const COURSE_HEIGHT: u64 = 40;

impl Course {
    /// The course of days that are counted from `today`, the last column.
    fn new(days: &[ListDayResponse], today: Time) -> Course {
        let entries = |day: &ListDayResponse| day.entries.unwrap_or(0);
        let most = days.iter().map(entries).max().unwrap_or(0);
        let bar = |day: &ListDayResponse| {
            let age = (today.0 / DAY_SECONDS).checked_sub(day.day.0.0 / DAY_SECONDS)?;
            let column = (DAYS - 1).checked_sub(age)?;
            // A day with an entry has a visible bar.
            let height = (day.entries? * COURSE_HEIGHT).div_ceil(most.max(1));
            Some(DayBar {
                left: column * 10,
                top: COURSE_HEIGHT - height,
                height,
            })
        };
        Course {
            bars: days.iter().filter_map(bar).collect(),
            most,
            listed: days.iter().map(|d| d.listed).sum(),
            delisted: days.iter().map(|d| d.delisted).sum(),
        }
    }
}

impl StatusPage<'_> {
    fn course(&self, list: &ListStatusResponse) -> Course {
        Course::new(&list.days, self.page.now)
    }

    fn number(&self, n: &u64) -> String {
        self.page.number(*n)
    }

    /// What the picture of a course shows, as a sentence.
    fn course_text(&self, list: &ListStatusResponse, course: &Course) -> Markup {
        let args = [
            ("zone", list.zone.argument()),
            ("most", self.page.number(course.most).argument()),
            ("listed", self.page.number(course.listed).argument()),
            ("delisted", self.page.number(course.delisted).argument()),
        ];
        self.page.text("status-course-text", &args)
    }

    fn href(&self, alias: &str) -> String {
        self.page.href(&list_path(alias))
    }

    /// The link to a notice.
    fn notice(&self, number: &u64) -> String {
        self.page.href(&format!("/notices#notice-{number}"))
    }

    fn lag(&self, list: &ListStatusResponse) -> Option<String> {
        let seconds = u32::try_from(list.lag_seconds?).unwrap_or(u32::MAX);
        Some(self.page.duration(&seconds))
    }

    fn bars(&self) -> Vec<Bar> {
        let entries = |l: &ListStatusResponse| l.entries.unwrap_or(0);
        let most = self
            .status
            .lists
            .iter()
            .map(entries)
            .max()
            .unwrap_or(0)
            .max(1);
        let bar = |list: &ListStatusResponse| {
            let n = entries(list);
            let number = self.page.number(n);
            let args = [
                ("zone", list.zone.argument()),
                ("count", n.argument()),
                ("entries", number.argument()),
            ];
            Bar {
                caption: self.page.text("status-figures-caption", &args),
                // A list with an entry has a visible bar.
                percent: (n * 100).div_ceil(most),
            }
        };
        self.status.lists.iter().map(bar).collect()
    }

    fn removals(&self) -> Option<Markup> {
        let n = self.status.removals_30_days?;
        let number = self.page.number(n);
        Some(
            self.page
                .t2("status-figures-removals", "count", n, "number", number),
        )
    }
}

/// `GET /status`.
pub(super) async fn get_status(page: PageContext, State(app): State<App>) -> Response {
    let status = public_lists::status(&app).await;
    page.respond_indexed(&status, || StatusPage {
        page: &page,
        status: &status,
    })
}

/// `GET /robots.txt`: the pages about the lists may be indexed, pages about subjects may not.
pub(super) async fn get_robots() -> Response {
    let text = "User-agent: *\nAllow: /$\nAllow: /?lang=\nAllow: /assets/\nAllow: /zones\n\
                Allow: /policy\nAllow: /tests\nAllow: /open-relay\nAllow: /opt-out\n\
                Allow: /notices\nAllow: /status\nAllow: /privacy\nDisallow: /\n";
    plain(text.into())
}

/// `GET /.well-known/security.txt` (RFC 9116).
pub(super) async fn get_security_txt(page: PageContext) -> Result<Response, ProblemDetails> {
    let contact = match page.settings.contact.as_str() {
        "" => {
            return Err(ProblemDetails::not_found(
                "the operator has not named a contact",
            ));
        }
        mail if crate::http::is_mail_address(mail) => format!("mailto:{mail}"),
        url if url.starts_with("https://") => url.to_string(),
        _ => {
            return Err(ProblemDetails::not_found(
                "the contact is neither a mail address nor a URL",
            ));
        }
    };
    let languages = page.settings.languages.iter().map(|l| l.tag());
    let languages: Vec<&str> = languages.collect();
    Ok(plain(format!(
        "Contact: {contact}\nExpires: {}\nPreferred-Languages: {}\nCanonical: {}\n",
        day_after(page.now, SECURITY_TXT_DAYS),
        languages.join(", "),
        page.url("/.well-known/security.txt"),
    )))
}

fn plain(text: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CACHE_CONTROL, "max-age=3600"),
    ];
    (headers, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn course_has_a_column_for_each_day_and_today_is_the_last() {
        let now = Time(100 * DAY_SECONDS + 5);
        let day = |age: u64, entries| ListDayResponse {
            day: Time((100 - age) * DAY_SECONDS).into(),
            entries,
            listed: 2,
            delisted: 1,
        };
        let days = [
            day(30, Some(9)),
            day(29, Some(1)),
            day(2, None),
            day(1, Some(0)),
            day(0, Some(200)),
        ];
        let course = Course::new(&days, now);
        let bars: Vec<_> = {
            let bars = course.bars.iter();
            bars.map(|b| (b.left, b.top, b.height)).collect()
        };
        assert_eq!(bars, [(0, 39, 1), (280, 40, 0), (290, 0, 40)]);
        assert_eq!((course.most, course.listed, course.delisted), (200, 10, 5));
        assert!(Course::new(&[], now).bars.is_empty());
    }
}
