package trace

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/capture/capturetest"
	"github.com/sandbox-install/sandbox-install/internal/need"
)

var rounds = flag.Int("rounds", 3, "how often to repeat what is drawn by lot")

// disturbVariable tells the test's program to be the command: number of the round,
// directory, by a colon.
const disturbVariable = "TRACETEST_DISTURB"

func disturbMain(text string) {
	number, dir, _ := strings.Cut(text, ":")
	round, err := strconv.Atoi(number)
	if err != nil {
		panic(err)
	}
	for _, line := range forestOf(round).Disturb(dir) {
		fmt.Println(line)
	}
	os.Exit(0)
}

// forestOf is the forest of a round.
func forestOf(round int) capturetest.Forest {
	const plots = 40
	return capturetest.Forest{First: uint64(round) * plots, Plots: plots}
}

// TestRandomVerbs applies the same verbs to two equal trees, one of them captured.
// All verbs have the same outcome, the list is the difference that outside tools see
// of the other tree, and the captured tree is as it was.
func TestRandomVerbs(t *testing.T) {
	need.Root(t)
	for round := range *rounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			native, captured := t.TempDir(), t.TempDir()
			forest := forestOf(round)
			forest.Plant(t, native)
			forest.Plant(t, captured)
			untouched := take(t, captured)
			j := &capturetest.Judge{Before: capturetest.Take(t, native), Since: time.Now().Add(-time.Minute)}
			want := forest.Disturb(native)
			j.After = capturetest.Take(t, native)

			r, got := disturbed(t, round, captured)
			j.Check(t, cut(r.List, captured[1:]), subtree{r.Tree, captured[1:]})
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if len(got) != len(want) {
				t.Fatalf("%d verbs, and natively %d", len(got), len(want))
			}
			for i := range got {
				if got[i] != want[i] {
					t.Errorf("%s; natively %s", got[i], want[i])
				}
			}
			same(t, take(t, captured), untouched)
		})
	}
}

// disturbed captures the verbs of a round, and returns what each did.
func disturbed(t *testing.T, round int, dir string) (*capture.Result, []string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "log")
	log, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	r, err := (&Method{}).Run(t.Context(), capture.Command{
		Args: []string{self}, Env: append(os.Environ(), fmt.Sprintf("%s=%d:%s", disturbVariable, round, dir)),
		Dir: "/", Staging: t.TempDir(), Stdout: log, Stderr: os.Stderr,
	})
	if err != nil {
		t.Fatal(err)
	}
	if r.ExitCode != 0 {
		t.Errorf("exit status %d", r.ExitCode)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return r, slices.Collect(strings.SplitSeq(strings.TrimSuffix(string(text), "\n"), "\n"))
}

// same compares two pictures path by path.
func same(t *testing.T, got, want capturetest.Picture) {
	t.Helper()
	paths := maps.Clone(want)
	maps.Copy(paths, got)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if got[path] != want[path] {
			t.Errorf("%q is %+v\nand was %+v", path, got[path], want[path])
		}
	}
}
