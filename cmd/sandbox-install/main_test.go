package main

import (
	"flag"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sandbox-install/sandbox-install/internal/sandbox"
)

var update = flag.Bool("update", false, "rewrite the expected output in the scripts")

func TestMain(m *testing.M) {
	sandbox.Init()
	testscript.Main(m, map[string]func(){"sandbox-install": main})
}

// TestScripts runs the program's own main, as a process, by the scripts in
// testdata.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Condition:           condition,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"status": status},
	})
}

// condition knows [root]. A script that can not run here says so and skips; it
// fails instead when SANDBOX_INSTALL_REQUIRE names what is missing.
func condition(name string) (bool, error) {
	if name != "root" {
		return false, strconv.ErrSyntax
	}
	has := os.Geteuid() == 0
	required := strings.Split(os.Getenv("SANDBOX_INSTALL_REQUIRE"), ",")
	if !has && (slices.Contains(required, "root") || slices.Contains(required, "all")) {
		panic("SANDBOX_INSTALL_REQUIRE wants root, and this is an ordinary user")
	}
	return has, nil
}

// status is "status N COMMAND...": run a command that must end with status N.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := err.(*exec.ExitError); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit status %d, want %s", got, args[0])
	}
}
