use super::*;
use crate::amqp::AmqpSettings;

fn errors(text: &str) -> Vec<String> {
    match parse("t.toml", text, std::iter::empty()) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}

const CRM: &str = r#"
[[backend]]
id = "crm"
preset = "simulated-rest"
base_url = "http://127.0.0.1:8700/crm"
"#;

#[test]
fn the_sample_file_equals_the_defaults() {
    let text = include_str!("../../ticketgate.sample.toml");
    let sample: Config = toml::from_str(text).unwrap();
    let default = Config::default();
    assert_eq!(sample.instance, default.instance);
    assert_eq!(sample.node, default.node);
    assert_eq!(sample.store, default.store);
    assert_eq!(sample.http, default.http);
    assert_eq!(sample.clients, default.clients);
    assert_eq!(sample.policy, default.policy);
    assert_eq!(sample.topology, default.topology);
    assert_eq!(sample.heartbeats, default.heartbeats);
    assert_eq!(sample.canary, default.canary);
    assert_eq!(sample.history, default.history);
    assert_eq!(sample.offload, default.offload);
    assert_eq!(sample.log, default.log);
    assert!(sample.amqp.is_none() && sample.backend.is_empty());
}

/// Whoever takes the comment signs away must get a working file.
#[test]
fn every_commented_line_of_the_sample_is_right() {
    let text = include_str!("../../ticketgate.sample.toml");
    let open: String = text
        .lines()
        .map(|line| line.strip_prefix("#: ").unwrap_or(line))
        .collect::<Vec<_>>()
        .join("\n");
    assert!(open.len() < text.len());
    let loaded = parse("sample", &open, std::iter::empty()).unwrap();
    // Each key of the broker's is there, with its default.
    let amqp = loaded.config.amqp.expect("the sample has the section");
    let default = AmqpSettings::default();
    assert_eq!(amqp.prefix, default.prefix);
    assert_eq!(amqp.encoding, default.encoding);
    assert_eq!(amqp.prefetch, default.prefetch);
    assert_eq!(amqp.heartbeat, default.heartbeat);
    assert_eq!(amqp.confirm_timeout, default.confirm_timeout);
    let sections = open.split("\n[");
    let section = sections.into_iter().find(|it| it.starts_with("amqp]")).unwrap_or_default();
    for key in ["prefix", "encoding", "prefetch", "heartbeat", "confirm_timeout"] {
        let set = section.lines().any(|line| line.starts_with(&format!("{key} = ")));
        assert!(set, "the sample does not have amqp.{key}");
    }
    assert_eq!(loaded.backends.len(), 1);
}

#[test]
fn the_example_of_a_system_without_a_preset_is_right() {
    let text = include_str!("../../examples/roundup.toml");
    assert_eq!(parse("roundup", text, std::iter::empty()).unwrap().backends.len(), 1);
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let told = errors(
        "[policy]\nsearch_fist = true\nupdate_on = [\"txt\"]\n[http]\nlisen = 1\n\
         [[policy.rule]]\nname = \"a\"\nwen = \"true\"\n\
         [[backend]]\nid = \"crm\"\npreset = \"nonesuch\"\n",
    );
    for expected in
        ["policy.search_fist", "http.lisen", "policy.rule[0].wen", "policy.update_on", "nonesuch"]
    {
        assert!(told.iter().any(|error| error.contains(expected)), "{expected}: {told:#?}");
    }
    assert_eq!(told.len(), 5, "{told:#?}");
    let told = errors("[http]\nlisten = 3\n[[backend]]\nid = \"crm\"\npreset = \"nonesuch\"\n");
    assert_eq!(told.len(), 2, "a value that cannot be read hides no other section: {told:#?}");
}

#[test]
fn every_error_names_file_line_key_and_what_is_allowed() {
    for (text, expected) in [
        ("[policy]\nsearch_fist = true\n", "t.toml:2: policy.search_fist: unknown key; expected"),
        (
            "[[policy.rule]]\nname = \"a\"\nwhen = \"sevrity == 'major'\"\n",
            "t.toml:3: policy.rule[0].when: speaks of \"sevrity\"; known: source, id",
        ),
        (
            "[[policy.rule]]\nname = \"a\"\n[[policy.rule]]\nname = \"a\"\n",
            "t.toml:4: policy.rule[1].name: \"a\" is there twice",
        ),
        ("[policy]\nupdate_on = [\"txt\"]\n", "t.toml:2: policy.update_on: \"txt\" is not one of"),
        ("[policy.fields]\na = \"{{ b }}\"\n", "t.toml:2: policy.fields.a: speaks of \"b\""),
        ("[policy.fields]\n\"a b\" = 1\n", "t.toml:2: policy.fields.a b: is a name of"),
        (
            "[policy.storm]\ntickets = 0\nwithin = \"1m\"\n",
            "t.toml:2: policy.storm.tickets: must be 1 to",
        ),
        ("[topology]\nsqlite = \"a.db\"\n", "t.toml:1: topology.query: is needed"),
        ("instance = 7\n", "t.toml:1: instance: invalid type: integer `7`, expected a string"),
        ("\n[clients]\nnumber = 0\n", "t.toml:3: clients.number: must be 1 to 1000"),
        ("[clients]\nflow_timeout = \"soon\"\n", "t.toml:2: clients.flow_timeout: \"soon\" is not"),
        ("[http]\nlisten = \"0.0.0.0:80\"\n", "t.toml:2: http.listen: is reachable from other"),
        ("[http]\ntoken = \"guess\"\n", "t.toml:2: http.token: a token has 16 to"),
        ("[http]\ntoken = 7\n", "t.toml:2: http.token: a secret must be text"),
        (
            "[http]\nlisten = \"0.0.0.0:80\"\ntoken_file = \"/no/such\"\n",
            "t.toml:3: http.token_file: the secret's file /no/such cannot be read",
        ),
        (
            "[amqp]\nurl = \"amqp://u@h\"\npassword_file = \"/no/such\"\n",
            "t.toml:3: amqp.password_file: the secret's file /no/such cannot be read",
        ),
        ("[amqp]\n[amqp.tls]\n", "t.toml:2: amqp.tls: is given, but the connection is not"),
        ("a = [\n", "t.toml:"),
        (
            "[policy]\ndefault_backend = \"x\"\n",
            "t.toml:2: policy.default_backend: unknown backend",
        ),
        ("[heartbeats]\ninterval = \"1ms\"\n", "t.toml:2: heartbeats.interval: must be 100ms"),
        ("[heartbeats]\nexpect = [\"\"]\n", "t.toml:2: heartbeats.expect[0]: must be the name"),
        ("[log]\nlevel = \"a=b=c\"\n", "t.toml:2: log.level: is not a level"),
        ("[amqp]\nheartbeat = \"1500ms\"\n", "t.toml:2: amqp.heartbeat: must be whole seconds"),
        ("wrong = 1\n", "t.toml:1: wrong: unknown key"),
        ("[store]\nkeep = \"1h\"\n", "t.toml:2: store.keep: must be at least 1d"),
        ("[history]\ntickets_max = 0\n", "t.toml:2: history.tickets_max: must be 1 to"),
        ("[offload]\namount = 0\n", "t.toml:2: offload.amount: must be 1 to max_rows"),
        (
            "[offload]\nmax_rows = 9\namount = 10\n",
            "t.toml:3: offload.amount: must be 1 to max_rows",
        ),
        ("[offload]\ntimespan = \"5h\"\n", "t.toml:2: offload.timespan: must be whole hours that"),
        ("[offload]\ntimespan = \"90m\"\n", "t.toml:2: offload.timespan: must be whole hours that"),
        ("[offload]\ntimespan = \"2d\"\n", "t.toml:2: offload.timespan: must be whole hours that"),
        (
            "[offload]\ncheck_at = \"25:00\"\n",
            "t.toml:2: offload.check_at: \"25:00\" is not a time",
        ),
        ("[offload]\ncheck_at = \"2:00\"\n", "t.toml:2: offload.check_at: \"2:00\" is not a time"),
        ("[offload]\ncheck_every = \"0s\"\n", "t.toml:2: offload.check_every: must be 1s to 1d"),
        ("[offload]\ntime_zone = \"Mars\"\n", "t.toml:2: offload.time_zone: \"Mars\" is no time"),
        ("[offload]\ntime_zone = \"+1:00\"\n", "t.toml:2: offload.time_zone: \"+1:00\" is no time"),
        ("[offload]\ntime_zone = \"+01:60\"\n", "t.toml:2: offload.time_zone: \"+01:60\" is no"),
        ("[offload]\nkeep_files = \"1m\"\n", "t.toml:2: offload.keep_files: must be at least 1h"),
        ("[offload]\npath = \"\"\n", "t.toml:2: offload.path: must name a folder"),
    ] {
        let errors = errors(text);
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
        assert!(errors[0].starts_with(expected), "{text}: {}", errors[0]);
        assert!(!errors[0].contains('\n'));
    }
}

#[test]
fn the_config_of_the_compose_file_is_right_once_its_secrets_are_there() {
    let home = tempfile::tempdir().unwrap();
    let secret = home.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef\n").unwrap();
    let file = secret.to_str().unwrap().to_owned();
    let names = ["TICKETGATE__HTTP__TOKEN_FILE", "TICKETGATE__AMQP__PASSWORD_FILE"];
    let environment = names.map(|name| (name.to_owned(), file.clone()));
    let text = include_str!("../../deploy/ticketgate.toml");
    let loaded = parse("deploy", text, environment.into_iter()).unwrap();
    assert_eq!(loaded.backends.len(), 1);
    // Without them it names both files, and nothing else.
    let missing = parse("deploy", text, std::iter::empty()).unwrap_err();
    let told: Vec<_> = missing.0.iter().map(|error| error.key.as_str()).collect();
    assert_eq!(told, ["http.token_file", "amqp.password_file"]);
}

#[test]
fn with_a_token_other_machines_may_reach_the_port() {
    let token = "token = \"0123456789abcdef\"\n";
    for (keys, may) in [
        (String::new(), false),
        (token.to_owned(), false),
        ("allow_remote_without_tls = true\n".to_owned(), false),
        (format!("{token}allow_remote_without_tls = true\n"), true),
        ("allow_remote_without_auth = true\n".to_owned(), true),
    ] {
        let text = format!("[http]\nlisten = \"0.0.0.0:80\"\n{keys}");
        assert_eq!(errors(&text).is_empty(), may, "{text}");
    }
    let both = "[http]\ntoken = \"0123456789abcdef\"\ntoken_file = \"/x\"\n";
    assert!(errors(both)[0].contains("give either token or token_file"), "{:?}", errors(both));
}

#[test]
fn an_error_of_a_backend_names_its_line() {
    let text = format!("{CRM}timeout = \"never\"\n");
    let errors = errors(&text);
    assert!(errors[0].starts_with("t.toml:6: backend[0].timeout"), "{errors:?}");
}

#[test]
fn all_faults_are_told_at_once() {
    let text = format!("instance = \"\"\n[clients]\nnumber = 0\n{CRM}{CRM}");
    assert_eq!(errors(&text).len(), 3);
}

#[test]
fn the_environment_overrides_the_file_and_is_named_in_errors() {
    let env = |name: &str, value: &str| std::iter::once((name.to_owned(), value.to_owned()));
    let loaded = parse("t", CRM, env("TICKETGATE__CLIENTS__NUMBER", "7")).unwrap();
    assert_eq!(loaded.config.clients.number, 7);
    let loaded = parse("t", CRM, env("TICKETGATE__BACKEND__0__ID", "noc")).unwrap();
    assert_eq!(loaded.backends[0].id.as_str(), "noc");
    let loaded = parse("t", CRM, env("TICKETGATE__NODE", "7")).unwrap_err();
    assert!(loaded.to_string().starts_with("environment TICKETGATE__NODE: node"), "{loaded}");
    assert!(parse("t", CRM, env("TICKETGATE__BACKEND__9__ID", "noc")).is_err());
}

#[test]
fn a_mistake_deep_in_a_description_is_told_with_its_line() {
    for (more, expected) in [
        (
            "[backend.update]\nmethod = \"PUT\"\n[[backend.update.before]]\nname = \"now\"\n\
             method = \"GET\"\npath = \"t\"\n",
            "t.toml:11: backend[0].update.before[0].path: must begin with /",
        ),
        (
            "[[backend.failure]]\nstatus = [1]\nmeans = \"busy\"\n[[backend.failure]]\nmeans = \"busy\"\n",
            "t.toml:9: backend[0].failure[1]: say by status, body or select",
        ),
        (
            "[backend.maps.a.to]\nx = \"1\"\ny = \"1\"\n",
            "t.toml:6: backend[0].maps.a: \"x\" and \"y\" both become",
        ),
    ] {
        let told = errors(&format!("{CRM}{more}"));
        assert!(told.iter().any(|line| line.starts_with(expected)), "{more}: {told:#?}");
    }
}

#[test]
fn the_offload_is_read_as_it_is_meant() {
    use ticketgate_actors::logic::offload::{Check, Span};
    use ticketgate_actors::model::Timestamp;
    let text = "[offload]\nmax_rows = 7\namount = 7\ncheck_at = \"02:30\"\ntimespan = \"1d\"\n\
        time_zone = \"-05:30\"\n";
    let loaded = parse("t", text, std::iter::empty()).unwrap();
    let settings = loaded.config.offload.settings().unwrap();
    assert_eq!((settings.amount, settings.span_hours, settings.keep_files), (7, 24, None));
    assert_eq!(settings.check, Check::At(jiff::civil::time(2, 30, 0, 0)));
    let at = Timestamp::parse("2026-11-21T05:29:00Z").unwrap();
    assert_eq!(Span::of(at, &settings).folder(), "2026_11_20");
}

#[test]
fn a_sync_names_its_sides_and_one_master_a_field() {
    let with = |sync: &str| {
        let text = format!(
            "[[backend]]\nid = 'crm'\npreset = 'simulated-rest'\nbase_url = 'http://h/crm'\n\
             [[backend]]\nid = 'dm'\npreset = 'dataminer'\n[[sync]]\nname = 's'\n{sync}"
        );
        parse("test", &text, std::iter::empty())
    };
    let wrong = |sync: &str| with(sync).unwrap_err().to_string();
    for (sync, key, what) in [
        ("backend = 'x'", "sync[0].backend", "unknown backend"),
        ("backend = 'dm'\nfrom = 'feed'", "sync[0].from", "no [changes]"),
        ("backend = 'crm'\ntarget = 'dm'", "sync[0].target", "cannot be updated"),
        ("backend = 'crm'\nbatch = 0", "sync[0].batch", "1 to 10000"),
        (
            "backend = 'dm'\nstates = { Open = 'Open' }",
            "sync[0].states.Open",
            "no status of TMF621",
        ),
        (
            "backend = 'dm'\nstates = { Open = 'pending' }\n[[sync.field]]\nname = 'a'",
            "sync[0].states",
            "no [[sync.field]] named status",
        ),
        (
            "backend = 'dm'\n[[sync.field]]\nname = 'a.b'",
            "sync[0].field[0].name",
            "no name of a field",
        ),
        (
            "backend = 'dm'\n[[sync.field]]\nname = 'a'\nours_is_master = true\n\
             there_theirs_is_master = true",
            "sync[0].field[0].master",
            "both sides are master",
        ),
        ("backend = 'dm'\n[[sync]]\nname = 't'\nbackend = 'dm'", "sync[1].organizer", "only one"),
    ] {
        let told = wrong(sync);
        assert!(told.contains(key) && told.contains(what), "{sync}: {told}");
    }
    let odd = "backend = 'dm'\n[[sync.field]]\nname = 'a'\nours_is_master = true";
    let loaded = with(odd).unwrap();
    assert_eq!(loaded.config.sync_warnings().len(), 1, "one side only is told, and counts");
}
