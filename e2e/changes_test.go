package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A change is what happened to a path, in the letters of plist print --changes.
type change struct {
	op       string // A, M, m, T or D
	optional bool   // a file was written, but as it was, perhaps with a new time
}

// difference is the truth: what an installation did, by pictures before and
// after. The times of directories are no changes: every write disturbs them.
func difference(before, after picture) map[string]change {
	changes := make(map[string]change)
	for path, now := range after {
		was, ok := before[path]
		switch {
		case !ok:
			changes[path] = change{op: "A"}
		case was.kind != now.kind:
			changes[path] = change{op: "T"}
		case was.body != now.body:
			changes[path] = change{op: "M"}
		case was.mode != now.mode, was.owner != now.owner, was.xattrs != now.xattrs, was.flags != now.flags:
			changes[path] = change{op: "m"}
		case was.touch != now.touch && now.kind != "d": // a new time is a touch, too
			changes[path] = change{op: "m", optional: true}
		}
	}
	for path := range before {
		if _, ok := after[path]; !ok {
			changes[path] = change{op: "D"}
		}
	}
	return changes
}

// compareChanges reports where what the binary printed differs from the truth.
func compareChanges(t testing.TB, truth map[string]change, printed map[string]string) {
	t.Helper()
	var wrong []string
	for path, want := range truth {
		if got, ok := printed[path]; got != want.op && (ok || !want.optional) {
			wrong = append(wrong, fmt.Sprintf("%q: natively %s, captured %q", path, want.op, got))
		}
	}
	for path, got := range printed {
		if _, ok := truth[path]; !ok {
			wrong = append(wrong, fmt.Sprintf("%q: natively untouched, captured %q", path, got))
		}
	}
	report(t, wrong, "changes differ")
}

// report fails the test with the first few of many findings.
func report(t testing.TB, wrong []string, what string) {
	t.Helper()
	if len(wrong) == 0 {
		return
	}
	slices.Sort(wrong)
	shown := wrong[:min(len(wrong), 40)]
	t.Errorf("%d %s:\n%s", len(wrong), what, strings.Join(shown, "\n"))
}

// samePicture reports where two pictures differ.
func samePicture(t testing.TB, what string, want, got picture) {
	t.Helper()
	var wrong []string
	for path, w := range want {
		if g, ok := got[path]; !ok {
			wrong = append(wrong, fmt.Sprintf("%q: missing", path))
		} else if g != w {
			wrong = append(wrong, fmt.Sprintf("%q: want %s\n  got %s", path, w, g))
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			wrong = append(wrong, fmt.Sprintf("%q: unexpected", path))
		}
	}
	report(t, wrong, what)
}
