# Two commands do all the set-up on a fresh machine with Rust and Debian's packages.

CARGO ?= cargo
ALARMS ?= 200

.PHONY: demo test test-systems simulate torture million feed bench growth micro face fmt lint docs deny

## The main job with everything embedded: store, bus, three simulated ticketing systems.
demo:
	@echo "Building Ticketgate: some minutes the first time."
	$(CARGO) build
	@$(CARGO) run --quiet -- demo --alarms $(ALARMS)

## Installs what the tests need (RabbitMQ, python3-pika) and runs all of them.
test:
	scripts/install-test-needs
	$(CARGO) test --workspace

## The presets request-tracker and redmine against the real ones, from Debian's packages. As root.
test-systems:
	CARGO="$(CARGO)" scripts/test-systems

## The seeded simulators over all cores: the service's world, and a pair of systems that are kept in step.
## `make simulate REPLAY=42` shows one seed step by step, `PAIR=42` one of the pair; `LANES="10 100 1000 10000"`
## what a step costs with so many ticketing systems (some four minutes).
SEEDS ?= 100000
PAIRS ?= $(SEEDS)
SIMULATE = $(CARGO) run --quiet --release -p ticketgate-actors --features testing --example simulate --
simulate:
	$(if $(LANES),$(SIMULATE) lanes $(LANES))
	$(if $(PAIR)$(LANES),,$(SIMULATE) $(if $(REPLAY),replay $(REPLAY),$(SEEDS)))
	$(if $(REPLAY)$(LANES),,$(SIMULATE) pair $(if $(PAIR),replay $(PAIR),$(PAIRS)))

## The real service and a real broker, broken in every way while alarms live; prints its seed, and
## as it goes what is published, made, lost, doubled. A full disk takes root (a mount of its own).
KILLS ?= 500
BROKER_KILLS ?= 20
torture:
	scripts/install-test-needs
	KILLS=$(KILLS) BROKER_KILLS=$(BROKER_KILLS) SEED=$(SEED) $(CARGO) test --test service -- \
		--ignored --exact --nocapture torture::for_as_long_as_it_is_told_to

## A million alarms for a system that is away, in a release build; tells what the pile costs. Needs
## some 2 GB in the folder for temporary files.
MILLION ?= 1000000
million:
	ALARMS=$(MILLION) $(CARGO) test --release --test service -- \
		--ignored --exact --nocapture million::as_many_as_it_is_told_to

## Ten thousand and a hundred thousand changed tickets through a feed, in a release build: rows a second
## beside what the store's rows alone take, and memory (docs/performance.md).
feed:
	$(CARGO) test --release --test service -- \
		--ignored --exact --nocapture feed::a_hundred_thousand_take_no_more_memory_than_ten_thousand

## Ticketgate beside a bare loop that promises nothing, and beside what people would write instead:
## docs/performance.md. QUICK=1 ends in about three minutes; BENCH="--only bare,ticketgate" and the like.
bench:
	scripts/install-test-needs
	$(CARGO) build --quiet --release --bin ticketgate
	$(CARGO) run --quiet --release -p ticketgate-bench -- $(if $(QUICK),--quick) $(BENCH)

## What size costs: the same work with up to a million pending alarms, 1,000 backends, 1,000 ticket clients.
## Figures, tables, and plots in docs/plots (docs/performance.md); no judgement by time. QUICK=1 ends in about
## two minutes and leaves its plots below target/; BENCH="--measures pending --rounds 1" and the like. Needs some
## 2 GB in the folder for temporary files.
growth:
	scripts/install-test-needs
	$(CARGO) build --quiet --release --bin ticketgate
	$(CARGO) run --quiet --release -p ticketgate-bench -- --growth $(if $(QUICK),--quick) $(BENCH)

## How many instructions the codec, a lane, the lock table, policy and templates take, counted by valgrind: no
## quiet machine is needed. Fails where one is over its count in bench/micro.toml (docs/performance.md).
## MICRO=lane counts only what has that in its name.
micro:
	CARGO="$(CARGO)" scripts/install-micro-needs
	@grep -qF "rustc = \"$$(rustc --version | cut -d ' ' -f 2)\"" bench/micro.toml || \
		echo "Another compiler than the one in bench/micro.toml: its counts are not these."
	PATH="$(CURDIR)/target/micro-needs/bin:$$PATH" \
		$(CARGO) bench --quiet -p ticketgate-bench --bench micro -- $(if $(MICRO),'*$(MICRO)*')

## How long the dashboard's pages and the lists take with 1,000 tickets in the store, and with 100,000:
## docs/performance.md. Figures as a table, and no judgement.
face:
	scripts/install-test-needs
	$(CARGO) test --release --test dashboard -- --ignored --exact --nocapture \
		figures::with_few_tickets_and_with_many

fmt:
	$(CARGO) fmt --all -- --check

lint:
	$(CARGO) clippy --workspace --all-targets -- -D warnings

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet

## Licences, bans and sources; needs cargo-deny, and no network.
deny:
	$(CARGO) deny check licenses bans sources
