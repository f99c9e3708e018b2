package hashdiff

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"
)

// BenchmarkAgainst prints how long snapshots of a tree take, and what others do
// with the same files, as ratios from one run: SNAPSHOT_TREE=/usr go test -bench
// Against -benchtime 1x. Each is run five times in turn, and the best counts.
func BenchmarkAgainst(b *testing.B) {
	tree := os.Getenv("SNAPSHOT_TREE")
	if tree == "" {
		tree = "/usr/share"
	}
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
	find := contender{"find -printf", shell(`find . -printf '%p %y %m %U %G %s %T@ %C@ %D %i %n %l\n'`)}
	b3sum := contender{"b3sum", shell(files + "b3sum")}
	report(b, "second snapshot", func() { snapshot(first) }, find)
	report(b, "first snapshot", func() { snapshot(nil) }, b3sum,
		contender{"cat", shell(files + "cat")}, contender{"sha256sum", shell(files + "sha256sum")},
		contender{"mtree -c -K sha256", shell("mtree -c -K sha256")})
}

// A contender is a program to be compared with.
type contender struct {
	name string
	run  func()
}

func report(b *testing.B, what string, ours func(), others ...contender) {
	b.Helper()
	all := append([]contender{{what, ours}}, others...)
	best := make([]time.Duration, len(all))
	for range 5 {
		for i, c := range all {
			if _, err := exec.LookPath(c.program()); i > 0 && err != nil {
				b.Logf("no %s here", c.name)
				continue
			}
			began := time.Now()
			c.run()
			if d := time.Since(began); best[i] == 0 || d < best[i] {
				best[i] = d
			}
		}
	}
	fmt.Printf("%s: %v\n", what, best[0])
	for i, c := range all {
		if i > 0 && best[i] > 0 {
			fmt.Printf("%s / %s: %.2f (%v)\n", what, c.name, float64(best[0])/float64(best[i]), best[i])
		}
	}
}

// program is the first word of the name, or what is no program of another.
func (c *contender) program() string {
	name, _, _ := bytes.Cut([]byte(c.name), []byte(" "))
	return string(name)
}
