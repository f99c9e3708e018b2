package capturetest

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Lacks skips a test for want of something, or fails it if the environment
// variable SANDBOX_INSTALL_REQUIRE, words separated by commas, has that word or
// "all": where the thing must be there, a test that does not run is no test.
func Lacks(t testing.TB, need string, reason any) {
	t.Helper()
	required := strings.Split(os.Getenv("SANDBOX_INSTALL_REQUIRE"), ",")
	if slices.Contains(required, need) || slices.Contains(required, "all") {
		t.Fatalf("%s is required: %v", need, reason)
	}
	t.Skipf("needs %s: %v", need, reason)
}

// NeedRoot skips a test that is not run by root.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Lacks(t, "root", "not run by root")
	}
}
