package fuse

import (
	"testing"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fuse"
)

// TestPrune looks at more files than a union is to remember, twice: they stay the same, and
// what is in use goes on.
func TestPrune(t *testing.T) {
	defer func(n int) { maxObjects = n }(maxObjects)
	maxObjects = 200
	u := serveHere(t, `for d in $(seq 15); do mkdir $d; (cd $d; seq 200 | xargs touch); done
		echo kept >1/kept; ln 1/kept 2/link`)
	u.sh(t, `cd "$1/merged"; exec 3<1/kept; echo changed >3/3; cd 2
		look() { find "$1" -type d -printf '%i %p\n' -o -printf '%i %n %s %p\n' | sort >"$2"; }
		look "$1/merged" "$1/first"; look "$1/merged" "$1/second"; diff "$1/first" "$1/second"
		test "$(wc -l <"$1/first")" = 3018
		test "$(cat <&3)" = kept; test "$(cat link)" = kept; test "$(cat ../3/3)" = changed`)
	if !u.device.kernel.SupportsNotify(gofuse.NOTIFY_PRUNE) {
		t.Skip("Linux before 6.18 forgets when it is short of memory")
	}
	known := func() int {
		u.mu.Lock()
		defer u.mu.Unlock()
		return len(u.byID)
	}
	for since := time.Now(); known() > maxObjects+2*pruneAfter; time.Sleep(10 * time.Millisecond) {
		if time.Since(since) > 10*time.Second {
			t.Fatalf("%d objects are remembered", known())
		}
	}
}
