//! Two states of one ticket become one, field by field.
//!
//! The table is that of DataMiner's ticketing gateway: a field of which we are master keeps our value,
//! one of which they are master theirs, any other the value of the more recent ticket; at equal times
//! ours stays. With a base to compare with (three-way), a field that only one side has changed is that
//! side's, whatever the times say.

use super::Rules;
use crate::model::{Conflict, Fields, Side, Timestamp};
use serde_json::Value;
use std::collections::BTreeSet;

/// What is merged.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'a> {
    /// Ours, its status among the fields.
    pub ours: &'a Fields,
    /// When that changed.
    pub ours_at: Timestamp,
    /// Theirs, by our names.
    pub theirs: &'a Fields,
    /// When that changed, by our clock.
    pub theirs_at: Timestamp,
    /// What both had in common last; none: they never had.
    pub agreed: Option<&'a Fields>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// What both sides are to have.
    pub fields: Fields,
    /// Fields where their value is kept, and ours was another.
    pub from_theirs: Vec<String>,
    /// Fields where our value is kept, and theirs was another.
    pub from_ours: Vec<String>,
    /// Fields that both had changed, without a master; only a three-way merge can know.
    pub conflicts: Vec<Conflict>,
}

impl Merged {
    /// Were the two sides equal?
    pub fn is_equal(&self) -> bool {
        self.from_theirs.is_empty() && self.from_ours.is_empty()
    }
}

/// Merges two sides.
pub fn merge(rules: &Rules, sides: Sides<'_>) -> Merged {
    let mut merged = Merged {
        fields: sides.ours.clone(),
        from_theirs: Vec::new(),
        from_ours: Vec::new(),
        conflicts: Vec::new(),
    };
    for name in names(rules, sides) {
        let (ours, theirs) = (sides.ours.get(name), sides.theirs.get(name));
        if ours == theirs || theirs.is_none() && !rules.whole {
            continue;
        }
        let (kept, conflict) = kept(rules, sides, name);
        if conflict {
            let value = |it: Option<&Value>| it.cloned().unwrap_or_default();
            let (ours, theirs) = (value(ours), value(theirs));
            merged.conflicts.push(Conflict { field: name.clone(), ours, theirs, kept });
        }
        match kept {
            Side::Ours => merged.from_ours.push(name.clone()),
            Side::Theirs => {
                merged.from_theirs.push(name.clone());
                match theirs {
                    Some(value) => merged.fields.insert(name.clone(), value.clone()),
                    None => merged.fields.remove(name),
                };
            }
        }
    }
    merged
}

/// The fields that are kept in step, of both sides, in order.
fn names<'a>(rules: &Rules, sides: Sides<'a>) -> BTreeSet<&'a String> {
    let both = sides.ours.keys().chain(sides.theirs.keys());
    both.filter(|name| rules.covers(name)).collect()
}

/// Whose value of a field that differs is kept, and whether both had changed it.
fn kept(rules: &Rules, sides: Sides<'_>, name: &str) -> (Side, bool) {
    if let Some(master) = rules.master(name).filter(|_| !mutant!(NobodyIsMaster)) {
        return (master, false);
    }
    let tie = sides.theirs_at == sides.ours_at && mutant!(TieIsTheirs);
    let recent = match sides.theirs_at > sides.ours_at || tie {
        true => Side::Theirs,
        false => Side::Ours,
    };
    let Some(agreed) = sides.agreed.filter(|_| rules.three_way && !mutant!(NoBase)) else {
        return (recent, false);
    };
    let base = agreed.get(name);
    match (sides.ours.get(name) != base, sides.theirs.get(name) != base) {
        (true, false) => (Side::Ours, false),
        (false, true) => (Side::Theirs, false),
        _ => (recent, true),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pair;
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn fields(value: Value) -> Fields {
        Fields::of(value)
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn rules(masters: &[(&str, Option<Side>)]) -> Rules {
        let pair = |(name, master): &(&str, Option<Side>)| Pair {
            ours: (*name).to_owned(),
            theirs: (*name).to_owned(),
            master: *master,
        };
        Rules { pairs: masters.iter().map(pair).collect(), whole: true, ..Rules::default() }
    }

    /// The seed's table, line by line: fields here, there, which is newer, what is kept.
    #[test]
    fn a_field_is_its_masters_and_without_one_the_more_recent_tickets() {
        let all = rules(&[("a", Some(Side::Ours)), ("b", Some(Side::Theirs)), ("c", None)]);
        let table = [
            // (our seconds, their seconds, kept a, kept b, kept c)
            (1, 2, "o", "t", "t"),
            (2, 1, "o", "t", "o"),
            // Equal times: ours stays.
            (1, 1, "o", "t", "o"),
        ];
        for (ours_at, theirs_at, a, b, c) in table {
            let merged = merge(
                &all,
                Sides {
                    ours: &fields(json!({"a": "o", "b": "o", "c": "o"})),
                    ours_at: at(ours_at),
                    theirs: &fields(json!({"a": "t", "b": "t", "c": "t"})),
                    theirs_at: at(theirs_at),
                    agreed: None,
                },
            );
            assert_eq!(
                merged.fields,
                fields(json!({"a": a, "b": b, "c": c})),
                "{ours_at} {theirs_at}"
            );
            assert!(merged.conflicts.is_empty(), "two-way merges know of no conflicts");
        }
    }

    #[test]
    fn what_a_whole_ticket_does_not_have_is_empty_there() {
        let newer = |whole| {
            let rules = Rules { whole, ..Rules::default() };
            let (ours, theirs) = (fields(json!({"a": 1, "b": 2})), fields(json!({"a": 1})));
            let sides = Sides {
                ours: &ours,
                ours_at: at(1),
                theirs: &theirs,
                theirs_at: at(2),
                agreed: None,
            };
            merge(&rules, sides).fields
        };
        assert_eq!(newer(true), fields(json!({"a": 1})));
        assert_eq!(newer(false), fields(json!({"a": 1, "b": 2})), "they just have not said");
    }

    #[test]
    fn with_a_base_the_side_that_changed_a_field_wins_over_time() {
        let rules = Rules { three_way: true, whole: true, ..Rules::default() };
        let base = fields(json!({"a": 0, "b": 0, "c": 0, "d": 0}));
        let ours = fields(json!({"a": 1, "b": 0, "c": 1, "d": 3}));
        let theirs = fields(json!({"a": 0, "b": 2, "c": 2, "d": 3}));
        for (ours_at, theirs_at, c, kept) in [(1, 2, 2, Side::Theirs), (2, 1, 1, Side::Ours)] {
            let sides = Sides {
                ours: &ours,
                ours_at: at(ours_at),
                theirs: &theirs,
                theirs_at: at(theirs_at),
                agreed: Some(&base),
            };
            let merged = merge(&rules, sides);
            assert_eq!(merged.fields, fields(json!({"a": 1, "b": 2, "c": c, "d": 3})));
            let conflict = Conflict { field: "c".into(), ours: json!(1), theirs: json!(2), kept };
            assert_eq!(merged.conflicts, [conflict], "both with what they had");
        }
    }

    #[test]
    fn fields_that_are_not_kept_in_step_stay_as_they_are() {
        let one = rules(&[("a", None)]);
        let (ours, theirs) = (fields(json!({"a": 1, "x": 1})), fields(json!({"a": 2, "x": 2})));
        let sides =
            Sides { ours: &ours, ours_at: at(1), theirs: &theirs, theirs_at: at(2), agreed: None };
        assert_eq!(merge(&one, sides).fields, fields(json!({"a": 2, "x": 1})));
    }

    fn some_fields() -> impl Strategy<Value = Fields> {
        proptest::collection::btree_map("[a-d]", 0..3_i64, 0..4)
            .prop_map(|map| map.into_iter().map(|(name, n)| (name, json!(n))).collect())
    }

    fn some_rules() -> impl Strategy<Value = Rules> {
        let master = prop_oneof![Just(None), Just(Some(Side::Ours)), Just(Some(Side::Theirs))];
        (proptest::collection::vec(master, 4), any::<bool>()).prop_map(|(masters, three_way)| {
            let pairs = ["a", "b", "c", "d"].into_iter().zip(masters).map(|(name, master)| Pair {
                ours: name.into(),
                theirs: name.into(),
                master,
            });
            Rules { pairs: pairs.collect(), three_way, whole: true, ..Rules::default() }
        })
    }

    proptest! {
        /// Rule S4.
        #[test]
        fn a_merge_is_deterministic_and_idempotent(
            rules in some_rules(), ours in some_fields(), theirs in some_fields(),
            agreed in proptest::option::of(some_fields()), times in (0..3_i64, 0..3_i64),
        ) {
            let sides = Sides {
                ours: &ours, ours_at: at(times.0), theirs: &theirs, theirs_at: at(times.1),
                agreed: agreed.as_ref(),
            };
            let once = merge(&rules, sides);
            prop_assert_eq!(&once, &merge(&rules, sides));
            // Both sides have taken it over: nothing is left to merge.
            let again = Sides { ours: &once.fields, theirs: &once.fields, ..sides };
            prop_assert!(merge(&rules, again).is_equal());
            // Only one has: the same comes out, whichever it was.
            for (ours, theirs) in [(&once.fields, &theirs), (&ours, &once.fields)] {
                let half = merge(&rules, Sides { ours, theirs, agreed: None, ..sides });
                let by_master = rules.pairs.iter().all(|pair| {
                    pair.master.is_none() || half.fields.get(&pair.ours) == once.fields.get(&pair.ours)
                });
                prop_assert!(by_master, "{:?}", half);
            }
        }

        /// Seen from the other end, with the masters turned round, the same fields are kept, unless the
        /// times are equal: then each end keeps its own, and the fixed rule (ours stays) is what decides.
        #[test]
        fn both_ends_keep_the_same(
            rules in some_rules(), ours in some_fields(), theirs in some_fields(),
            agreed in proptest::option::of(some_fields()), times in (0..9_i64, 10..19_i64), swap in any::<bool>(),
        ) {
            let (ours_at, theirs_at) = if swap { (at(times.1), at(times.0)) } else { (at(times.0), at(times.1)) };
            let here = merge(&rules, Sides { ours: &ours, ours_at, theirs: &theirs, theirs_at, agreed: agreed.as_ref() });
            let turned = |pair: &Pair| Pair {
                master: pair.master.map(|side| match side { Side::Ours => Side::Theirs, Side::Theirs => Side::Ours }),
                ..pair.clone()
            };
            let mirrored = Rules { pairs: rules.pairs.iter().map(turned).collect(), ..rules.clone() };
            let there = merge(&mirrored, Sides {
                ours: &theirs, ours_at: theirs_at, theirs: &ours, theirs_at: ours_at, agreed: agreed.as_ref(),
            });
            prop_assert_eq!(here.fields, there.fields);
        }

        /// No field is lost that one side alone has changed.
        #[test]
        fn three_way_never_loses_what_one_side_alone_has_changed(
            base in some_fields(), ours in some_fields(), theirs in some_fields(), times in (0..3_i64, 0..3_i64),
        ) {
            let rules = Rules { three_way: true, whole: true, ..Rules::default() };
            let merged = merge(&rules, Sides {
                ours: &ours, ours_at: at(times.0), theirs: &theirs, theirs_at: at(times.1), agreed: Some(&base),
            });
            for name in ["a", "b", "c", "d"] {
                let (o, t, b, m) = (ours.get(name), theirs.get(name), base.get(name), merged.fields.get(name));
                if o != b && t == b { prop_assert_eq!(m, o); }
                if t != b && o == b { prop_assert_eq!(m, t); }
                if o != b && t != b && o != t {
                    prop_assert!(merged.conflicts.iter().any(|it| it.field == name));
                }
            }
        }
    }
}
