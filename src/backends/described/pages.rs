//! The pages of a search.
//!
//! What always holds: there are at most as many pages as the description allows, and none that lies
//! elsewhere; a page that fails spoils the search (rule G9). What moved while it was read, and is on two
//! pages, is one ticket.

use super::conversation::Conversation;
use super::request::next_page;
use super::wire::PagingBy;
use reqwest::Url;
use ticketgate_actors::model::Found;
use ticketgate_actors::ports::{Answer, Reading};

impl Conversation<'_> {
    /// The pages of a search, until there are enough.
    pub(super) async fn search(&mut self, limit: usize) -> Answer {
        let mut tickets: Vec<Found> = Vec::new();
        let mut at: Option<Url> = None;
        let mut held = 0;
        let plan = self.plan;
        let paging = plan.paging.as_ref();
        let size = paging.map_or(limit, |paging| (paging.size as usize).min(limit));
        for number in 0.. {
            if let Some(paging) = paging {
                self.variables.set("page", paging.first + number);
                self.variables.set("offset", held as u64);
                self.variables.set("page_size", size as u64);
            }
            let heard = match self.say(&plan.call, at.as_ref()).await {
                Ok(heard) => heard,
                Err(broken) => return self.told(broken, true),
            };
            let left = limit - tickets.len();
            let page = match self.plan.read.hits(self.shown(&heard), left) {
                Ok(page) => page,
                Err(why_not) => return self.unreadable(&self.plan.call, &heard, &why_not),
            };
            held += page.length;
            for found in page.tickets {
                // What moves while it is read may be on two pages.
                if !tickets.iter().any(|known| known.backend_id == found.backend_id) {
                    tickets.push(found);
                }
            }
            let next = paging.and_then(|paging| paging.next.as_ref());
            let told =
                next.and_then(|next| next.text(heard.document.whole(), &heard.answered.headers));
            let counted = page.total.map(|total| total > held as u64);
            let more = page.more == Some(true)
                || counted == Some(true)
                || (page.more.is_none() && page.total.is_none())
                    && match next {
                        Some(_) => told.is_some(),
                        // Where nothing tells, a page that is full may have a next one.
                        None => page.length >= size,
                    };
            let more_than_taken = page.length > left;
            let pages = paging.map_or(1, |paging| paging.pages);
            let has_next = match (paging, next) {
                (None, _) => false,
                (Some(_), Some(_)) => more && told.is_some(),
                (Some(_), None) => more && page.length > 0,
            };
            if tickets.len() >= limit || !has_next || number + 1 >= pages {
                return Answer::Read(Reading {
                    tickets,
                    more: more || more_than_taken,
                    ..Reading::default()
                });
            }
            let told = told.unwrap_or_default();
            match paging.map(|paging| paging.by) {
                Some(PagingBy::Link) => match next_page(&self.place.base, &heard.url, &told) {
                    Ok(url) => at = Some(url),
                    Err(why_not) => return self.unreadable(&self.plan.call, &heard, &why_not),
                },
                Some(PagingBy::Cursor) => self.variables.set("cursor", told),
                _ => {}
            }
        }
        unreachable!("the pages are bounded")
    }
}
