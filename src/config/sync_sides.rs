//! Several `[[sync]]` over the same tickets: each knows of which fields another side is master.
//!
//! A field has one master. Where it is another sync's side, we have its value from there, and every
//! other side is given it, as if we were master ourselves: else a side without a say in the field could
//! take it from its master by being more recent. Combinations in which that cannot be are refused.
//!
//! A masked sync is out of use and counts for nothing.

use super::sections::Config;
use super::sync::SyncSection;
use crate::backends::Description;
use std::collections::BTreeSet;

/// Do both say something of the same tickets? Feeds of one source are of different organizers, each with
/// tickets of its own; whatever else shares a home shares its tickets.
fn share_tickets(one: &SyncSection, other: &SyncSection, backends: &[Description]) -> bool {
    let source = one.backend.as_str();
    let both_read = one.reads(source, backends) && other.reads(source, backends);
    let distinct = one.name != other.name && !one.masked && !other.masked;
    distinct && one.home() == other.home() && !both_read
}

/// Does it keep this field in step?
fn covers(sync: &SyncSection, field: &str) -> bool {
    sync.field.is_empty() || sync.field.iter().any(|one| one.name == field)
}

impl Config {
    fn beside<'a>(
        &'a self,
        sync: &'a SyncSection,
        backends: &'a [Description],
    ) -> impl Iterator<Item = &'a SyncSection> {
        self.sync.iter().filter(move |other| share_tickets(sync, other, backends))
    }

    /// Fields of this sync's tickets of which another sync's side is master.
    pub(super) fn mastered_elsewhere(
        &self,
        sync: &SyncSection,
        backends: &[Description],
    ) -> BTreeSet<String> {
        let of = |other: &'_ SyncSection| -> Vec<String> {
            other.theirs().map(|(_, field)| field.name.clone()).collect()
        };
        self.beside(sync, backends).flat_map(of).collect()
    }

    /// Combinations that cannot be right: key, and why.
    pub(super) fn faults_between_syncs(&self, backends: &[Description]) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        for (n, sync) in self.sync.iter().enumerate() {
            let home = sync.home();
            for (m, field) in sync.theirs() {
                let before = self.sync[..n].iter().filter(|it| share_tickets(sync, it, backends));
                let two = before
                    .into_iter()
                    .find(|other| other.theirs().any(|(_, it)| it.name == field.name));
                if let Some(other) = two {
                    let what = format!(
                        "the side of sync {:?} is master of {:?} already, of the same tickets of \
                         {home}: only one can be",
                        other.name, field.name
                    );
                    faults.push((format!("sync[{n}].field[{m}].master"), what));
                }
            }
            // Its side is the home itself, and is not to be written.
            let reads_home = sync.backend == *home && sync.reads(home.as_str(), backends);
            let described = backends.iter().find(|one| one.id == *home);
            let writes = described.is_some_and(Description::writes);
            if !reads_home || writes && sync.write_back != Some(false) {
                continue;
            }
            let key = if writes { "write_back" } else { "backend" };
            for other in self.beside(sync, backends) {
                let mut fields = other.theirs().filter(|(_, it)| covers(sync, &it.name));
                if let Some((_, field)) = fields.next() {
                    let why = match writes {
                        true => "write_back = false keeps",
                        false => "its description, which has no update, keeps",
                    };
                    let what = format!(
                        "the side of sync {:?} is master of {:?}, and {why} {home} from getting its \
                         value back where somebody changes it there: leave that field out here",
                        other.name, field.name
                    );
                    faults.push((format!("sync[{n}].{key}"), what));
                }
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use crate::config::parse;
    use ticketgate_actors::model::Side;

    const BACKENDS: &str = "[[backend]]\nid = 'crm'\npreset = 'simulated-rest'\n\
                            base_url = 'http://127.0.0.1:1'\n\
                            [[backend]]\nid = 'feed'\npreset = 'tixngo'\n\
                            base_url = 'http://127.0.0.1:1'\n";

    fn syncs(text: &str) -> Result<Vec<ticketgate_actors::actors::SyncSettings>, String> {
        let loaded = parse("t.toml", &format!("{text}{BACKENDS}"), std::iter::empty());
        let loaded = loaded.map_err(|errors| errors.to_string())?;
        Ok(loaded.config.syncs(&loaded.backends))
    }

    const DESK: &str = "[[sync]]\nname = 'desk'\nbackend = 'crm'\n";
    const ELEMENT: &str = "[[sync]]\nname = 'element'\nbackend = 'crm'\nfrom = 'connector'\n";
    const OWNER: &str = "[[sync.field]]\nname = 'owner'\nmaster = 'theirs'\n";

    #[test]
    fn a_field_that_one_side_masters_is_kept_against_every_other() {
        let both = syncs(&format!("{DESK}{ELEMENT}{OWNER}")).unwrap();
        let master = |n: usize, field: &str| both[n].plan.rules.master(field);
        assert_eq!(master(0, "owner"), Some(Side::Ours), "we have it from its master");
        assert_eq!(master(1, "owner"), Some(Side::Theirs));
        assert_eq!(master(0, "summary"), None);
        // Out of use: it is master of nothing.
        let masked = syncs(&format!("{DESK}{ELEMENT}masked = true\n{OWNER}")).unwrap();
        assert_eq!(masked[0].plan.rules.master("owner"), None);
    }

    #[test]
    fn two_masters_of_one_field_are_refused_unless_their_tickets_are_others() {
        let told = syncs(&format!("{DESK}{OWNER}{ELEMENT}{OWNER}")).unwrap_err();
        assert!(told.contains("sync[1].field[0].master") && told.contains("\"desk\""), "{told}");
        let feed = |name: &str| {
            format!(
                "[[sync]]\nname = '{name}'\nbackend = 'feed'\norganizer = '{name}'\n\
                 target = 'crm'\n{OWNER}"
            )
        };
        let both = syncs(&format!("{}{}", feed("opera"), feed("museum"))).unwrap();
        assert_eq!(both[0].plan.rules.master("owner"), Some(Side::Theirs));
    }

    #[test]
    fn a_side_that_cannot_be_given_what_another_masters_is_refused() {
        let told = syncs(&format!("{DESK}write_back = false\n{ELEMENT}{OWNER}")).unwrap_err();
        assert!(told.contains("sync[0].write_back") && told.contains("\"owner\""), "{told}");
        let element = ELEMENT.replace("crm", "feed");
        let feed = "[[sync]]\nname = 'desk'\nbackend = 'feed'\n";
        let told = syncs(&format!("{feed}{element}{OWNER}")).unwrap_err();
        assert!(told.contains("sync[0].backend") && told.contains("no update"), "{told}");
        // It does not keep that field in step.
        let other = "[[sync.field]]\nname = 'summary'\n";
        assert!(syncs(&format!("{DESK}write_back = false\n{other}{ELEMENT}{OWNER}")).is_ok());
    }
}
