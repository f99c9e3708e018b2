package hashdiff

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/sandbox-install/sandbox-install/internal/need"
)

// BenchmarkAgainst prints how long snapshots of a tree take, and what others do
// with the same files, as ratios from one run; the best of several rounds counts.
// "Cold" is without the page cache, which takes root.
//
//	SNAPSHOT_TREE=/usr go test ./hashdiff -run '^$' -bench Against -benchtime 1x
func BenchmarkAgainst(b *testing.B) {
	tree := cmp.Or(os.Getenv("SNAPSHOT_TREE"), "/usr/share")
	scope := Scope{Root: tree, Paths: []string{"."}}
	snapshot := func(earlier []byte) []byte {
		var options Options
		if earlier != nil {
			r, err := NewReader(bytes.NewReader(earlier))
			if err != nil {
				b.Fatal(err)
			}
			options.Earlier = r
		}
		var out bytes.Buffer
		if _, err := Write(b.Context(), &out, scope, options); err != nil {
			b.Fatal(err)
		}
		return out.Bytes()
	}
	first := snapshot(nil)
	shell := func(script string) func() {
		return func() {
			cmd := exec.Command("sh", "-c", script)
			cmd.Dir, cmd.Stdout, cmd.Stderr = tree, io.Discard, os.Stderr
			if err := cmd.Run(); err != nil {
				b.Fatalf("%s: %v", script, err)
			}
		}
	}
	const files = "find . -type f -print0 | xargs -0 "
	hashers := []contender{
		{"b3sum", shell(files + "b3sum")},
		{"cat", shell(files + "cat")},
		{"sha256sum", shell(files + "sha256sum")},
		{"mtree -c -K sha256", shell("mtree -c -K sha256")},
	}
	find := contender{"find -printf", shell(`find . -printf '%p %y %m %U %G %s %T@ %C@ %D %i %n %l\n'`)}
	second := contender{"second snapshot", func() { snapshot(first) }}
	firstOf := contender{"first snapshot", func() { snapshot(nil) }}
	b.Run("Second", func(b *testing.B) { report(b, second, nil, find) })
	b.Run("First", func(b *testing.B) { report(b, firstOf, nil, hashers...) })
	b.Run("Cold", func(b *testing.B) {
		need.Root(b)
		drop := shell("sync; echo 3 >/proc/sys/vm/drop_caches")
		report(b, second, drop, find)
		report(b, firstOf, drop, hashers[:2]...)
	})
}

// A contender is a program to be compared with.
type contender struct {
	name string
	run  func()
}

// report runs all in turn, each after prepare, and prints the ratios of their times.
func report(b *testing.B, ours contender, prepare func(), others ...contender) {
	b.Helper()
	all := append([]contender{ours}, others...)
	best := make([]time.Duration, len(all))
	for range 3 {
		for i, c := range all {
			if _, err := exec.LookPath(c.program()); i > 0 && err != nil {
				b.Logf("no %s here", c.name)
				continue
			}
			if prepare != nil {
				prepare()
			}
			began := time.Now()
			c.run()
			if d := time.Since(began); best[i] == 0 || d < best[i] {
				best[i] = d
			}
		}
	}
	fmt.Printf("%s: %v\n", ours.name, best[0])
	for i, c := range all {
		if i > 0 && best[i] > 0 {
			fmt.Printf("%s / %s: %.2f (%v)\n", ours.name, c.name, float64(best[0])/float64(best[i]), best[i])
		}
	}
}

// program is the first word of the name, or what is no program of another.
func (c *contender) program() string {
	name, _, _ := bytes.Cut([]byte(c.name), []byte(" "))
	return string(name)
}
