// Package need lets tests say what they can not do without.
//
// A test that lacks something is skipped with the reason. Where it must not be,
// the environment variable SANDBOX_INSTALL_REQUIRE names the need, words
// separated by commas, and the test fails instead. The word "all" stands for
// every need but "user": to be an ordinary user, which no test of the others is.
package need

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Lacks ends a test that lacks something.
func Lacks(t testing.TB, word string, reason any) {
	t.Helper()
	required := strings.Split(os.Getenv("SANDBOX_INSTALL_REQUIRE"), ",")
	if slices.Contains(required, word) || slices.Contains(required, "all") && word != "user" {
		t.Fatalf("%s is required: %v", word, reason)
	}
	t.Skipf("needs %s: %v", word, reason)
}

// Root ends a test that is not run by root.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Lacks(t, "root", "not run by root")
	}
}

// Program returns the path of the first of some programs that there is. Without
// names it looks for the word itself.
func Program(t testing.TB, word string, names ...string) string {
	t.Helper()
	if len(names) == 0 {
		names = []string{word}
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	Lacks(t, word, "none of "+strings.Join(names, ", ")+" is installed")
	return ""
}
