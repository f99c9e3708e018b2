//go:build amd64

package redirect

import (
	"encoding/gob"
	"flag"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"github.com/sandbox-install/sandbox-install/capture"
	"github.com/sandbox-install/sandbox-install/capture/capturetest"
	"github.com/sandbox-install/sandbox-install/internal/need"
	"github.com/sandbox-install/sandbox-install/plist"
)

var rounds = flag.Int("rounds", 1, "how often to repeat what is drawn by lot")

// disturbVariable tells the test's program to be the command: number of the round,
// directory, by a colon.
const disturbVariable = "REDIRECT_TEST_DISTURB"

// A sight is what the command did and saw.
type sight struct {
	Log     []string
	Picture capturetest.Picture
}

func disturbMain(text string) {
	var round int
	var dir string
	if _, err := fmt.Sscanf(text, "%d:%s", &round, &dir); err != nil {
		panic(err)
	}
	s := sight{Log: forestOf(round).Disturb(dir)}
	s.Picture = capturetest.Take(outside{}, dir)
	if err := gob.NewEncoder(os.Stdout).Encode(s); err != nil {
		panic(err)
	}
}

// outside is where no test is.
type outside struct{ testing.TB }

func (outside) Helper()                      {}
func (outside) Fatal(args ...any)            { panic(fmt.Sprint(args...)) }
func (outside) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }

func forestOf(round int) capturetest.Forest {
	const plots = 40
	return capturetest.Forest{First: uint64(round) * plots, Plots: plots}
}

// TestRandomVerbs has the command do verbs drawn by lot and then look at everything by
// outside tools. The list tells what these saw; each verb has the outcome that it has
// natively, up to the first in its plot that has to do with a directory that was there
// and can not be renamed; and the captured tree is as it was.
func TestRandomVerbs(t *testing.T) {
	need.Root(t)
	for round := range *rounds {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			native, captured := t.TempDir(), t.TempDir()
			forest := forestOf(round)
			forest.Plant(t, native)
			forest.Plant(t, captured)
			j := &capturetest.Judge{Before: capturetest.Take(t, captured)}
			r, seen := disturbed(t, round, captured)
			j.After = seen.Picture
			list := &plist.List{}
			for _, e := range r.List.Entries {
				if dir := captured[1:] + "/"; strings.HasPrefix(e.Path, dir) {
					e.Path = strings.TrimPrefix(e.Path, dir)
					if e.IsHardlink() {
						e.Link = strings.TrimPrefix(e.Link, dir)
					}
					list.Entries = append(list.Entries, e)
				}
			}
			j.Check(t, list, below{r.Tree, captured[1:]})
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			sameOutcomes(t, seen.Log, forest.Disturb(native))
			if now := capturetest.Take(t, captured); !maps.Equal(now, j.Before) {
				t.Errorf("touched:\n%v\nwas\n%v", now, j.Before)
			}
		})
	}
}

// sameOutcomes compares what verbs came to.
func sameOutcomes(t *testing.T, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d verbs, and natively %d", len(got), len(want))
	}
	apart := make(map[string]bool) // plots that are not the same any more
	compared := 0
	for i := range got {
		plot, _, _ := strings.Cut(got[i], ":")
		switch {
		case apart[plot]:
		case strings.HasSuffix(got[i], "cross-device link") && got[i] != want[i]:
			apart[plot] = true
		case got[i] != want[i]:
			t.Errorf("%s; natively %s", got[i], want[i])
		default:
			compared++
		}
	}
	if compared < len(got)/4 {
		t.Errorf("only %d of %d verbs could be compared", compared, len(got))
	}
}

func disturbed(t *testing.T, round int, dir string) (*capture.Result, sight) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var s sight
	decoded := make(chan error, 1)
	go func() { decoded <- gob.NewDecoder(r).Decode(&s) }()
	result, err := (&Method{}).Run(t.Context(), capture.Command{
		Args: []string{self}, Env: append(os.Environ(), fmt.Sprintf("%s=%d:%s", disturbVariable, round, dir)),
		Dir: "/", Staging: t.TempDir(), Stdout: w, Stderr: os.Stderr,
	})
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := <-decoded; err != nil {
		t.Fatalf("exit status %d: %v", result.ExitCode, err)
	}
	return result, s
}

// below is a directory of a tree.
type below struct {
	plist.Tree
	dir string
}

func (b below) Open(path string) (plist.File, error) { return b.Tree.Open(b.dir + "/" + path) }
