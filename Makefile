# The two commands to know are "make demo" and "make test".

TOOL := go tool -modfile=tools/go.mod
PORTABLE := ./...
SYSTEMS := linux/amd64 linux/arm64 darwin/arm64 freebsd/amd64 netbsd/amd64 openbsd/amd64 windows/amd64
CONCURRENT = $(shell grep -rlE --include='*.go' --exclude-dir=e2e '^[[:space:]]*go [a-z]|errgroup' . | xargs -n 1 dirname | sort -u)

.PHONY: build setup demo test lint cross fuzz race user e2e-all stress nasty judge unions images bench clean

build: # makes ./sandbox-install
	go build -o sandbox-install ./cmd/sandbox-install

setup: # installs what building and testing need
	scripts/setup

demo: setup build # captures a real "make install"
	scripts/demo ./sandbox-install

test: setup lint cross race user # everything but what takes long; fuzz targets run their seeds
	go test -count=1 -timeout 60m ./...

lint:
	@echo gofumpt
	@unformatted=$$($(TOOL) gofumpt -l .) && test -z "$$unformatted" || { echo "$$unformatted"; exit 1; }
	go vet ./...
	$(TOOL) staticcheck ./...
	@echo errcheck # a deferred Close is of something that was only read: see STYLE.md
	@! $(TOOL) errcheck -ignoretests -exclude tools/errcheck.txt ./... | \
		grep -vE 'defer .*\.Close\(\)|//nolint:errcheck // .'

cross: # what is portable builds everywhere, without C
	@for system in $(SYSTEMS); do \
		echo "build $$system"; \
		CGO_ENABLED=0 GOOS=$${system%/*} GOARCH=$${system#*/} go build $(PORTABLE) || exit 1; \
	done

fuzz: # each target for a few seconds
	scripts/fuzz $(or $(FUZZTIME),5s)

race: # packages with goroutines; of scenes, which differ in what is captured only, a fifth
	GORACE=atexit_sleep_ms=0 go test -count=1 -race -short -timeout 60m $(CONCURRENT)

user: # the same tests as an ordinary user, if we are not one already
	test "$$(id -u)" != 0 || SANDBOX_INSTALL_REQUIRE= go test -count=1 -timeout 60m -exec "$(CURDIR)/scripts/as-user" ./...

e2e-all: setup # every installer; half an hour the first time
	go test -count=1 -v -timeout 3h ./e2e -args -all

stress: # the journal of --method seccomp: 20 rounds of 100,000 operations, killed and the power cut at every step
	go test -count=1 -timeout 5h -run 'Stress|Crash|PowerCut|RandomVerbs' ./trace \
		-args -operations 100000 -stress-rounds 20 -rounds 100 -every 1 -cut-every 1

nasty: setup build # the nasty cases, if they are beside the repository; METHOD=hashdiff by that method, AS_USER=porter by an ordinary user
	METHOD=$(METHOD) AS_USER=$(AS_USER) e2e/nasty.sh ./sandbox-install

judge: setup # what fuse and rootless show to a command, by the suites that are in SUITES
	scripts/judge $(SUITES) $(METHOD)

unions: setup build # times on each union, and on fuse-overlayfs if it is there
	e2e/unions.sh ./sandbox-install

images: setup build # the PE images of many Debian packages, or of IMAGES, moved and judged
	e2e/images.sh ./sandbox-install $(IMAGES)

bench: setup # ratios to native copying and to tar --zstd
	go test -run '^$$' -bench . -benchtime 1x -timeout 3h ./e2e

clean:
	rm -rf sandbox-install demo
